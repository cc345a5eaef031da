//! What changed between two runs. Pure.

use schemars::JsonSchema;
use serde::Serialize;

use crate::filter::Filter;
use crate::results::{CellResult, Figure, Results, Status};
use crate::spec::Outcome;

/// How much longer than before a cell has to take to be called slower: this factor,
const SLOWER_FACTOR: u64 = 2;
/// and by this many milliseconds, which a busy machine does not explain.
const SLOWER_BY: u64 = 1000;

/// What a change means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// It passed and does not any more.
    Broken,
    /// It does not pass and nobody accepted that: it is not in the old run, was skipped there, or was known to be bad.
    NewFailure,
    /// It passes still, with another outcome or another measurement: `yes` became `no`, the largest MTU is another one.
    Changed,
    /// It ran and is not in the new run, or is skipped there.
    Gone,
    /// It passes at the second attempt only, and did not do so before.
    Flaky,
    /// It passed and does not any more, and the lab file says that this is known.
    KnownBad,
    /// It passes still, and its figure is worse by more than the check's factor; or it takes more than twice as long,
    /// and more than a second longer.
    Slower,
    /// It did not pass and does now.
    Fixed,
}

impl Kind {
    /// All of them, the worst first.
    pub const ALL: [Kind; 8] = [
        Kind::Broken,
        Kind::NewFailure,
        Kind::Changed,
        Kind::Gone,
        Kind::Flaky,
        Kind::KnownBad,
        Kind::Slower,
        Kind::Fixed,
    ];

    /// Whether the new run is worse for it. What is flaky, known or slow is told and does not fail a run.
    pub fn is_regression(self) -> bool {
        matches!(
            self,
            Kind::Broken | Kind::NewFailure | Kind::Changed | Kind::Gone
        )
    }

    /// The word used in tables.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Broken => "broken",
            Kind::NewFailure => "new failure",
            Kind::Changed => "changed",
            Kind::Gone => "gone",
            Kind::Flaky => "flaky",
            Kind::KnownBad => "known bad",
            Kind::Slower => "slower",
            Kind::Fixed => "fixed",
        }
    }
}

/// One cell that is not as it was.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Change {
    /// The cell's id.
    pub cell: String,
    /// What it means.
    pub kind: Kind,
    /// Status and outcome before; null if it was not there.
    pub before: Option<Seen>,
    /// Status and outcome now; null if it is not there.
    pub after: Option<Seen>,
    /// Why it is as it is now.
    pub reason: Option<String>,
}

/// What is compared of a cell in one run.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Seen {
    /// How it ended.
    pub status: Status,
    /// What came out.
    pub outcome: Option<Outcome>,
    /// What was measured.
    pub found: Option<String>,
    /// The number that was measured.
    pub figure: Option<Figure>,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
}

impl Seen {
    /// `pass (held: 1500..3506)`, or what got slower.
    pub fn describe(seen: Option<&Seen>, kind: Kind) -> String {
        let Some(seen) = seen else {
            return "absent".to_owned();
        };
        if kind == Kind::Slower {
            return match seen.figure {
                Some(figure) => format!("{:.2}, {} ms", figure.value, seen.duration_ms),
                None => format!("{} ms", seen.duration_ms),
            };
        }
        let status = seen.status.name();
        match (seen.outcome, &seen.found) {
            (Some(outcome), Some(found)) => format!("{status} ({}: {found})", outcome.name()),
            (Some(outcome), None) => format!("{status} ({})", outcome.name()),
            (None, _) => status.to_owned(),
        }
    }
}

impl From<&CellResult> for Seen {
    fn from(result: &CellResult) -> Seen {
        Seen {
            status: result.status,
            outcome: result.outcome,
            found: result.found.clone(),
            figure: result.figure,
            duration_ms: result.duration_ms,
        }
    }
}

