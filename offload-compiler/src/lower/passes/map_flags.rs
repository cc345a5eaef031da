//! Flags of maps that only say where their memory comes from.

use crate::lower::program::{MapChange, Program};
use crate::lower::run::{Context, Pass};

pub(super) const PASS: Pass = Pass {
    name: "allocation-flags",
    allow: None,
    optimises: false,
    run,
};

/// `BPF_F_NO_PREALLOC`, `BPF_F_NUMA_NODE`, `BPF_F_ZERO_SEED`
const ALLOCATION: u32 = 1 | 1 << 2 | 1 << 6;
/// Kinds for which the flags can be left out: a trie has to have the first.
const HASH: u32 = 1;
const ARRAY: u32 = 2;

fn run(program: &mut Program, context: &mut Context<'_>) {
    if context.forms.map_flags {
        return;
    }
    for index in 0..program.maps.len() {
        let shape = &program.maps[index].shape;
        let was = shape.flags;
        if !matches!(shape.kind, HASH | ARRAY) || was & ALLOCATION == 0 || !context.permits(0) {
            continue;
        }
        let flags = was & !ALLOCATION;
        context.note_text(
            None,
            vec![format!("map {} with flags {was:#x}", shape.name)],
            vec![format!("map {} with flags {flags:#x}", shape.name)],
        );
        let map = &mut program.maps[index];
        map.shape.flags = flags;
        map.changes.push(MapChange::Flags { was });
    }
}
