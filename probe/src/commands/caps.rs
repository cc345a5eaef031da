//! `xdp-probe caps`.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::{Output, find};
use crate::caps::run as measure;
use crate::facts::collect;
use crate::render::caps;
use crate::{Error, Result};

pub(super) fn run(
    name: &str,
    file: Option<&Path>,
    netns: Option<&str>,
    out: &mut Output<'_>,
) -> Result<()> {
    let snapshot = collect()?;
    let facts = find(&snapshot, name)?;
    // A signal ends it after the present trial; what is loaded goes with the process in any case.
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }
    let report = measure(&snapshot, facts, &stop)?;
    let profile = report
        .profile
        .as_deref()
        .map(|entries| caps::toml(&snapshot, facts, entries));
    match (file, &profile) {
        (Some(path), Some(profile)) => {
            fs::write(path, profile).map_err(|error| Error::File {
                path: path.display().to_string(),
                kind: error.kind(),
            })?;
        }
        (Some(_), None) => {
            return Err(Error::NoProfile {
                name: facts.link.name.clone(),
            });
        }
        (None, _) => {}
    }
    if out.json {
        return Ok(out.json(&caps::Caps::new(&snapshot, netns, facts, &report))?);
    }
    let Some(profile) = profile.filter(|_| file.is_none()) else {
        let width = out.width;
        return Ok(out.text(&caps::page(facts, &report, width))?);
    };
    // One text that is a profile, with what people want to know before it.
    for line in caps::page(facts, &report, None).lines() {
        out.text(&format!("# {line}\n"))?;
    }
    Ok(out.text(&format!("\n{profile}"))?)
}
