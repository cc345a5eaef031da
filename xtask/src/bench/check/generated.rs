//! Programs of any length, of a few shapes.

use std::fmt::Write as _;
use std::path::Path;

use object::write::{Object, Symbol, SymbolSection};
use object::{
    Architecture, BinaryFormat, Endianness, SectionKind, SymbolFlags, SymbolKind, SymbolScope,
};
use offload_compiler::isa::{Code, Insn, assemble};

use crate::error::{Error, Result, at};

/// What a program consists of.
#[derive(Debug, Clone, Copy)]
pub(super) enum Shape {
    /// Arithmetic on one path.
    Straight,
    /// Comparisons with the packet's end, reads, and decisions on what was read; the ways meet again.
    Branches,
    /// Loops of eight rounds, one after the other.
    Loops,
}

impl Shape {
    pub(super) const ALL: [Self; 3] = [Self::Straight, Self::Branches, Self::Loops];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Straight => "straight line",
            Self::Branches => "packet checks and branches",
            Self::Loops => "loops of 8 rounds",
        }
    }

    /// A program of about so many instructions.
    pub(super) fn program(self, instructions: usize) -> Result<Code> {
        let mut text = String::from("r6 = *(u32 *)(r1 +0)\nr7 = *(u32 *)(r1 +4)\nr8 = 0\nr0 = 1\n");
        let per_piece = match self {
            Self::Straight => 5,
            Self::Branches | Self::Loops => 8,
        };
        for number in 0..instructions / per_piece {
            // A String takes all.
            let _ = self.piece(&mut text, number);
        }
        text.push_str("r0 = 2\nexit\n");
        assemble(&text).map_err(|error| Error::Wrong(error.to_string()))
    }

    fn piece(self, text: &mut String, number: usize) -> std::fmt::Result {
        match self {
            Self::Straight => writeln!(
                text,
                "r8 += {}\nr9 = r8\nr9 <<= 3\nr9 ^= r8\nr8 &= 65535",
                number % 97
            ),
            Self::Branches => {
                let byte = number % 64;
                writeln!(
                    text,
                    "r2 = r6\nr2 += {}\nif r2 <= r7 goto checked{number}\nexit\nchecked{number}:\n\
                     r3 = *(u8 *)(r6 +{byte})\nif r3 != {} goto other{number}\nr8 += r3\nother{number}:\nr4 = r8",
                    byte + 1,
                    number % 251
                )
            }
            Self::Loops => writeln!(
                text,
                "r1 = 0\nloop{number}:\nr8 += {}\nr9 = r8\nr9 <<= 3\nr9 ^= r8\nr8 &= 65535\nr1 += 1\n\
                 if r1 != 8 goto loop{number}",
                number % 97
            ),
        }
    }
}

/// Writes the program as an object with one function in section `xdp`, for those that read no plain instructions.
pub(super) fn write_object(code: &Code, path: &Path) -> Result<()> {
    let mut object = Object::new(BinaryFormat::Elf, Architecture::Bpf, Endianness::Little);
    let bytes = Insn::write_all(&code.encode());
    let section = object.add_section(Vec::new(), b"xdp".to_vec(), SectionKind::Text);
    let size = bytes.len() as u64;
    object.append_section_data(section, &bytes, 8);
    object.add_symbol(Symbol {
        name: b"generated".to_vec(),
        value: 0,
        size,
        kind: SymbolKind::Text,
        scope: SymbolScope::Linkage,
        weak: false,
        section: SymbolSection::Section(section),
        flags: SymbolFlags::None,
    });
    let license = object.add_section(Vec::new(), b"license".to_vec(), SectionKind::Data);
    object.append_section_data(license, b"GPL\0", 1);
    let bytes = object
        .write()
        .map_err(|error| Error::Wrong(error.to_string()))?;
    std::fs::write(path, bytes).map_err(at(path))
}
