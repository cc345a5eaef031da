//! Results as text for people, one file a command.

#![allow(
    clippy::format_push_string,
    clippy::format_collect,
    reason = "a few short lines once; `write!` into a String adds a result to ignore"
)]

pub(crate) mod attach;
pub(crate) mod bench;
pub(crate) mod check;
pub(crate) mod detach;
mod effects;
pub(crate) mod listing;
pub(crate) mod map;
pub(crate) mod run;
pub(crate) mod soak;
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

#[cfg(test)]
mod golden {
    use std::fs;
    use std::path::Path;

    /// Compares a text, its colours left out, with golden/NAME.expected; BLESS=1 writes that.
    #[track_caller]
    pub(super) fn check(name: &str, actual: &str) {
        let actual = anstream::adapter::strip_str(actual).to_string();
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("golden/{name}.expected"));
        if std::env::var_os("BLESS").is_some_and(|bless| bless == "1") {
            fs::write(&path, actual).expect("the golden file can be written");
            return;
        }
        let expected = fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(actual, expected, "{name} differs: BLESS=1 accepts it");
    }
}
