//! The forms that `compile` writes.

use super::write;
use crate::exit::Failure;
use crate::nfp::Compiled;
use crate::subject::Subject;
use nfp_target::isa::asm;
use nfp_target::target::Nfp;
use nfp_target::words;
use offload_compiler::isa::Insn;
use offload_compiler::object::PatchTarget;
use offload_compiler::target::Target;
use offload_compiler::verify::Prepared;
use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// The words, with the numbers that they name maps by.
pub(super) fn words(
    subject: &Subject,
    prepared: &Prepared,
    card: &Nfp,
    compiled: &Compiled,
) -> String {
    head("#", subject, prepared, card, compiled) + &words::write(&compiled.image.words)
}

/// The assembly: beside each word the slot and the source line that it comes from.
pub(super) fn asm(
    subject: &Subject,
    prepared: &Prepared,
    card: &Nfp,
    compiled: &Compiled,
) -> String {
    let note = |at: usize| {
        let Some(slot) = compiled.image.slots.get(at).copied().flatten() else {
            return String::new();
        };
        match subject.linked.source_line(slot) {
            Some(line) => format!("{slot} {}:{}", line.file, line.line),
            None => slot.to_string(),
        }
    };
    head(";", subject, prepared, card, compiled) + &asm::file::write(&compiled.image.words, note)
}

fn head(
    comment: &str,
    subject: &Subject,
    prepared: &Prepared,
    card: &Nfp,
    compiled: &Compiled,
) -> String {
    let mut out = format!(
        "{comment} {} for {}: {} words\n",
        subject.name,
        card.name(),
        compiled.image.words.len()
    );
    for (number, map) in (1..).zip(used(prepared)) {
        let name = prepared.maps.get(map).map_or("?", |map| &map.name);
        let _ = writeln!(out, "{comment} map {number}: {name}");
    }
    out
}

/// The maps that the program uses, by their index, ascending.
fn used(prepared: &Prepared) -> Vec<usize> {
    let used: BTreeSet<u32> = prepared.map_at.values().map(|at| at.map).collect();
    used.into_iter().map(|map| map as usize).collect()
}

/// The instructions, and beside them the maps: what `--raw` reads.
pub(super) fn ebpf(
    subject: &Subject,
    prepared: &Prepared,
    path: Option<&Path>,
) -> Result<(), Failure> {
    let Some(path) = path else { return Ok(()) };
    let used = used(prepared);
    let line = |map: usize| used.iter().position(|&other| other == map).unwrap_or(0) as i32;
    let mut insns = Insn::read_all(&subject.linked.with_fds(|target| match target {
        PatchTarget::Map { map } | PatchTarget::MapValue { map, .. } => line(map),
        PatchTarget::ModuleBtf { .. } => 0,
    }));
    // Plain instructions have the number of their map in them already.
    if subject.linked.patches.is_empty() {
        for (&slot, reference) in &prepared.map_at {
            insns[slot].imm = line(reference.map as usize);
        }
    }
    write(path, &Insn::write_all(&insns))?;
    let mut maps = String::new();
    for map in used.iter().filter_map(|&map| prepared.maps.get(map)) {
        let _ = writeln!(
            maps,
            "{} {} {} {} {:#x} {}",
            map.kind, map.key_size, map.value_size, map.max_entries, map.flags, map.name
        );
    }
    if maps.is_empty() {
        return Ok(());
    }
    write(&beside(path), maps.as_bytes())
}

/// `X.maps` of `X.bpf`, `FILE.maps` of any other.
fn beside(path: &Path) -> PathBuf {
    if path.extension().is_some_and(|extension| extension == "bpf") {
        return path.with_extension("maps");
    }
    let mut name = path.as_os_str().to_owned();
    name.push(".maps");
    name.into()
}
