//! A hash that forgets what was used least, as one that does not: user space makes room.

use crate::lower::program::{MapChange, Program};
use crate::lower::rewrite::Allow;
use crate::lower::run::{Context, Pass};
use crate::target::map_kind_name;

pub(super) const PASS: Pass = Pass {
    name: "lru-hash",
    allow: Some(Allow::Lru),
    optimises: false,
    run,
};

const HASH: u32 = 1;
const PERCPU_HASH: u32 = 5;
const LRU_HASH: u32 = 9;
const LRU_PERCPU_HASH: u32 = 10;
/// `BPF_F_NO_COMMON_LRU`: a list for each CPU.
const NO_COMMON_LRU: u32 = 1 << 1;

fn run(program: &mut Program, context: &mut Context<'_>) {
    for (index, map) in program.maps.clone().iter().enumerate() {
        let kind = match map.shape.kind {
            LRU_HASH => HASH,
            LRU_PERCPU_HASH => PERCPU_HASH,
            _ => continue,
        };
        if context.has_map(map.shape.kind) || !program.names_map(index as u32) {
            continue;
        }
        if !context.permits(0) {
            continue;
        }
        let text = |kind| format!("{}: {}", map.shape.name, map_kind_name(kind).unwrap_or("?"));
        context.note_text(None, vec![text(map.shape.kind)], vec![text(kind)]);
        let map = &mut program.maps[index];
        let (was, flags) = (map.shape.kind, map.shape.flags);
        map.changes.push(MapChange::Kind { was });
        map.shape.kind = kind;
        if flags & NO_COMMON_LRU != 0 {
            map.changes.push(MapChange::Flags { was: flags });
            map.shape.flags = flags & !NO_COMMON_LRU;
        }
    }
}
