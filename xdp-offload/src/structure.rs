//! What can be said of code without running the verifier: that its instructions exist, that its jumps land, and
//! what it calls.

use offload_compiler::isa::{Callee, Code, Insn, Instruction};
use std::collections::BTreeSet;

/// The structure of a linked program.
pub(crate) struct Structure {
    /// Helpers that are called, by the kernel's numbers.
    pub(crate) helpers: BTreeSet<i32>,
    /// What is wrong, by slot.
    pub(crate) problems: Vec<(usize, String)>,
}

/// Looks at a program with its subprograms.
pub(crate) fn examine(insns: &[Insn]) -> Structure {
    let mut structure = Structure {
        helpers: BTreeSet::new(),
        problems: Vec::new(),
    };
    let code = match Code::decode(insns) {
        Ok(code) => code,
        Err(error) => {
            structure
                .problems
                .push((error.slot, error.kind.to_string()));
            return structure;
        }
    };
    for (slot, instruction) in code.iter() {
        let target = match *instruction {
            Instruction::Jump { offset, .. } | Instruction::Call(Callee::Local(offset)) => {
                Some(offset)
            }
            Instruction::Branch { offset, .. } | Instruction::MayGoto { offset } => {
                Some(offset.into())
            }
            Instruction::Call(Callee::Helper(id)) => {
                structure.helpers.insert(id);
                None
            }
            _ => None,
        };
        if let Some(offset) = target {
            let lands = (slot as i64 + 1 + i64::from(offset))
                .try_into()
                .is_ok_and(|slot: usize| slot < code.len() && !code.is_second_half(slot));
            if !lands {
                structure
                    .problems
                    .push((slot, format!("jumps by {offset}, out of the program")));
            }
        }
    }
    match code.iter().next_back() {
        None => structure.problems.push((0, "it is empty".to_owned())),
        Some((_, Instruction::Exit | Instruction::Jump { .. })) => {}
        Some((slot, _)) => structure
            .problems
            .push((slot, "runs on past its last instruction".to_owned())),
    }
    structure
}

#[cfg(test)]
mod tests {
    use super::examine;
    use offload_compiler::isa::assemble;

    fn check(source: &str, helpers: &[i32], problems: &[(usize, &str)]) {
        let code = assemble(source).expect("the test's code").encode();
        let found = examine(&code);
        assert_eq!(found.helpers.into_iter().collect::<Vec<_>>(), helpers);
        let found: Vec<_> = found
            .problems
            .iter()
            .map(|(s, p)| (*s, p.as_str()))
            .collect();
        assert_eq!(found, problems);
    }

    #[test]
    fn sound_code_has_no_problems() {
        check("r1 = 0\ncall bpf_ktime_get_ns#5\nw0 = 2\nexit", &[5], &[]);
    }

    #[test]
    fn jumps_and_ends_are_looked_at() {
        check(
            "goto pc+5\nexit",
            &[],
            &[(0, "jumps by 5, out of the program")],
        );
        check("r0 = 2", &[], &[(0, "runs on past its last instruction")]);
        check("", &[], &[(0, "it is empty")]);
    }
}
