//! Reading and writing entries of a map as JSON.

use crate::exit::{Exit, Failure};
use crate::json::map::{Entry, Map as MapJson};
use crate::map_halves::{Nic, is_named, sum};
use crate::value::Shape;
use kernel::Errno;
use kernel::bpf::btf::Btf as KernelBtf;
use kernel::bpf::map::{ANY, Map, MapInfo, MapKind};
use kernel::bpf::program::{Program, is_orphaned};
use offload_compiler::object::Object;
use offload_compiler::object::btf::Btf;
use serde_json::{Value, json};
use std::os::fd::{AsFd, AsRawFd};

/// A map with what is known about its types.
pub(crate) struct MapAccess {
    map: Map,
    info: MapInfo,
    btf: Option<Btf>,
    /// The other half of a program that a NIC runs in part.
    nic: Option<Nic>,
}

/// A map as `--json` shows it.
pub(crate) fn describe(info: &MapInfo) -> MapJson {
    MapJson {
        id: info.id,
        name: info.name.clone(),
        kind: info.kind.to_string(),
        key_size: info.key_size,
        value_size: info.value_size,
        max_entries: info.max_entries,
        offloaded_to: info.ifindex,
        used_by: Vec::new(),
    }
}

/// A map that cannot be opened, told apart from one whose NIC is gone.
pub(crate) fn open_failure(what: impl Into<String>, error: &kernel::Error) -> Failure {
    if is_orphaned(error) {
        return Failure::new(
            Exit::No,
            "the map is orphaned: the NIC that it was on is gone, and its content with it",
        )
        .because(error)
        .remedy("remove its pin, and attach the program again");
    }
    Failure::kernel(what, error)
}

/// Values that user space writes as a descriptor and reads back as an id.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Content {
    /// Bytes by type.
    Plain,
    /// A program.
    Program,
    /// A map.
    Map,
    /// `struct bpf_devmap_val`: an interface and perhaps a program.
    Device,
    /// `struct bpf_cpumap_val`: a queue size and perhaps a program.
    Cpu,
    /// An AF_XDP socket, which only its owner can put in.
    Socket,
}

fn content(kind: MapKind) -> Content {
    match kind {
        MapKind::PROG_ARRAY => Content::Program,
        MapKind::ARRAY_OF_MAPS | MapKind::HASH_OF_MAPS => Content::Map,
        MapKind::DEVMAP | MapKind::DEVMAP_HASH => Content::Device,
        MapKind::CPUMAP => Content::Cpu,
        MapKind::XSKMAP | MapKind::SOCKMAP | MapKind::SOCKHASH => Content::Socket,
        _ => Content::Plain,
    }
}

impl MapAccess {
    /// Reads the map's types, if it has any.
    pub(crate) fn open(map: Map) -> Result<Self, Failure> {
        let info = map
            .info()
            .map_err(|error| open_failure("cannot read the map's description", &error))?;
        let btf = info
            .btf_id
            .and_then(|id| KernelBtf::from_id(id).and_then(|btf| btf.bytes()).ok())
            .and_then(|bytes| Btf::parse(bytes).ok());
        Ok(Self {
            map,
            info,
            btf,
            nic: None,
        })
    }

    /// Takes the types from the object that the map was made of, where the kernel keeps none: of maps on a NIC
    /// (kernel/bpf/syscall.c, `map_create`, Linux 6.12).
    pub(crate) fn typed_by(self, object: &Object) -> Result<Self, Failure> {
        if self.btf.is_some() {
            return Ok(self);
        }
        let failure = |why: String| {
            let what = format!("the object tells no types of map '{}'", self.info.name);
            Failure::new(Exit::Usage, what).because(why)
        };
        let Some(made) = object
            .maps
            .iter()
            .find(|made| is_named(&self.info, &made.name))
        else {
            let names: Vec<&str> = object.maps.iter().map(|map| map.name.as_str()).collect();
            return Err(failure(if names.is_empty() {
                "it has no maps".to_owned()
            } else {
                format!("its maps are {}", names.join(", "))
            }));
        };
        let (here, there) = (&self.info, made);
        if (here.key_size, here.value_size) != (there.key_size, there.value_size) {
            return Err(failure(format!(
                "its keys have {} bytes and its values {}, the map's {} and {}",
                there.key_size, there.value_size, here.key_size, here.value_size
            ))
            .remedy("give the object that is attached, as `xdp-offload compile -o` wrote it"));
        }
        let Some(btf) = object.btf().filter(|_| made.value_type_id != 0) else {
            return Err(failure("it was compiled without them".to_owned())
                .remedy("compile it with -g, and define its maps in SEC(\".maps\")"));
        };
        Ok(Self {
            info: MapInfo {
                key_type_id: made.key_type_id,
                value_type_id: made.value_type_id,
                ..self.info
            },
            btf: Some(btf.clone()),
            ..self
        })
    }

