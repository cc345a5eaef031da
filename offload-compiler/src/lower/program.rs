//! A program that can be changed: blocks instead of distances, names of maps and functions instead of descriptors.
//!
//! ```text
//! Input -- Program::new --> functions of blocks, maps -- lay_out --> Layout (code, map_at, functions, origins)
//! ```
//!
//! Passes insert, replace and delete steps, split and clone blocks; only [`Program::lay_out`] counts slots. What is not
//! reached from a function's entry, and functions that nobody calls, are left out there.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::{Index, IndexMut};

use crate::isa::{Condition, Instruction, Reg};
use crate::verify::{GlobalArg, Hook, Input, KernelFunction, KernelTypes, MapShape, Rules};

/// A block, for as long as the program lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockId(pub(super) u32);

/// A function, as an index of [`Program::functions`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FunctionId(pub u32);

/// A place in a program: an instruction of a block, or its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The block.
    pub block: BlockId,
    /// Index into [`Block::steps`]; their number stands for the block's end.
    pub index: usize,
}

/// A program in a form that can be changed.
#[derive(Debug, Clone)]
pub struct Program {
    /// The functions; the program itself is first.
    pub functions: Vec<Function>,
    /// The maps: the input's at their indices, then new ones.
    pub maps: Vec<Map>,
    /// See [`Input::kernel_functions`].
    pub kernel_functions: HashMap<(i32, i16), KernelFunction>,
    /// See [`Input::kernel_types`].
    pub kernel_types: Option<KernelTypes>,
    /// See [`Input::has_function_info`].
    pub has_function_info: bool,
    /// Where it runs.
    pub hook: Hook,
    /// What the one who loads may do.
    pub rules: Rules,
    pub(super) blocks: Vec<Block>,
}

/// A function.
#[derive(Debug, Clone)]
pub struct Function {
    /// Its name, empty where unknown.
    pub name: String,
    /// See [`verify::Function::global`](crate::verify::Function::global).
    pub global: Option<Vec<GlobalArg>>,
    /// Its blocks in the order of the code; the first is the entry.
    pub blocks: Vec<BlockId>,
}

/// Instructions that run one after the other, and what follows.
#[derive(Debug, Clone)]
pub struct Block {
    /// The instructions before the end.
    pub steps: Vec<Step>,
    /// What follows.
    pub end: End,
    /// The slot in the original program that the end comes from.
    pub end_origin: Option<usize>,
}

/// An instruction, and where it comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// What it does.
    pub op: Op,
    /// The slot in the original program that it stands for.
    pub origin: Option<usize>,
}

/// What a step does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Op {
    /// An instruction that names no map and no place in the code.
    Plain(Instruction),
    /// The address of a map, or one in the first value of a map.
    LoadMap {
        /// Where it goes.
        dst: Reg,
        /// Index into [`Program::maps`].
        map: u32,
        /// The address of the value plus this many bytes; `None` for the map itself.
        value_offset: Option<u32>,
    },
    /// The address of a function, for a helper to call back.
    LoadFunction {
        /// Where it goes.
        dst: Reg,
        /// Which.
        function: FunctionId,
    },
    /// A call of a function of the program.
    Call(FunctionId),
}

/// What follows a block's steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum End {
    /// The function returns.
    Exit,
    /// Another block.
    Jump(BlockId),
    /// One of two blocks.
    Branch {
        /// When `taken` follows.
        condition: Condition,
        /// Where the condition holds.
        taken: BlockId,
        /// Where it does not.
        next: BlockId,
    },
    /// `may_goto`
    MayGoto {
        /// When the budget of iterations is used up.
        taken: BlockId,
        /// Else.
        next: BlockId,
    },
}

/// A map, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Map {
    /// As it is now.
    pub shape: MapShape,
    /// The map of the original program that it stands for, by its index there; `None`: it is new.
    pub from: Option<u32>,
    /// How it differs from that one, in the order in which it was changed.
    pub changes: Vec<MapChange>,
}

