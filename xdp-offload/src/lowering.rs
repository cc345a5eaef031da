//! Programs lowered for a card: as an object, as instructions, as a report.

use crate::exit::{Exit, Failure};
use crate::json::check::{Diagnostic, Verdict};
use crate::json::compile;
use crate::nfp::{self, NotCompiled};
use crate::sources::Sources;
use crate::subject::Subject;
use nfp_target::target::Nfp;
use offload_compiler::diagnostic;
use offload_compiler::emit::Image;
use offload_compiler::lower::{Allow, Lowered, Options, lower, report};
use offload_compiler::object::{Linked, LinkedFunction, NewCode, Object};
use offload_compiler::target::{Program, Target};
use offload_compiler::verify::{Function, Prepared};
use std::collections::BTreeSet;
use std::fmt::Write;

/// Lowers a program, whether or not the card takes what comes of it.
///
/// # Errors
/// The verifier refuses the program as it is.
pub(crate) fn lowered(
    subject: &Subject,
    prepared: &Prepared,
    card: &Nfp,
    options: &Options,
) -> Result<Lowered, Failure> {
    let program = Program {
        input: &prepared.input(),
        frags: subject.frags,
    };
    lower(&program, card, options).map_err(|error| {
        Failure::new(Exit::No, format!("cannot lower '{}'", subject.name)).because(error)
    })
}

/// Says on stderr, at the source lines, why the card does not take a program even when lowered, and what would help.
pub(crate) fn refused(
    lowered: &Lowered,
    subject: &Subject,
    prepared: &Prepared,
    card: &Nfp,
    options: &Options,
    sources: &mut Sources,
) -> Failure {
    let found = NotCompiled::Refused(lowered.obstacles());
    let failure = nfp::refused(&found, subject, prepared, card, sources);
    match needed(subject, prepared, card, options) {
        Some(names) => failure.remedy(format!(
            "with --allow {names} it is rewritten so that the card takes it; `xdp-offload explain NAME` says what that \
             changes"
        )),
        None => failure,
    }
}

/// The names that have to be allowed beside those that are, so that the card takes the program.
pub(crate) fn needed(
    subject: &Subject,
    prepared: &Prepared,
    card: &Nfp,
    options: &Options,
) -> Option<String> {
    let mut all: Vec<Allow> = Allow::ALL.to_vec();
    // Handing a part to the host is the last resort.
    all.retain(|&allow| allow != Allow::Split);
    let with = |allow: BTreeSet<Allow>| {
        let options = Options {
            allow,
            ..options.clone()
        };
        let lowered = lowered(subject, prepared, card, &options).ok()?;
        lowered.is_accepted().then_some(lowered)
    };
    let lowered = with(all.into_iter().collect()).or_else(|| with(Allow::ALL.into()))?;
    Some(names(&lowered))
}

/// The names of all that had to be allowed, as `--allow` takes them.
pub(crate) fn names(lowered: &Lowered) -> String {
    let names: BTreeSet<&str> = lowered
        .rewrites
        .iter()
        .filter_map(|rewrite| rewrite.needs_allow)
        .map(Allow::name)
        .collect();
    names.into_iter().collect::<Vec<_>>().join(",")
}

/// Names that are all known, as the command line takes no others.
pub(crate) fn allowed(names: &[String]) -> BTreeSet<Allow> {
    names.iter().filter_map(|name| name.parse().ok()).collect()
}

/// That a lowered program cannot be written as an object.
pub(crate) fn cannot_write(subject: &Subject) -> Failure {
    Failure::new(Exit::Failed, format!("cannot write '{}'", subject.name))
}

/// The lowered program with the source lines of the original.
pub(crate) fn subject(original: &Subject, prepared: &Prepared, lowered: &Lowered) -> Subject {
    let layout = &lowered.layout;
    let name = |function: &Function| LinkedFunction {
        name: function.name.clone(),
        start: function.start,
        len: function.len,
    };
    let linked: Linked = original.linked.rewritten(NewCode {
        insns: layout.code.encode(),
        patches: Vec::new(),
        functions: layout.functions.iter().map(name).collect(),
        origins: layout.origins.clone(),
    });
    let used: BTreeSet<u32> = layout.map_at.values().map(|at| at.map).collect();
    Subject {
        name: original.name.clone(),
        section: original.section.clone(),
        frags: original.frags,
        linked,
        prepared: Ok(Prepared {
            code: layout.code.clone(),
            maps: layout.maps.clone(),
            map_at: layout.map_at.clone(),
            functions: layout.functions.clone(),
            ..prepared.clone()
        }),
        maps: used
            .iter()
            .filter_map(|&map| layout.maps.get(map as usize))
            .map(|map| map.name.clone())
            .collect(),
    }
}

