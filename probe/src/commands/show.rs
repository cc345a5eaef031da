//! `xdp-probe show`.

use super::{Output, find};
use crate::Result;
use crate::facts::collect;
use crate::judge::{Needs, judge};
use crate::render::{json, show};

pub(super) fn run(name: &str, netns: Option<&str>, out: &mut Output<'_>) -> Result<()> {
    let snapshot = collect()?;
    let facts = find(&snapshot, name)?;
    let verdicts = judge(&snapshot, facts, &Needs::default());
    if out.json {
        Ok(out.json(&json::Show::new(&snapshot, netns, facts, verdicts))?)
    } else {
        let width = out.width;
        Ok(out.text(&show::page(&snapshot, facts, &verdicts, width))?)
    }
}