/// Compares two runs. Cells that did not pass before and do not pass now are no change, and neither are those that the
/// later run's filter left out.
pub fn diff(base: &Results, new: &Results) -> Vec<Change> {
    let filter = new.header.filter.as_deref();
    let filter = filter.and_then(|text| Filter::parse(text).ok());
    let asked = |cell: &&CellResult| filter.as_ref().is_none_or(|filter| cell.is_in(filter));
    let before = base.cells.values().filter(asked).map(|cell| &cell.cell);
    let ids: std::collections::BTreeSet<&String> = before.chain(new.cells.keys()).collect();
    let mut changes: Vec<Change> = ids
        .into_iter()
        .filter_map(|id| {
            let (before, after) = (base.cells.get(id), new.cells.get(id));
            let reason = after.and_then(|result| result.reason.clone());
            let (before, after) = (before.map(Seen::from), after.map(Seen::from));
            Some(Change {
                cell: id.clone(),
                kind: kind(before.as_ref(), after.as_ref())?,
                before,
                after,
                reason,
            })
        })
        .collect();
    changes.sort_by(|a, b| (a.kind, &a.cell).cmp(&(b.kind, &b.cell)));
    changes
}

fn kind(before: Option<&Seen>, after: Option<&Seen>) -> Option<Kind> {
    // A skipped cell is as good as absent: neither says anything about the NIC.
    let ran = |seen: &&Seen| seen.status != Status::Skip;
    let (before, after) = match (before.filter(ran), after.filter(ran)) {
        (None, None) => return None,
        (Some(_), None) => return Some(Kind::Gone),
        (before, Some(after)) => (before, after),
    };
    let was = before.map(|seen| seen.status);
    match (was, after.status) {
        (Some(Status::Pass), Status::Pass) => same_status(before?, after),
        (None | Some(Status::Flaky), Status::Pass)
        | (Some(Status::Flaky), Status::Flaky)
        | (None, Status::KnownBad) => None,
        (Some(_), Status::Pass) => Some(Kind::Fixed),
        (_, Status::Flaky) => Some(Kind::Flaky),
        (Some(Status::Pass | Status::Flaky), Status::KnownBad) => Some(Kind::KnownBad),
        (Some(Status::Pass | Status::Flaky), _) => Some(Kind::Broken),
        (None, _) => Some(Kind::NewFailure),
        (Some(Status::KnownBad), after) if after.is_bad() => Some(Kind::NewFailure),
        (Some(_), _) => None,
    }
}

fn same_status(before: &Seen, after: &Seen) -> Option<Kind> {
    // A run of an earlier version may have measured nothing.
    let other =
        matches!((&before.found, &after.found), (Some(before), Some(after)) if before != after);
    if before.outcome != after.outcome || other {
        return Some(Kind::Changed);
    }
    (is_worse(before, after) || takes_longer(before, after)).then_some(Kind::Slower)
}

/// Whether the figure is worse by more than the factor that the check allows.
fn is_worse(before: &Seen, after: &Seen) -> bool {
    match (before.figure, after.figure) {
        (Some(before), Some(after)) => after.value * after.slower < before.value,
        _ => false,
    }
}