/// A change of a map that user space has to know of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MapChange {
    /// Another kind (`enum bpf_map_type`); what it was.
    Kind {
        /// As the original has it.
        was: u32,
    },
    /// Other flags; what they were.
    Flags {
        /// As the original has them.
        was: u32,
    },
    /// What the program adds to the word at `word` is kept at `at`, behind the original's value: user space reads the sum
    /// of both.
    Counter {
        /// Offset of the word, in bytes.
        word: u32,
        /// 4 or 8 bytes.
        size: u32,
        /// Where the counter is, in bytes.
        at: u32,
    },
    /// It holds a part of the original's values: `len` bytes from `start` on are at `at` in its own.
    Part {
        /// Offset into the original's value, in bytes.
        start: u32,
        /// Bytes.
        len: u32,
        /// Offset into this map's value, in bytes.
        at: u32,
    },
}

/// The program as one piece of code, as verifier and loader take it.
#[derive(Debug, Clone, Default)]
pub struct Layout {
    /// See [`Input::code`].
    pub code: crate::isa::Code,
    /// See [`Input::map_at`].
    pub map_at: HashMap<usize, crate::verify::MapReference>,
    /// See [`Input::maps`].
    pub maps: Vec<MapShape>,
    /// See [`Input::functions`].
    pub functions: Vec<crate::verify::Function>,
    /// The slot in the original program that each slot stands for.
    pub origins: Vec<Option<usize>>,
    /// Where each slot's instruction is in the program; a jump that only links blocks has none.
    pub positions: Vec<Option<Position>>,
    /// The slots of branches whose condition is the opposite of the program's: what is taken here is `next` there.
    pub inverted: HashSet<usize>,
}

/// A program that cannot be changed or laid out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProgramError {
    /// It is not one that a verifier accepts: a jump out of its function, an end without `exit`.
    #[error("instruction {slot} leads out of its function")]
    Malformed {
        /// The slot.
        slot: usize,
    },
    /// A branch leads farther than 32767 slots.
    #[error("a branch is too far from its target")]
    TooFar,
}

impl Op {
    /// The register it writes, other than by a call (which sets r0 and spoils r1 to r5).
    pub const fn written(&self) -> Option<Reg> {
        match self {
            Self::Plain(instruction) => instruction.written(),
            Self::LoadMap { dst, .. } | Self::LoadFunction { dst, .. } => Some(*dst),
            Self::Call(_) => None,
        }
    }

    /// Slots that it takes.
    pub const fn slots(&self) -> usize {
        match self {
            Self::Plain(instruction) => instruction.slots(),
            Self::LoadMap { .. } | Self::LoadFunction { .. } => 2,
            Self::Call(_) => 1,
        }
    }

    /// The instruction, where it names no map and no function.
    pub const fn instruction(&self) -> Option<&Instruction> {
        match self {
            Self::Plain(instruction) => Some(instruction),
            _ => None,
        }
    }
}

impl Step {
    /// A step that stands for the original slot of another one.
    pub const fn new(instruction: Instruction, origin: Option<usize>) -> Self {
        Self {
            op: Op::Plain(instruction),
            origin,
        }
    }
}

impl End {
    /// The blocks that may follow.
    pub fn successors(&self) -> impl Iterator<Item = BlockId> + use<> {
        let (one, other) = match *self {
            Self::Exit => (None, None),
            Self::Jump(to) => (Some(to), None),
            Self::Branch { taken, next, .. } | Self::MayGoto { taken, next } => {
                (Some(next), Some(taken))
            }
        };
        one.into_iter().chain(other)
    }

    /// The same with other blocks.
    #[must_use]
    pub fn mapped(self, mut to: impl FnMut(BlockId) -> BlockId) -> Self {
        match self {
            Self::Exit => Self::Exit,
            Self::Jump(next) => Self::Jump(to(next)),
            Self::Branch {
                condition,
                taken,
                next,
            } => Self::Branch {
                condition,
                taken: to(taken),
                next: to(next),
            },
            Self::MayGoto { taken, next } => Self::MayGoto {
                taken: to(taken),
                next: to(next),
            },
        }
    }
}

