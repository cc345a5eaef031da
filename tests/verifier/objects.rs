//! Real programs: the corpus, Debian's xdp-tools, the kernel's selftests and samples, and all tests of the kernel's
//! verifier, whatever their type, loaded as XDP.

use std::fs;
use std::path::Path;

use generic_fallback::load::Loader;
use offload_compiler::object::{Object, ProgramKind};
use offload_compiler::verify::{Code, Verdict, verify};
use tests::kernel_answer::{self, KernelAnswer};
use tests::real_objects::{XDP_TOOLS, objects_in, selftests};
use tests::{require_root, workspace};

use crate::report::{Report, Source};

/// One program, judged by both.
pub(crate) struct Case {
    /// The object's file name and the program's.
    pub(crate) name: String,
    /// What the kernel says.
    pub(crate) kernel: KernelAnswer,
    /// What we say.
    pub(crate) ours: Ours,
}

/// What we say.
pub(crate) enum Ours {
    /// The verifier was asked.
    Verdict(Box<Verdict>),
    /// It means nothing, or cannot be linked.
    Refused(String),
}

impl Ours {
    /// Whether the program is safe as far as we know.
    pub(crate) fn accepts(&self) -> bool {
        matches!(self, Self::Verdict(verdict) if verdict.is_accepted())
    }

    /// Whether the program has something that we do not model.
    pub(crate) fn is_unsupported(&self) -> bool {
        matches!(self, Self::Verdict(verdict)
            if verdict.error().is_some_and(|finding| finding.code == Code::Unsupported))
    }

    /// Why it is refused.
    pub(crate) fn reason(&self) -> String {
        match self {
            Self::Verdict(verdict) => verdict
                .error()
                .map_or("accepted".into(), ToString::to_string),
            Self::Refused(why) => why.clone(),
        }
    }
}

/// Judges the XDP programs of an object; with `all_as_xdp`, its other programs too, as if they were XDP.
fn judge(path: &Path, all_as_xdp: bool) -> Vec<Case> {
    let file = path.file_stem().unwrap().display().to_string();
    let Ok(mut object) = Object::parse(&fs::read(path).unwrap()) else {
        return Vec::new();
    };
    for program in &mut object.programs {
        if all_as_xdp && !program.kind.is_xdp() {
            program.kind = ProgramKind::Xdp { frags: false };
        }
    }
    let loader = Loader::for_trial(&object, "verifier");
    let judge_one = |(index, program): (usize, &offload_compiler::object::Program)| Case {
        name: format!("{file} {}", program.name),
        kernel: kernel_answer::of_program(&loader, index),
        ours: match loader.prepare(index) {
            Ok((_, Ok(prepared))) => Ours::Verdict(Box::new(verify(&prepared.input()))),
            Ok((_, Err(error))) => Ours::Refused(error.to_string()),
            Err(error) => Ours::Refused(error.to_string()),
        },
    };
    object
        .programs
        .iter()
        .enumerate()
        .filter(|(_, program)| program.kind.is_xdp())
        .map(judge_one)
        .collect()
}

fn judge_all(folder: &Path, all_as_xdp: bool) -> Vec<Case> {
    let only = std::env::var("ONLY").unwrap_or_default();
    objects_in(folder)
        .iter()
        .filter(|path| path.display().to_string().contains(&only))
        .flat_map(|path| judge(path, all_as_xdp))
        .collect()
}

#[test]
fn nothing_unsafe_is_accepted_and_little_is_refused_wrongly() {
    if !require_root() {
        return;
    }
    let mut report = Report::default();
    let corpus = workspace().join("tests/corpus");
    report.add(Source::Corpus, judge_all(&corpus, false));
    report.add(Source::Corpus, judge_all(&corpus.join("bad"), false));
    for folder in XDP_TOOLS {
        report.add(Source::XdpTools, judge_all(Path::new(folder), false));
    }
    if let Some(selftests) = selftests() {
        report.add(
            Source::Selftests,
            judge_all(&selftests.join("objects"), false),
        );
        report.add(
            Source::VerifierTests,
            judge_all(&selftests.join("verifier"), true),
        );
    }
    report.finish();
}
