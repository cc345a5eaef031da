//! `.BTF.ext`: which function, source line and CO-RE relocation an instruction has.

use std::collections::HashMap;
use std::ops::Range;

use super::btf::Btf;
use super::error::BtfError;
use crate::isa::Insn;

/// What `.BTF.ext` says about the code of one section. Each list ascends by instruction.
#[derive(Debug, Clone, Default)]
pub(super) struct CodeInfo {
    pub(super) functions: Vec<FunctionInfo>,
    pub(super) lines: Vec<LineInfo>,
    pub(super) core: Vec<CoreRelocation>,
}

impl CodeInfo {
    /// The CO-RE relocations in a range of slots.
    pub(super) fn core_in(&self, range: &Range<usize>) -> &[CoreRelocation] {
        let from = self
            .core
            .partition_point(|record| (record.insn as usize) < range.start);
        let to = self
            .core
            .partition_point(|record| (record.insn as usize) < range.end);
        &self.core[from..to.max(from)]
    }

    /// The source lines in a range of slots.
    pub(super) fn lines_in(&self, range: &Range<usize>) -> &[LineInfo] {
        let from = self
            .lines
            .partition_point(|record| (record.insn as usize) < range.start);
        let to = self
            .lines
            .partition_point(|record| (record.insn as usize) < range.end);
        &self.lines[from..to.max(from)]
    }
}

/// A function starts here.
#[derive(Debug, Clone, Copy)]
pub(super) struct FunctionInfo {
    /// Slot in the section.
    pub(super) insn: u32,
    /// Its `BTF_KIND_FUNC`.
    pub(super) type_id: u32,
}

/// A source line starts here. Offsets are of BTF strings.
#[derive(Debug, Clone, Copy)]
pub(super) struct LineInfo {
    /// Slot in the section.
    pub(super) insn: u32,
    pub(super) file: u32,
    pub(super) text: u32,
    /// Line << 10 | column.
    pub(super) line_and_column: u32,
}

impl LineInfo {
    /// Whether two records are of one place in the source.
    pub(super) fn is_same_line(&self, other: &Self) -> bool {
        (self.file, self.text, self.line_and_column)
            == (other.file, other.text, other.line_and_column)
    }
}

/// An instruction depends on a type of the kernel.
#[derive(Debug, Clone, Copy)]
pub(super) struct CoreRelocation {
    /// Slot in the section.
    pub(super) insn: u32,
    /// The object's own view of the type.
    pub(super) type_id: u32,
    /// Offset of the access string, such as `0:1:2`.
    pub(super) access: u32,
    /// `enum bpf_core_relo_kind`.
    pub(super) kind: u32,
}

/// Reads `.BTF.ext`: information by the name of the section it is about.
pub(super) fn parse(bytes: &[u8], btf: &Btf) -> Result<HashMap<String, CodeInfo>, BtfError> {
    let header = bytes.get(..24).ok_or_else(|| truncated("the header"))?;
    if header[..2] != [0x9f, 0xeb] || header[2] != 1 {
        return Err(BtfError::Header(format!(
            "it starts with {:02x}{:02x} and has version {}",
            header[0], header[1], header[2]
        )));
    }
    let header_len = word(bytes, 4).unwrap_or(0) as usize;
    let part = |at: usize, name: &str| -> Result<&[u8], BtfError> {
        // Compilers before CO-RE wrote a header of 24 bytes, without the third part.
        if at + 8 > header_len {
            return Ok(&[]);
        }
        let (Some(offset), Some(len)) = (word(bytes, at), word(bytes, at + 4)) else {
            return Err(truncated("the header"));
        };
        let start = header_len.saturating_add(offset as usize);
        bytes
            .get(start..start.saturating_add(len as usize))
            .ok_or_else(|| truncated(name))
    };
    let mut sections = HashMap::<String, CodeInfo>::new();
    for_each_record(
        part(8, "func_info")?,
        8,
        "func_info",
        btf,
        &mut sections,
        |info, r| {
            info.functions.push(FunctionInfo {
                insn: r[0],
                type_id: r[1],
            });
        },
    )?;
    for_each_record(
        part(16, "line_info")?,
        16,
        "line_info",
        btf,
        &mut sections,
        |info, r| {
            info.lines.push(LineInfo {
                insn: r[0],
                file: r[1],
                text: r[2],
                line_and_column: r[3],
            });
        },
    )?;
    for_each_record(
        part(24, "core_relo")?,
        16,
        "core_relo",
        btf,
        &mut sections,
        |info, r| {
            info.core.push(CoreRelocation {
                insn: r[0],
                type_id: r[1],
                access: r[2],
                kind: r[3],
            });
        },
    )?;
    for info in sections.values_mut() {
        info.functions.sort_by_key(|record| record.insn);
        info.lines.sort_by_key(|record| record.insn);
        info.core.sort_by_key(|record| record.insn);
    }
    Ok(sections)
}

/// Walks one part: the size of a record, then per section a name, a count and that many records. A record may
/// be longer than what is known of it. Its first word is an offset in bytes and is handed on in slots.
fn for_each_record(
    part: &[u8],
    known_size: usize,
    name: &str,
    btf: &Btf,
    sections: &mut HashMap<String, CodeInfo>,
    mut add: impl FnMut(&mut CodeInfo, [u32; 4]),
) -> Result<(), BtfError> {
    if part.is_empty() {
        return Ok(());
    }
    let size = word(part, 0).ok_or_else(|| truncated(name))? as usize;
    if size < known_size || !size.is_multiple_of(4) {
        return Err(BtfError::Header(format!(
            "records of {name} have {size} bytes, at least {known_size} are needed"
        )));
    }
    let mut rest = &part[4..];
    while !rest.is_empty() {
        let (Some(section), Some(count)) = (word(rest, 0), word(rest, 4)) else {
            return Err(truncated(name));
        };
        let section = btf.string(section).ok_or_else(|| {
            BtfError::Header(format!(
                "{name} is about a section whose name does not exist"
            ))
        })?;
        let bytes = (count as usize)
            .checked_mul(size)
            .and_then(|len| rest.get(8..8_usize.checked_add(len)?))
            .ok_or_else(|| truncated(name))?;
        let info = sections.entry(section.to_owned()).or_default();
        for record in bytes.chunks_exact(size) {
            let mut words = [0; 4];
            for (index, value) in words.iter_mut().enumerate().take(known_size / 4) {
                *value = word(record, index * 4).unwrap_or(0);
            }
            if !words[0].is_multiple_of(Insn::SIZE as u32) {
                return Err(BtfError::Header(format!(
                    "{name} of section '{section}' points into the middle of an instruction"
                )));
            }
            words[0] /= Insn::SIZE as u32;
            add(info, words);
        }
        rest = &rest[8 + bytes.len()..];
    }
    Ok(())
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let word = bytes.get(at..)?.first_chunk::<4>()?;
    Some(u32::from_le_bytes(*word))
}

fn truncated(what: &str) -> BtfError {
    BtfError::Truncated(what.to_owned())
}
