//! The verifier's rules, one small program each: what is expected of it, and at which instruction.

mod complexity;
mod kernel;

use std::collections::HashMap;
use std::fmt::Write as _;

use offload_compiler::isa::{Callee, Code, Imm64, Instruction, assemble};
use offload_compiler::verify::{Function, Input, MapReference, MapShape, Rules, Verdict, verify};

/// `bpf_map_type` numbers of [`maps`], which programs name by index.
fn maps() -> Vec<MapShape> {
    // hash, array, ring buffer, program array
    [(1, 4, 16), (2, 4, 8), (27, 0, 0), (3, 4, 4)]
        .into_iter()
        .map(|(kind, key_size, value_size)| MapShape {
            name: format!("kind{kind}"),
            kind,
            key_size,
            value_size,
            max_entries: 4,
            ..MapShape::default()
        })
        .collect()
}

/// Judges a program. `kfunc:NAME` stands for the kernel function of that name.
pub(crate) fn judge(source: &str, rules: Rules) -> Verdict {
    let kernel = kernel::Kernel::new();
    let code =
        assemble(&kernel.with_ids(source)).unwrap_or_else(|error| panic!("{source}: {error}"));
    let map_at = map_references(&code);
    let functions = functions(&code);
    let maps = maps();
    let called = kernel.types.functions_called_by(&code);
    verify(&Input {
        kernel_functions: &called,
        kernel_types: Some(&kernel.types),
        has_function_info: true,
        rules,
        ..Input::new(&code, &maps, &map_at, &functions)
    })
}

fn map_references(code: &Code) -> HashMap<usize, MapReference> {
    let reference = |map: i32, value_offset| MapReference {
        map: map as u32,
        value_offset,
    };
    code.iter()
        .filter_map(|(slot, instruction)| match *instruction {
            Instruction::LoadImm64 {
                value: Imm64::MapFd(map),
                ..
            } => Some((slot, reference(map, None))),
            _ => None,
        })
        .collect()
}

fn functions(code: &Code) -> Vec<Function> {
    let mut starts = vec![0];
    for (slot, instruction) in code.iter() {
        let (Instruction::Call(Callee::Local(distance))
        | Instruction::LoadImm64 {
            value: Imm64::Function(distance),
            ..
        }) = *instruction
        else {
            continue;
        };
        starts.extend((slot + 1).checked_add_signed(distance as isize));
    }
    starts.sort_unstable();
    starts.dedup();
    let ends = starts.iter().skip(1).copied().chain([code.len()]);
    starts
        .iter()
        .zip(ends)
        .map(|(&start, end)| Function {
            name: format!("f{start}"),
            start,
            len: end - start,
            global: None,
        })
        .collect()
}

/// `accepted`, or the code and the slot of what refuses the program.
pub(crate) fn said(verdict: &Verdict) -> String {
    verdict.error().map_or_else(
        || "accepted".to_owned(),
        |finding| format!("{}@{}", finding.code.name(), finding.insn),
    )
}

const RULES: &str = include_str!("rules.txt");

/// Each row of rules.txt is a line `== NAME: EXPECTED`, then the program.
#[test]
fn each_rule_is_kept() {
    let mut wrong = String::new();
    let mut rows = 0;
    for row in format!("\n{RULES}").split("\n== ").skip(1) {
        let (title, source) = row.split_once('\n').unwrap();
        let (name, expected) = title.rsplit_once(": ").unwrap();
        let verdict = judge(source, Rules::default());
        let said = said(&verdict);
        if said != expected {
            let why = verdict.error().map(ToString::to_string).unwrap_or_default();
            let _ = writeln!(wrong, "{name}: expected {expected}, is {said} {why}");
        }
        rows += 1;
    }
    assert!(rows > 40);
    assert!(wrong.is_empty(), "\n{wrong}");
}

/// What the privileged may do and others may not.
#[test]
fn who_may_not_see_addresses_may_not_read_the_kernels_structures() {
    let source = "call kfunc:bpf_cast_to_kern_ctx\n r0 = *(u32 *)(r0 +8)\n exit";
    assert_eq!(said(&judge(source, Rules::default())), "accepted");
    let rules = Rules {
        leaks_allowed: false,
        ..Rules::default()
    };
    assert_eq!(said(&judge(source, rules)), "access-kind@1");
    let rules = Rules {
        gpl: false,
        ..Rules::default()
    };
    assert_eq!(said(&judge(source, rules)), "helper-unknown@0");
}
