//! `xdp-probe try`.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::{Output, find};
use crate::Result;
use crate::facts::collect;
use crate::render::trial;
use crate::trial::{check, run as run_trials};

pub(super) fn run(
    name: &str,
    force: bool,
    netns: Option<&str>,
    out: &mut Output<'_>,
) -> Result<()> {
    let snapshot = collect()?;
    let facts = find(&snapshot, name)?;
    check(&snapshot, facts, force)?;
    // A signal ends the trials after the present one has been undone.
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }
    let report = run_trials(&snapshot, facts, &stop)?;
    if out.json {
        Ok(out.json(&trial::Try::new(&snapshot, netns, facts, report))?)
    } else {
        let width = out.width;
        Ok(out.text(&trial::page(facts, &report, width))?)
    }
}
