//! A per-CPU map that only counts becomes a shared one: its additions are atomic, and user space reads one sum instead
//! of one for each CPU.

use std::collections::HashSet;

use crate::lower::accesses::{How, accesses};
use crate::lower::facts::Facts;
use crate::lower::program::{MapChange, Program};
use crate::lower::rewrite::Allow;
use crate::lower::run::{Context, Pass};

pub(super) const PASS: Pass = Pass {
    name: "shared-counters",
    allow: Some(Allow::Counters),
    optimises: false,
    run,
};

const ARRAY: u32 = 2;
const HASH: u32 = 1;
const PERCPU_HASH: u32 = 5;
const PERCPU_ARRAY: u32 = 6;

fn run(program: &mut Program, context: &mut Context<'_>) {
    let Some(private) = private(program, context.facts) else {
        return;
    };
    for (index, map) in (0..).zip(&program.maps.clone()) {
        let kind = match map.shape.kind {
            PERCPU_ARRAY => ARRAY,
            PERCPU_HASH => HASH,
            _ => continue,
        };
        if private.contains(&index) || !program.names_map(index) || !context.permits(0) {
            continue;
        }
        let name = |kind| crate::target::map_kind_name(kind).unwrap_or("?");
        context.note_text(
            None,
            vec![format!("{}: {}", map.shape.name, name(map.shape.kind))],
            vec![format!("{}: {}", map.shape.name, name(kind))],
        );
        let map = &mut program.maps[index as usize];
        map.changes.push(MapChange::Kind {
            was: map.shape.kind,
        });
        map.shape.kind = kind;
    }
}

/// The maps in whose values something is kept that is more than a sum: what is stored there, or read where something is
/// added, belongs to one CPU. `None` where an access may be of any map.
fn private(program: &Program, facts: &Facts) -> Option<HashSet<u32>> {
    let accesses = accesses(program, facts);
    let mut found = HashSet::new();
    for access in &accesses {
        let map = access.map?;
        let own = match access.how {
            How::Write | How::Given => true,
            How::Read => {
                let mut added = accesses.iter().filter(|other| other.how == How::Add);
                added.any(|added| added.meets(access))
            }
            How::Add | How::Element => false,
        };
        if own {
            found.insert(map);
        }
    }
    Some(found)
}
