//! `xdp-probe list`.

use super::{Output, find};
use crate::Result;
use crate::facts::{Facts, collect};
use crate::judge::{Needs, judge};
use crate::render::{json, table};

pub(super) fn run(
    names: &[String],
    wide: bool,
    netns: Option<&str>,
    out: &mut Output<'_>,
) -> Result<()> {
    let snapshot = collect()?;
    let chosen: Vec<&Facts> = if names.is_empty() {
        snapshot.interfaces().iter().collect()
    } else {
        names
            .iter()
            .map(|name| find(&snapshot, name))
            .collect::<Result<_>>()?
    };
    let judged = chosen
        .into_iter()
        .map(|facts| (facts, judge(&snapshot, facts, &Needs::default())));
    if out.json {
        Ok(json::write_list(out.stream, &snapshot, netns, judged)?)
    } else {
        let rows: Vec<_> = judged.collect();
        let width = out.width;
        Ok(out.text(&table::list(&rows, wide, width))?)
    }
}
