//! Parts of the corpus' objects, damaged: BTF, instructions, programs for the verifier; NFP words.

use object::{Object as _, ObjectSection as _};
use offload_compiler::object::{Environment, Object};
use tests::{Random, hostile};

const INPUTS: usize = 20_000;

/// Sections of all objects of the corpus: BTF, or code.
fn sections(wanted: impl Fn(&object::Section<'_, '_>) -> bool) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    for bytes in crate::objects() {
        let file = object::File::parse(&*bytes).expect("the corpus parses");
        let sections = file.sections().filter(&wanted);
        found.extend(sections.map(|section| section.data().expect("its bytes").to_vec()));
    }
    assert!(found.len() >= 20);
    found
}

/// Code, by whole instructions.
fn code() -> Vec<Vec<u8>> {
    sections(|section| section.kind() == object::SectionKind::Text && section.size() > 0)
}

/// Linked programs, whose maps are those of [`hostile::program`].
fn programs() -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    for bytes in crate::objects() {
        let object = Object::parse(&bytes).expect("the corpus parses");
        let linked = (0..object.programs.len())
            .filter_map(|program| object.link(program, &Environment::default()).ok());
        found.extend(linked.map(|linked| linked.with_fds(|_| 0)));
    }
    assert!(found.len() >= 20);
    found
}

/// One of these with up to eight bytes changed, or random bytes; gives how many of all were taken.
fn run(seed: u64, pieces: &[Vec<u8>], use_it: fn(&[u8]) -> bool) -> usize {
    let mut random = Random::new(seed);
    let mut taken = 0;
    for _ in 0..INPUTS {
        let bytes = if random.one_in(10) {
            let len = random.below(256) as usize;
            random.bytes(len)
        } else {
            let mut bytes = random.pick(pieces).clone();
            for _ in 0..random.below(9) {
                let at = random.below(bytes.len() as u64) as usize;
                bytes[at] = match random.below(4) {
                    0 => bytes[at] ^ 1 << random.below(8),
                    1 => bytes[at].wrapping_add(1),
                    2 => *random.pick(&[0, 0xff, 0x7f, 0x80]),
                    _ => random.next() as u8,
                };
            }
            bytes
        };
        taken += usize::from(use_it(&bytes));
    }
    taken
}

#[test]
fn types_are_read_or_refused() {
    let btf = sections(|section| section.name() == Ok(".BTF"));
    let read = run(5, &btf, hostile::btf);
    assert!((INPUTS / 20..INPUTS).contains(&read), "{read} were read");
}

#[test]
fn instructions_are_written_back_or_refused() {
    let decoded = run(6, &code(), hostile::instructions);
    assert!(
        (INPUTS / 20..INPUTS).contains(&decoded),
        "{decoded} decoded"
    );
}

#[test]
fn programs_are_refused_or_do_nothing_wrong() {
    let accepted = run(7, &programs(), hostile::program);
    assert!(
        (INPUTS / 20..INPUTS).contains(&accepted),
        "{accepted} were accepted"
    );
}

#[test]
fn words_of_the_nfp_are_written_back_or_refused() {
    let decoded = run(8, &code(), hostile::nfp);
    assert!(decoded > 0);
}