impl Index<BlockId> for Program {
    type Output = Block;

    fn index(&self, id: BlockId) -> &Block {
        &self.blocks[id.0 as usize]
    }
}

impl IndexMut<BlockId> for Program {
    fn index_mut(&mut self, id: BlockId) -> &mut Block {
        &mut self.blocks[id.0 as usize]
    }
}

impl Program {
    /// The program of an input that the verifier accepts; any other may be an error.
    pub fn new(input: &Input<'_>) -> Result<Self, ProgramError> {
        super::read::read(input)
    }

    /// All blocks of all functions, in the order of the code.
    pub fn block_ids(&self) -> Vec<BlockId> {
        self.functions
            .iter()
            .flat_map(|function| function.blocks.iter().copied())
            .collect()
    }

    /// Slots that the steps and ends take, without jumps that only link blocks.
    pub fn slots(&self) -> usize {
        self.block_ids()
            .into_iter()
            .map(|id| {
                let steps = self[id].steps.iter().map(|step| step.op.slots());
                steps.sum::<usize>() + usize::from(!matches!(self[id].end, End::Jump(_)))
            })
            .sum()
    }

    /// Whether the code names a map, by its index in `maps`.
    pub fn names_map(&self, map: u32) -> bool {
        self.block_ids().into_iter().any(|block| {
            let mut steps = self[block].steps.iter();
            steps.any(|step| matches!(step.op, Op::LoadMap { map: other, .. } if other == map))
        })
    }

    /// The function that a block is in.
    pub fn function_of(&self, block: BlockId) -> Option<FunctionId> {
        self.functions
            .iter()
            .position(|function| function.blocks.contains(&block))
            .map(|index| FunctionId(index as u32))
    }

    /// Adds a block to the function of `after`, behind it in the order of the code.
    pub fn add_block(&mut self, after: BlockId, block: Block) -> BlockId {
        let id = BlockId(self.blocks.len() as u32);
        self.blocks.push(block);
        for function in &mut self.functions {
            if let Some(at) = function.blocks.iter().position(|&other| other == after) {
                function.blocks.insert(at + 1, id);
                break;
            }
        }
        id
    }

    /// Adds a block at the end of a function.
    pub fn append_block(&mut self, function: FunctionId, block: Block) -> BlockId {
        let id = BlockId(self.blocks.len() as u32);
        self.blocks.push(block);
        self.functions[function.0 as usize].blocks.push(id);
        id
    }

    /// Divides a block: the steps from `index` on and the end go to a new one, which follows. Positions before stay.
    pub fn split(&mut self, block: BlockId, index: usize) -> BlockId {
        let steps = self[block].steps.split_off(index);
        let rest = Block {
            steps,
            end: self[block].end,
            end_origin: self[block].end_origin,
        };
        let rest = self.add_block(block, rest);
        self[block].end = End::Jump(rest);
        rest
    }

    /// A copy of some blocks of a function, appended to it; edges among them lead to the copies, others where they
    /// led. Gives the copies in the order of `blocks`.
    pub fn clone_blocks(&mut self, function: FunctionId, blocks: &[BlockId]) -> Vec<BlockId> {
        let copies: HashMap<BlockId, BlockId> = blocks
            .iter()
            .map(|&block| {
                let copy = self[block].clone();
                (block, self.append_block(function, copy))
            })
            .collect();
        for copy in copies.values() {
            let end = self[*copy].end;
            self[*copy].end = end.mapped(|to| copies.get(&to).copied().unwrap_or(to));
        }
        blocks.iter().map(|block| copies[block]).collect()
    }

