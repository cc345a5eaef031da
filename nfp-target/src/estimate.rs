//! What a translation costs before it runs: cycles of each word, and of the shortest and the longest way through.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::codegen::Image;
use crate::cost::Costs;
use crate::isa::reloc::Relocation;
use crate::isa::{Address, Command, Condition, Instruction, Memory, Word, decode};

/// Slots that pass from a branch to its target: always taken, others (assumed).
const SLOTS_ALWAYS: u64 = 2;
const SLOTS: u64 = 3;

/// Cycles of a microengine that a packet takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cycles {
    /// The shortest way through.
    pub min: u64,
    /// The longest; `None` where there is a loop, whose rounds are not known.
    pub max: Option<u64>,
}

/// An estimate by a table of costs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Estimate {
    /// Cycles of each word, without the empty slots after a branch that is taken.
    pub words: Vec<u64>,
    /// Of a packet, entry and exit included. Ways that no packet takes count too.
    pub packet: Cycles,
}

impl Estimate {
    /// Estimates a translation.
    pub fn of(image: &Image, costs: &Costs) -> Self {
        let graph = Graph::new(image, costs);
        let packet = Cycles {
            min: graph.shortest(),
            max: graph.longest(),
        };
        Self {
            words: graph.words,
            packet,
        }
    }
}

/// Ways from word to word; the last node is the packet's end.
struct Graph {
    words: Vec<u64>,
    /// Of each word: the next one, and the cycles until it begins.
    ways: Vec<Vec<(usize, u64)>>,
}

impl Graph {
    fn new(image: &Image, costs: &Costs) -> Self {
        let instructions: Vec<Option<Instruction>> = image
            .words
            .iter()
            .map(|word| decode(word.instruction).ok())
            .collect();
        let words: Vec<u64> = (0..instructions.len())
            .map(|at| word(&instructions, &image.words, at, costs))
            .collect();
        let ways = (0..words.len())
            .map(|at| ways(image, &instructions, &words, at, costs))
            .collect();
        Self { words, ways }
    }

    /// Dijkstra's algorithm.
    fn shortest(&self) -> u64 {
        let end = self.words.len();
        let mut best = vec![u64::MAX; end + 1];
        let mut waiting = BinaryHeap::from([Reverse((0, 0))]);
        while let Some(Reverse((cycles, at))) = waiting.pop() {
            if at == end {
                return cycles;
            }
            if best[at] <= cycles {
                continue;
            }
            best[at] = cycles;
            for &(next, more) in &self.ways[at] {
                waiting.push(Reverse((cycles + more, next)));
            }
        }
        0
    }

    /// The longest way in the order of all that comes before a word.
    fn longest(&self) -> Option<u64> {
        let end = self.words.len();
        let mut reached = vec![false; end + 1];
        let mut before = vec![0usize; end + 1];
        let mut work = vec![0];
        while let Some(at) = work.pop() {
            if at == end || std::mem::replace(&mut reached[at], true) {
                continue;
            }
            for &(next, _) in &self.ways[at] {
                before[next] += 1;
                work.push(next);
            }
        }
        // A way back to the first word.
        if before[0] != 0 {
            return None;
        }
        let mut longest = vec![0; end + 1];
        let mut ready = vec![0];
        let mut finished = 0;
        while let Some(at) = ready.pop() {
            if at == end {
                continue;
            }
            finished += 1;
            for &(next, more) in &self.ways[at] {
                longest[next] = longest[next].max(longest[at] + more);
                before[next] -= 1;
                if before[next] == 0 {
                    ready.push(next);
                }
            }
        }
        let all = reached.iter().filter(|reached| **reached).count();
        (finished == all).then_some(longest[end])
    }
}

/// Cycles of a word by itself.
fn word(instructions: &[Option<Instruction>], words: &[Word], at: usize, costs: &Costs) -> u64 {
    let mut cycles = u64::from(costs.word.cycles);
    match &instructions[at] {
        Some(Instruction::Memory(memory)) => {
            let before = at.checked_sub(1).and_then(|at| instructions[at].as_ref());
            let waits = match memory.address {
                Address::Sum { .. } => &costs.packet_command,
                Address::HighA { .. } | Address::HighB { .. } => &costs.value_command,
            };
            cycles += u64::from(waits.cycles);
            cycles += moved(memory, before) * u64::from(costs.transfer_word.cycles);
        }
        _ if words[at].relocation == Relocation::Helper => {
            cycles += u64::from(costs.helper_call.cycles);
        }
        _ => {}
    }
    cycles
}

