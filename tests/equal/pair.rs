//! A program and what lowering makes of it, with the way from the maps of one to those of the other.

use nfp_target::target::Nfp;
use offload_compiler::isa::{Code, text};
use offload_compiler::lower::{
    LAST_PASSES, LowerError, Lowered, MapChange, Options, PASSES, Pass, lower_by,
};
use offload_compiler::target;
use offload_compiler::verify::{Input, MapShape};
use tests::nfpsim::{Program, used_maps};

/// A program with maps by number.
#[derive(Debug, Clone)]
pub(crate) struct Side {
    pub(crate) program: Program,
    pub(crate) code: Code,
}

impl Side {
    fn new(name: &str, input: &Input<'_>) -> Self {
        let program = Program::new(name, input);
        let code = Code::decode(&program.code).expect("what was encoded decodes");
        Self { program, code }
    }

    pub(crate) fn maps(&self) -> &[MapShape] {
        &self.program.maps
    }

    /// The instructions, a line each.
    pub(crate) fn listing(&self) -> String {
        text::listing(&self.program.code, &text::Plain, false)
    }
}

/// A map of the lowered program that stands for one of the original.
#[derive(Debug, Clone)]
pub(crate) struct Twin {
    /// Numbers on both sides.
    pub(crate) original: usize,
    pub(crate) lowered: usize,
    /// Where parts of the original's value are in the other, and how long they are; none: it is the whole value.
    parts: Vec<(usize, usize, usize)>,
    /// Words of the value whose counter is kept elsewhere in it: where the word is, its size, where the counter is.
    counters: Vec<(usize, usize, usize)>,
    sizes: (usize, usize),
}

impl Twin {
    /// The value that stands for the original's, which is one CPU's.
    pub(crate) fn translated(&self, value: &[u8]) -> Vec<u8> {
        let mut new = vec![0; self.sizes.1];
        for (start, at, len) in self.parts() {
            if let Some(part) = value.get(start..start + len) {
                new[at..at + len].copy_from_slice(part);
            }
        }
        new
    }

    /// A value of the lowered program's map as user space reads it: counters added to their words, and without what stands
    /// for nothing.
    pub(crate) fn known(&self, value: &[u8]) -> Vec<u8> {
        let mut value = value[..self.sizes.1.min(value.len())].to_vec();
        for &(word, size, at) in &self.counters {
            let read = |at: usize| {
                let mut bytes = [0; 8];
                bytes[..size].copy_from_slice(&value[at..at + size]);
                u64::from_ne_bytes(bytes)
            };
            let sum = read(word).wrapping_add(read(at)).to_ne_bytes();
            value[word..word + size].copy_from_slice(&sum[..size]);
        }
        let mut known = vec![0; value.len()];
        for (_, at, len) in self.parts() {
            known[at..at + len].copy_from_slice(&value[at..at + len]);
        }
        known
    }

    /// The parts; the whole value is one, too.
    fn parts(&self) -> Vec<(usize, usize, usize)> {
        if self.parts.is_empty() {
            vec![(0, 0, self.sizes.0.min(self.sizes.1))]
        } else {
            self.parts.clone()
        }
    }
}

/// Both.
pub(crate) struct Pair {
    pub(crate) name: String,
    pub(crate) original: Side,
    pub(crate) lowered: Side,
    pub(crate) twins: Vec<Twin>,
    /// The first value of each map of the original, where it has one at the beginning.
    pub(crate) contents: Vec<Option<Vec<u8>>>,
    /// The names of the passes that did something.
    pub(crate) passes: Vec<&'static str>,
    /// The card takes the lowered program, as far as we know.
    pub(crate) accepted: bool,
    /// The lowered program is the card's part: what it passes, the original decides.
    pub(crate) split: bool,
}

impl Pair {
    /// Lowers a program. `contents` are by the input's maps.
    ///
    /// # Errors
    /// There is nothing to lower.
    pub(crate) fn new(
        name: &str,
        original: &target::Program<'_>,
        contents: &[Option<Vec<u8>>],
        card: &Nfp,
        options: &Options,
    ) -> Result<Self, LowerError> {
        let input = original.input;
        let lowered = lower_by((&kept(PASSES), &kept(LAST_PASSES)), original, card, options)?;
        let used = used_maps(input);
        let first_value = |&map: &u32| {
            let given = contents.get(map as usize).cloned().flatten();
            given.or_else(|| input.maps[map as usize].constant.clone())
        };
        let mut passes: Vec<&'static str> = lowered
            .rewrites
            .iter()
            .map(|rewrite| rewrite.pass)
            .collect();
        passes.sort_unstable();
        passes.dedup();
        Ok(Self {
            name: name.to_owned(),
            original: Side::new(name, input),
            lowered: Side::new(name, &lowered.layout.input(&lowered.program)),
            twins: twins(&lowered, &used, input.maps),
            contents: used.iter().map(first_value).collect(),
            passes,
            accepted: lowered.is_accepted(),
            split: lowered.share.is_some(),
        })
    }

    /// Lowering changed something.
    pub(crate) fn differs(&self) -> bool {
        self.original.program.code != self.lowered.program.code
    }
}

/// Passes, without those that `EQUAL_WITHOUT` names.
fn kept(passes: &[Pass]) -> Vec<Pass> {
    let without = std::env::var("EQUAL_WITHOUT").unwrap_or_default();
    let left_out = |pass: &&Pass| without.split(',').any(|name| name == pass.name);
    passes
        .iter()
        .filter(|pass| !left_out(pass))
        .copied()
        .collect()
}

fn twins(lowered: &Lowered, used: &[u32], original_maps: &[MapShape]) -> Vec<Twin> {
    let program = &lowered.program;
    let input = lowered.layout.input(program);
    let used_after = used_maps(&input);
    let twin = |(number, &map): (usize, &u32)| {
        let map = &program.maps[map as usize];
        let from = map.from?;
        let original = &original_maps[from as usize];
        let parts = map.changes.iter().filter_map(|change| match change {
            MapChange::Part { start, len, at } => {
                Some((*start as usize, *at as usize, *len as usize))
            }
            _ => None,
        });
        let counters = map.changes.iter().filter_map(|change| match change {
            MapChange::Counter { word, size, at } => {
                Some((*word as usize, *size as usize, *at as usize))
            }
            _ => None,
        });
        Some(Twin {
            original: used.binary_search(&from).ok()?,
            lowered: number,
            parts: parts.collect(),
            counters: counters.collect(),
            sizes: (original.value_size as usize, map.shape.value_size as usize),
        })
    };
    used_after.iter().enumerate().filter_map(twin).collect()
}
