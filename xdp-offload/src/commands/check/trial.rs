//! `check --load`: the running kernel's verifier is asked.

use crate::json::check::{Diagnostic, Verdict};
use generic_fallback::load::{Binding, LoadError, Loader};
use generic_fallback::permission;
use offload_compiler::object::SourceLine;

/// What the running kernel says; no verdict where it could not be asked.
pub(super) fn load(
    loader: &Loader<'_>,
    program: usize,
    device: Option<u32>,
) -> (Option<Verdict>, Option<Diagnostic>) {
    let answer = match (loader.load(program, Binding::None), device) {
        (Err(error), Some(ifindex)) if error.needs_device() => {
            loader.load(program, Binding::Device(ifindex))
        }
        (answer, _) => answer,
    };
    match answer {
        Ok(_) => (Some(Verdict::Accept), None),
        Err(error) if error.needs_device() => {
            let found = not_asked(
                "it asks the driver for metadata, so the verifier has to know the device",
                "--dev IFACE names the device".to_owned(),
            );
            (None, Some(found))
        }
        Err(error) if error.is_permission() => {
            let found = not_asked(
                "the running kernel's verifier was not asked: not permitted",
                permission::remedy(),
            );
            (None, Some(found))
        }
        Err(error) => (Some(Verdict::Refuse), Some(of_load(&error))),
    }
}

fn not_asked(why: &str, remedy: String) -> Diagnostic {
    Diagnostic {
        severity: "note".to_owned(),
        help: Some(remedy),
        ..diagnostic("not-asked", why.to_owned(), None)
    }
}

/// A refused load as a diagnostic.
pub(super) fn of_load(error: &LoadError) -> Diagnostic {
    let plain = |code: &str| diagnostic(code, error.to_string(), None);
    match error {
        LoadError::Link { .. } => plain("link"),
        LoadError::Unreadable { .. } => plain("load"),
        LoadError::CreateMap { .. }
        | LoadError::FillMap { .. }
        | LoadError::PinnedMapDiffers { .. }
        | LoadError::Pin { .. }
        | LoadError::NeedsPin { .. } => plain("map"),
        LoadError::Program(refused) => match &refused.finding {
            None => plain("load"),
            Some(finding) => Diagnostic {
                insn: finding.insn,
                help: refused.lacks.as_ref().map(|lacks| {
                    format!(
                        "this kernel has no {lacks}: guard the access with bpf_core_field_exists()"
                    )
                }),
                ..diagnostic("verifier", finding.to_string(), refused.line.as_ref())
            },
        },
    }
}

fn diagnostic(code: &str, message: String, line: Option<&SourceLine>) -> Diagnostic {
    Diagnostic {
        code: code.to_owned(),
        severity: "error".to_owned(),
        message,
        insn: None,
        file: line.map(|line| line.file.clone()),
        line: line.map(|line| line.line),
        column: line.map(|line| line.column).filter(|&column| column != 0),
        source: line.map(|line| line.text.trim().to_owned()),
        notes: Vec::new(),
        help: None,
    }
}