    /// Two maps as one: what is written goes into both, what both counted is read as a sum.
    pub(crate) fn beside(self, nic: Nic) -> Self {
        Self {
            nic: Some(nic),
            ..self
        }
    }

    /// The map itself.
    pub(crate) fn describe(&self) -> MapJson {
        describe(&self.info)
    }

    /// The entry of a key.
    pub(crate) fn get(&self, key: &str) -> Result<Entry, Failure> {
        let key = self.key(key)?;
        match self.map.lookup(&key) {
            Ok(Some(value)) => self.entry(&key, &value),
            Ok(None) => Err(self.missing(&key)),
            Err(error) => Err(self.failure("read from", &error)),
        }
    }

    /// All entries.
    pub(crate) fn dump(&self) -> Result<Vec<Entry>, Failure> {
        let mut entries = Vec::new();
        for entry in self.map.entries() {
            let (key, value) = entry.map_err(|error| self.failure("read", &error))?;
            entries.push(self.entry(&key, &value)?);
        }
        let Some(nic) = &self.nic else {
            return Ok(entries);
        };
        // What the NIC's part put in itself.
        for entry in nic.map.entries() {
            let (key, value) = entry.map_err(|error| self.nic_failure("read", &error))?;
            match self.map.lookup(&key) {
                Ok(Some(_)) => {}
                Ok(None) => entries.push(Entry {
                    key: self.key_shape().decode(&key),
                    value: Some(self.decode_value(&value)),
                    per_cpu: None,
                    nic: None,
                }),
                Err(error) => return Err(self.failure("read", &error)),
            }
        }
        Ok(entries)
    }

    /// Writes an entry.
    pub(crate) fn set(&self, key: &str, value: &str) -> Result<Entry, Failure> {
        let key = self.key(key)?;
        let (bytes, _held) = self.value(value)?;
        self.map
            .update(&key, &bytes, ANY)
            .map_err(|error| self.write_failure(&error))?;
        if let Some(nic) = &self.nic {
            let one = &bytes[..self.info.value_size as usize];
            // The sum of both is what was set.
            let nothing = vec![0; one.len()];
            let value = if nic.counts { &nothing } else { one };
            nic.map.update(&key, value, ANY).map_err(|error| {
                self.nic_failure("write to", &error).remedy(
                    "the host's map has the new value already; repeat this, or delete the entry",
                )
            })?;
        }
        // What is there now: for descriptors the id.
        match self.map.lookup(&key) {
            Ok(Some(stored)) => self.entry(&key, &stored),
            _ => self.entry(&key, &bytes),
        }
    }

    fn write_failure(&self, error: &kernel::Error) -> Failure {
        let entries = self.info.max_entries;
        let refused = |what: &str, remedy: String| {
            Failure::new(
                Exit::No,
                format!("map '{}' {what}: nothing was written", self.info.name),
            )
            .because(error)
            .remedy(remedy)
        };
        match error.errno() {
            Some(Errno::E2BIG) if self.info.kind.is_indexed() => refused(
                "has no such index",
                format!("its indices are 0 to {}", entries.saturating_sub(1)),
            ),
            Some(Errno::E2BIG | Errno::ENOSPC) => refused(
                "is full",
                format!(
                    "it holds {entries} entries: delete one, or load the program with a bigger map"
                ),
            ),
            // What a NIC is out of is its own memory.
            Some(Errno::ENOMEM) if self.info.ifindex.is_some() => refused(
                "has no room on the NIC",
                "delete entries of this map or of others on the NIC".to_owned(),
            ),
            _ => self.failure("write to", error),
        }
    }

