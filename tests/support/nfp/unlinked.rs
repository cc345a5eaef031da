//! Programs without an object.

use std::collections::{BTreeSet, HashMap};

use offload_compiler::isa::{Callee, Code, Imm64, Instruction};
use offload_compiler::verify::{Function, Input, MapReference, MapShape, Rules};

use crate::nfpsim::Program;

/// A program without names, sections and BTF: its subprograms are where calls lead, and its maps stand in `ld_imm64` by
/// their number.
pub struct Unlinked {
    /// Its instructions.
    pub code: Code,
    /// Its maps.
    pub maps: Vec<MapShape>,
    functions: Vec<Function>,
    map_at: HashMap<usize, MapReference>,
}

impl Unlinked {
    /// None where a call leads before the program's start.
    pub fn new(code: Code, maps: Vec<MapShape>) -> Option<Self> {
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
        starts.retain(|&start| start < code.len());
        let ends = starts.iter().copied().skip(1).chain([code.len()]);
        let functions = starts
            .iter()
            .zip(ends)
            .map(|(&start, end)| Function {
                name: String::new(),
                start,
                len: end - start,
                global: None,
            })
            .collect();
        Some(Self {
            code,
            maps,
            functions,
            map_at,
        })
    }

    /// A program of an object, with its functions, and of its maps those that it uses.
    pub fn of(input: &Input<'_>) -> Option<Self> {
        let program = Program::new("", input);
        let code = Code::decode(&program.code).ok()?;
        Some(Self {
            functions: input.functions.to_vec(),
            ..Self::new(code, program.maps)?
        })
    }

    /// What the verifier is given, with the rules of Linux 6.12: that of the golden files, which does not know yet which
    /// elements an array has, and what a negated number is.
    pub fn input(&self) -> Input<'_> {
        Input {
            rules: Rules {
                known_lookups: false,
                known_negations: false,
                ..Rules::default()
            },
            ..Input::new(&self.code, &self.maps, &self.map_at, &self.functions)
        }
    }
}
