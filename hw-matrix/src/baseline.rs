//! What changed between two runs. Pure.

use schemars::JsonSchema;
use serde::Serialize;

use crate::results::{CellResult, Results, Status};
use crate::spec::Outcome;

/// What a change means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// It passed and does not any more.
    Broken,
    /// It passes still, with another outcome: `yes` became `no`, a mode came or went.
    Changed,
    /// It ran and is not in the new run, or is skipped there.
    Gone,
    /// It did not pass and does now.
    Fixed,
    /// It is not in the old run, or was skipped there, and does not pass: a failure that nobody accepted.
    NewFailure,
}

impl Kind {
    /// Whether the new run is worse for it.
    pub fn is_regression(self) -> bool {
        self != Kind::Fixed
    }

    /// The word used in tables.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Broken => "broken",
            Kind::Changed => "changed",
            Kind::Gone => "gone",
            Kind::Fixed => "fixed",
            Kind::NewFailure => "new failure",
        }
    }
}

/// One cell that is not as it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
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

/// Status and outcome of a cell in one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Seen {
    /// How it ended.
    pub status: Status,
    /// What came out.
    pub outcome: Option<Outcome>,
}

impl From<&CellResult> for Seen {
    fn from(result: &CellResult) -> Seen {
        Seen {
            status: result.status,
            outcome: result.outcome,
        }
    }
}

/// Compares two runs. Cells that did not pass before and do not pass now are no change.
pub fn diff(base: &Results, new: &Results) -> Vec<Change> {
    let ids: std::collections::BTreeSet<&String> =
        base.cells.keys().chain(new.cells.keys()).collect();
    let mut changes: Vec<Change> = ids
        .into_iter()
        .filter_map(|id| {
            let (before, after) = (base.cells.get(id), new.cells.get(id));
            let kind = kind(before.map(Seen::from), after.map(Seen::from))?;
            Some(Change {
                cell: id.clone(),
                kind,
                before: before.map(Seen::from),
                after: after.map(Seen::from),
                reason: after.and_then(|result| result.reason.clone()),
            })
        })
        .collect();
    changes.sort_by(|a, b| (a.kind, &a.cell).cmp(&(b.kind, &b.cell)));
    changes
}

fn kind(before: Option<Seen>, after: Option<Seen>) -> Option<Kind> {
    // A skipped cell is as good as absent: neither says anything about the NIC.
    let ran = |seen: Option<Seen>| seen.filter(|seen| seen.status != Status::Skip);
    let passed = |seen: Seen| seen.status == Status::Pass;
    match (ran(before), ran(after)) {
        (None, None) => None,
        (Some(_), None) => Some(Kind::Gone),
        (None, Some(after)) => (!passed(after)).then_some(Kind::NewFailure),
        (Some(before), Some(after)) => match (passed(before), passed(after)) {
            (true, false) => Some(Kind::Broken),
            (false, true) => Some(Kind::Fixed),
            (true, true) => (before.outcome != after.outcome).then_some(Kind::Changed),
            (false, false) => None,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_pair_of_ends_has_its_meaning() {
        let seen = |status, outcome| Some(Seen { status, outcome });
        let pass = seen(Status::Pass, Some(Outcome::Yes));
        let other = seen(Status::Pass, Some(Outcome::No));
        let skip = seen(Status::Skip, None);
        let cut = seen(Status::Interrupted, None);
        let fail = seen(Status::Fail, Some(Outcome::Refused));
        assert_eq!(kind(pass, pass), None);
        assert_eq!(kind(pass, other), Some(Kind::Changed));
        assert_eq!(kind(pass, fail), Some(Kind::Broken));
        assert_eq!(kind(pass, cut), Some(Kind::Broken));
        assert_eq!(kind(pass, None), Some(Kind::Gone));
        assert_eq!(kind(pass, skip), Some(Kind::Gone));
        assert_eq!(kind(fail, pass), Some(Kind::Fixed));
        assert_eq!(kind(fail, fail), None);
        assert_eq!(kind(fail, cut), None);
        assert_eq!(kind(None, pass), None);
        assert_eq!(kind(skip, fail), Some(Kind::NewFailure));
        assert_eq!(kind(None, None), None);
    }
}
