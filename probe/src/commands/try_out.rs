//! `xdp-probe try`.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::{Output, find};
use crate::Error;
use crate::Result;
use crate::facts::collect;
use crate::render::trial;
use crate::trial::{What, check, run as run_trials};

pub(super) fn run(
    names: &[String],
    force: bool,
    only: &[What],
    netns: Option<&str>,
    out: &mut Output<'_>,
) -> Result<()> {
    let snapshot = collect()?;
    // All of them first: where one may not be tried, nothing is.
    let mut interfaces = Vec::new();
    for name in names {
        let facts = find(&snapshot, name)?;
        check(&snapshot, facts, force)?;
        interfaces.push(facts);
    }
    // A signal ends the trials after the present one has been undone.
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }
    let tried: &[What] = if only.is_empty() { &What::ALL } else { only };
    let mut vanished = None;
    for (number, facts) in interfaces.into_iter().enumerate() {
        let report = run_trials(&snapshot, facts, tried, &stop)?;
        if let Some(trial) = report.trials.iter().find(|trial| trial.vanished()) {
            vanished.get_or_insert(Error::Vanished {
                name: facts.link.name.clone(),
                during: trial.what.name(),
            });
        }
        if out.json {
            out.json(&trial::Try::new(&snapshot, netns, facts, report))?;
        } else {
            let width = out.width;
            let gap = if number > 0 { "\n" } else { "" };
            out.text(&format!("{gap}{}", trial::page(facts, &report, width)))?;
        }
    }
    vanished.map_or(Ok(()), Err)
}
