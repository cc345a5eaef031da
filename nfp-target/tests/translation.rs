//! Our translations of programs that the driver accepts: all are made, each word is an instruction, and they are shorter
//! than the driver's. What they do is compared in `codegen.rs`.

use std::collections::BTreeMap;

use nfp_target::codegen::{Options, Refusal, compile};
use nfp_target::isa::decode;
use nfp_target::isa::reloc::relocate;
use nfp_target::profile::Profile;
use offload_compiler::isa::{Code, assemble};
use tests::nfp::{FIXED_WORDS, Unlinked, decisions, golden_text};

/// The programs that the driver accepts on the card `full`, by name.
fn accepted() -> BTreeMap<String, Unlinked> {
    decisions()
        .into_iter()
        .filter(|decision| decision.profile == "full" && decision.said == "accept")
        .filter_map(|decision| {
            let code = Code::decode(&decision.code).ok()?;
            Some((decision.id, Unlinked::new(code, decision.maps)?))
        })
        .collect()
}

fn assembled(source: &str) -> Unlinked {
    Unlinked::new(assemble(source).unwrap(), Vec::new()).unwrap()
}

#[test]
fn what_the_driver_accepts_is_translated_into_fewer_words() {
    let profile = Profile::default();
    let programs = accepted();
    let lengths = golden_text("lengths.tsv.xz");
    let (mut translated, mut refused, mut sum, mut named) = (0, Vec::new(), 0.0, 0);
    for line in lengths.lines() {
        let (id, words) = line.split_once('\t').unwrap();
        let Some(program) = programs.get(id) else {
            continue;
        };
        let image = match compile(&program.input(), &profile, Options::default()) {
            Ok(image) => image,
            Err(error) => {
                refused.push(format!("{id}: {error}"));
                continue;
            }
        };
        translated += 1;
        assert_eq!(image.words.len(), image.slots.len());
        for word in &image.words {
            assert!(decode(word.instruction).is_ok(), "{id}");
        }
        assert!(
            relocate(&image.words, &image.layout(&profile)).is_ok(),
            "{id}"
        );
        // The programs that people wrote.
        if id.contains(':') {
            let words: f64 = words.parse().unwrap();
            sum += (f64::from((image.words.len() - FIXED_WORDS) as u32)
                / (words - f64::from(FIXED_WORDS as u32)))
            .ln();
            named += 1;
        }
    }
    assert!(translated > 5_900, "{translated} translated");
    assert!(refused.is_empty(), "{}", refused.join("\n"));
    let mean = f64::exp(sum / f64::from(named));
    assert!(
        named >= 126 && mean <= 0.46,
        "{named} programs, {mean:.3} of the driver's words"
    );
}

#[test]
fn straight_translations_pass_the_checks_too() {
    let profile = Profile::default();
    for (id, program) in accepted().iter().filter(|(id, _)| id.contains(':')) {
        let image = compile(&program.input(), &profile, Options { optimise: false });
        assert!(image.is_ok(), "{id}: {image:?}");
    }
}

fn refusal(source: &str) -> (usize, Refusal) {
    let program = assembled(source);
    let error = compile(&program.input(), &Profile::default(), Options::default()).unwrap_err();
    (error.slot, error.why)
}

#[test]
fn what_is_not_translated_is_told_by_slot() {
    assert_eq!(
        refusal("r0 = *(u32 *)(r1 +12)\nexit"),
        (0, Refusal::ContextField { offset: 12 })
    );
    assert_eq!(refusal("r0 = 1\ncall 5\nexit"), (1, Refusal::Helper(5)));
    assert!(matches!(
        refusal("r0 = r7\nexit"),
        (0, Refusal::Verifier(_))
    ));
}

/// The words of a program, as assembly text, without those that every image has.
fn words(source: &str) -> Vec<String> {
    let program = assembled(source);
    let image = compile(&program.input(), &Profile::default(), Options::default()).unwrap();
    let own = &image.words[2..image.words.len() - 21];
    own.iter()
        .map(|word| decode(word.instruction).unwrap().to_string())
        .collect()
}

#[test]
fn a_known_verdict_needs_no_table() {
    assert_eq!(
        words("r0 = 2\nexit"),
        ["br[.15000], defer[1]", "immed[gprA_0, 0x1100, <<8]"]
    );
}

#[test]
fn a_bounds_check_compares_with_the_length() {
    let source = "r2 = *(u32 *)(r1 +0)\nr3 = *(u32 *)(r1 +4)\nr4 = r2\nr4 += 34\nif r4 > r3 goto +3\n\
        r0 = *(u8 *)(r2 +23)\nr0 &= 1\nexit\nr0 = 1\nexit";
    let words = words(source);
    assert_eq!(words[0], "alu[--, gprB_22, -, 0x22]");
    assert_eq!(
        words.iter().filter(|word| word.starts_with("mem")).count(),
        1
    );
}

#[test]
fn words_before_a_branch_take_its_slots() {
    let source = "r2 = *(u32 *)(r1 +0)\nr3 = *(u32 *)(r1 +4)\nr4 = r2\nr4 += 34\nif r4 > r3 goto +3\n\
        r0 = *(u8 *)(r2 +23)\nr0 &= 3\nexit\nr0 = 1\nexit";
    let words = words(source);
    // The verdict is put where it is expected on the way there.
    let is_filled = (0..words.len()).any(|at| {
        let mut slots = words[at + 1..].iter().take(2);
        words[at].starts_with("br[.15000], defer[") && slots.any(|word| word.contains("gprB_0"))
    });
    assert!(is_filled, "{words:#?}");
}
