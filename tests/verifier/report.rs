//! What the comparison found: a table, and each difference with both reasons.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;

use tests::workspace;

use crate::objects::Case;
use tests::kernel_answer::KernelAnswer;

/// Where programs come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Source {
    /// tests/corpus
    Corpus,
    /// Debian's xdp-tools
    XdpTools,
    /// XDP programs of the kernel's selftests and samples
    Selftests,
    /// The tests of the kernel's verifier, loaded as XDP whatever their type
    VerifierTests,
}

impl Source {
    fn title(self) -> &'static str {
        match self {
            Self::Corpus => "tests/corpus",
            Self::XdpTools => "Debian's xdp-tools",
            Self::Selftests => "XDP programs of the kernel's selftests and samples",
            Self::VerifierTests => "all of the kernel's verifier_*.c, loaded as XDP",
        }
    }

    /// Whether it is made of XDP programs; of others much is out of our reach, and what we do not model there says
    /// nothing about XDP.
    fn is_xdp(self) -> bool {
        self != Self::VerifierTests
    }
}

/// Programs of one source.
#[derive(Default)]
struct Row {
    both_accept: usize,
    both_refuse: usize,
    not_asked: usize,
    unsafe_accepted: Vec<String>,
    refused_wrongly: Vec<String>,
    not_modelled: Vec<String>,
}

/// All programs.
#[derive(Default)]
pub(crate) struct Report {
    rows: BTreeMap<Source, Row>,
    not_asked: Vec<String>,
}

impl Report {
    /// Counts programs.
    pub(crate) fn add(&mut self, source: Source, cases: Vec<Case>) {
        let row = self.rows.entry(source).or_default();
        for Case { name, kernel, ours } in cases {
            match (kernel, ours.accepts()) {
                (KernelAnswer::Accepts, true) => row.both_accept += 1,
                (KernelAnswer::Refuses(_), false) => row.both_refuse += 1,
                (KernelAnswer::Refuses(why), true) => {
                    row.unsafe_accepted
                        .push(format!("{name}: the kernel says: {why}"));
                }
                (KernelAnswer::Accepts, false) => {
                    let line = format!("{name}: {}", ours.reason());
                    if ours.is_unsupported() && !source.is_xdp() {
                        row.not_modelled.push(line);
                    } else {
                        row.refused_wrongly.push(line);
                    }
                }
                (KernelAnswer::NotAsked(why), _) => {
                    row.not_asked += 1;
                    self.not_asked.push(format!("{name}: {why}"));
                }
            }
        }
    }

    fn text(&self) -> String {
        let mut text = String::from(
            "| programs | accepted by both | refused by both | accepted wrongly | refused wrongly | not modelled | kernel not asked |\n\
             |---|---|---|---|---|---|---|\n",
        );
        for (source, row) in &self.rows {
            let _ = writeln!(
                text,
                "| {} | {} | {} | {} | {} | {} | {} |",
                source.title(),
                row.both_accept,
                row.both_refuse,
                row.unsafe_accepted.len(),
                row.refused_wrongly.len(),
                row.not_modelled.len(),
                row.not_asked,
            );
        }
        for share in self.shares() {
            let accepted = share.accepted.max(1);
            let tenths = (1000 * share.refused + accepted / 2) / accepted;
            let _ = writeln!(
                text,
                "\nOf the {} {} that the kernel accepts, {} are refused wrongly or not modelled: {}.{} % (limit {MOST_PERCENT} %).",
                share.accepted,
                share.of,
                share.refused,
                tenths / 10,
                tenths % 10
            );
        }
        let mut list = |title: &str, of: &dyn Fn(&Row) -> &[String]| {
            let lines: Vec<&String> = self.rows.values().flat_map(of).collect();
            if !lines.is_empty() {
                let _ = writeln!(text, "\n## {title}\n");
                for line in lines {
                    let _ = writeln!(text, "- {line}");
                }
            }
        };
        list("Accepted wrongly", &|row| &row.unsafe_accepted);
        list("Refused wrongly", &|row| &row.refused_wrongly);
        list("Not modelled, in programs of other types", &|row| {
            &row.not_modelled
        });
        if !self.not_asked.is_empty() {
            text.push_str("\n## Kernel not asked\n\n");
            for line in &self.not_asked {
                let _ = writeln!(text, "- {line}");
            }
        }
        text
    }

    /// Prints the table, writes the committed report with `BLESS=1`, and fails if a promise is broken.
    pub(crate) fn finish(&self) {
        let text = self.text();
        let _ = writeln!(std::io::stderr(), "{text}");
        if std::env::var_os("BLESS").is_some_and(|bless| bless == "1") {
            let release = kernel::host::KernelRelease::read().text;
            let path = workspace().join("docs/verifier-report.md");
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(
                &path,
                format!(
                    "# Our verifier and the kernel's\n\nEach program was loaded on Linux {release} and verified by us. Made by\n\
                     `BLESS=1 cargo test -p tests --test verifier`.\n\n{text}"
                ),
            )
            .unwrap();
        }
        let unsafe_accepted: Vec<&String> = self
            .rows
            .values()
            .flat_map(|row| &row.unsafe_accepted)
            .collect();
        assert!(
            unsafe_accepted.is_empty(),
            "accepted, but the kernel refuses: {unsafe_accepted:#?}"
        );
        for share in self.shares() {
            assert!(
                share.refused * 100 <= share.accepted * MOST_PERCENT,
                "of {} {} are refused wrongly, {MOST_PERCENT} % may be:\n{text}",
                share.of,
                share.refused,
            );
        }
    }

    /// What is refused wrongly of the programs that the kernel accepts; what is not modelled is refused.
    fn shares(&self) -> [Share; 2] {
        let count = |of, wanted: fn(Source) -> bool| {
            let mut share = Share {
                of,
                refused: 0,
                accepted: 0,
            };
            for row in self.rows.iter().filter(|(source, _)| wanted(**source)) {
                let refused = row.1.refused_wrongly.len() + row.1.not_modelled.len();
                share.refused += refused;
                share.accepted += row.1.both_accept + refused;
            }
            share
        };
        [
            count("XDP programs", Source::is_xdp),
            count("all programs", |_| true),
        ]
    }
}

/// Of the programs that the kernel accepts, at most so many in a hundred may be refused.
const MOST_PERCENT: usize = 3;

/// Programs that the kernel accepts, and those of them that are refused.
struct Share {
    of: &'static str,
    refused: usize,
    accepted: usize,
}
