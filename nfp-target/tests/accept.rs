//! Our model of the driver's decisions against those of the real one (Linux 6.12.117): `tests/golden/nfp/README.md`.

mod decisions;

use std::collections::{BTreeMap, HashMap};

use decisions::{compare, judged};
use nfp_target::accept::{Reason, Subject};
use nfp_target::profile::Profile;
use offload_compiler::diagnostic::{Diagnostic, Style, render};
use offload_compiler::isa::{Code, Insn};
use offload_compiler::object::Linked;
use offload_compiler::verify::{Input, MapReference};
use tests::nfp::{Decision, decisions, golden_text, map_shape};

/// Random programs where a shift's amount is known on the paths that the verifier walks: the kernel of the decisions
/// (6.12) leaves a path earlier or later than ours, and knows less of some ranges. Anything else is a failure, and so is one of these
/// that agrees.
const PATHS: &[&str] = &[
    "f1_00064", "f1_00632", "f1_00644", "f1_01269", "f1_01676", "f1_01826", "f1_02348", "f1_02415",
    "f1_02888",
];

#[test]
fn decisions_are_the_drivers() {
    let mut profiles: BTreeMap<String, Profile> = BTreeMap::new();
    let (mut asked, mut wrong) = (0, Vec::new());
    for decision in decisions() {
        let profile = profiles
            .entry(decision.profile.clone())
            .or_insert_with(|| Profile::shipped(&decision.profile).unwrap());
        let (alike, ours) = compare(&decision, profile);
        asked += 1;
        if alike == PATHS.contains(&decision.id.as_str()) {
            let Decision {
                profile, id, said, ..
            } = decision;
            wrong.push(format!("{profile}/{id}: driver: {said}; ours: {ours}"));
        }
    }
    assert_eq!(asked, 13_726);
    assert!(
        wrong.is_empty(),
        "{} are not as expected:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[test]
fn no_translation_is_shorter_than_the_least_number_of_words() {
    let text = golden_text("lengths.tsv.xz");
    let lengths: HashMap<&str, usize> = text
        .lines()
        .map(|line| {
            let (id, words) = line.split_once('\t').unwrap();
            (id, words.parse().unwrap())
        })
        .collect();
    let full = Profile::shipped("full").unwrap();
    let (mut least, mut words, mut counted) = (0, 0, 0);
    for decision in decisions()
        .iter()
        .filter(|decision| decision.profile == "full")
    {
        let Some(&length) = lengths.get(decision.id.as_str()) else {
            continue;
        };
        let judgement = judged(decision, &full).unwrap();
        if judgement.is_accepted() {
            assert!(judgement.least_words <= length, "{}", decision.id);
            least += judgement.least_words;
            words += length;
            counted += 1;
        }
    }
    assert!(counted > 5900, "{counted}");
    // A number that is far too low would never tell that a program cannot fit.
    assert!(least * 100 > words * 55, "{least} of {words}");
}

#[test]
fn a_refusal_says_where_and_what_to_do() {
    let decision = Decision {
        profile: String::new(),
        id: String::new(),
        said: String::new(),
        maps: vec![map_shape("5 4 8 16 0 percpu")],
        code: offload_compiler::isa::assemble(
            "r0 = 7\nr0 %= 3\n*(u32 *)(r10 - 4) = 5\nr2 = map[fd:0]\ncall 54\nr0 = 2\nexit",
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
            "Map(0) Invalid argument",
            "Instruction(1) instruction 0x97 not supported",
            "Instruction(5) unsupported function id: 54",
            "Instruction(2) Translation failed with error -95",
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

/// The driver's translation divides by the constant: a register that is 0 takes the host down (Linux 6.12), and so no golden
/// file has this.
#[test]
fn a_division_by_a_register_that_is_0_is_refused() {
    let decision = |divisor: &str| Decision {
        profile: String::new(),
        id: String::new(),
        said: String::new(),
        maps: Vec::new(),
        code: offload_compiler::isa::assemble(&format!("r1 = {divisor}\nr0 = 7\nr0 /= r1\nexit"))
            .unwrap()
            .encode(),
    };
    let told = |divisor| {
        let judgement = judged(&decision(divisor), &Profile::default()).unwrap();
        let refusals = judgement.refusals.into_iter();
        refusals
            .map(|refusal| (refusal.subject, refusal.reason))
            .collect::<Vec<_>>()
    };
    assert_eq!(told("3"), []);
    assert_eq!(told("0"), [(Subject::Instruction(2), Reason::DivisorZero)]);
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

/// Any byte string gets an answer: programs with some bits of some instructions flipped, and its findings as text.
#[test]
fn damaged_programs_get_an_answer_and_a_rendering() {
    let full = Profile::shipped("full").unwrap();
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = move || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random
    };
    let (mut decoded, mut refused) = (0, 0);
    for mut decision in decisions()
        .into_iter()
        .filter(|each| each.profile == "full")
    {
        for _ in 0..=next() % 3 {
            let at = next() as usize % decision.code.len();
            let bits = u64::from_le_bytes(decision.code[at].to_bytes()) ^ (1 << (next() % 64));
            decision.code[at] = Insn::from_bytes(bits.to_le_bytes());
        }
        let Ok(code) = Code::decode(&decision.code) else {
            continue;
        };
        let Some(judgement) = judged(&decision, &full) else {
            continue;
        };
        decoded += 1;
        let maps: HashMap<usize, MapReference> = HashMap::new();
        let input = Input::new(&code, &decision.maps, &maps, &[]);
        let linked = Linked::raw(decision.code.clone());
        for finding in judgement.findings(&input, &full, 1500) {
            refused += 1;
            let diagnostic = Diagnostic::of(&finding, &linked, &code);
            let style = Style {
                width: 80,
                colour: false,
            };
            let text = render(&diagnostic, &code, &mut |_| None, style);
            assert!(text.contains(finding.code.name()), "{text}");
        }
    }
    assert!(decoded > 1500 && refused > 500, "{decoded} {refused}");
}
