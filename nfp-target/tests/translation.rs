//! Our translations of programs that the driver accepts: all are made, each word is an instruction, and they are shorter
//! than the driver's. What they do is compared in `codegen.rs`.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::Read;
use std::path::Path;

use nfp_target::codegen::{Options, Refusal, compile};
use nfp_target::isa::decode;
use nfp_target::isa::reloc::relocate;
use nfp_target::profile::Profile;
use offload_compiler::isa::{Callee, Code, Imm64, Insn, Instruction, assemble};
use offload_compiler::verify::{Function, Input, MapReference, MapShape, Rules};

/// Words that every image has.
const FRAME: usize = 23;

fn golden(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../tests/golden/nfp")
        .join(name);
    let mut text = String::new();
    lzma_rust2::XzReader::new(std::fs::File::open(path).unwrap(), false)
        .read_to_string(&mut text)
        .unwrap();
    text
}

struct Program {
    code: Code,
    maps: Vec<MapShape>,
    map_at: HashMap<usize, MapReference>,
    functions: Vec<Function>,
}

impl Program {
    fn new(code: Code, maps: Vec<MapShape>) -> Self {
        let mut starts = BTreeSet::from([0]);
        let mut map_at = HashMap::new();
        for (slot, instruction) in code.iter() {
            match instruction {
                Instruction::Call(Callee::Local(distance)) => {
                    starts.insert(slot.checked_add_signed(*distance as isize + 1).unwrap());
                }
                Instruction::LoadImm64 {
                    value: Imm64::MapFd(map),
                    ..
                } => {
                    let map = *map as u32;
                    let value_offset = None;
                    map_at.insert(slot, MapReference { map, value_offset });
                }
                _ => {}
            }
        }
        let starts: Vec<usize> = starts.into_iter().collect();
        let functions = starts
            .iter()
            .enumerate()
            .map(|(index, &start)| Function {
                name: String::new(),
                start,
                len: starts.get(index + 1).copied().unwrap_or(code.len()) - start,
                global: None,
            })
            .collect();
        Self {
            code,
            maps,
            map_at,
            functions,
        }
    }

    fn input(&self) -> Input<'_> {
        Input {
            // The decisions are by Linux 6.12.
            rules: Rules {
                known_lookups: false,
                known_negations: false,
                ..Rules::default()
            },
            ..Input::new(&self.code, &self.maps, &self.map_at, &self.functions)
        }
    }
}

/// The programs that the driver accepts on the card `full`, by name.
fn accepted() -> BTreeMap<String, Program> {
    golden("decisions.tsv.xz")
        .lines()
        .filter_map(|line| {
            let [profile, kind, id, said, maps, code] = line.split('\t').collect::<Vec<_>>()[..]
            else {
                panic!("{line}");
            };
            if (profile, kind, said) != ("full", "xdp", "accept") {
                return None;
            }
            let maps = maps
                .split(';')
                .filter(|map| !map.is_empty())
                .map(|map| {
                    let fields: Vec<&str> = map.split(' ').collect();
                    let number = |index: usize| fields[index].parse::<u32>().unwrap();
                    MapShape {
                        kind: number(0),
                        key_size: number(1),
                        value_size: number(2),
                        max_entries: number(3),
                        flags: number(4),
                        ..MapShape::default()
                    }
                })
                .collect();
            let bytes: Vec<u8> = (0..code.len())
                .step_by(2)
                .map(|at| u8::from_str_radix(&code[at..at + 2], 16).unwrap())
                .collect();
            let code = Code::decode(&Insn::read_all(&bytes)).ok()?;
            Some((id.to_owned(), Program::new(code, maps)))
        })
        .collect()
}

fn is_limit(why: &Refusal) -> bool {
    matches!(
        why,
        Refusal::Flags
            | Refusal::AdjustVariable
            | Refusal::AdjustFar { .. }
            | Refusal::StackVariable
    )
}

#[test]
fn what_the_driver_accepts_is_translated_into_fewer_words() {
    let profile = Profile::default();
    let programs = accepted();
    let lengths = golden("lengths.tsv.xz");
    let (mut translated, mut refused, mut sum, mut named) = (0, 0, 0.0, 0);
    for line in lengths.lines() {
        let (id, words) = line.split_once('\t').unwrap();
        let Some(program) = programs.get(id) else {
            continue;
        };
        let image = match compile(&program.input(), &profile, Options::default()) {
            Ok(image) => image,
            Err(error) => {
                assert!(is_limit(&error.why), "{id}: {error}");
                refused += 1;
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
            sum += (f64::from((image.words.len() - FRAME) as u32)
                / (words - f64::from(FRAME as u32)))
            .ln();
            named += 1;
        }
    }
    assert!(
        translated > 50 * refused,
        "{translated} translated, {refused} refused"
    );
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
    let program = Program::new(assemble(source).unwrap(), Vec::new());
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
    assert_eq!(
        refusal("r2 = 4\ncall 65\nr0 = 1\nexit"),
        (1, Refusal::AdjustFar { delta: 4 })
    );
    assert!(matches!(
        refusal("r0 = r7\nexit"),
        (0, Refusal::Verifier(_))
    ));
}

/// The words of a program, as assembly text, without those that every image has.
fn words(source: &str) -> Vec<String> {
    let program = Program::new(assemble(source).unwrap(), Vec::new());
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
