//! What each pass makes of small programs, and that they do the same afterwards: `tests/lower/NAME.txt` holds programs and what becomes of them on a target
//! that takes as little as possible. `BLESS=1` writes the second halves.
//!
//! A case is a heading `== TITLE`, `optimise` or nothing, settings (`allow NAME,..`, `lacks HELPER`, `ifindex NUMBER`, `mtu BYTES`), maps
//! (`map KIND KEY VALUE ENTRIES [CONSTANT as hex]`), the program, `->`, and what became of it: the rewrites and the program.

mod equal;

use std::collections::{BTreeSet, HashMap};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use offload_compiler::isa::{Callee, Code, Imm64, Instruction, assemble};
use offload_compiler::lower::{Forms, LowerError, Lowered, Options, lower, report};
use offload_compiler::object::SourceLine;
use offload_compiler::target::{Availability, Limits, Need, Program, Target};
use offload_compiler::verify::{
    Code as FindingCode, Finding, Function, Input, MapReference, MapShape, Verdict, verify,
};

/// Takes no more than version 1 of the instruction set, and of that as little as a card.
#[derive(Default)]
struct Strict {
    /// A helper that it has not.
    lacks: Option<i32>,
}

impl Target for Strict {
    fn name(&self) -> String {
        "strict".to_owned()
    }

    fn has(&self, _: Need) -> Availability {
        Availability::Unknown
    }

    fn limits(&self) -> Limits {
        Limits {
            instructions: 4096,
            complexity: 1_000_000,
            stack: 512,
        }
    }

    fn forms(&self) -> Forms {
        Forms {
            offloaded: true,
            store_immediate: false,
            version_4: false,
            to_little: false,
            remainder: false,
            wide_arithmetic: false,
            atomics: false,
            map_flags: false,
            negative_offsets: false,
            helper: |id| matches!(id, 1 | 2 | 3 | 7 | 25 | 44 | 65),
            any_argument: false,
            mixed_pointers: false,
            variable_stack: false,
            callers_stack: false,
            value_addresses: false,
            value_stores: false,
            stack: 512,
            frame_alignment: 64,
        }
    }

    fn check(&self, program: &Program<'_>) -> Verdict {
        let mut verdict = verify(program.input);
        for (slot, instruction) in program.input.code.iter() {
            if let Instruction::Call(Callee::Helper(helper)) = *instruction
                && self.lacks == Some(helper)
            {
                let finding = Finding::error(FindingCode::OffloadHelper, slot, "not here");
                verdict.findings.push(finding);
            }
        }
        verdict
    }
}

fn map(index: usize, text: &str) -> MapShape {
    let fields: Vec<&str> = text.split(' ').collect();
    let number = |at: usize| fields[at].parse().unwrap();
    MapShape {
        name: format!("m{index}"),
        kind: number(0),
        key_size: number(1),
        value_size: number(2),
        max_entries: number(3),
        constant: fields.get(4).map(|hex| {
            let bytes = hex.as_bytes().chunks(2);
            bytes
                .map(|two| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap())
                .collect()
        }),
        ..MapShape::default()
    }
}

fn map_references(code: &Code) -> HashMap<usize, MapReference> {
    code.iter()
        .filter_map(|(slot, instruction)| match *instruction {
            Instruction::LoadImm64 {
                value: Imm64::MapFd(map),
                ..
            } => Some((slot, map, None)),
            Instruction::LoadImm64 {
                value: Imm64::MapValueFd { fd, offset },
                ..
            } => Some((slot, fd, Some(offset))),
            _ => None,
        })
        .map(|(slot, map, value_offset)| {
            let map = map as u32;
            (slot, MapReference { map, value_offset })
        })
        .collect()
}

fn functions(code: &Code) -> Vec<Function> {
    let mut starts = BTreeSet::from([0]);
    for (slot, instruction) in code.iter() {
        if let Instruction::Call(Callee::Local(distance)) = instruction {
            starts.insert((slot + 1).checked_add_signed(*distance as isize).unwrap());
        }
    }
    let ends = starts.iter().skip(1).copied().chain([code.len()]);
    let ranges: Vec<(usize, usize)> = starts.iter().copied().zip(ends).collect();
    ranges
        .into_iter()
        .map(|(start, end)| Function {
            name: String::new(),
            start,
            len: end - start,
            global: None,
        })
        .collect()
}

/// A program of a golden file, and what is asked of the compiler.
struct Case {
    code: Code,
    maps: Vec<MapShape>,
    target: Strict,
    options: Options,
}

