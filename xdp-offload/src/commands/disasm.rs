//! `disasm`: a program's instructions in the kernel's own text.

use crate::code::{ProgramCode, Source};
use crate::exit::{Exit, Failure};
use crate::output;
use offload_compiler::isa::{Insn, text};
use std::fmt::Write;

/// Print a program's instructions as `bpftool prog dump xlated` does, with source lines
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    xdp-offload disasm filter.bpf.o\n  \
    xdp-offload disasm filter.bpf.o --prog filter --opcodes\n  \
    xdp-offload disasm --raw filter.bpf")]
pub struct Args {
    #[command(flatten)]
    source: Source,

    /// Print the bytes of each instruction below it
    #[arg(long)]
    opcodes: bool,
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> Result<Exit, Failure> {
    let mut out = String::new();
    for program in args.source.read()? {
        if !out.is_empty() {
            out.push('\n');
        }
        listing(&mut out, &program, args.opcodes);
    }
    output::print(&out)?;
    Ok(Exit::Done)
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
