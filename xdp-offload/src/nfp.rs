//! Programs as words of an NFP: what the card takes, its words, and what they cost.

use crate::engine::{Place, Words};
use crate::exit::{Exit, Failure};
use crate::findings;
use crate::sources::Sources;
use crate::subject::Subject;
use nfp_target::codegen::{self, Image, Options};
use nfp_target::cost::Costs;
use nfp_target::estimate::Estimate;
use nfp_target::isa::Word;
use nfp_target::target::Nfp;
use nfp_target::words;
use offload_compiler::target::{Program, Target};
use offload_compiler::verify::{Code, Finding, MapReference, MapShape, Prepared, Severity};
use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// A card has room for 16384 words; comments are welcome.
const BIGGEST_WORDS: u64 = 16 << 20;

/// A program that was translated by our code generator.
pub(crate) struct Compiled {
    pub(crate) image: Image,
    pub(crate) estimate: Estimate,
}

/// Why a program has no words.
pub(crate) enum NotCompiled {
    /// The card cannot run it: all that the driver would say.
    Refused(Vec<Finding>),
    /// The driver would take it, and our code generator has no translation.
    Untranslated(Box<Finding>),
}

/// Translates a program for a card.
///
/// The card keeps the program's maps and takes its stack and its reach into the packet, or it does not, whoever
/// translates. What else the driver refuses is a limit of its translation, not of the card.
///
/// # Errors
/// Why it cannot be.
pub(crate) fn compile(
    subject: &Subject,
    prepared: &Prepared,
    card: &Nfp,
    options: Options,
) -> Result<Compiled, NotCompiled> {
    let input = prepared.input();
    let program = Program {
        input: &input,
        frags: subject.frags,
    };
    let refused: Vec<Finding> = card
        .check(&program)
        .findings
        .into_iter()
        .filter(|finding| finding.severity == Severity::Error)
        .collect();
    let (maps, map_at) = numbered(prepared);
    let mut input = prepared.input();
    input.maps = &maps;
    input.map_at = &map_at;
    match codegen::compile(&input, &card.profile, options) {
        Ok(_) if refused.iter().any(is_of_the_card) => Err(NotCompiled::Refused(refused)),
        Ok(image) => Ok(Compiled {
            estimate: Estimate::of(&image, &Costs::shipped()),
            image,
        }),
        Err(error) if refused.is_empty() => {
            Err(NotCompiled::Untranslated(Box::new(error.finding())))
        }
        Err(_) => Err(NotCompiled::Refused(refused)),
    }
}

/// The translation of a program, to be run by a simulated card.
///
/// # Errors
/// What the card cannot run is said on stderr, at its source lines.
pub(crate) fn translation(
    subject: &Subject,
    card: Nfp,
    sources: &mut Sources,
) -> Result<Words, Failure> {
    let prepared = decoded(subject)?;
    let compiled = compile(subject, prepared, &card, Options::default())
        .map_err(|found| refused(&found, subject, prepared, &card, sources))?;
    let place = |slot: usize| Place {
        slot,
        line: subject
            .linked
            .source_line(slot)
            .map(|line| format!("{}:{}", line.file, line.line)),
    };
    Ok(Words {
        places: (compiled.image.slots.iter())
            .map(|slot| slot.map(place))
            .collect(),
        code: compiled.image.words,
        profile: card.profile,
    })
}

/// What the verifier knows of a program.
pub(crate) fn decoded(subject: &Subject) -> Result<&Prepared, Failure> {
    subject.prepared.as_ref().map_err(|error| {
        Failure::new(Exit::No, format!("'{}' has no code", subject.name)).because(error)
    })
}

/// Says on stderr why a program has no words.
pub(crate) fn refused(
    why: &NotCompiled,
    subject: &Subject,
    prepared: &Prepared,
    card: &Nfp,
    sources: &mut Sources,
) -> Failure {
    let (found, failure) = match why {
        NotCompiled::Refused(found) => {
            let what = format!("{} cannot run '{}'", card.name(), subject.name);
            let failure = Failure::new(Exit::No, what)
                .remedy("`xdp-offload explain CODE` says more about each message above");
            (found.as_slice(), failure)
        }
        NotCompiled::Untranslated(finding) => {
            let what = format!("'{}' has no translation for {}", subject.name, card.name());
            let failure = Failure::new(Exit::No, what)
                .because("our code generator does not know it; the NIC's driver would take it")
                .remedy("--emit ebpf writes what the driver translates itself");
            (std::slice::from_ref(finding.as_ref()), failure)
        }
    };
    findings::say(found, &subject.linked, &prepared.code, sources);
    failure
}

/// Reads a file of words.
pub(crate) fn read_words(file: &Path) -> Result<Vec<Word>, Failure> {
    let failure = || {
        Failure::new(
            Exit::Usage,
            format!("cannot read words of {}", file.display()),
        )
    };
    let mut text = String::new();
    File::open(file)
        .and_then(|file| file.take(BIGGEST_WORDS).read_to_string(&mut text))
        .map_err(|error| failure().because(error))?;
    words::read(&text).map_err(|error| failure().because(error))
}

/// Whether a refusal of the driver holds for every translation.
fn is_of_the_card(finding: &Finding) -> bool {
    matches!(
        finding.code,
        Code::OffloadMap | Code::OffloadStack | Code::OffloadPacketReach
    )
}

/// The maps that the program uses, in their order: loaders make these, and words name them by their numbers from 1.
fn numbered(prepared: &Prepared) -> (Vec<MapShape>, HashMap<usize, MapReference>) {
    let used: BTreeSet<u32> = prepared.map_at.values().map(|at| at.map).collect();
    let number: HashMap<u32, u32> = used.iter().copied().zip(0..).collect();
    let maps = used
        .iter()
        .filter_map(|&map| prepared.maps.get(map as usize))
        .cloned()
        .collect();
    let map_at = prepared
        .map_at
        .iter()
        .map(|(&slot, &at)| {
            let map = number[&at.map];
            (slot, MapReference { map, ..at })
        })
        .collect();
    (maps, map_at)
}
