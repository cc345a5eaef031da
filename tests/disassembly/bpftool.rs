//! Programs as the kernel holds them, after the verifier rewrote them, against `bpftool prog dump xlated opcodes`.

use std::collections::{BTreeSet, HashMap};
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use generic_fallback::load::{Binding, Loaded, Loader};
use offload_compiler::isa::{Insn, text};
use offload_compiler::object::{Object, ProgramKind};
use tests::Output;

use crate::sections::sources;

/// The kernel's functions by address, and maps by id: what bpftool knows.
struct Bpftool {
    symbols: HashMap<u64, String>,
    call_base: u64,
}

impl Bpftool {
    fn read() -> Self {
        let text = std::fs::read_to_string("/proc/kallsyms").expect("kallsyms");
        let mut symbols = HashMap::new();
        let mut call_base = 0;
        for line in text.lines() {
            let mut words = line.split_whitespace();
            let address = words
                .next()
                .and_then(|hex| u64::from_str_radix(hex, 16).ok());
            let (Some(address), Some(name)) = (address, words.nth(1)) else {
                continue;
            };
            if name == "__bpf_call_base" {
                call_base = address;
            }
            symbols.entry(address).or_insert_with(|| name.to_owned());
        }
        Self { symbols, call_base }
    }

    fn target(&self, call: &Insn) -> u64 {
        self.call_base.wrapping_add_signed(i64::from(call.imm))
    }

    /// The lines of /proc/kallsyms that these programs need. bpftool reads the whole file for each program, which takes
    /// longer than all else.
    fn symbols_for(&self, programs: &[Vec<Insn>]) -> String {
        let calls = programs
            .iter()
            .flatten()
            .filter(|insn| insn.code == Insn::CALL && insn.src != Insn::PSEUDO_CALL);
        let mut needed: BTreeSet<u64> = calls.map(|call| self.target(call)).collect();
        needed.insert(self.call_base);
        let line = |address: &u64| {
            let name = self.symbols.get(address)?;
            Some(format!("{address:016x} T {name}\n"))
        };
        needed.iter().filter_map(line).collect()
    }

    /// What bpftool prints of these programs, in order.
    fn dump(&self, ids: &[u32], programs: &[Vec<Insn>]) -> Vec<Vec<String>> {
        let folder = tempfile::tempdir().expect("a folder");
        let symbols = folder.path().join("kallsyms");
        std::fs::write(&symbols, self.symbols_for(programs)).expect("it is written");
        let commands: Vec<String> = ids
            .iter()
            .map(|id| format!("prog dump xlated id {id} opcodes\n"))
            .collect();
        let batch = folder.path().join("commands");
        std::fs::write(&batch, commands.concat()).expect("it is written");
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "sh", "-c"])
            .arg(r#"mount --bind "$0" /proc/kallsyms && exec bpftool batch file "$1""#)
            .args([&symbols, &batch]);
        let output = Output::of(&mut command)
            .and_then(Output::ok)
            .expect("bpftool prints them");
        let mut dumps = Vec::new();
        for line in code_lines(&output.stdout) {
            if line.starts_with("   0: (") {
                dumps.push(Vec::new());
            }
            dumps.last_mut().expect("the first is number 0").push(line);
        }
        assert_eq!(dumps.len(), ids.len(), "{}", output.stdout);
        dumps
    }
}

impl text::Symbols for Bpftool {
    fn call(&self, insn: &Insn) -> Option<String> {
        if insn.src == Insn::PSEUDO_CALL {
            // The kernel keeps the distance here, and gives the subprogram's number where the distance was.
            return Some(format!("{:+}", insn.off));
        }
        self.symbols.get(&self.target(insn)).cloned()
    }

    fn imm64(&self, first: &Insn, second: &Insn) -> Option<String> {
        let (id, offset) = (first.imm, second.imm);
        match first.src {
            Insn::PSEUDO_MAP_FD => Some(format!("map[id:{id}]")),
            Insn::PSEUDO_MAP_VALUE => Some(format!("map[id:{id}][0]+{offset}")),
            _ => None,
        }
    }
}

