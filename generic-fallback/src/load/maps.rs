//! Creating the maps of an object, or taking those that are pinned already.

use super::PinPolicy;
use super::error::LoadError;
use super::map_rules::{self, Form};
use super::pins::{DEFAULT_DIR, Pins};
use kernel::bpf::btf::Btf;
use kernel::bpf::map::{ANY, Map, MapBtf, MapInfo, MapKind, MapSpec};
use offload_compiler::object::{MapContent, MapDef};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

/// `map_flags`: a numa node is given (include/uapi/linux/bpf.h).
const BPF_F_NUMA_NODE: u32 = 1 << 2;
/// Flags that the kernel sets by itself: `BPF_F_RDONLY_PROG` stays, this one comes and goes.
const BPF_F_RDONLY: u32 = 1 << 3;

/// A map of a loaded program.
#[derive(Debug)]
pub struct LoadedMap {
    /// The map's name in the object.
    pub name: String,
    /// The map.
    pub map: Map,
    /// Where it is pinned.
    pub pin: Option<PathBuf>,
    /// Whether it was pinned before, with what it holds.
    pub reused: bool,
}

impl LoadedMap {
    /// Puts a descriptor into a slot.
    pub(super) fn put(&self, slot: u32, fd: BorrowedFd<'_>) -> Result<(), LoadError> {
        self.map
            .update_fd(&slot.to_ne_bytes(), fd)
            .map_err(|source| LoadError::FillMap {
                map: self.name.clone(),
                source,
            })
    }
}

/// What the maps of one load have in common.
pub(super) struct Context<'a> {
    /// The object's name, which the names of data sections start with.
    pub(super) object_name: &'a str,
    /// The object's BTF.
    pub(super) btf: Option<&'a Btf>,
    /// The interface that maps are created on.
    pub(super) device: Option<u32>,
    /// Where maps are pinned.
    pub(super) pins: &'a PinPolicy,
    /// CPUs that the kernel may ever bring up.
    pub(super) possible_cpus: u32,
}

