//! What was done to a program, as text: each rewrite as a difference at its source line, then the maps that changed.

use std::fmt::Write;

use super::program::{Map, MapChange};
use super::rewrite::Rewrite;
use super::run::{Lowered, Undone};
use crate::object::SourceLine;
use crate::target::map_kind_name;

/// The report on a program; `line` is the source line of a slot of the original.
pub fn report(lowered: &Lowered, line: impl Fn(usize) -> Option<SourceLine>) -> String {
    let mut out = String::new();
    for rewrite in &lowered.rewrites {
        push_rewrite(&mut out, rewrite, rewrite.at.and_then(&line));
    }
    for map in &lowered.program.maps {
        push_map(&mut out, map);
    }
    for undone in &lowered.undone {
        push_undone(&mut out, undone, line(undone.why.insn));
    }
    out
}

fn push_rewrite(out: &mut String, rewrite: &Rewrite, line: Option<SourceLine>) {
    out.push_str(rewrite.pass);
    if let Some(allow) = rewrite.needs_allow {
        let _ = write!(out, " (--allow {allow})");
    }
    push_place(out, rewrite.at, line);
    for (sign, lines) in [('-', &rewrite.before), ('+', &rewrite.after)] {
        for line in lines {
            let _ = writeln!(out, "  {sign} {line}");
        }
    }
}

/// Ends the line with where the original is.
fn push_place(out: &mut String, slot: Option<usize>, line: Option<SourceLine>) {
    if let Some(slot) = slot {
        let _ = write!(out, ", instruction {slot}");
    }
    if let Some(line) = line {
        let _ = write!(out, ", {}:{}: {}", line.file, line.line, line.text.trim());
    }
    out.push('\n');
}

fn push_map(out: &mut String, map: &Map) {
    let shape = &map.shape;
    let kind = |kind| map_kind_name(kind).map_or_else(|| format!("kind {kind}"), str::to_owned);
    for change in &map.changes {
        let _ = match *change {
            MapChange::Kind { was } => writeln!(
                out,
                "map {}: {}, was {}",
                shape.name,
                kind(shape.kind),
                kind(was)
            ),
            MapChange::Flags { was } => writeln!(
                out,
                "map {}: flags {:#x}, were {was:#x}",
                shape.name, shape.flags
            ),
            MapChange::Counter { word, size, at } => writeln!(
                out,
                "map {}: what is added to the {size} bytes at {word} is at {at}; the sum of both is the original's",
                shape.name
            ),
            MapChange::Part { start, len, at } => writeln!(
                out,
                "map {}: bytes {at} to {} hold the original's {start} to {}",
                shape.name,
                u64::from(at) + u64::from(len),
                u64::from(start) + u64::from(len)
            ),
        };
    }
}

fn push_undone(out: &mut String, undone: &Undone, line: Option<SourceLine>) {
    let _ = write!(out, "not made: {}", undone.pass);
    push_place(out, Some(undone.why.insn), line);
    let _ = writeln!(out, "  the verifier would refuse: {}", undone.why);
}