    /// The blocks from which control may go to each block.
    pub fn predecessors(&self) -> HashMap<BlockId, Vec<BlockId>> {
        let mut found: HashMap<BlockId, Vec<BlockId>> = HashMap::new();
        for block in self.block_ids() {
            for to in self[block].end.successors() {
                let from = found.entry(to).or_default();
                if !from.contains(&block) {
                    from.push(block);
                }
            }
        }
        found
    }

    /// Takes blocks that no path reaches out of their functions, and empties functions that nobody calls (their indices
    /// stay). Gives how many steps and ends that were.
    pub fn drop_unreachable(&mut self) -> usize {
        let mut seen = BTreeSet::new();
        let mut functions = BTreeSet::from([FunctionId(0)]);
        let entry = |program: &Self, function: FunctionId| {
            let function = program.functions.get(function.0 as usize)?;
            function.blocks.first().copied()
        };
        let mut work: Vec<BlockId> = entry(self, FunctionId(0)).into_iter().collect();
        while let Some(block) = work.pop() {
            if !seen.insert(block) {
                continue;
            }
            work.extend(self[block].end.successors());
            for step in &self[block].steps {
                if let Op::Call(function) | Op::LoadFunction { function, .. } = step.op
                    && functions.insert(function)
                {
                    work.extend(entry(self, function));
                }
            }
        }
        let mut dropped = 0;
        for index in 0..self.functions.len() {
            let blocks = std::mem::take(&mut self.functions[index].blocks);
            let (kept, gone): (Vec<_>, Vec<_>) =
                blocks.into_iter().partition(|block| seen.contains(block));
            dropped += gone
                .iter()
                .map(|&block| self[block].steps.len() + 1)
                .sum::<usize>();
            self.functions[index].blocks = kept;
        }
        dropped
    }

    /// Joins blocks that always follow each other: a block whose only way on is to one that is reached from nowhere
    /// else. Empty blocks between others are skipped.
    pub fn join_blocks(&mut self) {
        self.drop_unreachable();
        // Jumps to blocks that only jump on.
        for block in self.block_ids() {
            let end = self[block].end;
            self[block].end = end.mapped(|to| self.landing(to));
            if let End::Branch { taken, next, .. } = self[block].end
                && taken == next
            {
                self[block].end = End::Jump(next);
            }
        }
        self.drop_unreachable();
        let predecessors = self.predecessors();
        let entries: BTreeSet<BlockId> = self
            .functions
            .iter()
            .filter_map(|function| function.blocks.first().copied())
            .collect();
        for block in self.block_ids() {
            while let End::Jump(to) = self[block].end
                && to != block
                && !entries.contains(&to)
                && predecessors.get(&to).is_some_and(|from| from.len() == 1)
            {
                let taken = std::mem::take(&mut self[to].steps);
                self[block].steps.extend(taken);
                self[block].end = self[to].end;
                self[block].end_origin = self[to].end_origin;
                // Not reached any more; an end that leads nowhere keeps it from being a predecessor.
                self[to].end = End::Exit;
            }
        }
        self.drop_unreachable();
    }

    /// Where a jump to a block comes to do something.
    fn landing(&self, mut block: BlockId) -> BlockId {
        for _ in 0..self.blocks.len() {
            match self[block].end {
                End::Jump(to) if self[block].steps.is_empty() && to != block => block = to,
                _ => break,
            }
        }
        block
    }

    /// One piece of code. Leaves out what is not reached.
    pub fn lay_out(&mut self) -> Result<Layout, ProgramError> {
        self.drop_unreachable();
        super::layout::lay_out(self)
    }
}

impl Layout {
    /// As the verifier takes it.
    pub fn input<'a>(&'a self, program: &'a Program) -> Input<'a> {
        Input {
            code: &self.code,
            maps: &self.maps,
            map_at: &self.map_at,
            functions: &self.functions,
            kernel_functions: &program.kernel_functions,
            kernel_types: program.kernel_types.as_ref(),
            has_function_info: program.has_function_info,
            hook: program.hook,
            rules: program.rules,
        }
    }
}
