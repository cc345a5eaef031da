//! Our linker makes the same code as libbpf, instruction by instruction, of the corpus and of what is installed
//! here (Debian's xdp-tools): CO-RE, `__kconfig`, kernel functions, subprograms, global data.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use offload_compiler::isa::Insn;
use offload_compiler::object::btf::Btf;
use offload_compiler::object::{Environment, Object};
use tests::{Output, require, require_command, require_root, workspace};

/// Where distributions put objects of xdp-tools.
const INSTALLED: &str = "/usr/lib/x86_64-linux-gnu/bpf";

#[test]
fn linked_code_is_libbpfs() {
    let headers = Path::new("/usr/include/bpf/libbpf.h").exists();
    if !require_root() || !require_command("cc") || !require(headers, "needs libbpf-dev") {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let libbpf = build(folder.path());
    let kernel = Kernel::read();
    let mut compared = 0;
    let mut refused = Vec::new();
    for path in objects() {
        let theirs = Output::of(Command::new(&libbpf).arg(&path)).expect("it starts");
        if theirs.code != 0 {
            refused.push(path);
            continue;
        }
        let ours = kernel.link(&path);
        assert_eq!(ours, older_libbpf(&theirs.stdout), "{}", path.display());
        compared += 1;
    }
    // libbpf 1.x refuses SEC("maps").
    assert!(
        refused
            .iter()
            .all(|path| path.ends_with("legacy_maps.bpf.o")),
        "{refused:?}"
    );
    assert!(compared >= 30, "only {compared} objects");
    println!("{compared} objects are linked as libbpf links them");
}

fn build(folder: &Path) -> PathBuf {
    let program = folder.join("libbpf");
    Output::of(
        Command::new("cc")
            .arg(workspace().join("tests/linking/libbpf.c"))
            .arg("-o")
            .arg(&program)
            .arg("-lbpf"),
    )
    .and_then(Output::ok)
    .expect("it compiles");
    program
}

fn objects() -> Vec<PathBuf> {
    let mut found = Vec::new();
    for folder in [workspace().join("tests/corpus"), INSTALLED.into()] {
        let Ok(entries) = std::fs::read_dir(&folder) else {
            continue;
        };
        found.extend(
            entries
                .map(|entry| entry.expect("it can be listed").path())
                .filter(|path| path.extension().is_some_and(|extension| extension == "o")),
        );
    }
    found.sort();
    found
}

/// libbpf before 1.3 left the call of a missing weak function in place; it is an invalid helper since.
fn older_libbpf(text: &str) -> String {
    text.replace("85 0 2 0 0\n", "missing function\n")
}

/// The running kernel, as far as objects depend on it.
struct Kernel {
    btf: Btf,
    version: u32,
    config: String,
    symbols: String,
}

impl Kernel {
    fn read() -> Self {
        let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").expect("a release");
        let numbers: Vec<u32> = release
            .split(|c: char| !c.is_ascii_digit())
            .map_while(|number| number.parse().ok())
            .collect();
        let config = Output::of(Command::new("zcat").arg("/proc/config.gz"));
        Self {
            btf: Btf::parse(kernel::bpf::btf::kernel_btf_bytes().expect("kernel BTF"))
                .expect("the kernel's BTF is valid"),
            version: numbers[0] << 16 | numbers[1] << 8 | numbers[2].min(255),
            config: config.expect("zcat").stdout,
            symbols: std::fs::read_to_string("/proc/kallsyms").expect("kernel symbols"),
        }
    }

    fn address_of(&self, name: &str) -> Option<u64> {
        self.symbols.lines().find_map(|line| {
            let mut words = line.split_whitespace();
            let address = u64::from_str_radix(words.next()?, 16).ok()?;
            (words.nth(1)? == name).then_some(address)
        })
    }

    /// What `libbpf.c` prints, by our own hands.
    fn link(&self, path: &Path) -> String {
        let bytes = std::fs::read(path).expect("the object");
        let object = Object::parse(&bytes).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let symbols = |name: &str| self.address_of(name);
        let environment = Environment {
            kernel_btf: Some(&self.btf),
            kernel_version: Some(self.version),
            kconfig: Some(&self.config),
            kernel_symbols: Some(&symbols),
            ..Environment::default()
        };
        let mut text = String::new();
        for map in &object.maps {
            writeln!(
                text,
                "map type={} key={} value={} flags={}",
                map.kind,
                map.key_size,
                map.value_size,
                match map.flags {
                    0 => "0".to_owned(),
                    flags => format!("{flags:#x}"),
                }
            )
            .expect("memory");
        }
        for (index, program) in object.programs.iter().enumerate() {
            let linked = object
                .link(index, &environment)
                .unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            writeln!(text, "program {}", program.name).expect("memory");
            for insn in &linked.insns {
                text.push_str(&slot(*insn));
            }
        }
        text
    }
}

fn slot(insn: Insn) -> String {
    const MISSING_FUNCTION: std::ops::Range<i32> = 2_002_000_000..2_002_001_000;
    let Insn {
        code,
        dst,
        src,
        off,
        imm,
    } = insn;
    if code == Insn::CALL && src == 0 && MISSING_FUNCTION.contains(&imm) {
        return "missing function\n".to_owned();
    }
    format!("{code:02x} {dst} {src} {off} {imm}\n")
}
