//! Decisions of the real driver, and ours about the same programs.

use std::collections::{BTreeSet, HashMap};

use nfp_target::accept::{Judgement, Reason, Stage, judge};
use nfp_target::profile::Profile;
use offload_compiler::isa::{Callee, Code, Imm64, Insn, Instruction};
use offload_compiler::verify::{Function, Input, MapReference, MapShape, Rules};

/// A line of decisions.tsv: what the driver was given, and what it said.
pub(crate) struct Decision {
    /// The card's profile.
    pub(crate) profile: String,
    /// The program's name.
    pub(crate) id: String,
    /// "accept", or why not.
    pub(crate) said: String,
    /// Its maps.
    pub(crate) maps: Vec<MapShape>,
    /// Its code.
    pub(crate) code: Vec<Insn>,
}

/// Reads lines of decisions.tsv.
pub(crate) fn parse(text: &str) -> Vec<Decision> {
    let decision = |line: &str| {
        let [profile, kind, id, said, maps, code] = line.split('\t').collect::<Vec<_>>()[..] else {
            panic!("{line}");
        };
        let maps = maps
            .split(';')
            .filter(|map| !map.is_empty())
            .map(map)
            .collect();
        let bytes: Vec<u8> = (0..code.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&code[at..at + 2], 16).unwrap())
            .collect();
        (kind == "xdp").then(|| Decision {
            profile: profile.into(),
            id: id.into(),
            said: said.into(),
            maps,
            code: Insn::read_all(&bytes),
        })
    };
    text.lines().filter_map(decision).collect()
}

/// `TYPE KEY VALUE MAX FLAGS NAME`
pub(crate) fn map(text: &str) -> MapShape {
    let fields: Vec<&str> = text.split(' ').collect();
    let number = |index: usize| fields[index].parse::<u32>().unwrap();
    MapShape {
        name: fields[5].into(),
        kind: number(0),
        key_size: number(1),
        value_size: number(2),
        max_entries: number(3),
        flags: number(4),
        ..MapShape::default()
    }
}

/// Our decision; none where the code is no eBPF.
pub(crate) fn judged(decision: &Decision, profile: &Profile) -> Option<Judgement> {
    // What does not decode, the kernel refuses before it asks the driver.
    let code = Code::decode(&decision.code).ok()?;
    let mut starts = BTreeSet::from([0]);
    let mut map_at = HashMap::new();
    for (slot, instruction) in code.iter() {
        match instruction {
            Instruction::Call(Callee::Local(distance)) => {
                starts.insert(slot.checked_add_signed(*distance as isize + 1)?);
            }
            Instruction::LoadImm64 {
                value: Imm64::MapFd(map),
                ..
            } => {
                map_at.insert(
                    slot,
                    MapReference {
                        map: *map as u32,
                        value_offset: None,
                    },
                );
            }
            _ => {}
        }
    }
    let starts: Vec<usize> = starts
        .into_iter()
        .filter(|&start| start < code.len())
        .collect();
    let functions: Vec<Function> = starts
        .iter()
        .enumerate()
        .map(|(index, &start)| Function {
            name: String::new(),
            start,
            len: starts.get(index + 1).copied().unwrap_or(code.len()) - start,
            global: None,
        })
        .collect();
    let input = Input {
        // The decisions are by Linux 6.12.
        rules: Rules {
            known_lookups: false,
            known_negations: false,
            ..Rules::default()
        },
        ..Input::new(&code, &decision.maps, &map_at, &functions)
    };
    Some(judge(&input, profile))
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
