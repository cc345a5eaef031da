//! What strangers may hand us ends in an error or in an answer, never in a panic, in much time or in much memory. The
//! inputs are always the same (the seeds are fixed). Objects are the corpus, damaged in one way
//! a test.

mod pieces;

use std::time::{Duration, Instant};

use tests::{Random, corpus, corpus_names, hostile};

const OBJECTS_PER_TEST: usize = 10_000;

/// No object of the corpus has 10 KB, so no damage to one should cost more than this, even unoptimised and on a busy
/// machine.
const LONGEST: Duration = Duration::from_secs(20);

/// Peak resident memory of the whole test, which runs all of this file's tests at once.
const MOST_MEMORY_KIB: u64 = 300 * 1024;

#[test]
fn bits_flip() {
    run(1, |random, bytes, _| {
        for _ in 0..=below(random, 8) {
            let at = below(random, bytes.len());
            bytes[at] ^= 1 << below(random, 8);
        }
    });
}

#[test]
fn the_file_is_cut_or_spliced_with_another() {
    run(2, |random, bytes, others| {
        let cut = below(random, bytes.len());
        match below(random, 3) {
            0 => bytes.truncate(cut),
            1 => {
                let other = &others[below(random, others.len())];
                let from = below(random, other.len());
                let len = below(random, other.len() - from).min(bytes.len() - cut);
                bytes[cut..cut + len].copy_from_slice(&other[from..from + len]);
            }
            _ => {
                let len = below(random, bytes.len() - cut);
                let to = below(random, bytes.len() - len);
                bytes.copy_within(cut..cut + len, to);
            }
        }
    });
}

#[test]
fn section_headers_lie() {
    run(3, |random, bytes, _| {
        let table = read(bytes, 0x28, 8) as usize;
        let sections = read(bytes, 0x3c, 2) as usize;
        for _ in 0..=below(random, 3) {
            let header = table + below(random, sections) * 64;
            let (field, size) = [
                (0, 4),
                (4, 4),
                (8, 8),
                (16, 8),
                (24, 8),
                (32, 8),
                (40, 4),
                (44, 4),
                (48, 8),
                (56, 8),
            ][below(random, 10)];
            let value = interesting(random, bytes.len() as u64);
            write(bytes, header + field, value, size);
        }
    });
}

#[test]
fn tables_hold_nonsense() {
    // Symbols, relocations, BTF and BTF.ext are tables of words.
    const TABLES: [u64; 4] = [2, 9, 1, 8];
    run(4, |random, bytes, _| {
        let table = read(bytes, 0x28, 8) as usize;
        let sections = read(bytes, 0x3c, 2) as usize;
        for _ in 0..=below(random, 4) {
            let header = table + below(random, sections) * 64;
            let start = read(bytes, header + 24, 8) as usize;
            let size = read(bytes, header + 32, 8) as usize;
            if !TABLES.contains(&read(bytes, header + 4, 4))
                || size < 8
                || start + size > bytes.len()
            {
                continue;
            }
            let at = start + below(random, size / 4) * 4;
            let value = interesting(random, size as u64);
            write(bytes, at, value, 4);
        }
    });
}

/// Damages objects and uses each.
fn run(seed: u64, damage: impl Fn(&mut Random, &mut Vec<u8>, &[Vec<u8>])) {
    let objects = objects();
    let mut random = Random::new(seed);
    let mut readable = 0;
    for index in 0..OBJECTS_PER_TEST {
        let mut bytes = objects[index % objects.len()].clone();
        damage(&mut random, &mut bytes, &objects);
        let started = Instant::now();
        readable += usize::from(hostile::object(&bytes));
        let took = started.elapsed();
        assert!(
            took < LONGEST,
            "object {index} of seed {seed} took {took:?}"
        );
    }
    // Were all refused at the door, nothing behind it would have been tried.
    assert!(
        readable > OBJECTS_PER_TEST / 20,
        "only {readable} of {OBJECTS_PER_TEST} could be read"
    );
    let peak = peak_memory_kib();
    assert!(peak < MOST_MEMORY_KIB, "{peak} KiB of memory were used");
}

/// Below a number that may be 0.
fn below(random: &mut Random, end: usize) -> usize {
    random.below(end.max(1) as u64) as usize
}

/// Values at which checks tend to be wrong.
fn interesting(random: &mut Random, size: u64) -> u64 {
    match random.below(12) {
        0 => 0,
        1 => 1,
        2 => size,
        3 => size + 1,
        4 => size.wrapping_sub(1),
        5 => u64::MAX,
        6 => u64::from(u32::MAX),
        7 => i32::MAX as u64,
        8 => 1 << 63,
        9 => random.below(size + 64),
        10 => random.below(32),
        _ => random.next(),
    }
}

fn objects() -> Vec<Vec<u8>> {
    let names = corpus_names();
    assert!(names.len() >= 20, "the corpus is there");
    names
        .iter()
        .map(|name| std::fs::read(corpus(name)).expect("an object of the corpus"))
        .collect()
}

fn peak_memory_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("procfs is mounted");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok())
        .expect("the kernel tells peak memory")
}

fn read(bytes: &[u8], at: usize, size: usize) -> u64 {
    let mut word = [0; 8];
    word[..size].copy_from_slice(&bytes[at..at + size]);
    u64::from_le_bytes(word)
}

fn write(bytes: &mut [u8], at: usize, value: u64, size: usize) {
    bytes[at..at + size].copy_from_slice(&value.to_le_bytes()[..size]);
}
