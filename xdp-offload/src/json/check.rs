//! `check --json`.

use super::attach::PlannedRung;
use offload_compiler::diagnostic;
use offload_compiler::verify::Severity;
use schemars::JsonSchema;
use serde::Serialize;

/// What was found in an object.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(title = "xdp-offload/check/v1")]
pub struct Report {
    /// "xdp-offload/check/v1"
    pub schema: &'static str,
    /// The object's path as it was given.
    pub object: String,
    /// What the object was checked for: "kernel" (the running one), "kernel:5.15", "nfp:full".
    pub target: String,
    /// The programs that were checked.
    pub programs: Vec<Program>,
    /// The maps that the object defines.
    pub maps: Vec<MapDefinition>,
    /// Which mode would hold on `--dev`.
    pub device: Option<Device>,
}

/// A program.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Program {
    /// Its name.
    pub name: String,
    /// Its section.
    pub section: String,
    /// Whether the target takes it; null: the check does not model what it does, and the kernel was not asked.
    pub verdict: Option<Verdict>,
    /// Whether the NIC takes it, where the target or the interface of `--dev` is one that runs programs.
    pub offload: Option<Offload>,
    /// Instructions, with all subprograms that it calls.
    pub insns: Option<usize>,
    /// Words of our translation for the target, with its entry and exit; null where the target is no NFP or refuses.
    pub nfp_words: Option<usize>,
    /// What a packet takes of a microengine, as that translation is estimated: no card was measured.
    pub cycles: Option<Cycles>,
    /// The helpers that it calls, by the kernel's numbers, ascending.
    pub helpers: Vec<i32>,
    /// The maps that it uses, by name.
    pub maps: Vec<String>,
    /// What was found.
    pub diagnostics: Vec<Diagnostic>,
}

/// Cycles of a microengine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Cycles {
    /// The shortest way through the program.
    pub min: u64,
    /// The longest; null where there is a loop, whose rounds are not counted.
    pub max: Option<u64>,
}

/// What a NIC does with a program.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Offload {
    /// Whether its driver takes it as it is.
    pub verdict: Verdict,
    /// What was rewritten to make it fit.
    pub rewrites: Vec<Rewrite>,
}

impl Offload {
    /// The answer about a program that nothing was rewritten in.
    pub fn as_it_is(verdict: Verdict) -> Self {
        Self {
            verdict,
            rewrites: Vec::new(),
        }
    }
}

/// A rewrite of a program.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Rewrite {
    /// Its name, for `xdp-offload explain`.
    pub name: String,
    /// The slot.
    pub at: usize,
    /// It changes what user space sees, so it has to be allowed.
    pub needs_allow: bool,
}

/// Whether the target takes a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It does.
    Accept,
    /// It does not.
    Refuse,
}

/// Something found in a program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Diagnostic {
    /// A stable name.
    pub code: String,
    /// "error", "warning" or "note".
    pub severity: String,
    /// What is wrong.
    pub message: String,
    /// The slot in the program with its subprograms.
    pub insn: Option<usize>,
    /// The source file, as the compiler was given it.
    pub file: Option<String>,
    /// The line, from 1.
    pub line: Option<u32>,
    /// The column, from 1.
    pub column: Option<u32>,
    /// The line's text.
    pub source: Option<String>,
    /// What was known there, other places that have to do with it, the path that leads there.
    pub notes: Vec<String>,
    /// What to do.
    pub help: Option<String>,
}

impl Diagnostic {
    /// The form for scripts.
    pub fn of(found: &diagnostic::Diagnostic) -> Self {
        let line = found.line.as_ref();
        Self {
            code: found.code.name().to_owned(),
            severity: match found.severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
            }
            .to_owned(),
            message: found.message.clone(),
            insn: Some(found.insn),
            file: line.map(|line| line.file.clone()),
            line: line.map(|line| line.line),
            column: line.map(|line| line.column).filter(|&column| column != 0),
            source: line.map(|line| line.text.trim().to_owned()),
            notes: found.notes(),
            help: found.help.clone(),
        }
    }
}

/// A map that the object defines.
#[derive(Debug, Serialize, JsonSchema)]
pub struct MapDefinition {
    /// Its name.
    pub name: String,
    /// Its kind, as bpftool names it.
    pub kind: String,
    /// Bytes of a key.
    pub key_size: u32,
    /// Bytes of a value.
    pub value_size: u32,
    /// The most entries it holds.
    pub max_entries: u32,
}

/// What an interface would do with the first program.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Device {
    /// Its index.
    pub ifindex: u32,
    /// The interface.
    pub ifname: String,
    /// The best mode that is expected to hold.
    pub best: Option<super::Mode>,
    /// The rungs of the ladder, best first.
    pub rungs: Vec<PlannedRung>,
}
