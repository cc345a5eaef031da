//! Our text of instructions is the kernel's: the verifier's log, and `bpftool prog dump xlated opcodes`.

use std::collections::{BTreeMap, HashMap};
use std::process::Command;

use generic_fallback::load::{Binding, Loader};
use kernel::bpf::program::{ATTACH_XDP, Program, ProgramSpec, XDP};
use offload_compiler::isa::{Insn, assemble, text};
use offload_compiler::object::{Object, ProgramKind};

/// Every form that an XDP program can hold, up to a last one that is refused, so that the log comes back.
const FORMS: &str = "
    r6 = r1
    r1 = 0x123456789abcdef0
    r2 = -7
    w3 = 5
    r4 = 0x7fffffff
    *(u64 *)(r10 -8) = r1
    *(u32 *)(r10 -16) = -1
    *(u32 *)(r10 -12) = 7
    r1 += r2
    r1 -= 5
    w1 *= w2
    r1 /= 7
    w1 /= w4
    r1 s/= -3
    w1 s/= w4
    r1 %= 10
    r1 s%= r4
    w1 s%= -9
    r1 |= r2
    r1 &= 255
    r1 ^= r4
    r1 <<= 3
    r1 >>= r3
    r1 s>>= 2
    w1 s>>= 31
    r1 = -r1
    w1 = -w1
    r1 = (s8)r2
    r1 = (s16)r2
    r1 = (s32)r2
    w1 = (s8)w2
    w1 = (s16)w2
    r1 = le16 r1
    r1 = be32 r1
    r1 = bswap16 r1
    r1 = bswap32 r1
    r1 = bswap64 r1
    r5 = *(u8 *)(r10 -8)
    r5 = *(u16 *)(r10 -8)
    r5 = *(u32 *)(r10 -8)
    r5 = *(u64 *)(r10 -8)
    r5 = *(s8 *)(r10 -8)
    r5 = *(s16 *)(r10 -8)
    r5 = *(s32 *)(r10 -8)
    *(u8 *)(r10 -8) = r5
    *(u16 *)(r10 -8) = r5
    lock *(u64 *)(r10 -8) += r2
    lock *(u32 *)(r10 -8) |= r2
    lock *(u64 *)(r10 -8) &= r2
    lock *(u64 *)(r10 -8) ^= r2
    r2 = atomic64_fetch_add((u64 *)(r10 -8), r2)
    r2 = atomic_fetch_or((u32 *)(r10 -8), r2)
    r2 = atomic64_fetch_and((u64 *)(r10 -8), r2)
    r2 = atomic64_fetch_xor((u64 *)(r10 -8), r2)
    r2 = atomic64_xchg((u64 *)(r10 -8), r2)
    r0 = 1
    r0 = atomic64_cmpxchg((u64 *)(r10 -8), r0, r2)
    r0 = atomic_cmpxchg((u32 *)(r10 -8), r0, r2)
    r2 = load_acquire((u64 *)(r10 -8))
    r2 = load_acquire((u8 *)(r10 -8))
    store_release((u32 *)(r10 -8), r2)
    if r2 == 0x5 goto pc+0
    if r2 != r3 goto pc+0
    if w2 > 0xfffffff0 goto pc+0
    if w2 >= w3 goto pc+0
    if r2 < 0x5 goto pc+0
    if r2 <= r3 goto pc+0
    if r2 s> 0xffffffff goto pc+0
    if w2 s>= 0x5 goto pc+0
    if r2 s< r3 goto pc+0
    if r2 s<= 0x5 goto pc+0
    if r2 & 0x8 goto pc+0
    goto pc+0
    gotol pc+0
    may_goto pc+0
    call bpf_get_smp_processor_id
    r1 = 3
    call f
    r0 = *(u64 *)(r0 +0)
    exit
f:
    r0 = r1
    exit";

