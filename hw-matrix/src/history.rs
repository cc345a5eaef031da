//! Earlier runs: how each went, and how healthy each host was in them.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::Path;

use crate::results::{self, Results, Status};

/// Most runs that are looked at, the latest ones.
pub const MAX_RUNS: usize = 20;
/// After this many runs in a row in which a host died or could not be used, it may die only once in the next.
const UNWELL_RUNS: usize = 3;

/// An earlier run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Past {
    /// Seconds since 1970-01-01 UTC.
    pub started: u64,
    /// How each cell ended.
    pub cells: BTreeMap<String, Status>,
    /// How each host was.
    pub hosts: BTreeMap<String, Health>,
}

/// A host in one run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Health {
    /// How often it died.
    pub deaths: usize,
    /// Whether it could not be used, from some time on.
    pub unusable: bool,
}

impl From<&Results> for Past {
    fn from(results: &Results) -> Past {
        let mut hosts: BTreeMap<String, Health> = BTreeMap::new();
        for (name, facts) in &results.hosts {
            hosts.entry(name.clone()).or_default().unusable = facts.error.is_some();
        }
        for result in results.cells.values() {
            if result.status == Status::Crash {
                hosts
                    .entry(result.parts()[0].to_owned())
                    .or_default()
                    .deaths += 1;
            }
        }
        let cells = results.cells.iter();
        Past {
            started: results.header.started,
            cells: cells
                .map(|(id, result)| (id.clone(), result.status))
                .collect(),
            hosts,
        }
    }
}

/// The runs in the folders of a folder (`DIR/*/results.jsonl`) that began before `before`, the oldest first. What is no
/// results file is left out: the folder is the user's.
///
/// # Errors
/// If the folder cannot be read.
pub fn read(folder: &Path, before: u64) -> io::Result<Vec<Past>> {
    let mut runs: Vec<Past> = Vec::new();
    for entry in fs::read_dir(folder)? {
        let Ok(file) = File::open(entry?.path().join("results.jsonl")) else {
            continue;
        };
        let Ok(results) = results::read(file) else {
            continue;
        };
        if results.header.started < before {
            runs.push(Past::from(&results));
            runs.sort_by_key(|run| run.started);
            if runs.len() > MAX_RUNS {
                runs.remove(0);
            }
        }
    }
    Ok(runs)
}

/// Hosts that died or could not be used in each of the last runs.
pub fn frail(past: &[Past]) -> Vec<String> {
    let Some((last, before)) = past.split_last() else {
        return Vec::new();
    };
    if past.len() < UNWELL_RUNS {
        return Vec::new();
    }
    let unwell = |run: &Past, host: &String| {
        let health = run.hosts.get(host);
        health.is_some_and(|health| health.deaths > 0 || health.unusable)
    };
    let earlier = &before[before.len() - (UNWELL_RUNS - 1)..];
    last.hosts
        .keys()
        .filter(|host| unwell(last, host) && earlier.iter().all(|run| unwell(run, host)))
        .cloned()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_frail_after_three_bad_runs_in_a_row() {
        let run = |started, deaths| Past {
            started,
            cells: BTreeMap::new(),
            hosts: BTreeMap::from([
                (
                    "a".to_owned(),
                    Health {
                        deaths,
                        unusable: false,
                    },
                ),
                (
                    "b".to_owned(),
                    Health {
                        deaths: 0,
                        unusable: started > 1,
                    },
                ),
            ]),
        };
        assert!(frail(&[]).is_empty());
        assert!(frail(&[run(1, 1), run(2, 1)]).is_empty());
        assert_eq!(frail(&[run(1, 1), run(2, 1), run(3, 2)]), ["a"]);
        assert_eq!(frail(&[run(1, 1), run(2, 1), run(3, 0), run(4, 1)]), ["b"]);
    }
}
