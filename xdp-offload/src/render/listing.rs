//! Source, eBPF, NFP words and their cost, side by side.

use crate::code::ProgramCode;
use crate::nfp::Compiled;
use crate::output::{NAME, QUIET, styled, wrap};
use crate::render::check;
use crate::subject::Subject;
use nfp_target::isa::{Instruction, decode};
use offload_compiler::isa::text;
use offload_compiler::object::SourceLine;
use offload_compiler::verify::Prepared;
use std::fmt::Write;

/// Columns of an instruction's slot or a word's index.
const INDEX: usize = 6;
/// Columns of the cost.
const COST: usize = 5;
/// Narrower terminals get lines that are too long.
const NARROWEST: usize = 80;

/// A source line with what it became.
#[derive(Default)]
struct Part {
    /// The function that begins here.
    function: Option<String>,
    heading: Option<String>,
    slots: Vec<usize>,
    words: Vec<usize>,
}

/// The whole listing for a card, `width` columns wide.
pub(crate) fn listing(
    subject: &Subject,
    prepared: &Prepared,
    card: &str,
    compiled: &Compiled,
    width: usize,
) -> String {
    let code = subject.code(prepared);
    let width = width.max(NARROWEST);
    let mut out = styled(NAME, &subject.name);
    if !subject.section.is_empty() {
        let _ = write!(out, " (section {})", subject.section);
    }
    let words = compiled.image.words.len();
    let packet = compiled.estimate.packet;
    let _ = writeln!(
        out,
        " for {card}\n{} eBPF instructions, {words} NFP words, {}",
        code.insns.len(),
        check::cycles(packet.min, packet.max)
    );
    let (entry, parts, mut exits) = parts(subject, &code, compiled);
    let columns = Columns::new(width);
    columns.words(&mut out, "entry", &entry, compiled);
    for part in &parts {
        columns.part(&mut out, part, &code, compiled);
    }
    let is_nop = |&at: &usize| decode(compiled.image.words[at].instruction) == Ok(Instruction::NOP);
    let empty = exits.iter().rev().take_while(|at| is_nop(at)).count();
    exits.truncate(exits.len() - empty);
    columns.words(&mut out, "exits", &exits, compiled);
    let _ = writeln!(out, "\n{empty} empty words that the card may fetch ahead");
    let cost = "The last column is a word's cycles; a branch that is taken takes up to 3 more. Cycles are assumed: \
        no card was measured.";
    let _ = writeln!(out, "\n{}", styled(QUIET, wrap(cost, 0, width)));
    out
}

/// The words before the program's, its lines in the order of the instructions, the words after it.
fn parts(
    subject: &Subject,
    code: &ProgramCode,
    compiled: &Compiled,
) -> (Vec<usize>, Vec<Part>, Vec<usize>) {
    let mut parts: Vec<Part> = Vec::new();
    let mut part_of = vec![0; code.insns.len()];
    let mut last: Option<SourceLine> = None;
    let mut slot = 0;
    while let Some(insn) = code.insns.get(slot) {
        let line = subject.linked.source_line(slot);
        let function = subject
            .linked
            .function_at(slot)
            .filter(|function| function.start == slot && slot > 0);
        let same =
            |one: &SourceLine, other: &SourceLine| one.file == other.file && one.line == other.line;
        let goes_on = match (&line, &last) {
            (Some(line), Some(last)) => same(line, last),
            (line, last) => line.is_none() && last.is_none(),
        };
        if parts.is_empty() || function.is_some() || !goes_on {
            parts.push(Part {
                function: function.map(|function| function.name.clone()),
                heading: line
                    .as_ref()
                    .map(|line| format!("{}:{}: {}", line.file, line.line, line.text.trim())),
                ..Part::default()
            });
        }
        let number = parts.len() - 1;
        parts[number].slots.push(slot);
        let slots = if insn.is_ld_imm64() { 2 } else { 1 };
        for part in part_of.iter_mut().skip(slot).take(slots) {
            *part = number;
        }
        last = line;
        slot += slots;
    }
    let (mut entry, mut exits) = (Vec::new(), Vec::new());
    let mut begun = false;
    for (at, slot) in compiled.image.slots.iter().enumerate() {
        match slot {
            Some(slot) => {
                begun = true;
                if let Some(part) = part_of.get(*slot).and_then(|&part| parts.get_mut(part)) {
                    part.words.push(at);
                }
            }
            None if begun => exits.push(at),
            None => entry.push(at),
        }
    }
    (entry, parts, exits)
}