impl Context<'_> {
    /// Creates a map, or opens it where it is pinned; fills it with `data` and freezes it.
    pub(super) fn obtain(
        &self,
        def: &MapDef,
        kconfig: Option<&[u8]>,
        pins: &mut Pins,
    ) -> Result<LoadedMap, LoadError> {
        let pin = self.pin_path(def);
        if let Some(path) = &pin
            && let Some(map) = self.open_pinned(def, path)?
        {
            return Ok(LoadedMap {
                name: def.name.clone(),
                map,
                pin,
                reused: true,
            });
        }
        let map = self.create(def)?;
        let fill_error = |source| LoadError::FillMap {
            map: def.name.clone(),
            source,
        };
        let data = match &def.content {
            MapContent::Data(data) => Some(data.as_slice()),
            MapContent::Kconfig => kconfig,
            MapContent::None | MapContent::Slots(_) => None,
        };
        if let Some(data) = data {
            map.update(&0_u32.to_ne_bytes(), data, ANY)
                .map_err(fill_error)?;
        }
        if def.freeze {
            // Since 5.2. Without it the map is as read-only for the program, and user space has no
            // other name for it.
            if let Err(error) = map.freeze() {
                tracing::debug!(map = def.name, %error, "not frozen");
            }
        }
        if let Some(path) = &pin {
            if let Some(dir) = path.parent() {
                pins.folder(dir)?;
            }
            map.pin(path).map_err(|error| LoadError::Pin {
                path: path.clone(),
                reason: error.to_string(),
                errno: error.errno(),
            })?;
            pins.made(path.clone());
        }
        Ok(LoadedMap {
            name: def.name.clone(),
            map,
            pin,
            reused: false,
        })
    }

    /// Where a map is pinned, if it is: by the user's wish, or its own (`LIBBPF_PIN_BY_NAME`).
    fn pin_path(&self, def: &MapDef) -> Option<PathBuf> {
        let dir = match self.pins {
            _ if def.is_data() => return None,
            PinPolicy::In(dir) => dir,
            PinPolicy::AsDeclared if def.pin_by_name => Path::new(DEFAULT_DIR),
            PinPolicy::AsDeclared | PinPolicy::Never => return None,
        };
        // Names in a BPF file system hold no dots; libbpf does the same (`sanitize_pin_path`).
        Some(dir.join(def.name.replace('.', "_")))
    }

    fn open_pinned(&self, def: &MapDef, path: &Path) -> Result<Option<Map>, LoadError> {
        if !path.exists() {
            return Ok(None);
        }
        let error = |error: kernel::Error| LoadError::Pin {
            path: path.to_owned(),
            reason: error.to_string(),
            errno: error.errno(),
        };
        let map = Map::open_pinned(path).map_err(error)?;
        let info = map.info().map_err(error)?;
        match self.difference(def, &info) {
            None => Ok(Some(map)),
            Some(difference) => Err(LoadError::PinnedMapDiffers {
                path: path.to_owned(),
                difference,
            }),
        }
    }

    /// What keeps a program from using an existing map in place of the one it declares.
    fn difference(&self, def: &MapDef, there: &MapInfo) -> Option<String> {
        let differs = |what: &str, declared: String, there: String| {
            (declared != there)
                .then(|| format!("{what} is {there}, the object declares {declared}"))
        };
        let max_entries = self.max_entries(def);
        differs(
            "its kind",
            MapKind(def.kind).to_string(),
            there.kind.to_string(),
        )
        .or_else(|| {
            differs(
                "its key size",
                def.key_size.to_string(),
                there.key_size.to_string(),
            )
        })
        .or_else(|| {
            differs(
                "its value size",
                def.value_size.to_string(),
                there.value_size.to_string(),
            )
        })
        .or_else(|| {
            differs(
                "its number of entries",
                max_entries.to_string(),
                there.max_entries.to_string(),
            )
        })
        .or_else(|| {
            differs(
                "its flags",
                format!("{:#x}", def.flags & !BPF_F_RDONLY),
                format!("{:#x}", there.flags & !BPF_F_RDONLY),
            )
        })
        .or_else(|| {
            differs(
                "its interface",
                self.device_of(def).unwrap_or(0).to_string(),
                there.ifindex.unwrap_or(0).to_string(),
            )
        })
    }

    fn create(&self, def: &MapDef) -> Result<Map, LoadError> {
        // A map of maps is created after one of the kind it takes; that one is needed no longer then.
        let inner = def
            .inner
            .as_deref()
            .map(|inner| self.create(inner))
            .transpose()?;
        let name = self.kernel_name(def);
        Map::create(&MapSpec {
            name: &name,
            kind: MapKind(def.kind),
            key_size: def.key_size,
            value_size: def.value_size,
            max_entries: self.max_entries(def),
            flags: def.flags,
            numa_node: (def.flags & BPF_F_NUMA_NODE != 0).then_some(def.numa_node),
            map_extra: def.map_extra,
            ifindex: self.device_of(def),
            inner: inner.as_ref().map(AsFd::as_fd),
            btf: self
                .btf
                .zip(def.kernel_btf_types())
                .map(|(btf, (key_type_id, value_type_id))| MapBtf {
                    fd: btf.as_fd(),
                    key_type_id,
                    value_type_id,
                }),
        })
        .map_err(|source| LoadError::CreateMap {
            map: def.name.clone(),
            shape: self.shape(def),
            broken_rule: map_rules::broken(Form {
                kind: MapKind(def.kind),
                key_size: def.key_size,
                value_size: def.value_size,
                max_entries: self.max_entries(def),
                flags: def.flags,
                page: rustix::param::page_size() as u32,
            }),
            source,
        })
    }

    /// "lpm_trie, key 8, value 4, 1024 entries, flags 0x0"
    fn shape(&self, def: &MapDef) -> String {
        format!(
            "{}, key {} bytes, value {} bytes, {} entries, flags {:#x}",
            MapKind(def.kind),
            def.key_size,
            def.value_size,
            self.max_entries(def),
            def.flags
        )
    }

    /// The NIC that a map is created on. One of events stays on the host, which reads them
    /// (`bpf_map_offload_neutral`, include/linux/bpf.h).
    fn device_of(&self, def: &MapDef) -> Option<u32> {
        self.device
            .filter(|_| MapKind(def.kind) != MapKind::PERF_EVENT_ARRAY)
    }

    fn max_entries(&self, def: &MapDef) -> u32 {
        def.max_entries_on(self.possible_cpus, rustix::param::page_size() as u32)
    }

    /// Data sections are named after the object, as libbpf does: ".rodata" alone tells nobody anything.
    fn kernel_name(&self, def: &MapDef) -> String {
        /// BPF_OBJ_NAME_LEN without the closing NUL.
        const LONGEST: usize = 15;
        if !def.is_data() {
            return def.name.clone();
        }
        let room = LONGEST.saturating_sub(def.name.len());
        let prefix: String = self.object_name.chars().take(room.min(8)).collect();
        format!("{prefix}{}", def.name)
    }
}
