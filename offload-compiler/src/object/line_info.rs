//! Source lines of instructions.

use super::btf::Btf;
use super::btf_ext::LineInfo;

/// Where an instruction comes from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SourceLine {
    /// The path that the compiler was given.
    pub file: String,
    /// From 1.
    pub line: u32,
    /// From 1; 0 where unknown.
    pub column: u32,
    /// The line's text, without its end.
    pub text: String,
}

/// The lines of a linked program, ascending by its slots.
#[derive(Debug, Clone, Default)]
pub(super) struct Lines {
    /// `insn` counts from the start of the linked program.
    records: Vec<LineInfo>,
    strings: Option<Btf>,
}

impl Lines {
    /// Records of line 0, code that the compiler made up, are left out: such code counts to the line before.
    pub(super) fn new(mut records: Vec<LineInfo>, strings: Option<&Btf>) -> Self {
        records.retain(|record| record.line_and_column >> 10 != 0);
        Self {
            records,
            strings: strings.cloned(),
        }
    }

    /// The last record at or before a slot, if it is not before `from`.
    pub(super) fn record(&self, slot: usize, from: usize) -> Option<LineInfo> {
        let after = self
            .records
            .partition_point(|record| record.insn as usize <= slot);
        let record = self.records.get(after.checked_sub(1)?)?;
        (record.insn as usize >= from).then_some(*record)
    }

    /// Where the records' texts are.
    pub(super) fn strings(&self) -> Option<&Btf> {
        self.strings.as_ref()
    }

    /// The line of the last record at or before a slot, if it is not before `from`.
    pub(super) fn at(&self, slot: usize, from: usize) -> Option<SourceLine> {
        let record = self.record(slot, from)?;
        let strings = self.strings.as_ref()?;
        Some(SourceLine {
            file: strings.text(record.file)?.into_owned(),
            line: record.line_and_column >> 10,
            column: record.line_and_column & 0x3ff,
            text: strings
                .text(record.text)
                .unwrap_or_default()
                .trim_end()
                .to_owned(),
        })
    }
}
