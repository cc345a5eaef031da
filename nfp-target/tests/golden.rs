//! The instruction set against words whose text and loaded form others made: see `tests/golden/nfp/README.md`.

use std::collections::HashSet;

use nfp_target::isa::reloc::{Layout, Relocation, relocate};
use nfp_target::isa::{Instruction, Word, asm, decode, ecc, encode};
use proptest::prelude::*;
use tests::nfp::{golden_text, translations};
use tests::workspace;

/// The (word, text) pairs of a compressed file.
fn pairs(name: &str) -> Vec<(Word, String)> {
    golden_text(name)
        .lines()
        .map(|line| {
            let (word, text) = line.split_once('\t').unwrap();
            (
                Word::from_bits(u64::from_str_radix(word, 16).unwrap()).unwrap(),
                text.to_owned(),
            )
        })
        .collect()
}

#[test]
fn every_word_of_the_driver_decodes_and_encodes_to_itself() {
    let pairs = pairs("words.tsv.xz");
    assert_eq!(pairs.len(), 38_530);
    for (word, text) in pairs {
        let instruction =
            decode(word.instruction).unwrap_or_else(|error| panic!("{word:x?} {text}: {error}"));
        assert_eq!(encode(&instruction), Ok(word.instruction), "{text}");
    }
}

#[test]
fn every_word_of_every_translation_is_among_them() {
    let known: HashSet<Word> = pairs("words.tsv.xz")
        .into_iter()
        .map(|pair| pair.0)
        .collect();
    let (mut programs, mut words) = (0, 0);
    for translation in translations() {
        programs += 1;
        words += translation.words.len();
        let strange = translation.words.iter().find(|word| !known.contains(word));
        assert_eq!(strange, None, "{}", translation.id);
    }
    assert!(
        programs > 6_000 && words > 800_000,
        "{programs} programs, {words} words"
    );
}

#[test]
fn every_word_of_the_driver_has_the_disassemblers_text_and_is_read_back_from_it() {
    for (word, text) in pairs("words.tsv.xz") {
        let instruction = decode(word.instruction).unwrap();
        assert_eq!(instruction.to_string(), text, "{word:x?}");
        assert_eq!(asm::parse(&text), Ok(instruction), "{text}");
    }
}

/// Words that the driver never writes: where our subset takes one, the disassembler reads it alike. Its text may
/// stand for several words that do the same, so reading it must give the text again, not the word.
#[test]
fn words_beside_those_of_the_driver_have_the_disassemblers_text() {
    let pairs = pairs("neighbours.tsv.xz");
    assert_eq!(pairs.len(), 20_000);
    for (word, text) in pairs {
        let instruction = decode(word.instruction).unwrap();
        assert_eq!(instruction.to_string(), text, "{word:x?}");
        assert_eq!(asm::parse(&text).map(|again| again.to_string()), Ok(text));
    }
}

#[test]
fn images_load_as_the_driver_loads_them() {
    let text = std::fs::read_to_string(workspace().join("tests/golden/nfp/loaded.txt")).unwrap();
    let mut kinds = std::collections::BTreeSet::new();
    for program in text.split("program ").skip(1) {
        let (head, body) = program.split_once('\n').unwrap();
        let fields: Vec<&str> = head.split(' ').collect();
        let number = |index: usize| fields[index].parse::<u16>().unwrap();
        let layout = Layout {
            start: number(1),
            out: number(2),
            abort: number(3),
            push_registers: number(4),
            pop_registers: number(5),
            next_packet: number(6),
            helpers: fields[7..]
                .iter()
                .map(|pair| {
                    pair.split_once('=')
                        .map(|(id, at)| (id.parse().unwrap(), at.parse().unwrap()))
                        .unwrap()
                })
                .collect(),
        };
        let (dumped, loaded): (Vec<Word>, Vec<u64>) = body
            .lines()
            .map(|line| {
                let (dumped, loaded) = line.split_once(' ').unwrap();
                let bits = |text| u64::from_str_radix(text, 16).unwrap();
                (Word::from_bits(bits(dumped)).unwrap(), bits(loaded))
            })
            .unzip();
        kinds.extend(dumped.iter().map(|word| word.relocation));
        assert_eq!(relocate(&dumped, &layout).unwrap(), loaded, "{head}");
    }
    assert_eq!(
        kinds.len(),
        Relocation::ALL.len(),
        "each kind occurs: {kinds:?}"
    );
}

