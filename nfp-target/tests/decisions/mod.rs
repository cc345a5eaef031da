//! Decisions of the real driver, and ours about the same programs.

use nfp_target::accept::{Judgement, Reason, Stage, judge};
use nfp_target::profile::Profile;
use offload_compiler::isa::Code;
use tests::nfp::{Decision, Unlinked};

/// Our decision; none where the code is no eBPF.
pub(crate) fn judged(decision: &Decision, profile: &Profile) -> Option<Judgement> {
    // What does not decode, the kernel refuses before it asks the driver.
    let code = Code::decode(&decision.code).ok()?;
    let program = Unlinked::new(code, decision.maps.clone())?;
    Some(judge(&program.input(), profile))
}

/// The reason as the golden file writes it.
fn told(reason: &Reason) -> String {
    match (reason, reason.stage()) {
        // The file has the instruction, and the error of the driver's own where there is one.
        (Reason::Untranslatable { text, error, .. }, _) => {
            let error = if *error == -95 { 0 } else { *error };
            format!("translate: {text} (error {error})")
        }
        (Reason::CodeStore { words }, _) => format!("translate: code store full ({words} words)"),
        (_, Stage::Map) => reason.to_string(),
        _ => format!("[nfp] {reason}"),
    }
}

fn texts_agree(said: &str, first: Option<&str>, verified: bool) -> bool {
    if let Some((said, log)) = said
        .strip_prefix("map: ")
        .and_then(|said| said.split_once(" / "))
    {
        // What the kernel itself refuses has an errno and no text.
        return first.is_some_and(|first| {
            log.strip_prefix("NFP net bpf: ")
                .map_or(said.ends_with(first), |log| log == first)
        });
    }
    // A warning is the last that the driver says of a program that the verifier then refuses.
    let drivers = said.starts_with("[nfp] ") || said.starts_with("translate: ");
    if drivers && !said.starts_with("[nfp] warning") {
        return first == Some(said);
    }
    first.is_none() && !verified
}

/// Whether both decide alike, with the same reason; ours as text.
pub(crate) fn compare(decision: &Decision, profile: &Profile) -> (bool, String) {
    let ours = judged(decision, profile);
    let first = ours
        .as_ref()
        .and_then(|ours| ours.refusals.first().map(|first| told(&first.reason)));
    let verified = ours.as_ref().is_some_and(|ours| ours.verdict.is_accepted());
    let alike = if decision.said == "accept" {
        first.is_none() && verified
    } else {
        texts_agree(&decision.said, first.as_deref(), verified)
    };
    let error = ours.and_then(|ours| ours.verdict.error().map(ToString::to_string));
    (alike, format!("{first:?} {error:?}"))
}
