//! Programs as they stand in objects, against `llvm-objdump -d`: LLVM's syntax is the kernel's but for a few forms, which
//! [`kernel_syntax`] lists.

use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use offload_compiler::isa::{Insn, text};
use tests::{Output, require_command};

use crate::sections::{Section, sections, sources};

/// A line of llvm-objdump in the kernel's syntax. Numbers are decimal in LLVM's and partly hexadecimal in the kernel's.
///
/// | LLVM | kernel |
/// |---|---|
/// | `*(u32 *)(r1 + 4)`, `(r10 - 8)` | `*(u32 *)(r1 +4)`, `(r10 -8)` |
/// | `goto +5 <LBB0_2>` | `goto pc+5` |
/// | `if r1 > 5 goto +5` | `if r1 > 0x5 goto pc+5` |
/// | `r1 = -1 ll` | `r1 = 0xffffffffffffffff` |
/// | `ld_pseudo r1, 1, 5` (map, by descriptor) | `r1 = map[fd:5]` |
/// | `call 1`, `call -1` | `call bpf_map_lookup_elem#1`, `call pc-1`; compared as LLVM's |
/// | `r0 = *(u8 *)skb[r1]` | `r0 = *(u8 *)skb[r1 + 0]`; compared as LLVM's |
fn kernel_syntax(llvm: &str) -> String {
    let target = llvm.rfind(" <").filter(|_| llvm.ends_with('>'));
    let line = target.map_or(llvm, |target| &llvm[..target]);
    if let Some(operands) = line.strip_prefix("ld_pseudo\t") {
        let fields: Vec<&str> = operands.split(", ").collect();
        let [register, "1", descriptor] = fields[..] else {
            return line.to_owned();
        };
        return format!("{register} = map[fd:{descriptor}]");
    }
    if let Some((register, value)) = line
        .strip_suffix(" ll")
        .and_then(|line| line.split_once(" = "))
    {
        return match value.parse::<i64>() {
            Ok(value) => format!("{register} = 0x{value:x}"),
            Err(_) => line.to_owned(),
        };
    }
    if let Some((condition, distance)) = line.split_once(" goto ") {
        let (left, right) = condition.rsplit_once(' ').unwrap_or((condition, ""));
        let right = match right.parse::<i32>() {
            Ok(number) => format!("0x{number:x}"),
            Err(_) => right.to_owned(),
        };
        return format!("{left} {right} goto pc{distance}");
    }
    if let Some(distance) = line.strip_prefix("goto ") {
        return format!("goto pc{distance}");
    }
    match line.split_once(" *)(r") {
        Some((before, address)) => {
            let address = address.replacen(" + ", " +", 1).replacen(" - ", " -", 1);
            format!("{before} *)(r{address}")
        }
        None => line.to_owned(),
    }
}

/// Our text without what LLVM leaves out: the names of functions, the constant of an indirect load, and in version 14 that
/// a move extends a sign.
fn ours(insn: Insn, second: Option<Insn>) -> String {
    let line = text::line(insn, second, &text::Plain);
    if line.starts_with("call ") {
        return format!("call {}", insn.imm);
    }
    if line.contains("skb[r") {
        return line.replace(&format!(" + {}]", insn.imm), "]");
    }
    ["(s8)", "(s16)", "(s32)"].iter().fold(line, |line, cast| {
        line.replace(&format!(" = {cast}r"), " = r")
            .replace(&format!(" = {cast}w"), " = w")
    })
}

/// What llvm-objdump says of each section with code: the lines by slot.
fn disassemble(path: &Path) -> Vec<(String, Vec<(usize, String)>)> {
    let mut command = Command::new("llvm-objdump");
    command.args(["-d", "--no-show-raw-insn"]).arg(path);
    let output = Output::of(&mut command)
        .and_then(Output::ok)
        .expect("llvm-objdump reads it");
    let mut sections: Vec<(String, Vec<(usize, String)>)> = Vec::new();
    for line in output.stdout.lines() {
        if let Some(name) = line.strip_prefix("Disassembly of section ") {
            let name = name.trim_end_matches(':').to_owned();
            sections.push((name, Vec::new()));
        } else if let Some((slot, text)) = line.split_once(":\t")
            && let Ok(slot) = slot.trim().parse()
            && let Some((_, lines)) = sections.last_mut()
        {
            lines.push((slot, text.trim().to_owned()));
        }
    }
    sections
}

/// What came of the code of one source.
#[derive(Default)]
struct Tally {
    functions: usize,
    compared: usize,
    /// Instructions that this LLVM has no text for: version 14 knows none of the kernel's later ones, and no stores of
    /// constants.
    unknown: usize,
    differences: Vec<String>,
}

fn compare(section: &Section, theirs: &[(usize, String)], tally: &mut Tally) {
    let mut slot = 0;
    let mut said = theirs.iter();
    while let Some(&insn) = section.insns.get(slot) {
        let second = insn.is_ld_imm64().then(|| section.insns[slot + 1]);
        let ours = ours(insn, second);
        let line = said.next();
        if line == Some(&(slot, "<unknown>".to_owned())) {
            tally.unknown += 1;
        } else {
            tally.compared += 1;
            if line.map(|(at, line)| (*at, kernel_syntax(line))) != Some((slot, ours.clone())) {
                tally
                    .differences
                    .push(format!("{} {slot}: {ours}; llvm: {line:?}", section.name));
            }
        }
        slot += if second.is_some() { 2 } else { 1 };
    }
    tally.functions += section.functions;
}

#[test]
fn every_program_says_what_llvm_says() {
    if !require_command("llvm-objdump") {
        return;
    }
    let mut differences = Vec::new();
    for source in sources() {
        let mut tally = Tally::default();
        for path in &source.objects {
            let theirs = disassemble(path);
            let sections = sections(path);
            assert_eq!(sections.len(), theirs.len(), "{}", path.display());
            for (section, (name, lines)) in sections.iter().zip(&theirs) {
                assert_eq!(section.name, *name, "{}", path.display());
                compare(section, lines, &mut tally);
            }
        }
        let _ = writeln!(
            std::io::stderr(),
            "{}: {} functions, {} instructions compared with llvm-objdump; it does not know {}",
            source.name,
            tally.functions,
            tally.compared,
            tally.unknown,
        );
        assert!(tally.unknown * 100 <= tally.compared, "{}", source.name);
        differences.extend(tally.differences);
    }
    assert!(
        differences.is_empty(),
        "{} differ:\n{}",
        differences.len(),
        differences.join("\n")
    );
}
