//! Our model of the driver's decisions against those of the real one (Linux 6.12.117): `tests/golden/nfp/README.md`.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::Read;
use std::path::Path;

use nfp_target::accept::{Judgement, judge};
use nfp_target::profile::Profile;
use offload_compiler::isa::{Callee, Code, Imm64, Insn, Instruction};
use offload_compiler::verify::{Function, Hook, Input, MapReference, MapShape, Rules};

/// A line of decisions.tsv: what the driver was given, and what it said.
struct Decision {
    profile: String,
    id: String,
    said: String,
    maps: Vec<MapShape>,
    code: Vec<Insn>,
}

fn decisions() -> Vec<Decision> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/nfp/decisions.tsv.xz");
    let mut text = String::new();
    lzma_rust2::XzReader::new(std::fs::File::open(path).unwrap(), false)
        .read_to_string(&mut text)
        .unwrap();
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
fn map(text: &str) -> MapShape {
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

fn judged(decision: &Decision, profile: &Profile) -> Option<Judgement> {
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
    let starts: Vec<usize> = starts.into_iter().collect();
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
        code: &code,
        maps: &decision.maps,
        map_at: &map_at,
        functions: &functions,
        hook: Hook::Interface,
        rules: Rules::default(),
    };
    Some(judge(&input, profile))
}

/// Where we are known to differ, and why: anything else is a failure, and so is one of these that agrees.
const KNOWN: &[(&str, &str)] = &[
    ("long_2500", CODE_STORE),
    ("long_4000", CODE_STORE),
    (
        "ptr_type_change",
        "Linux 6.12 takes the lookup of a constant index in an array for null, later ones know better",
    ),
    ("f1_00722", PATHS),
    ("f1_01269", PATHS),
    ("f1_01634", PATHS),
    ("f1_01826", PATHS),
    ("f1_02348", PATHS),
    ("f1_02409", PATHS),
];
const CODE_STORE: &str = "whether the code store is full takes the driver's translation";
const PATHS: &str =
    "the kernel leaves a path earlier or later, so a shift's amount is constant to one of us only";

#[test]
fn decisions_are_the_drivers() {
    let mut profiles: BTreeMap<String, Profile> = BTreeMap::new();
    let (mut accepted, mut refused, mut known, mut wrong) = (0, 0, 0, Vec::new());
    for decision in decisions() {
        let profile = profiles
            .entry(decision.profile.clone())
            .or_insert_with(|| Profile::shipped(&decision.profile).unwrap());
        let ours = judged(&decision, profile);
        let first = ours
            .as_ref()
            .and_then(|ours| ours.refusals.first().map(|first| first.reason.to_string()));
        let verified = ours.as_ref().is_some_and(|ours| ours.verdict.is_accepted());
        let said = &decision.said;
        let agree = if said == "accept" {
            accepted += 1;
            first.is_none() && verified
        } else {
            refused += 1;
            agrees(said, first.as_deref(), verified)
        };
        let expected = !KNOWN.iter().any(|(id, _)| *id == decision.id);
        known += usize::from(!expected);
        if agree != expected {
            let error = ours.and_then(|ours| ours.verdict.error().map(ToString::to_string));
            wrong.push(format!(
                "{}/{}: driver: {said}; ours: {first:?} {error:?}",
                decision.profile, decision.id
            ));
        }
    }
    println!(
        "{accepted} accepted, {refused} refused, {known} known to differ, {} others",
        wrong.len()
    );
    assert!(
        wrong.is_empty(),
        "{} are not as expected:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

fn agrees(said: &str, first: Option<&str>, verified: bool) -> bool {
    if let Some((_, text)) = said
        .strip_prefix("map: ")
        .and_then(|said| said.split_once(" / "))
    {
        let text = text
            .strip_prefix("NFP net bpf: ")
            .unwrap_or("cannot be offloaded");
        return first.is_some_and(|first| first.contains(text));
    }
    // A warning is the last that the driver says of a program that the verifier then refuses.
    if let Some(text) = said.strip_prefix("[nfp] ")
        && !text.starts_with("warning")
    {
        return first.is_some_and(|first| text.starts_with(first));
    }
    if said.starts_with("translate: ") {
        return first.is_some_and(|first| first.contains("is not translated"));
    }
    // The kernel's verifier.
    !verified
}

#[test]
fn a_refusal_says_where_and_what_to_do() {
    let decision = Decision {
        profile: String::new(),
        id: String::new(),
        said: String::new(),
        maps: vec![map("5 4 8 16 0 percpu")],
        code: offload_compiler::isa::assemble(
            "r0 = 7\nr0 %= 3\n*(u32 *)(r10 - 4) = 5\ncall 54\nr0 = 2\nexit",
        )
        .unwrap()
        .encode(),
    };
    let judgement = judged(&decision, &Profile::default()).unwrap();
    assert!(!judgement.is_accepted());
    let told: Vec<String> = judgement
        .refusals
        .iter()
        .map(|refusal| format!("{:?} {}", refusal.subject, refusal.reason))
        .collect();
    assert_eq!(
        told,
        [
            "Map(0) map type 5 cannot be offloaded",
            "Instruction(1) instruction 0x97 not supported",
            "Instruction(3) unsupported function id: 54",
        ],
        "the first is the driver's, the others would follow"
    );
    assert!(
        judgement
            .refusals
            .iter()
            .all(|refusal| !refusal.reason.help().is_empty())
    );
}

#[test]
fn how_far_a_program_looks_decides_about_its_attachment() {
    let code = "r2 = *(u32 *)(r1 + 0)\nr3 = *(u32 *)(r1 + 4)\nr4 = r2\nr4 += 1400\nif r4 > r3 goto +1\nr5 = *(u8 *)(r2 + 1399)\nr0 = 2\nexit";
    let decision = Decision {
        profile: String::new(),
        id: String::new(),
        said: String::new(),
        maps: Vec::new(),
        code: offload_compiler::isa::assemble(code).unwrap().encode(),
    };
    let judgement = judged(&decision, &Profile::default()).unwrap();
    assert_eq!(
        (judgement.is_accepted(), judgement.packet_reach),
        (true, 1399)
    );
    let near = Profile {
        packet_bytes: 224,
        ..Profile::default()
    };
    assert!(judgement.attaches(&Profile::default(), 1500));
    assert!(!judgement.attaches(&near, 1500));
    assert!(
        judgement.attaches(&near, 128),
        "no packet is longer than the MTU"
    );
}