/// Words that a command moves. The word before an indirect one may override the length.
fn moved(memory: &Memory, before: Option<&Instruction>) -> u64 {
    let mut count = u64::from(memory.count);
    if let (true, Some(Instruction::Immediate(load))) = (memory.indirect, before) {
        let overrides = load.constant();
        if overrides & 1 << 7 != 0 {
            count = u64::from(overrides >> 8 & 0x1f) + 1;
        }
    }
    match memory.command {
        Command::Read8 | Command::Write8Swap => count.div_ceil(4),
        Command::Read32Swap | Command::Write32Swap => count,
        Command::Add | Command::AddImmediate => 1,
        Command::Add64 | Command::Add64Immediate => 2,
    }
}

/// Where control goes from a word. Words after a branch that are its slots belong to the taken way.
fn ways(
    image: &Image,
    instructions: &[Option<Instruction>],
    words: &[u64],
    at: usize,
    costs: &Costs,
) -> Vec<(usize, u64)> {
    let end = words.len();
    let own = words[at];
    let Some(instruction) = &instructions[at] else {
        return Vec::new();
    };
    let next = (at + 1).min(end);
    let (target, all, falls_through) = match instruction {
        Instruction::Branch(branch) => {
            let always = branch.condition == Condition::Always;
            let slots = if always { SLOTS_ALWAYS } else { SLOTS };
            (usize::from(branch.target), slots, !always)
        }
        Instruction::BranchBit(branch) => (usize::from(branch.target), SLOTS, true),
        // Back to the firmware or to a place that is not followed.
        Instruction::Return(_) => (end, SLOTS, false),
        _ => return vec![(next, own)],
    };
    let defer = usize::from(instruction.defer());
    let after = (at + 1 + defer).min(end);
    let target = match image.words[at].relocation {
        Relocation::Out => image.out.into(),
        Relocation::Abort => image.abort.into(),
        Relocation::NextPacket => end,
        // The firmware returns to the word after the slots.
        Relocation::Helper => after,
        _ => target,
    };
    let empty = all.saturating_sub(defer as u64) * u64::from(costs.empty_slot.cycles);
    let slots: u64 = words[(at + 1).min(end)..after].iter().sum();
    let mut ways = vec![(target.min(end), own + slots + empty)];
    if falls_through {
        ways.push((next, own));
    }
    ways
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isa::{asm, encode};

    fn image(text: &str) -> Image {
        let words: Vec<Word> = text
            .lines()
            .map(|line| match line.trim() {
                "end" => Word {
                    relocation: Relocation::NextPacket,
                    ..Word::plain(encode(&asm::parse("br[.15000]").unwrap()).unwrap())
                },
                line => Word {
                    relocation: Relocation::Branch,
                    ..Word::plain(encode(&asm::parse(line).unwrap()).unwrap())
                },
            })
            .collect();
        Image {
            slots: vec![None; words.len()],
            words,
            out: 0,
            abort: 0,
        }
    }

    fn cycles(text: &str) -> (u64, Option<u64>) {
        let packet = Estimate::of(&image(text), &Costs::shipped()).packet;
        (packet.min, packet.max)
    }

    #[test]
    fn a_straight_line_takes_its_words_and_the_slots_of_the_end() {
        assert_eq!(cycles("nop\nnop\nend"), (3 + 2, Some(3 + 2)));
    }

    #[test]
    fn ways_differ_by_what_is_on_them() {
        // Not taken: a read of two words. Taken: three empty slots.
        let read = "beq[.2]\nmem[read32_swap, $xfer_0, gprA_2, 0x0, 2], ctx_swap[sig1]\nend";
        assert_eq!(cycles(read), (1 + 3 + 3, Some(1 + 53 + 3)));
        // The slot's word counts on the taken way once, and on the other too.
        assert_eq!(cycles("br[.2], defer[1]\nnop\nend"), (3 + 3, Some(3 + 3)));
    }

    #[test]
    fn a_loop_has_no_longest_way() {
        assert_eq!(cycles("nop\nbeq[.0]\nend"), (2 + 3, None));
        assert_eq!(cycles("br[.0]"), (0, None));
    }
}