/// How wide the columns are.
struct Columns {
    ebpf: usize,
    nfp: usize,
    all: usize,
}

impl Columns {
    fn new(width: usize) -> Self {
        let room = width - COST - 3;
        // The text of an NFP word is longer.
        let ebpf = room * 4 / 9;
        Self {
            ebpf,
            nfp: room - ebpf,
            all: width,
        }
    }

    fn heading(&self, out: &mut String, text: &str, words: &[usize], compiled: &Compiled) {
        let cycles: u64 = words.iter().map(|&at| compiled.estimate.words[at]).sum();
        let cost = match words.len() {
            0 => "no words".to_owned(),
            1 => format!("1 word, {}", count(cycles)),
            words => format!("{words} words, {}", count(cycles)),
        };
        let room = self.all.saturating_sub(cost.len() + 3);
        let text: String = if text.chars().count() > room {
            text.chars()
                .take(room.saturating_sub(3))
                .chain("...".chars())
                .collect()
        } else {
            text.to_owned()
        };
        let _ = writeln!(
            out,
            "\n{} {}",
            styled(NAME, format!("{text:<room$} ")),
            styled(QUIET, cost)
        );
    }

    fn words(&self, out: &mut String, heading: &str, words: &[usize], compiled: &Compiled) {
        self.heading(out, heading, words, compiled);
        self.rows(out, &[], words, compiled);
    }

    fn part(&self, out: &mut String, part: &Part, code: &ProgramCode, compiled: &Compiled) {
        if let Some(function) = &part.function {
            let _ = writeln!(out, "\n{function}:");
        }
        let heading = part.heading.as_deref().unwrap_or("no source line");
        self.heading(out, heading, &part.words, compiled);
        let ebpf: Vec<String> = part
            .slots
            .iter()
            .flat_map(|&slot| {
                let insn = code.insns[slot];
                let second = code.insns.get(slot + 1).filter(|_| insn.is_ld_imm64());
                let text = text::line(insn, second.copied(), code);
                cell(slot, &text, self.ebpf)
            })
            .collect();
        self.rows(out, &ebpf, &part.words, compiled);
    }

    fn rows(&self, out: &mut String, ebpf: &[String], words: &[usize], compiled: &Compiled) {
        let nfp: Vec<(String, String)> = words
            .iter()
            .flat_map(|&at| {
                let word = compiled.image.words[at];
                let text = decode(word.instruction).map_or_else(
                    |error| error.to_string(),
                    |instruction| instruction.to_string(),
                );
                let lines = cell(at, &text, self.nfp);
                let costs = std::iter::once(compiled.estimate.words[at].to_string());
                lines
                    .into_iter()
                    .zip(costs.chain(std::iter::repeat(String::new())))
            })
            .collect();
        for row in 0..ebpf.len().max(nfp.len()) {
            let left = ebpf.get(row).map_or("", String::as_str);
            let line = match nfp.get(row) {
                None => left.to_owned(),
                Some((word, cost)) => {
                    format!("{left:<0$} | {word:<1$}{cost:>COST$}", self.ebpf, self.nfp)
                }
            };
            let _ = writeln!(out, "{}", line.trim_end());
        }
    }
}

fn count(cycles: u64) -> String {
    if cycles == 1 {
        "1 cycle".to_owned()
    } else {
        format!("{cycles} cycles")
    }
}

/// A text behind its number, in lines of at most `width` columns.
fn cell(number: usize, text: &str, width: usize) -> Vec<String> {
    let text = wrap(text, INDEX, width);
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    if let Some(first) = lines.first_mut() {
        *first = format!("{number:4}: {first}");
    }
    lines
}
