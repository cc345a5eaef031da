//! Tables that fit the terminal: columns that matter least are left out first, nothing but the note is broken.

use std::fmt::Write;

use comfy_table::{ContentArrangement, Table, presets};

use super::paint;
use crate::drivers::{Driver, Xmit};
use crate::facts::Facts;
use crate::feature_names::xdp_feature_names;
use crate::judge::{Support, Verdicts};

/// A column, and when a narrow terminal does without it: the highest number goes first, 0 never.
struct Column {
    header: &'static str,
    drop: u8,
}

const fn column(header: &'static str, drop: u8) -> Column {
    Column { header, drop }
}

/// A row's cells, and the note below or beside it.
struct Row {
    cells: Vec<String>,
    note: String,
}

/// `list` for people. `width` in columns; `None` (a pipe) puts every interface on one line.
pub fn list(interfaces: &[(&Facts, Verdicts)], wide: bool, width: Option<u16>) -> String {
    let mut columns = vec![
        column("INTERFACE", 0),
        column("DRIVER", 0),
        column("BUS", 4),
        column("NATIVE", 0),
        column("GENERIC", 0),
        column("OFFLOAD", 0),
        column("ZERO-COPY", 1),
        column("REDIRECT", 2),
        column("FRAGS", 3),
        column("ATTACHED", 0),
        column("BEST", 0),
    ];
    if wide {
        columns.extend(
            ["MTU", "STATE", "QUEUES", "FIRMWARE", "ADVERTISED"].map(|header| column(header, 0)),
        );
    }
    let rows = interfaces
        .iter()
        .map(|(facts, verdicts)| {
            let mut cells = vec![
                facts.link.name.clone(),
                facts
                    .driver_name()
                    .map_or("-", |_| facts.driver_label())
                    .to_owned(),
                facts.bus_info.as_deref().unwrap_or("-").to_owned(),
                paint::verdict(&verdicts.native),
                paint::verdict(&verdicts.generic),
                paint::verdict(&verdicts.offload),
                paint::verdict(&verdicts.xsk_zerocopy),
                redirect(verdicts),
                paint::verdict(&verdicts.multi_buffer),
                attached(facts),
                verdicts
                    .best()
                    .map_or_else(|| "-".to_owned(), |mode| mode.to_string()),
            ];
            if wide {
                cells.extend([
                    facts.link.mtu.to_string(),
                    facts.link.operstate.to_string(),
                    queues(facts),
                    facts.firmware.as_deref().unwrap_or("-").to_owned(),
                    advertised(facts),
                ]);
            }
            Row {
                cells,
                note: note(verdicts),
            }
        })
        .collect();
    lay_out(columns, rows, width.filter(|_| !wide))
}

/// `drivers` for people.
pub fn drivers(rows: &[&Driver], width: Option<u16>) -> String {
    let columns = vec![
        column("DRIVER", 0),
        column("NATIVE", 0),
        column("REDIRECT", 3),
        column("ZERO-COPY", 0),
        column("FRAGS", 1),
        column("OFFLOAD", 2),
        column("MTU", 1),
        column("SOURCE", 0),
    ];
    let since = |version: Option<crate::drivers::Version>| {
        version.map_or_else(|| "-".to_owned(), |version| version.to_string())
    };
    let rows = rows
        .iter()
        .map(|driver| Row {
            cells: vec![
                driver.name.clone(),
                since(driver.native),
                match (driver.redirect, driver.xmit) {
                    (true, Xmit::Always) => "both",
                    (true, Xmit::WithProgram) => "from, to*",
                    (true, Xmit::Never) => "from",
                    (false, _) => "-",
                }
                .to_owned(),
                since(driver.zero_copy),
                since(driver.frags),
                since(driver.offload),
                driver
                    .mtu
                    .map_or_else(|| "-".to_owned(), |mtu| mtu.to_string()),
                driver.best_source().to_string(),
            ],
            note: String::new(),
        })
        .collect();
    lay_out(columns, rows, width)
}

fn redirect(verdicts: &Verdicts) -> String {
    match (&verdicts.redirect_source, &verdicts.redirect_target) {
        (Support::Yes { .. }, Support::Yes { .. }) => paint::good("both"),
        (Support::Yes { .. }, _) => paint::good("from"),
        (_, Support::Yes { .. }) => paint::good("to"),
        (Support::Unknown { .. }, _) | (_, Support::Unknown { .. }) => paint::doubtful("?"),
        (Support::No { .. }, Support::No { .. }) => paint::bad("no"),
    }
}

fn attached(facts: &Facts) -> String {
    let all: Vec<String> = facts
        .link
        .xdp
        .iter()
        .map(|(mode, id)| format!("{mode} {id}"))
        .collect();
    if all.is_empty() {
        "-".to_owned()
    } else {
        all.join(", ")
    }
}

