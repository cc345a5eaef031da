//! `disasm`: eBPF instructions in the kernel's own text, NFP words in the public disassembler's.

use crate::code::{ProgramCode, Source};
use crate::exit::{Exit, Failure};
use crate::{nfp, output};
use nfp_target::isa::{Word, decode};
use offload_compiler::isa::{Insn, text};
use std::fmt::Write;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Print eBPF instructions as `bpftool prog dump xlated` does, with source lines, or NFP words as assembly
#[derive(Debug, clap::Args)]
#[command(
    after_help = "What the file holds is told by its content: an eBPF object, plain instructions, or NFP words.\n\n\
    Examples:\n  \
    xdp-offload disasm filter.bpf.o\n  \
    xdp-offload disasm filter.bpf.o --prog filter --opcodes\n  \
    xdp-offload disasm --raw filter.bpf\n  \
    xdp-offload disasm filter.nfp"
)]
pub struct Args {
    #[command(flatten)]
    source: Source,

    /// The file holds NFP words, 16 hex digits a line
    #[arg(long, conflicts_with_all = ["raw", "prog", "section", "set"])]
    nfp: bool,

    /// Print the bytes of each instruction below it, a word's bits before it
    #[arg(long)]
    opcodes: bool,
}

/// What a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Content {
    Object,
    Instructions,
    Words,
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> Result<Exit, Failure> {
    let content = match (args.nfp, args.source.is_raw()) {
        (true, _) => Content::Words,
        (_, true) => Content::Instructions,
        _ => content(args.source.path())?,
    };
    let programs = match content {
        Content::Words => return words(args.source.path(), args.opcodes),
        Content::Instructions => args.source.as_raw()?,
        Content::Object => args.source.read()?,
    };
    let mut out = String::new();
    for program in programs {
        if !out.is_empty() {
            out.push('\n');
        }
        listing(&mut out, &program, args.opcodes);
    }
    output::print(&out)?;
    Ok(Exit::Done)
}

/// What a file begins with tells: an object with its magic number, words with text. No eBPF instruction is text: the
/// opcodes of `exit` and of moves are none.
fn content(path: &Path) -> Result<Content, Failure> {
    let mut start = Vec::new();
    File::open(path)
        .and_then(|file| file.take(1 << 12).read_to_end(&mut start))
        .map_err(|error| {
            let what = format!("cannot read {}", path.display());
            Failure::new(Exit::Usage, what).because(error)
        })?;
    Ok(content_of(&start))
}

fn content_of(start: &[u8]) -> Content {
    let is_text = |byte: &u8| matches!(byte, b' '..=b'~' | b'\t' | b'\n' | b'\r');
    if start.starts_with(b"\x7fELF") || start.is_empty() || start.starts_with(b"#!") {
        Content::Object
    } else if start.iter().all(is_text) {
        Content::Words
    } else if start.len().is_multiple_of(Insn::SIZE) {
        Content::Instructions
    } else {
        Content::Object
    }
}

/// All words are shown; one that is no instruction makes the file none that it claims to be.
fn words(path: &Path, opcodes: bool) -> Result<Exit, Failure> {
    let words = nfp::read_words(path)?;
    let mut out = String::new();
    let mut wrong = None;
    for (at, word) in words.iter().enumerate() {
        let text = decode(word.instruction).map_or_else(
            |error| {
                let text = format!("; {error}");
                wrong.get_or_insert((at, error));
                text
            },
            |instruction| instruction.to_string(),
        );
        let _ = writeln!(out, "{}", word_line(at, *word, &text, opcodes));
    }
    output::print(&out)?;
    match wrong {
        None => Ok(Exit::Done),
        Some((at, error)) => Err(Failure::new(
            Exit::Usage,
            format!("{}: word {at} is no instruction", path.display()),
        )
        .because(error)),
    }
}

fn word_line(at: usize, word: Word, text: &str, opcodes: bool) -> String {
    let mut line = format!("{at:4}: ");
    if opcodes {
        let _ = write!(line, "{:016x} ", word.to_bits());
    }
    line += text;
    let relocation = word.relocation.name();
    if !relocation.is_empty() {
        line = format!("{line:<62} ; {relocation}");
    }
    line
}

fn listing(out: &mut String, program: &ProgramCode, opcodes: bool) {
    if program.section.is_empty() {
        let _ = writeln!(out, "{}:", program.name);
    } else {
        let _ = writeln!(out, "{} (section {}):", program.name, program.section);
    }
    let mut last_line = None;
    let mut slot = 0;
    while let Some(insn) = program.insns.get(slot) {
        if let Some(linked) = &program.linked {
            if let Some(function) = linked.function_at(slot)
                && function.start == slot
                && slot > 0
            {
                let _ = writeln!(out, "{}:", function.name);
            }
            if let Some(line) = linked.source_line(slot) {
                let text = format!("; {}:{}: {}", line.file, line.line, line.text.trim());
                if last_line.as_ref() != Some(&text) {
                    let _ = writeln!(out, "{text}");
                    last_line = Some(text);
                }
            }
        }
        let second = insn
            .is_ld_imm64()
            .then(|| program.insns.get(slot + 1))
            .flatten();
        let text = text::line(*insn, second.copied(), program);
        let _ = writeln!(out, "{slot:4}: ({:02x}) {text}", insn.code);
        if opcodes {
            let bytes: Vec<String> = [Some(insn), second]
                .into_iter()
                .flatten()
                .flat_map(|insn: &Insn| insn.to_bytes())
                .map(|byte| format!("{byte:02x}"))
                .collect();
            let _ = writeln!(out, "       {}", bytes.join(" "));
        }
        slot += if second.is_some() { 2 } else { 1 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_is_told_by_how_a_file_begins() {
        assert_eq!(content_of(b"\x7fELF\x02\x01"), Content::Object);
        assert_eq!(content_of(b"# words\n000000f0000c0300\n"), Content::Words);
        let exit = [0x95, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(content_of(&exit), Content::Instructions);
        // Whatever it is: reading it as an object says what is wrong.
        assert_eq!(content_of(&exit[..7]), Content::Object);
        assert_eq!(content_of(b""), Content::Object);
    }
}
