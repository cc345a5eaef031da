//! Results as text for people, one file a command.

#![allow(
    clippy::format_push_string,
    clippy::format_collect,
    reason = "a few short lines once; `write!` into a String adds a result to ignore"
)]

pub(crate) mod attach;
pub(crate) mod check;
pub(crate) mod detach;
pub(crate) mod map;
pub(crate) mod status;

use comfy_table::{ContentArrangement, Table, presets};

/// A table without lines around its cells, no wider than `width` columns where that can be helped.
fn table(header: &[&str], rows: impl IntoIterator<Item = Vec<String>>, width: usize) -> String {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(u16::try_from(width).unwrap_or(u16::MAX))
        .set_header(header)
        .add_rows(rows);
    table
        .lines()
        .map(|line| format!("{}\n", line.trim_end()))
        .collect()
}