fn takes_longer(before: &Seen, after: &Seen) -> bool {
    after.duration_ms > before.duration_ms.saturating_mul(SLOWER_FACTOR)
        && after.duration_ms - before.duration_ms > SLOWER_BY
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::{Line, SCHEMA, read};
    use crate::spec::Mode;

    fn figure(value: f64) -> Figure {
        let slower = 1.5;
        Figure { value, slower }
    }

    #[test]
    fn what_the_filter_left_out_is_not_gone() {
        let results = |filter: Option<&str>, hosts: &[&str]| {
            let filter = serde_json::to_string(&filter).unwrap();
            let mut text = format!(
                r#"{{"event":"run","schema":"{SCHEMA}","lab":"l","started":0,"version":"0","kernel":"6","filter":{filter}}}"#
            );
            for host in hosts {
                let id = format!("{host}/eth0/-/native/probe");
                let cell = Line::Result(CellResult::new(id, Mode::Native, Status::Pass));
                text.push('\n');
                text.push_str(&serde_json::to_string(&cell).unwrap());
            }
            text.push('\n');
            read(text.as_bytes()).unwrap()
        };
        let base = results(None, &["a", "b", "c"]);
        let gone = |new: &Results| -> Vec<String> {
            diff(&base, new).into_iter().map(|it| it.cell).collect()
        };
        let [b, c] = ["b", "c"].map(|host| format!("{host}/eth0/-/native/probe"));
        assert_eq!(gone(&results(None, &["a"])), [b, c.clone()]);
        assert_eq!(
            gone(&results(Some("host=a | host=c"), &["a"])),
            [c],
            "it was asked for and did not run"
        );
    }

    #[test]
    fn each_pair_of_ends_has_its_meaning() {
        let seen = |status, outcome| {
            Some(Seen {
                status,
                outcome,
                found: None,
                figure: None,
                duration_ms: 700,
            })
        };
        let pass = seen(Status::Pass, Some(Outcome::Yes));
        let other = seen(Status::Pass, Some(Outcome::No));
        let skip = seen(Status::Skip, None);
        let cut = seen(Status::Interrupted, None);
        let fail = seen(Status::Fail, Some(Outcome::Refused));
        let flaky = seen(Status::Flaky, Some(Outcome::Yes));
        let known = seen(Status::KnownBad, Some(Outcome::Refused));
        let crash = seen(Status::Crash, None);
        let like_pass = |changed: fn(&mut Seen)| {
            let mut seen = pass.clone()?;
            changed(&mut seen);
            Some(seen)
        };
        let slow = like_pass(|seen| seen.duration_ms = 1701);
        let mtu = like_pass(|seen| seen.found = Some("1500..3506".into()));
        let less = like_pass(|seen| seen.found = Some("1500..3498".into()));
        let fast = like_pass(|seen| seen.figure = Some(figure(3.0)));
        let near = like_pass(|seen| seen.figure = Some(figure(2.1)));
        let worse = like_pass(|seen| seen.figure = Some(figure(1.9)));
        for (before, after, meaning) in [
            (&pass, &pass, None),
            (&mtu, &mtu, None),
            (&mtu, &less, Some(Kind::Changed)),
            (&pass, &mtu, None),
            (&fast, &near, None),
            (&fast, &worse, Some(Kind::Slower)),
            (&worse, &fast, None),
            (&pass, &other, Some(Kind::Changed)),
            (&pass, &slow, Some(Kind::Slower)),
            (&slow, &pass, None),
            (&pass, &fail, Some(Kind::Broken)),
            (&pass, &crash, Some(Kind::Broken)),
            (&pass, &cut, Some(Kind::Broken)),
            (&pass, &None, Some(Kind::Gone)),
            (&pass, &skip, Some(Kind::Gone)),
            (&pass, &flaky, Some(Kind::Flaky)),
            (&pass, &known, Some(Kind::KnownBad)),
            (&fail, &pass, Some(Kind::Fixed)),
            (&fail, &fail, None),
            (&fail, &cut, None),
            (&fail, &flaky, Some(Kind::Flaky)),
            (&fail, &known, None),
            (&flaky, &flaky, None),
            (&flaky, &pass, None),
            (&flaky, &fail, Some(Kind::Broken)),
            (&known, &known, None),
            (&known, &pass, Some(Kind::Fixed)),
            (&known, &fail, Some(Kind::NewFailure)),
            (&None, &pass, None),
            (&None, &known, None),
            (&None, &flaky, Some(Kind::Flaky)),
            (&skip, &fail, Some(Kind::NewFailure)),
            (&None, &None, None),
        ] {
            let is = kind(before.as_ref(), after.as_ref());
            assert_eq!(is, meaning, "{before:?} -> {after:?}");
        }
    }
}
