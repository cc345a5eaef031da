//! `func_info` and `line_info` of a linked program, from what `.BTF.ext` says of each function.

use super::Object;
use super::btf_ext::LineInfo;
use super::layout::Layout;
use super::line_info::Lines;
use super::linked::{Linked, RawInfo};

/// Adds what is known of the functions to the linked program.
pub(super) fn attach(linked: &mut Linked, object: &Object, layout: &Layout) {
    let mut functions = Vec::new();
    let mut lines = Vec::new();
    let mut every_function_is_described = true;
    let mut every_function_has_lines = true;
    for placed in &layout.functions {
        let function = &object.code.functions[placed.function];
        let info = &object.code.sections[function.section].info;
        let first = function.start as u32;
        let start = placed.start as u32;

        match info
            .functions
            .binary_search_by_key(&first, |record| record.insn)
        {
            Ok(index) => {
                functions.extend([start, info.functions[index].type_id]);
            }
            Err(_) => every_function_is_described = false,
        }
        let own = info.lines_in(&function.range());
        every_function_has_lines &= own.first().is_some_and(|record| record.insn == first);
        lines.extend(own.iter().map(|record| LineInfo {
            insn: start + record.insn - first,
            ..*record
        }));
    }
    // The kernel wants strictly ascending records, and refuses the load without.
    lines.dedup_by_key(|record| record.insn);
    linked.func_info = every_function_is_described.then(|| records(8, functions));
    linked.line_info = every_function_has_lines.then(|| line_records(&lines));
    linked.lines = Lines::new(lines, object.btf.as_ref());
}

/// Line records for the kernel.
pub(super) fn line_records(lines: &[LineInfo]) -> RawInfo {
    let words = lines.iter().flat_map(|record| {
        [
            record.insn,
            record.file,
            record.text,
            record.line_and_column,
        ]
    });
    records(16, words)
}

/// Records of so many bytes, for the kernel.
pub(super) fn records(record_size: u32, words: impl IntoIterator<Item = u32>) -> RawInfo {
    RawInfo {
        record_size,
        bytes: words.into_iter().flat_map(u32::to_le_bytes).collect(),
    }
}
