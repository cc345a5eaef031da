//! How time grows with a program's length.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use kernel::bpf::program::{Program, ProgramSpec};
use offload_compiler::isa::{Code, Insn};
use offload_compiler::verify::{Function, Input, verify};

use super::super::measure::{Runs, on_cpu};
use super::generated::{Shape, write_object};
use super::prevail::{Answer, Prevail};
use crate::error::{Error, Result, at};

const LENGTHS: [usize; 4] = [100, 1_000, 10_000, 100_000];
const ROUNDS: usize = 3;

pub(super) fn run(prevail: &Prevail) -> Result<()> {
    let folder = tempfile::tempdir().map_err(at(Path::new("a temporary folder")))?;
    println!(
        "{:<28} {:>8} {:>9} {:>9} {:>9} {:>9}",
        "shape", "insns", "followed", "verify", "load", "prevail"
    );
    for shape in Shape::ALL {
        for length in LENGTHS {
            let code = shape.program(length)?;
            let object = folder.path().join("generated.o");
            write_object(&code, &object)?;
            let insns = code.len();
            let (ours, followed) = verification(&code);
            let load = load(&code);
            // Both refuse a program that leaves more paths for later than BPF_COMPLEXITY_LIMIT_JMP_SEQ.
            if ours.is_some() != load.is_some() {
                return Err(Error::Wrong(format!(
                    "{}, {insns} instructions: only one of the kernel and us takes it",
                    shape.name()
                )));
            }
            // It takes seconds for what others do in a tenth of one; once will do.
            let prevail = match prevail.verify(&object, "xdp", "generated", 1)? {
                Answer::Accepts(runs) => per_instruction(runs.median(), insns),
                Answer::Refuses => "-".to_owned(),
                Answer::TooSlow => ">20 s".to_owned(),
            };
            println!(
                "{:<28} {insns:>8} {followed:>9} {:>9} {:>9} {prevail:>9}",
                shape.name(),
                if_taken(ours, insns),
                if_taken(load, insns),
            );
        }
    }
    Ok(())
}

fn if_taken(took: Option<Duration>, insns: usize) -> String {
    took.map_or("-".to_owned(), |took| per_instruction(took, insns))
}

fn per_instruction(took: Duration, insns: usize) -> String {
    format!("{:.3}", took.as_secs_f64() * 1e6 / f64::from(insns as u32))
}

/// Our median time, `None` where we refuse the program, and how many instructions were followed.
fn verification(code: &Code) -> (Option<Duration>, usize) {
    let functions = [Function {
        name: "generated".to_owned(),
        start: 0,
        len: code.len(),
        global: None,
    }];
    let map_at = HashMap::new();
    let input = Input::new(code, &[], &map_at, &functions);
    let mut runs = Runs::default();
    let mut followed = 0;
    for _ in 0..ROUNDS {
        let (verdict, took) = on_cpu(|| verify(&input));
        followed = verdict.processed;
        if !verdict.is_accepted() {
            return (None, followed);
        }
        runs.add(took);
    }
    (Some(runs.median()), followed)
}

/// The kernel's median time; `None` where it refuses the program.
fn load(code: &Code) -> Option<Duration> {
    let insns = Insn::write_all(&code.encode());
    let spec = ProgramSpec {
        name: "generated",
        insns: &insns,
        license: "GPL",
        ..ProgramSpec::default()
    };
    let mut runs = Runs::default();
    for _ in 0..ROUNDS {
        let (program, took) = on_cpu(|| Program::load(&spec));
        program.ok()?;
        runs.add(took);
    }
    Some(runs.median())
}
