//! Every form an instruction can have, against the verifier's log.

use std::collections::BTreeMap;

use kernel::bpf::program::{ATTACH_XDP, Program, ProgramSpec, XDP};
use offload_compiler::isa::{Insn, assemble};

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
