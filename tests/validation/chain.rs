//! A program, and what each pass makes of what the last one left.

use std::collections::HashMap;

use nfp_target::profile::Profile;
use nfp_target::target::Nfp;
use offload_compiler::isa::{Code, text};
use offload_compiler::lower::{LAST_PASSES, Map, Options, PASSES, Pass, lower_by};
use offload_compiler::target;
use offload_compiler::verify::{Input, MapReference};
use tests::nfp::Unlinked;

/// Passes may enable others.
const ROUNDS: usize = 3;

/// A program.
#[derive(Debug, Clone)]
pub(crate) struct Side {
    pub(crate) code: Code,
    pub(crate) map_at: HashMap<usize, MapReference>,
    /// Its maps, and what became of those of the program before.
    pub(crate) maps: Vec<Map>,
}

impl Side {
    fn new(input: &Input<'_>) -> Self {
        let maps = (0..).zip(input.maps).map(|(index, shape)| Map {
            shape: shape.clone(),
            from: Some(index),
            changes: Vec::new(),
        });
        Self {
            code: input.code.clone(),
            map_at: input.map_at.clone(),
            maps: maps.collect(),
        }
    }

    pub(crate) fn listing(&self) -> String {
        text::listing(&self.code.encode(), &text::Plain, false)
    }
}

/// What one pass made of a program.
pub(crate) struct Change {
    pub(crate) pass: &'static str,
    pub(crate) before: Side,
    pub(crate) after: Side,
    /// The interface that packets come from, where that was given.
    pub(crate) interface: Option<u32>,
}

/// The changes of all passes, one after the other.
pub(crate) fn changes(program: &Unlinked, options: &Options) -> Vec<Change> {
    let mut found = Vec::new();
    let mut program = Unlinked::new(program.code.clone(), program.maps.clone());
    for _ in 0..ROUNDS {
        let before = found.len();
        for pass in PASSES.iter().chain(LAST_PASSES) {
            let Some(now) = &program else { break };
            if let Some((change, after)) = change(pass, now, options) {
                found.push(change);
                program = after;
            }
        }
        if found.len() == before {
            break;
        }
    }
    found
}

/// What a pass by itself makes of a program; none where it does nothing.
pub(crate) fn change(
    pass: &Pass,
    program: &Unlinked,
    options: &Options,
) -> Option<(Change, Option<Unlinked>)> {
    let input = program.input();
    let original = target::Program {
        input: &input,
        frags: false,
    };
    let card = Nfp::new(Profile::default());
    let lowered = lower_by((std::slice::from_ref(pass), &[]), &original, &card, options).ok()?;
    if lowered.rewrites.is_empty() {
        return None;
    }
    let input = lowered.layout.input(&lowered.program);
    let after = Side {
        maps: lowered.program.maps.clone(),
        ..Side::new(&input)
    };
    let change = Change {
        pass: pass.name,
        before: Side::new(&original.input.clone()),
        after,
        interface: options.ifindex,
    };
    Some((
        change,
        Unlinked::new(input.code.clone(), input.maps.to_vec()),
    ))
}