fn load(insns: &[u8]) -> Result<Program, kernel::Error> {
    Program::load(&ProgramSpec {
        name: "forms",
        kind: XDP,
        expected_attach_type: ATTACH_XDP,
        insns,
        license: "GPL",
        ..ProgramSpec::pass(None)
    })
}

#[test]
fn each_form_has_the_verifiers_text() {
    if !tests::require_root() {
        return;
    }
    let code = assemble(FORMS).expect("it assembles");
    let insns = code.encode();
    let error = load(&Insn::write_all(&insns)).expect_err("its last load is refused");
    let refusal = error.refusal().expect("the kernel refused it");
    let log = refusal.verifier_log.as_deref().expect("a log");
    // `12: (b7) r1 = 5      ; R1_w=5`
    let said: BTreeMap<usize, &str> = log
        .lines()
        .filter_map(|line| {
            let (slot, rest) = line.split_once(": (")?;
            let rest = rest.split_once(") ")?.1;
            let text = rest.split_once("; ").map_or(rest, |(text, _)| text);
            Some((slot.parse().ok()?, text.trim_end()))
        })
        .collect();
    let mut compared = 0;
    for (slot, instruction) in code.iter() {
        if let Some(said) = said.get(&slot) {
            assert_eq!(instruction.to_string(), *said, "instruction {slot}");
            compared += 1;
        }
    }
    let total = code.iter().count();
    assert!(
        compared + 2 >= total,
        "only {compared} of {total} are in the log:\n{log}"
    );
}

/// What bpftool knows: the kernel's symbols, and maps by id.
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
}

impl text::Symbols for Bpftool {
    fn call(&self, insn: &Insn) -> Option<String> {
        if insn.src == Insn::PSEUDO_CALL {
            return None;
        }
        let address = self.call_base.wrapping_add_signed(i64::from(insn.imm));
        self.symbols.get(&address).cloned()
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

/// bpftool adds the name of a subprogram to its calls and knows no per-CPU addresses before Linux 6.10.
fn comparable(ours: &str, theirs: &str) -> bool {
    let call = |line: &str| {
        line.split_once("call pc")
            .map(|(before, _)| before.to_owned())
    };
    ours == theirs
        || (call(ours).is_some() && call(ours) == call(theirs))
        || ours
            .replace("&(void __percpu *)(", "")
            .trim_end_matches(')')
            == theirs
}

#[test]
fn the_corpus_reads_as_bpftool_prints_it() {
    if !tests::require_root() || !tests::require_command("bpftool") {
        return;
    }
    let bpftool = Bpftool::read();
    let mut compared = 0;
    for name in tests::corpus_names() {
        if name == "rx_hash" {
            continue; // loads for one device only, and calls its driver
        }
        let bytes = std::fs::read(tests::corpus(&name)).expect("an object");
        let object = Object::parse(&bytes).expect("the corpus parses");
        for index in 0..object.programs.len() {
            if !matches!(object.programs[index].kind, ProgramKind::Xdp { .. }) {
                continue;
            }
            let loader = Loader::for_trial(&object, &name);
            let loaded = loader.load(index, Binding::None).expect("the corpus loads");
            let insns = Insn::read_all(&loaded.program.xlated().expect("the kernel's code"));
            let ours = code_lines(&text::listing(&insns, &bpftool, true));
            let id = loaded.id.to_string();
            let output = Command::new("bpftool")
                .args(["prog", "dump", "xlated", "id", &id, "opcodes"])
                .output()
                .expect("bpftool runs");
            let theirs = code_lines(&String::from_utf8_lossy(&output.stdout));
            assert_eq!(ours.len(), theirs.len(), "{name}");
            for (ours, theirs) in ours.iter().zip(&theirs) {
                assert!(comparable(ours, theirs), "{name}:\n{ours}\n{theirs}");
            }
            compared += ours.len() / 2;
        }
    }
    assert!(
        compared > 1_000,
        "only {compared} instructions were compared"
    );
}
