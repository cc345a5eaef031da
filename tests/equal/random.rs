//! Random programs.

use offload_compiler::isa::{Code, assemble};
use offload_compiler::target;
use offload_compiler::verify::{Input, MapShape, Rules, verify};
use tests::nfp::{Unlinked, generate};
use tests::nfpsim::Program;
use tests::random_programs;

use crate::pair::Pair;
use crate::{judge, number, options};

/// Programs that lowering changes.
const PROGRAMS: u64 = 200;

/// The program of a number, from each of the generators in turn.
fn program(number: u64) -> Program {
    let id = format!("program {number}");
    if number.is_multiple_of(2) {
        return Program {
            id,
            ..generate::program(number)
        };
    }
    let code = assemble(&random_programs::program(number)).expect("what is generated assembles");
    let maps = random_programs::MAPS.iter().map(|spec| MapShape {
        kind: spec.kind as u32,
        key_size: spec.key_size,
        value_size: spec.value_size,
        max_entries: spec.max_entries,
        flags: spec.flags,
        ..MapShape::default()
    });
    Program {
        id,
        maps: maps.collect(),
        code: code.encode(),
    }
}

/// Whether an address may come into the verdict, the packet or a map: each machine has its own.
fn leaks(input: &Input<'_>) -> bool {
    let rules = Rules {
        leaks_allowed: false,
        ..input.rules
    };
    !verify(&Input {
        rules,
        ..input.clone()
    })
    .is_accepted()
}

fn pair(number: u64) -> Option<Pair> {
    let program = program(number);
    let unlinked = Unlinked::new(Code::decode(&program.code).ok()?, program.maps)?;
    if leaks(&unlinked.input()) {
        return None;
    }
    let options = &options()[(number / 2 % 5) as usize];
    let original = target::Program {
        input: &unlinked.input(),
        frags: false,
    };
    let pair = Pair::new(&program.id, &original, &[], &crate::card(), options).ok()?;
    pair.differs().then_some(pair)
}

#[test]
fn random_programs_do_the_same_once_lowered() {
    let wanted = number("EQUAL_PROGRAMS", PROGRAMS) as usize;
    let from = number("EQUAL_FROM", 0);
    let pairs: Vec<Pair> = (from..).filter_map(pair).take(wanted).collect();
    judge(&pairs, "random programs");
}