impl Case {
    fn of(source: &str) -> Self {
        let optimise = source.starts_with("optimise\n");
        let source = source.strip_prefix("optimise\n").unwrap_or(source);
        let after = |start: &'static str| {
            let mut lines = source.lines();
            lines.find_map(move |line| line.strip_prefix(start))
        };
        let allow = after("allow ")
            .into_iter()
            .flat_map(|names| names.split(','));
        let target = Strict {
            lacks: after("lacks ").map(|number| number.parse().unwrap()),
        };
        let options = Options {
            optimise,
            allow: allow.map(|name| name.parse().unwrap()).collect(),
            ifindex: after("ifindex ").map(|number| number.parse().unwrap()),
            mtu: after("mtu ").map(|number| number.parse().unwrap()),
        };
        let (maps, text): (Vec<&str>, Vec<&str>) = source
            .lines()
            .filter(|line| {
                let settings = ["allow ", "lacks ", "ifindex ", "mtu "];
                !settings.iter().any(|setting| line.starts_with(setting))
            })
            .partition(|line| line.starts_with("map "));
        let maps: Vec<MapShape> = maps
            .iter()
            .enumerate()
            .map(|(index, line)| map(index, &line[4..]))
            .collect();
        let code = assemble(&text.join("\n")).unwrap_or_else(|error| panic!("{error}"));
        Self {
            code,
            maps,
            target,
            options,
        }
    }

    fn lowered(&self) -> Result<Lowered, LowerError> {
        let (map_at, functions) = (map_references(&self.code), functions(&self.code));
        let input = Input::new(&self.code, &self.maps, &map_at, &functions);
        let program = Program {
            input: &input,
            frags: false,
        };
        lower(&program, &self.target, &self.options)
    }
}

fn lowered(source: &str) -> String {
    let lowered = match Case::of(source).lowered() {
        Ok(lowered) => lowered,
        Err(error) => return format!("{error}\n"),
    };
    let mut out = String::new();
    for rewrite in &lowered.rewrites {
        let at = rewrite.at.map_or("-".to_owned(), |at| at.to_string());
        let (before, after) = (rewrite.before.join("; "), rewrite.after.join("; "));
        let _ = writeln!(out, "{} {at}: {before} -> {after}", rewrite.pass);
    }
    for undone in &lowered.undone {
        let _ = writeln!(out, "undone {}: {}", undone.pass, undone.why);
    }
    if let Some(error) = lowered.verdict.error() {
        let _ = writeln!(out, "refused: {error}");
    }
    if let Some(share) = lowered.share {
        let _ = writeln!(out, "decides {} of {} paths", share.decided, share.paths);
    }
    for map in &lowered.program.maps {
        if !map.changes.is_empty() {
            let (name, kind, value) = (&map.shape.name, map.shape.kind, map.shape.value_size);
            let _ = writeln!(out, "{name}: kind {kind}, value {value}, {:?}", map.changes);
        }
    }
    for (slot, instruction) in lowered.layout.code.iter() {
        let map = lowered.layout.map_at.get(&slot);
        let map = map.map_or(String::new(), |map| format!(" (map {})", map.map));
        let _ = writeln!(out, "{slot:4}: {instruction}{map}");
    }
    out
}

fn files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lower");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "txt"))
        .collect();
    files.sort();
    files
}

/// The title of each case of a file, and its source.
fn cases(text: &str) -> Vec<(String, String)> {
    let cases = format!("\n{text}");
    let cases = cases.split("\n== ").skip(1).map(|case| {
        let (title, rest) = case.split_once('\n').unwrap();
        let source = rest.split("\n->").next().unwrap();
        (title.to_owned(), source.to_owned())
    });
    cases.collect()
}

#[test]
fn each_pass_makes_of_small_programs_what_was_read_and_kept() {
    let bless = std::env::var_os("BLESS").is_some_and(|bless| bless == "1");
    let files = files();
    assert!(!files.is_empty());
    for path in files {
        let kept = std::fs::read_to_string(&path).unwrap();
        let mut now = String::new();
        for (title, source) in cases(&kept) {
            let _ = write!(now, "== {title}\n{source}\n->\n{}\n", lowered(&source));
        }
        let now = format!("{}\n", now.trim_end());
        if bless {
            std::fs::write(&path, now).unwrap();
        } else {
            assert!(
                now == kept,
                "{} differs (BLESS=1 accepts the new text)\n--- now\n{now}",
                path.display()
            );
        }
    }
}

#[test]
fn a_report_shows_each_rewrite_at_its_source_line() {
    let code = assemble("w0 = 1\n*(u32 *)(r10 - 4) = 7\nr0 = 2\nexit").unwrap();
    let (map_at, functions) = (HashMap::new(), functions(&code));
    let input = Input::new(&code, &[], &map_at, &functions);
    let program = Program {
        input: &input,
        frags: false,
    };
    let lowered = lower(&program, &Strict::default(), &Options::default()).unwrap();
    let text = report(&lowered, |slot| {
        (slot == 1).then(|| SourceLine {
            file: "a.c".to_owned(),
            line: 3,
            column: 5,
            text: "    seen = 7;".to_owned(),
        })
    });
    assert_eq!(
        text,
        "unused-results, instruction 0\n  - w0 = 1\n\
         store-immediate, instruction 1, a.c:3: seen = 7;\n  - *(u32 *)(r10 -4) = 7\n  + w0 = 7\n  + *(u32 *)(r10 -4) = r0\n"
    );
}