    /// Deletes an entry.
    pub(crate) fn delete(&self, key: &str) -> Result<Entry, Failure> {
        let key = self.key(key)?;
        let here = self.map.delete(&key).map_err(|error| {
            let failure = self.failure("delete from", &error);
            match error.errno() {
                Some(Errno::EINVAL) if self.info.kind.is_indexed() => {
                    failure.remedy("the entries of an array stay: set it to 0")
                }
                _ => failure,
            }
        })?;
        let there = match &self.nic {
            Some(nic) => nic
                .map
                .delete(&key)
                .map_err(|error| self.nic_failure("delete from", &error))?,
            None => false,
        };
        if !here && !there {
            return Err(self.missing(&key));
        }
        Ok(Entry {
            key: self.key_shape().decode(&key),
            value: None,
            per_cpu: None,
            nic: None,
        })
    }

    /// An entry of the map, and what the NIC has of it.
    fn entry(&self, key: &[u8], value: &[u8]) -> Result<Entry, Failure> {
        let per_cpu = self.info.kind.is_per_cpu();
        let values: Vec<Value> = if per_cpu {
            let each = value.chunks_exact(self.stride());
            let decode = |one: &[u8]| {
                self.value_shape()
                    .decode(&one[..self.info.value_size as usize])
            };
            each.map(decode).collect()
        } else {
            vec![self.decode_value(value)]
        };
        let on_nic = match &self.nic {
            Some(nic) => nic
                .map
                .lookup(key)
                .map_err(|error| self.nic_failure("read from", &error))?
                .map(|value| self.decode_value(&value)),
            None => None,
        };
        let counts = self.nic.as_ref().is_some_and(|nic| nic.counts);
        let mut entry = Entry {
            key: self.key_shape().decode(key),
            value: None,
            per_cpu: None,
            nic: None,
        };
        match on_nic {
            Some(on_nic) if counts => {
                entry.value = values.into_iter().reduce(|a, b| sum(&a, &b));
                entry.value = entry.value.map(|here| sum(&here, &on_nic));
            }
            on_nic => {
                entry.nic = on_nic.filter(|on_nic| values.iter().any(|here| here != on_nic));
                if per_cpu {
                    entry.per_cpu = Some(values);
                } else {
                    entry.value = values.into_iter().next();
                }
            }
        }
        Ok(entry)
    }

    fn nic_failure(&self, verb: &str, error: &kernel::Error) -> Failure {
        Failure::kernel(
            format!("cannot {verb} map '{}' on the NIC", self.info.name),
            error,
        )
    }

    fn decode_value(&self, bytes: &[u8]) -> Value {
        let word = |at: usize| {
            bytes
                .get(at..at + 4)
                .and_then(|word| word.try_into().ok())
                .map_or(0, u32::from_ne_bytes)
        };
        match content(self.info.kind) {
            Content::Plain | Content::Socket => self.value_shape().decode(bytes),
            Content::Program | Content::Map => json!(word(0)),
            Content::Device => json!({"ifindex": word(0), "prog_id": word(4)}),
            Content::Cpu => json!({"qsize": word(0), "prog_id": word(4)}),
        }
    }

    fn key(&self, text: &str) -> Result<Vec<u8>, Failure> {
        self.key_shape().parse(text).map_err(|error| {
            Failure::new(
                Exit::Usage,
                format!("'{text}' is no key of map '{}'", self.info.name),
            )
            .because(error)
            .remedy(form("its keys are", self.key_shape()))
        })
    }

    /// The bytes of a value, and what has to stay open until they are written.
    fn value(&self, text: &str) -> Result<(Vec<u8>, Option<Held>), Failure> {
        let refused = |why: String| {
            Failure::new(
                Exit::Usage,
                format!("'{text}' is no value of map '{}'", self.info.name),
            )
            .because(why)
        };
        let number = |name: &str, value: &Value| {
            value
                .get(name)
                .map_or(Some(0), Value::as_u64)
                .and_then(|number| u32::try_from(number).ok())
                .ok_or_else(|| refused(format!("{name} is no number")))
        };
        let parsed =
            || serde_json::from_str::<Value>(text).map_err(|error| refused(error.to_string()));
        match content(self.info.kind) {
            Content::Plain => self.plain_value(text).map(|bytes| (bytes, None)),
            Content::Socket => Err(refused(
                "it holds sockets, which only the process that owns one can put in".to_owned(),
            )),
            Content::Program | Content::Map => {
                let id = text
                    .parse()
                    .map_err(|_| refused("give the id of a program or map".to_owned()))?;
                let held = if content(self.info.kind) == Content::Program {
                    Program::from_id(id).map(Held::Program)
                } else {
                    Map::from_id(id).map(Held::Map)
                }
                .map_err(|error| refused(error.to_string()))?;
                Ok((held.fd().to_ne_bytes().to_vec(), Some(held)))
            }
            kind @ (Content::Device | Content::Cpu) => {
                let value = parsed()?;
                let first = if kind == Content::Device {
                    "ifindex"
                } else {
                    "qsize"
                };
                let first_word = match &value {
                    Value::Number(_) => number("", &json!({ "": value }))?,
                    _ => number(first, &value)?,
                };
                let program = number("prog_id", &value)?;
                let held = (program != 0)
                    .then(|| Program::from_id(program))
                    .transpose()
                    .map_err(|error| refused(error.to_string()))?
                    .map(Held::Program);
                let mut bytes = first_word.to_ne_bytes().to_vec();
                bytes.extend(held.as_ref().map_or(0, Held::fd).to_ne_bytes());
                bytes.truncate(self.info.value_size as usize);
                Ok((bytes, held))
            }
        }
    }

