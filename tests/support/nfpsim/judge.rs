//! Our judgement of a program without names, sections and BTF, as the simulator loads it: its subprograms are where calls
//! lead.

use std::collections::{BTreeSet, HashMap};

use nfp_target::accept::Judgement;
use nfp_target::profile::Profile;
use offload_compiler::isa::{Callee, Code, Imm64, Instruction};
use offload_compiler::verify::{Function, Input, MapReference, Rules};

use super::Program;

/// What we say of it; none where it does not decode, which the kernel refuses before it asks the driver.
pub fn judge(program: &Program, profile: &Profile) -> Option<Judgement> {
    let code = Code::decode(&program.code).ok()?;
    let mut starts = BTreeSet::from([0]);
    let mut map_at = HashMap::new();
    for (slot, instruction) in code.iter() {
        match instruction {
            Instruction::Call(Callee::Local(distance)) => {
                starts.insert(slot.checked_add_signed(*distance as isize + 1)?);
            }
            Instruction::LoadImm64 { value, .. } => {
                let (map, value_offset) = match *value {
                    Imm64::MapFd(map) => (map, None),
                    Imm64::MapValueFd { fd, offset } => (fd, Some(offset)),
                    _ => continue,
                };
                let map = map as u32;
                map_at.insert(slot, MapReference { map, value_offset });
            }
            _ => {}
        }
    }
    let ends = starts.iter().copied().skip(1).chain([code.len()]);
    let functions: Vec<Function> = starts
        .iter()
        .zip(ends)
        .map(|(&start, end)| Function {
            name: String::new(),
            start,
            len: end - start,
            global: None,
        })
        .collect();
    let input = Input {
        // Linux 6.12 does not know yet which elements an array has, and what a negated number is.
        rules: Rules {
            known_lookups: false,
            known_negations: false,
            ..Rules::default()
        },
        ..Input::new(&code, &program.maps, &map_at, &functions)
    };
    Some(nfp_target::accept::judge(&input, profile))
}