fn queues(facts: &Facts) -> String {
    let Some(channels) = facts.channels else {
        return "-".to_owned();
    };
    let all: Vec<String> = [
        ("", channels.combined),
        ("rx ", channels.rx),
        ("tx ", channels.tx),
    ]
    .into_iter()
    .filter(|(_, (now, max))| *now > 0 || *max > 0)
    .map(|(what, (now, max))| format!("{what}{now}/{max}"))
    .collect();
    if all.is_empty() {
        "-".to_owned()
    } else {
        all.join(" ")
    }
}

fn advertised(facts: &Facts) -> String {
    match &facts.advertised {
        None => "(kernel has no netdev family)".to_owned(),
        Some(features) if features.xdp == 0 => "-".to_owned(),
        Some(features) => xdp_feature_names(features.xdp).join(" "),
    }
}

/// The one thing to know: why the best modes are not to be had, or what an attach will bring.
fn note(verdicts: &Verdicts) -> String {
    let refusal = |what: &str, reason: &str, remedy: Option<&str>| match remedy.and_then(short) {
        Some(remedy) => format!("{what}{reason}; {remedy}"),
        None => format!("{what}{reason}"),
    };
    match (&verdicts.native, &verdicts.generic) {
        (Support::No { reason, remedy, .. }, _) => refusal("", reason, remedy.as_deref()),
        (Support::Unknown { why }, _) => why.clone(),
        (Support::Yes { .. }, Support::No { reason, remedy, .. })
            if verdicts.offload.is_no() && !running(&verdicts.native) =>
        {
            refusal("generic: ", reason, remedy.as_deref())
        }
        (Support::Yes { notes, .. }, _) => notes.first().cloned().unwrap_or_default(),
    }
}

/// The first way out of several; generic mode goes without saying, it has a column.
fn short(remedy: &str) -> Option<&str> {
    // Commands that are all needed are joined by "; and"; only alternatives can be left out.
    let first = if remedy.contains("; and ") {
        remedy
    } else {
        remedy.split(", or ").next().unwrap_or(remedy)
    };
    (!first.starts_with("use generic mode")).then_some(first)
}

fn running(native: &Support) -> bool {
    matches!(native, Support::Yes { evidence, .. }
        if evidence.iter().any(|evidence| evidence.kind == crate::judge::EvidenceKind::Attached))
}

/// Below this much room beside the table, notes go below their rows.
const NOTE_WIDTH: usize = 40;

fn lay_out(mut columns: Vec<Column>, mut rows: Vec<Row>, width: Option<u16>) -> String {
    let width = width.map(usize::from);
    let mut drop = 4;
    let mut table = build(&columns, &rows);
    while let Some(width) = width
        && table_width(&mut table) > width
        && drop > 0
    {
        let keep: Vec<bool> = columns.iter().map(|column| column.drop != drop).collect();
        for row in &mut rows {
            let mut kept = keep.iter();
            row.cells.retain(|_| *kept.next().unwrap_or(&true));
        }
        columns.retain(|column| column.drop != drop);
        table = build(&columns, &rows);
        drop -= 1;
    }
    let used = table_width(&mut table);
    let mut out = String::new();
    let mut notes = std::iter::once("").chain(rows.iter().map(|row| row.note.as_str()));
    let has_notes = rows.iter().any(|row| !row.note.is_empty());
    for (number, line) in table.lines().enumerate() {
        let note = notes.next().unwrap_or_default();
        let line = line.trim_end();
        match width {
            // On one line: for grep and wide terminals.
            None if has_notes => {
                let note = if number == 0 { "NOTE" } else { note };
                out.push_str(&pad(line, if note.is_empty() { 0 } else { used }));
                out.push_str(note);
                out.push('\n');
            }
            Some(width) if has_notes && width >= used + NOTE_WIDTH => {
                let note = if number == 0 { "NOTE" } else { note };
                let mut parts = wrap(note, width - used).into_iter();
                let first = parts.next().unwrap_or_default();
                out.push_str(&pad(line, if first.is_empty() { 0 } else { used }));
                out.push_str(&first);
                out.push('\n');
                for part in parts {
                    let _ = writeln!(out, "{:used$}{part}", "");
                }
            }
            _ => {
                out.push_str(line);
                out.push('\n');
                for part in wrap(note, width.unwrap_or(80).saturating_sub(4)) {
                    let _ = writeln!(out, "    {part}");
                }
            }
        }
    }
    paint::finish(&out)
}

fn build(columns: &[Column], rows: &[Row]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(columns.iter().map(|column| column.header));
    for row in rows {
        table.add_row(&row.cells);
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table
}

/// With the two spaces behind every column.
fn table_width(table: &mut Table) -> usize {
    table
        .column_max_content_widths()
        .iter()
        .map(|width| usize::from(*width) + 2)
        .sum()
}

/// Fills up with spaces to `width` visible columns; only ASCII and marks occur in cells that are not names.
fn pad(line: &str, width: usize) -> String {
    let visible = line
        .chars()
        .filter(|character| !('\u{2060}'..='\u{206f}').contains(character))
        .count();
    format!("{line}{:1$}", "", width.saturating_sub(visible))
}

/// Breaks a text at spaces into lines of at most `width` characters; longer words stay whole.
pub(super) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}