    fn plain_value(&self, text: &str) -> Result<Vec<u8>, Failure> {
        let shape = self.value_shape();
        let refused = |why: String| {
            Failure::new(
                Exit::Usage,
                format!("'{text}' is no value of map '{}'", self.info.name),
            )
            .because(why)
            .remedy(form("its values are", shape))
        };
        if !self.info.kind.is_per_cpu() {
            return shape
                .parse(text)
                .map_err(|error| refused(error.to_string()));
        }
        let cpus = self.map.value_len() / self.stride();
        let values = match shape.parse(text) {
            Ok(value) => vec![value; cpus],
            Err(error) => match serde_json::from_str::<Value>(text) {
                Ok(Value::Array(list)) if list.len() == cpus => list
                    .iter()
                    .map(|value| shape.encode(value))
                    .collect::<Result<_, _>>()
                    .map_err(|error| refused(error.to_string()))?,
                Ok(Value::Array(list)) => {
                    return Err(refused(format!(
                        "there are {cpus} CPUs, {} values were given",
                        list.len()
                    )));
                }
                _ => return Err(refused(error.to_string())),
            },
        };
        let mut bytes = Vec::with_capacity(self.map.value_len());
        for mut value in values {
            value.resize(self.stride(), 0);
            bytes.extend(value);
        }
        Ok(bytes)
    }

    /// Bytes from one CPU's value to the next.
    fn stride(&self) -> usize {
        (self.info.value_size as usize).next_multiple_of(8).max(8)
    }

    fn key_shape(&self) -> Shape<'_> {
        Shape::of(self.info.key_size, self.btf.as_ref(), self.info.key_type_id)
    }

    fn value_shape(&self) -> Shape<'_> {
        Shape::of(
            self.info.value_size,
            self.btf.as_ref(),
            self.info.value_type_id,
        )
    }

    fn missing(&self, key: &[u8]) -> Failure {
        Failure::new(
            Exit::No,
            format!(
                "map '{}' has no entry {}",
                self.info.name,
                self.key_shape().decode(key)
            ),
        )
    }

    fn failure(&self, verb: &str, error: &kernel::Error) -> Failure {
        let failure = Failure::kernel(format!("cannot {verb} map '{}'", self.info.name), error);
        match error.errno() {
            Some(Errno::EOPNOTSUPP | Errno::ENOTSUPP) => Failure {
                exit: Exit::No,
                ..failure.remedy(format!(
                    "maps of kind {} do not take this from user space",
                    self.info.kind
                ))
            },
            Some(Errno::EINVAL) => Failure {
                exit: Exit::No,
                ..failure.remedy("the kernel does not take this for this kind of map")
            },
            Some(Errno::ENODEV) => Failure {
                exit: Exit::No,
                ..failure.remedy("the NIC that the map was on is gone, and its content with it")
            },
            _ => failure,
        }
    }
}

/// `its keys are of type struct rule, such as {"port":0,"protocol":0}`
fn form(what: &str, shape: Shape<'_>) -> String {
    let example = shape.decode(&vec![0; shape.size]);
    match shape.btf {
        Some((btf, id)) => format!("{what} of type {}, such as {example}", btf.c_name(id)),
        None => format!("{what} {} bytes, such as {example}", shape.size),
    }
}

/// Something whose descriptor is in a value.
enum Held {
    Program(Program),
    Map(Map),
}

impl Held {
    fn fd(&self) -> i32 {
        match self {
            Self::Program(program) => program.as_fd().as_raw_fd(),
            Self::Map(map) => map.as_fd().as_raw_fd(),
        }
    }
}
