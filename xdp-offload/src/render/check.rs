//! What was found in an object.

use crate::json::check::{Cycles, Diagnostic, Program, Report, Verdict};
use crate::output::{BAD, GOOD, NAME, QUIET, styled, wrap};
use generic_fallback::plan::Plan;
use offload_compiler::isa::functions;

/// The whole report. `texts` is what was found in each program.
pub(crate) fn report(
    report: &Report,
    target: &str,
    texts: &[Vec<String>],
    plan: Option<&Plan>,
    width: usize,
) -> String {
    let mut out = String::new();
    for (program, texts) in report.programs.iter().zip(texts) {
        for text in texts {
            out.push_str(text);
            out.push('\n');
        }
        out.push_str(&self::program(
            program,
            target,
            report.device.is_some(),
            width,
        ));
    }
    if report
        .programs
        .iter()
        .any(|program| program.cycles.is_some())
    {
        out.push_str(&styled(
            QUIET,
            "cycles are assumed: no card was measured; they compare programs with each other\n",
        ));
    }
    if !report.maps.is_empty() {
        out.push_str("maps:\n");
        for map in &report.maps {
            out.push_str(&format!(
                "  {}: {}, key {} B, value {} B, {} entries\n",
                map.name, map.kind, map.key_size, map.value_size, map.max_entries
            ));
        }
    }
    if let (Some(device), Some(plan)) = (&report.device, plan) {
        let program = report.programs.first().map_or("", |first| &first.name);
        out.push_str(&super::attach::plan(&device.ifname, program, plan, width));
    }
    out
}

fn program(program: &Program, target: &str, on_device: bool, width: usize) -> String {
    let verdict = match program.verdict {
        Some(Verdict::Accept) => styled(GOOD, format!("{target} takes it")),
        Some(Verdict::Refuse) => styled(BAD, format!("{target} refuses it")),
        None => styled(QUIET, format!("whether {target} takes it cannot be told")),
    };
    let mut out = styled(NAME, &program.name);
    if !program.section.is_empty() {
        out += &format!(" (section {})", program.section);
    }
    out += &format!(": {verdict}");
    if let Some(insns) = program.insns {
        out += &format!("; {insns} instructions");
    }
    let helpers: Vec<String> = program
        .helpers
        .iter()
        .map(|&id| functions::name(id).map_or_else(|| format!("helper {id}"), str::to_owned))
        .collect();
    if let Some(offload) = program.offload.as_ref().filter(|_| on_device) {
        out += match offload.verdict {
            Verdict::Accept => "; it can be on the NIC",
            Verdict::Refuse => "; it cannot be on the NIC",
        };
    }
    if let (Some(words), Some(Cycles { min, max })) = (program.nfp_words, program.cycles) {
        out += &format!(", {words} NFP words, {}", cycles(min, max));
    }
    out.push('\n');
    if !helpers.is_empty() {
        out += &format!("  helpers: {}\n", wrap(&helpers.join(", "), 11, width));
    }
    if !program.maps.is_empty() {
        out += &format!("  maps: {}\n", wrap(&program.maps.join(", "), 8, width));
    }
    out
}

/// What a packet takes: the shortest and the longest way.
pub(crate) fn cycles(min: u64, max: Option<u64>) -> String {
    match max {
        Some(max) if max == min => format!("{min} cycles a packet"),
        Some(max) => format!("{min} to {max} cycles a packet"),
        None => format!("{min} cycles a packet or more, by its loops"),
    }
}

/// What the loader or the running kernel said.
pub(crate) fn diagnostic(found: &Diagnostic, width: usize) -> String {
    let severity = if found.severity == "error" {
        styled(BAD, "error")
    } else {
        styled(NAME, &found.severity)
    };
    let mut out = format!(
        "{severity}[{}]: {}\n",
        found.code,
        wrap(&found.message, 4, width)
    );
    match (&found.file, found.line, found.insn) {
        (Some(file), Some(line), insn) => {
            let column = found
                .column
                .map_or(String::new(), |column| format!(":{column}"));
            let insn = insn.map_or(String::new(), |insn| format!(" (instruction {insn})"));
            out += &format!("    --> {file}:{line}{column}{insn}\n");
        }
        (_, _, Some(insn)) => out += &format!("    --> instruction {insn}\n"),
        _ => {}
    }
    if let Some(source) = found.source.as_deref().filter(|source| !source.is_empty()) {
        out += &format!("    | {source}\n");
    }
    if let Some(help) = &found.help {
        out += &format!("    do: {}\n", wrap(help, 8, width));
    }
    out
}
