//! The running kernel as programs are linked against it: collected only as far as a program asks,
//! because the kernel's BTF alone takes longer to read than a plain attach.

use kernel::host::KernelRelease;
use offload_compiler::object::btf::Btf;
use offload_compiler::object::{Environment, ModuleBtf, Object, Requirements};
use std::collections::HashMap;
use std::fs;
use std::process::Command;

/// What was collected of the running kernel.
#[derive(Default)]
pub(super) struct RunningKernel {
    btf: Option<Btf>,
    modules: Vec<(String, Btf)>,
    version: Option<u32>,
    kconfig: Option<String>,
    symbols: Option<HashMap<String, u64>>,
}

impl RunningKernel {
    /// Collects what is asked for. What cannot be read stays away: linking then says what lacks.
    pub(super) fn collect(asked: Requirements) -> Self {
        let release = KernelRelease::read();
        let btf = asked
            .kernel_btf
            .then(|| kernel::bpf::btf::kernel_btf_bytes().ok())
            .flatten()
            .and_then(|bytes| Btf::parse(bytes).ok());
        Self {
            modules: Vec::new(),
            btf,
            version: Some(release.code),
            kconfig: asked.kconfig.then(|| kconfig(&release.text)).flatten(),
            symbols: asked.kernel_symbols.then(symbols).flatten(),
        }
    }

    /// Reads the BTF of the loaded modules too, if a program asks for what the kernel itself lacks: a distribution's
    /// kernel has a hundred modules.
    pub(super) fn with_modules_for(mut self, object: &Object, program: usize) -> Self {
        if let Some(btf) = &self.btf
            && self.modules.is_empty()
            && object.needs_modules(program, btf)
        {
            self.modules = module_btf(btf);
        }
        self
    }

    /// Calls `link` with the environment.
    pub(super) fn with<T>(&self, link: impl FnOnce(&Environment<'_>) -> T) -> T {
        let modules: Vec<ModuleBtf<'_>> = self
            .modules
            .iter()
            .map(|(name, btf)| ModuleBtf { name, btf })
            .collect();
        let lookup = |name: &str| self.symbols.as_ref()?.get(name).copied();
        link(&Environment {
            kernel_btf: self.btf.as_ref(),
            modules: &modules,
            kernel_version: self.version,
            kconfig: self.kconfig.as_deref(),
            kernel_symbols: self
                .symbols
                .as_ref()
                .map(|_| &lookup as &dyn Fn(&str) -> Option<u64>),
        })
    }

    /// The name of a module by its index in the environment.
    pub(super) fn module_name(&self, index: usize) -> Option<&str> {
        self.modules.get(index).map(|(name, _)| name.as_str())
    }
}

/// The BTF of all loaded modules that have some.
fn module_btf(base: &Btf) -> Vec<(String, Btf)> {
    let Ok(entries) = fs::read_dir("/sys/kernel/btf") else {
        return Vec::new();
    };
    let mut modules: Vec<(String, Btf)> = entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            if name == "vmlinux" {
                return None;
            }
            let bytes = fs::read(entry.path()).ok()?;
            Some((name, Btf::parse_split(bytes, base).ok()?))
        })
        .collect();
    modules.sort_by(|a, b| a.0.cmp(&b.0));
    modules
}

/// The kernel's configuration, from where distributions put it.
fn kconfig(release: &str) -> Option<String> {
    let plain = [
        format!("/boot/config-{release}"),
        format!("/lib/modules/{release}/config"),
    ];
    plain
        .iter()
        .find_map(|path| fs::read_to_string(path).ok())
        .or_else(|| {
            // CONFIG_IKCONFIG_PROC. gzip is on every system; a decompressor of our own is not worth it.
            fs::metadata("/proc/config.gz").ok()?;
            let output = Command::new("gzip")
                .args(["-dc", "/proc/config.gz"])
                .output()
                .ok()?;
            String::from_utf8(output.stdout).ok()
        })
}

/// /proc/kallsyms; addresses are zero without CAP_SYSLOG, which is as good as none.
fn symbols() -> Option<HashMap<String, u64>> {
    let text = fs::read_to_string("/proc/kallsyms").ok()?;
    let mut symbols = HashMap::new();
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        let (Some(address), Some(_), Some(name)) = (words.next(), words.next(), words.next())
        else {
            continue;
        };
        match u64::from_str_radix(address, 16) {
            Ok(address) if address != 0 => symbols.entry(name.to_owned()).or_insert(address),
            _ => continue,
        };
    }
    Some(symbols)
}
