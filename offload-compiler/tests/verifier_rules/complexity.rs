//! A check's memory and the paths that wait are bounded, whatever the program does.

use std::fmt::Write as _;

use offload_compiler::verify::Rules;

use crate::{judge, said};

/// Eight frames with full stacks, and a counting loop in the innermost: each round is a state of its own.
fn hostile() -> String {
    let mut source = String::new();
    for frame in 0..8 {
        let _ = writeln!(source, "f{frame}:");
        for slot in 1..=8 {
            let _ = writeln!(source, "*(u64 *)(r10 -{}) = {slot}", slot * 8);
        }
        if frame < 7 {
            let _ = writeln!(source, "call f{}\nr0 = 0\nexit", frame + 1);
        }
    }
    source
        + "r6 = 0
           again:
           r6 += 1
           call bpf_get_prandom_u32
           if r0 == 0x7 goto other
           other:
           if r0 == 0x9 goto more
           more:
           if r6 < 0x20000 goto again
           r0 = 0
           exit"
}

#[test]
fn states_count_against_the_budget() {
    let source = hostile();
    let rules = Rules {
        memory: 16 << 20,
        ..Rules::default()
    };
    let verdict = judge(&source, rules);
    assert!(
        said(&verdict).starts_with("too-complex@"),
        "{}",
        said(&verdict)
    );
    let error = verdict.error().unwrap();
    assert!(error.message.contains("16 MiB"), "{}", error.message);
    assert!(
        verdict.processed < 100_000,
        "memory, not time, ends this check: {} instructions",
        verdict.processed
    );
}

/// One number, compared with so many others: each comparison leaves a path for later.
fn comparisons(count: usize) -> String {
    let mut source = String::from("r2 = *(u32 *)(r1 +16)\nr0 = 2\n");
    for number in 0..count {
        let _ = writeln!(source, "if r2 == {number} goto out");
    }
    source + "out:\nexit"
}

/// Linux 6.18.44 accepts the first and refuses the second: "The sequence of 8193 jumps is too complex."
#[test]
fn as_many_paths_wait_as_the_kernel_lets() {
    let judge = |count| said(&judge(&comparisons(count), Rules::default()));
    assert_eq!(judge(8192), "accepted");
    assert_eq!(judge(8193), "too-complex@8194");
}
