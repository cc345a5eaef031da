//! Programs that are there already: on the interface in another mode, or on a device above it.

use kernel::netlink::link::Mode;

use super::{Case, Evidence, EvidenceKind, Obstacle, Support, limits};

/// Yes, because a program runs in `mode` right now.
pub(super) fn running(case: &Case<'_>, mode: Mode) -> Option<Support> {
    let id = case.facts.link.xdp.get(mode)?;
    let mut notes = vec![format!(
        "program {id} is attached already: a new one has to replace it (--replace)"
    )];
    notes.extend(
        (mode == Mode::Native)
            .then(|| limits::outgrown(case))
            .flatten(),
    );
    Some(Support::Yes {
        evidence: vec![Evidence::new(
            EvidenceKind::Attached,
            format!("program {id} is attached in {mode} mode"),
        )],
        notes,
    })
}

/// What keeps any program from being attached in `mode`.
pub(super) fn obstacle(case: &Case<'_>, mode: Mode) -> Option<Obstacle> {
    upper(case).or_else(|| exclusive(case, mode))
}

/// `dev_xdp_attach` (net/core/dev.c) refuses with EEXIST while a device above has a program in any mode.
fn upper(case: &Case<'_>) -> Option<Obstacle> {
    let upper = case
        .snapshot
        .uppers(case.facts)
        .find(|upper| !upper.link.xdp.is_empty())?;
    let name = &upper.link.name;
    Some(Obstacle::observed(
        format!("{name} above {} has an XDP program", case.name()),
        format!(
            "{name} lies above {} and has a program; the kernel allows only one of them one",
            case.name()
        ),
        format!("detach the program of {name} first: xdp-offload detach {name}"),
    ))
}

/// Native and generic mode exclude each other (EEXIST).
fn exclusive(case: &Case<'_>, mode: Mode) -> Option<Obstacle> {
    let other = match mode {
        Mode::Native => Mode::Generic,
        Mode::Generic => Mode::Native,
        Mode::Offload => return None,
    };
    let id = case.facts.link.xdp.get(other)?;
    if case.needs.replace {
        return None;
    }
    Some(Obstacle::observed(
        format!("program {id} is attached in {other} mode"),
        format!(
            "program {id} is attached in {other} mode, and native and generic mode exclude each other"
        ),
        format!(
            "detach it first: xdp-offload detach {} --mode {other}",
            case.name()
        ),
    ))
}