#[test]
fn what_cannot_be_relocated_is_told_by_word() {
    let layout = Layout {
        start: 2048,
        out: 0,
        abort: 0,
        push_registers: 0,
        pop_registers: 0,
        next_packet: 100,
        helpers: vec![(1, 200)],
    };
    let wrong = |text: &str, relocation| {
        let instruction = encode(&asm::parse(text).unwrap()).unwrap();
        relocate(
            &[
                Word::plain(0xf0_000c_0300),
                Word {
                    instruction,
                    relocation,
                },
            ],
            &layout,
        )
        .unwrap_err()
        .to_string()
    };
    assert_eq!(
        wrong("nop", Relocation::Branch),
        "word 1: its relocation is for a branch, which it is not"
    );
    assert_eq!(
        wrong("rtn[gprA_21]", Relocation::Out),
        "word 1: its relocation is for a branch, which it is not"
    );
    assert_eq!(
        wrong("br[.3]", Relocation::Immediate),
        "word 1: its relocation is for a constant, which it is not"
    );
    assert_eq!(
        wrong("br[.15007]", Relocation::Helper),
        "word 1: the firmware has no helper 7"
    );
    assert_eq!(
        wrong("br[.16383]", Relocation::Branch),
        "word 1: address 18431 is out of range"
    );
    assert_eq!(
        wrong("immed[gprA_21, 0xfff0]", Relocation::Immediate),
        "word 1: address 67568 is out of range"
    );
}

#[test]
fn text_that_is_no_instruction_is_refused_with_what_is_wrong() {
    for (text, says) in [
        ("", "expected NAME[OPERANDS]"),
        ("frob[gprA_0]", "`frob` is no instruction"),
        ("alu[gprA_0, gprA_1, +]", "`alu` does not take 3 operands"),
        (
            "alu[gprA_0, gprA_1, +, gprA_2]",
            "both operands are registers of bank A",
        ),
        (
            "alu[gprA_0, gprA_32, +, 0x1]",
            "register 32 does not exist: the highest is 31",
        ),
        ("alu[gprA_0, gprA_1, +, 0x100]", "`0x100` is no operand"),
        ("alu[0x1, gprA_1, +, gprB_1]", "`0x1` cannot be written to"),
        (
            "alu[--, gprA_1, +, gprB_1], gpr_wrboth",
            "only a general register can be written in both banks",
        ),
        (
            "alu[gprA_0, --, +, gprB_1]",
            "the operation takes a left and a right operand",
        ),
        (
            "alu[gprA_0, *l$index0, +, *l$index2]",
            "cannot use local memory pointers 0 or 1 and 2 or 3 together",
        ),
        ("alu_shf[gprA_0, --, B, gprB_0, >>32]", "no such shift here"),
        (
            "alu_shf[gprA_0, --, B, *l$index0++, >>1]",
            "cannot change a local memory pointer",
        ),
        ("ld_field[gprA_0, 0121, gprB_0]", "`0121` is no byte mask"),
        ("ld_field[gprA_0, 1, gprB_0]", "`1` is no byte mask"),
        ("br[.16384]", "branch target 16384 is out of range"),
        ("br[.+5]", "`.+5` is no target"),
        ("br[.5], defer[4]", "defer 4 is out of range"),
        ("br[.5], gpr_wrboth", "`gpr_wrboth` cannot stand here"),
        (
            "mul_step[gprA_0, gprB_1], 16x16_step3",
            "expected start, a step",
        ),
        (
            "mem[read32_swap, $xfer_0, gprA_2, 0x80, 1], ctx_swap[sig1]",
            "constant 0x80 does not fit",
        ),
        (
            "mem[read32_swap, $xfer_0, gprA_2, 0x0, 9], ctx_swap[sig1]",
            "read32_swap 9 is out of range",
        ),
        ("immed[gprA_0, 0x12345]", "needs more than 16 bits"),
        ("*l$index0[3]", "`*l$index0` is no instruction"),
        ("alu[gprA_0, *l$index0[3, +, gprB_0", "expected `]`"),
    ] {
        let error = asm::parse(text).expect_err(text).to_string();
        assert!(error.contains(says), "{text}: {error}");
    }
}

proptest! {
    #[test]
    fn any_number_decodes_exactly_or_not_at_all(word in 0_u64..1 << 45) {
        if let Ok(instruction) = decode(word) {
            prop_assert_eq!(encode(&instruction), Ok(word));
            let text = instruction.to_string();
            let again = asm::parse(&text).map(|again| again.to_string());
            prop_assert_eq!(again, Ok(text));
        }
        prop_assert!(decode(word | 1 << 45).is_err());
        prop_assert_eq!(ecc::with_ecc(word) & ((1 << 45) - 1), word);
    }

    #[test]
    fn any_text_is_read_or_refused(text in "(alu|mem|br|immed|ld_field)?\\[[ -~]{0,60}\\][, a-z\\[\\]0-9]{0,20}") {
        if let Ok(instruction) = asm::parse(&text) {
            prop_assert!(instruction == Instruction::NOP || encode(&instruction).is_ok());
        }
    }
}
