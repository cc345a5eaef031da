//! Real programs: the corpus, Debian's xdp-tools, the kernel's selftests and samples.

use offload_compiler::lower::{Allow, Options};
use offload_compiler::target;
use tests::kernel_answer::KernelAnswer;
use tests::real_programs::{RealProgram, real_programs};

use crate::pair::Pair;
use crate::{judge, number};

/// Instructions of the programs that are taken unless `EQUAL_REAL=1` asks for all: of the largest, the proofs of all rewrites
/// take ten seconds.
const SHORT: usize = 300;

/// Nothing that user space sees; then what changes it but not what a packet's path does, and a card that decides a part.
fn options() -> [Options; 2] {
    [
        Options {
            optimise: true,
            ..Options::default()
        },
        Options {
            optimise: true,
            allow: [
                Allow::Counters,
                Allow::Globals,
                Allow::Stores,
                Allow::Lru,
                Allow::Split,
            ]
            .into(),
            ..Options::default()
        },
    ]
}

fn pairs(program: &RealProgram) -> Vec<Pair> {
    let Ok(prepared) = &program.prepared else {
        return Vec::new();
    };
    let input = prepared.input();
    if number("EQUAL_REAL", 0) == 0 && input.code.len() > SHORT {
        return Vec::new();
    }
    let original = target::Program {
        input: &input,
        frags: program.frags,
    };
    let lowered = options().into_iter().filter_map(|options| {
        let name = format!("{} {:?}", program.name, options.allow);
        let pair = Pair::new(
            &name,
            &original,
            &program.contents,
            &crate::card(),
            &options,
        );
        pair.ok()
    });
    lowered.filter(Pair::differs).collect()
}

#[test]
fn real_programs_do_the_same_once_lowered() {
    if !tests::require_root() {
        return;
    }
    let programs = real_programs();
    let native = programs
        .iter()
        .filter(|program| program.kernel == KernelAnswer::Accepts);
    let pairs: Vec<Pair> = native.flat_map(pairs).collect();
    judge(&pairs, "real programs");
}