/// Lines of instructions and their bytes; bpftool puts functions and source lines between.
fn code_lines(listing: &str) -> Vec<String> {
    let is_code = |line: &&str| {
        let line = line.trim_start();
        let (first, rest) = line.split_once([':', ' ']).unwrap_or((line, ""));
        let number = first.bytes().all(|byte| byte.is_ascii_digit()) && rest.starts_with(" (");
        let bytes = line
            .split(' ')
            .all(|word| word.len() == 2 && word.bytes().all(|byte| byte.is_ascii_hexdigit()));
        number || bytes
    };
    listing.lines().filter(is_code).map(str::to_owned).collect()
}

/// bpftool adds the name of a subprogram to its calls. One of before Linux 6.6 does not know that a move extends a sign,
/// and one of before 6.10 no per-CPU addresses: it leaves that out.
fn same(ours: &str, theirs: &str) -> bool {
    let without_name = |line: &str| {
        let named = line.contains("call pc");
        line.split('#').next().filter(|_| named).map(str::to_owned)
    };
    let older = ["(s8)", "(s16)", "(s32)", "&(void __percpu *)("]
        .iter()
        .find_map(|new| {
            ours.contains(&format!(" = {new}"))
                .then(|| ours.replace(new, ""))
        });
    ours == theirs
        || (without_name(ours).is_some() && without_name(ours) == without_name(theirs))
        || older.is_some_and(|older| older.trim_end_matches(')') == theirs)
}

/// What came of the programs of one source.
#[derive(Default)]
struct Tally {
    programs: usize,
    instructions: usize,
    /// The kernel does not take them, or not without a device or a module.
    not_loaded: usize,
    differences: Vec<String>,
}

impl Tally {
    fn add(&mut self, path: &Path, all_as_xdp: bool, bpftool: &Bpftool) {
        let bytes = std::fs::read(path).expect("an object");
        let Ok(mut object) = Object::parse(&bytes) else {
            return;
        };
        for program in &mut object.programs {
            if all_as_xdp && !program.kind.is_xdp() {
                program.kind = ProgramKind::Xdp { frags: false };
            }
        }
        let loader = Loader::for_trial(&object, "disassembly");
        let (mut names, mut loaded) = (Vec::new(), Vec::new());
        for (index, program) in object.programs.iter().enumerate() {
            if !program.kind.is_xdp() {
                continue;
            }
            match loader.load(index, Binding::None) {
                Ok(program_loaded) => {
                    names.push(&program.name);
                    loaded.push(program_loaded);
                }
                Err(_) => self.not_loaded += 1,
            }
        }
        let code = |loaded: &Loaded| Insn::read_all(&loaded.program.xlated().expect("its code"));
        let programs: Vec<Vec<Insn>> = loaded.iter().map(code).collect();
        let ids: Vec<u32> = loaded.iter().map(|loaded| loaded.id).collect();
        let dumps = bpftool.dump(&ids, &programs);
        for ((name, insns), theirs) in names.iter().zip(&programs).zip(dumps) {
            let ours = code_lines(&text::listing(insns, bpftool, true));
            let place = format!("{} {name}", path.display());
            if ours.len() != theirs.len() {
                let lines = (ours.len(), theirs.len());
                self.differences.push(format!("{place}: {lines:?} lines"));
            }
            for (ours, theirs) in ours.iter().zip(&theirs) {
                if !same(ours, theirs) {
                    self.differences.push(format!("{place}:\n{ours}\n{theirs}"));
                }
            }
            self.programs += 1;
            self.instructions += ours.len() / 2;
        }
    }
}

#[test]
fn every_program_that_loads_reads_as_bpftool_prints_it() {
    if !tests::require_root()
        || !tests::require_command("bpftool")
        || !tests::require_command("unshare")
    {
        return;
    }
    let bpftool = Bpftool::read();
    let mut differences = Vec::new();
    for source in sources() {
        let mut tally = Tally::default();
        for path in &source.objects {
            tally.add(path, source.all_as_xdp, &bpftool);
        }
        let _ = writeln!(
            std::io::stderr(),
            "{}: {} programs, {} instructions compared with bpftool; {} do not load here",
            source.name,
            tally.programs,
            tally.instructions,
            tally.not_loaded,
        );
        assert!(tally.programs > 0, "{}: no program loads", source.name);
        differences.extend(tally.differences);
    }
    assert!(
        differences.is_empty(),
        "{} differ:\n{}",
        differences.len(),
        differences.join("\n")
    );
}
