//! A check's memory is bounded, whatever the program does.

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