/// The lowered program as an object, and what its user has to know beside it.
///
/// # Errors
/// It cannot be written.
pub(crate) fn object(
    object: &Object,
    program: usize,
    subject: &Subject,
    lowered: &Lowered,
) -> Result<(Vec<u8>, Vec<String>), Failure> {
    let cannot = || cannot_write(subject);
    let mut image = Image::new(object);
    image
        .add_lowered(program, &subject.linked, lowered)
        .map_err(|error| cannot().because(error))?;
    let bytes = image.write().map_err(|error| cannot().because(error))?;
    let mut notes = Vec::new();
    let filled = image
        .first_values()
        .map_err(|error| cannot().because(error))?;
    if !filled.is_empty() {
        notes.push(format!(
            "libbpf leaves these maps empty, so fill them: {}; xdp-offload attach does",
            filled.join(", ")
        ));
    }
    notes.extend(share(lowered));
    Ok((bytes, notes))
}

/// The lowered program as an object that was read again, and its index there.
///
/// # Errors
/// It cannot be written.
pub(crate) fn made(
    original: &Object,
    program: usize,
    subject: &Subject,
    lowered: &Lowered,
) -> Result<(Object, usize), Failure> {
    let (bytes, _) = object(original, program, subject, lowered)?;
    let made = Object::parse(&bytes).map_err(|error| cannot_write(subject).because(error))?;
    let mut programs = made.programs.iter();
    match programs.position(|made| made.name == subject.name) {
        Some(program) => Ok((made, program)),
        None => Err(cannot_write(subject)),
    }
}

/// What was done, each rewrite at its source line, and the figures.
pub(crate) fn text(
    subject: &Subject,
    prepared: &Prepared,
    card: &Nfp,
    lowered: &Lowered,
) -> String {
    let mut out = report(lowered, |slot| subject.linked.source_line(slot));
    let verdict = if lowered.is_accepted() {
        "takes it"
    } else {
        "does not take it"
    };
    let _ = writeln!(
        out,
        "{}: {} rewrites; {} instructions, were {}; {} {verdict}",
        subject.name,
        lowered.rewrites.len(),
        lowered.layout.code.len(),
        prepared.code.len(),
        card.name()
    );
    if let Some(share) = share(lowered) {
        let _ = writeln!(out, "{share}");
    }
    out
}

/// The same for scripts.
pub(crate) fn json(
    (subject, prepared): (&Subject, &Prepared),
    (card, options): (&Nfp, &Options),
    lowered: &Lowered,
) -> compile::Report {
    let line = |slot: Option<usize>| slot.and_then(|slot| subject.linked.source_line(slot));
    let rewrites = lowered.rewrites.iter().map(|rewrite| {
        let line = line(rewrite.at);
        compile::Rewrite {
            name: rewrite.pass,
            at: rewrite.at,
            file: line.as_ref().map(|line| line.file.clone()),
            line: line.map(|line| line.line),
            before: rewrite.before.clone(),
            after: rewrite.after.clone(),
            needs_allow: rewrite.needs_allow.map(Allow::name),
        }
    });
    let undone = lowered.undone.iter().map(|undone| compile::Undone {
        name: undone.pass,
        at: undone.why.insn,
        why: undone.why.to_string(),
    });
    let obstacles = lowered.obstacles();
    let diagnostics = obstacles.iter().map(|finding| {
        let found = diagnostic::Diagnostic::of(finding, &subject.linked, &prepared.code);
        Diagnostic::of(&found)
    });
    let unneeded = lowered.unneeded(options).into_iter().map(Allow::name);
    compile::Report {
        schema: "xdp-offload/compile/v1",
        program: subject.name.clone(),
        target: card.name(),
        verdict: if lowered.is_accepted() {
            Verdict::Accept
        } else {
            Verdict::Refuse
        },
        insns: prepared.code.len(),
        lowered_insns: lowered.layout.code.len(),
        rewrites: rewrites.collect(),
        undone: undone.collect(),
        nothing_to_do: unneeded.collect(),
        share: lowered.share.map(|share| compile::Share {
            decided: share.decided,
            paths: share.paths,
        }),
        diagnostics: diagnostics.collect(),
    }
}

/// What a split program decides on the card.
fn share(lowered: &Lowered) -> Option<String> {
    lowered.share.map(|share| {
        format!(
            "the card decides {} of {} paths; attach the original program natively beside it, it decides the others",
            share.decided, share.paths
        )
    })
}
