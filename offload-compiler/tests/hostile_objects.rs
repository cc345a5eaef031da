//! Damaged objects end in an error or in code, never in a panic, in much time or in much memory. Each test damages the
//! corpus in one way, 30,000 times and always the same (the seeds are fixed).

use std::path::Path;
use std::time::{Duration, Instant};

use offload_compiler::object::btf::{Btf, BtfFeatures};
use offload_compiler::object::{Environment, GlobalValue, Object, map_kind};

const OBJECTS_PER_TEST: usize = 30_000;

/// No object of the corpus has 10 KB, so no damage to one should cost more than this, even unoptimised and on a busy
/// machine.
const LONGEST: Duration = Duration::from_secs(20);

/// Peak resident memory of the whole test, which runs all of this file's tests at once.
const MOST_MEMORY_KIB: u64 = 300 * 1024;

#[test]
fn bits_flip() {
    run(1, |random, bytes, _| {
        for _ in 0..=random.below(8) {
            let at = random.below(bytes.len());
            bytes[at] ^= 1 << random.below(8);
        }
    });
}

#[test]
fn the_file_is_cut_or_spliced_with_another() {
    run(2, |random, bytes, others| {
        let cut = random.below(bytes.len());
        match random.below(3) {
            0 => bytes.truncate(cut),
            1 => {
                let other = &others[random.below(others.len())];
                let from = random.below(other.len());
                let len = random.below(other.len() - from).min(bytes.len() - cut);
                bytes[cut..cut + len].copy_from_slice(&other[from..from + len]);
            }
            _ => {
                let len = random.below(bytes.len() - cut);
                let to = random.below(bytes.len() - len);
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
        for _ in 0..=random.below(3) {
            let header = table + random.below(sections) * 64;
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
            ][random.below(10)];
            let value = random.interesting(bytes.len() as u64);
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
        for _ in 0..=random.below(4) {
            let header = table + random.below(sections) * 64;
            let start = read(bytes, header + 24, 8) as usize;
            let size = read(bytes, header + 32, 8) as usize;
            if !TABLES.contains(&read(bytes, header + 4, 4))
                || size < 8
                || start + size > bytes.len()
            {
                continue;
            }
            let at = start + random.below(size / 4) * 4;
            let value = random.interesting(size as u64);
            write(bytes, at, value, 4);
        }
    });
}

/// Damages objects and reads, links and describes each as a loader would.
fn run(seed: u64, damage: impl Fn(&mut Random, &mut Vec<u8>, &[Vec<u8>])) {
    let corpus = corpus();
    let kernels: Vec<Btf> = corpus
        .iter()
        .filter_map(|bytes| Object::parse(bytes).ok()?.btf().cloned())
        .collect();
    let mut random = Random(seed);
    let mut readable = 0;
    for index in 0..OBJECTS_PER_TEST {
        let mut bytes = corpus[index % corpus.len()].clone();
        damage(&mut random, &mut bytes, &corpus);
        let started = Instant::now();
        readable += usize::from(use_as_a_loader_does(
            &bytes,
            &kernels[random.below(kernels.len())],
        ));
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

fn use_as_a_loader_does(bytes: &[u8], kernel: &Btf) -> bool {
    let Ok(mut object) = Object::parse(bytes) else {
        return false;
    };
    let symbols = |name: &str| Some(name.len() as u64);
    let own = object.btf().cloned();
    for kernel_btf in [None, Some(kernel), own.as_ref()] {
        let environment = Environment {
            kernel_btf,
            kernel_version: Some(6 << 16 | 12 << 8),
            kconfig: Some(
                "CONFIG_HZ=250\nCONFIG_BPF_SYSCALL=y\nCONFIG_DEFAULT_HOSTNAME=\"(none)\"\n",
            ),
            kernel_symbols: Some(&symbols),
            ..Environment::default()
        };
        for program in 0..object.programs.len() {
            object.requirements(program);
            object.needs_modules(program, kernel);
            let Ok(linked) = object.link(program, &environment) else {
                continue;
            };
            assert_eq!(linked.with_fds(|_| 3).len(), linked.insns.len() * 8);
            for insn in 0..linked.insns.len() {
                linked.source_line(insn);
            }
        }
    }
    if let Some(btf) = own {
        btf.to_kernel_bytes(BtfFeatures::default());
        btf.to_kernel_bytes(BtfFeatures::of_kernel(0));
        for id in (0..btf.type_count()).take(1000) {
            btf.c_name(id);
            btf.size_of(id);
        }
    }
    for map in &object.maps {
        map.max_entries_on(4, 4096);
        map.kernel_btf_types();
        assert!(map.kind != map_kind::PROG_ARRAY || map.inner.is_none());
    }
    let names: Vec<String> = object
        .globals()
        .iter()
        .filter(|global| object.maps[global.map].value_size < 1 << 20)
        .map(|global| global.name.clone())
        .collect();
    for name in names {
        object.set_global(&name, GlobalValue::Integer(1)).ok();
        object.set_global(&name, GlobalValue::Bytes(&[1; 8])).ok();
    }
    true
}

fn corpus() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/corpus");
    let mut paths: Vec<_> = std::fs::read_dir(folder)
        .expect("the corpus exists")
        .map(|entry| entry.expect("the corpus can be listed").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "o"))
        .collect();
    paths.sort();
    assert!(paths.len() >= 20, "the corpus is there");
    paths
        .iter()
        .map(|path| std::fs::read(path).expect("an object of the corpus"))
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

/// xorshift64*: small, and the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    /// Values at which checks tend to be wrong.
    fn interesting(&mut self, size: u64) -> u64 {
        match self.below(12) {
            0 => 0,
            1 => 1,
            2 => size,
            3 => size + 1,
            4 => size.wrapping_sub(1),
            5 => u64::MAX,
            6 => u64::from(u32::MAX),
            7 => i32::MAX as u64,
            8 => 1 << 63,
            9 => self.next() % (size + 64),
            10 => self.next() % 32,
            _ => self.next(),
        }
    }
}
