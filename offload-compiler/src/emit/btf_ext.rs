//! `.BTF.ext`: which function and source line an instruction has (Documentation/bpf/btf.rst, Linux 6.12).

use super::EmitError;
use super::code::{Code, CodeSection};
use super::container::{Container, Content};
use super::types::Types;
use crate::isa::Insn;

/// Bytes of the header: of three parts, of which the third, for CO-RE, is empty.
const HEADER: usize = 32;

/// Writes the section, if anything is known of any instruction.
pub(super) fn write(
    code: &Code,
    container: &mut Container,
    types: &mut Types,
) -> Result<(), EmitError> {
    let names: Vec<u32> = code
        .sections
        .iter()
        .map(|section| types.string(&section.name))
        .collect();
    let named = || names.iter().copied().zip(&code.sections);
    let functions = part(named(), |section: &CodeSection| &section.function_info);
    let lines = part(named(), |section: &CodeSection| &section.line_info);
    if functions.is_empty() && lines.is_empty() {
        return Ok(());
    }
    let mut bytes = vec![0x9f, 0xeb, 1, 0];
    let end = functions.len() + lines.len();
    for word in [
        HEADER,
        0,
        functions.len(),
        functions.len(),
        lines.len(),
        end,
        0,
    ] {
        bytes.extend_from_slice(&(word as u32).to_le_bytes());
    }
    bytes.extend_from_slice(&functions);
    bytes.extend_from_slice(&lines);
    let section = container.section(".BTF.ext", Content::Metadata)?;
    container.append(section, &bytes);
    Ok(())
}

/// The size of a record, then by section its name, the number of records and these; nothing if there are none. The first
/// word of a record is a slot, which is written as an offset in bytes.
fn part<'a, const WORDS: usize>(
    sections: impl Iterator<Item = (u32, &'a CodeSection)>,
    records: impl Fn(&CodeSection) -> &Vec<[u32; WORDS]>,
) -> Vec<u8> {
    let mut words = vec![(WORDS * 4) as u32];
    for (name, section) in sections {
        let records = records(section);
        if records.is_empty() {
            continue;
        }
        words.extend([name, records.len() as u32]);
        for record in records {
            words.push(record[0].wrapping_mul(Insn::SIZE as u32));
            words.extend(&record[1..]);
        }
    }
    if words.len() == 1 {
        return Vec::new();
    }
    words.into_iter().flat_map(u32::to_le_bytes).collect()
}
