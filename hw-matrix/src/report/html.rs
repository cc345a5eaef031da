//! report.html: one page with everything in it. What it shows is put in as compact JSON; the page draws what is looked at.

use std::collections::{BTreeMap, HashMap};
use std::io;

use serde::Serialize;

use super::Report;
use crate::baseline::{Kind, Seen};
use crate::inventory::{self, Exchanged};
use crate::results::{CellResult, Status};
use crate::spec::Outcome;

const PAGE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// Most of logs and kernel's words in one page, in bytes; what is beyond is in results.jsonl.
const MAX_LOGS: usize = 16 << 20;

/// The page.
///
/// # Errors
/// None that happens: writing to memory does not fail.
pub fn page(report: &Report<'_>) -> io::Result<String> {
    let json = serde_json::to_string(&data(report))?;
    // Inside a script element only `</script` and `<!--` end or change it; no string of ours needs a plain `<`.
    let json = json.replace('<', "\\u003c");
    let (head, rest) = PAGE.split_once("/*STYLE*/").unwrap_or((PAGE, ""));
    let (middle, rest) = rest.split_once("/*DATA*/").unwrap_or((rest, ""));
    let (before, after) = rest.split_once("/*SCRIPT*/").unwrap_or((rest, ""));
    Ok([head, STYLE, middle, &json, before, SCRIPT, after].concat())
}

/// What the page is given. A cell is a place in the columns; `t` columns are places in `texts`.
#[derive(Debug, Serialize)]
struct Data<'a> {
    lab: &'a str,
    started: u64,
    version: &'a str,
    complete: bool,
    statuses: Vec<&'static str>,
    outcomes: Vec<&'static str>,
    kinds: Vec<KindRow>,
    hosts: Vec<HostRow<'a>>,
    nics: Vec<NicRow<'a>>,
    programs: Vec<&'a str>,
    modes: Vec<&'a str>,
    checks: Vec<&'a str>,
    texts: Vec<&'a str>,
    cells: Columns,
    /// Whether there is a baseline, and when it began.
    base: Option<u64>,
    changes: Vec<ChangeRow<'a>>,
    exchanged: Vec<Exchanged>,
    /// Earlier runs and this one: when, and cells in each status.
    runs: Vec<RunRow>,
    /// Cells whose statuses in earlier runs were not all as now: a digit a run, `.` where it was not there.
    past: BTreeMap<usize, String>,
    /// Logs that were left out.
    left_out: usize,
}

#[derive(Debug, Serialize)]
struct KindRow {
    name: &'static str,
    regression: bool,
}

#[derive(Debug, Serialize)]
struct HostRow<'a> {
    name: &'a str,
    kernel: Option<&'a str>,
    error: Option<&'a str>,
}

#[derive(Debug, Serialize)]
struct NicRow<'a> {
    host: usize,
    name: &'a str,
    ifname: Option<&'a str>,
    driver: Option<&'a str>,
    version: Option<&'a str>,
    firmware: Option<&'a str>,
}

#[derive(Debug, Default, Serialize)]
struct Columns {
    nic: Vec<usize>,
    program: Vec<usize>,
    mode: Vec<usize>,
    check: Vec<usize>,
    status: Vec<usize>,
    /// Outcome and expected outcome; -1 for none.
    outcome: Vec<i8>,
    expected: Vec<i8>,
    ms: Vec<u64>,
    /// Cells with more than one attempt.
    attempts: BTreeMap<usize, u32>,
    reason: BTreeMap<usize, usize>,
    remedy: BTreeMap<usize, usize>,
    known: BTreeMap<usize, usize>,
    found: BTreeMap<usize, usize>,
    figure: BTreeMap<usize, f64>,
    log: BTreeMap<usize, usize>,
    kernel: BTreeMap<usize, usize>,
}

#[derive(Debug, Serialize)]
struct ChangeRow<'a> {
    /// The cell's place; none if it is not in this run.
    cell: Option<usize>,
    id: &'a str,
    kind: usize,
    before: String,
    after: String,
}

#[derive(Debug, Serialize)]
struct RunRow {
    started: u64,
    counts: Vec<usize>,
}

/// Strings by place, each once.
#[derive(Default)]
struct Table<'a> {
    rows: Vec<&'a str>,
    places: HashMap<&'a str, usize>,
}

impl<'a> Table<'a> {
    fn place(&mut self, text: &'a str) -> usize {
        *self.places.entry(text).or_insert_with(|| {
            self.rows.push(text);
            self.rows.len() - 1
        })
    }
}

fn outcome(outcome: Option<Outcome>) -> i8 {
    outcome
        .and_then(|outcome| Outcome::ALL.iter().position(|&other| other == outcome))
        .map_or(-1, |place| place as i8)
}

fn status(status: Status) -> usize {
    Status::ALL
        .iter()
        .position(|&other| other == status)
        .unwrap_or(0)
}

fn data<'a>(report: &'a Report<'_>) -> Data<'a> {
    let results = report.results;
    let mut tables = Tables::default();
    let mut columns = Columns::default();
    let (mut logs, mut left_out) = (0, 0);
    let mut places: HashMap<&str, usize> = HashMap::new();
    let mut nics: Vec<NicRow<'_>> = Vec::new();
    for (place, result) in results.cells.values().enumerate() {
        places.insert(&result.cell, place);
        tables.cell(result, &mut columns, &mut nics);
        let texts = &mut tables.texts;
        for (column, text) in [
            (&mut columns.reason, &result.reason),
            (&mut columns.remedy, &result.remedy),
            (&mut columns.known, &result.known_bad),
            (&mut columns.found, &result.found),
        ] {
            if let Some(text) = text {
                column.insert(place, texts.place(text));
            }
        }
        for (column, text) in [
            (&mut columns.log, &result.log),
            (&mut columns.kernel, &result.kernel_log),
        ] {
            let Some(text) = text else { continue };
            if logs + text.len() > MAX_LOGS {
                left_out += 1;
                continue;
            }
            logs += text.len();
            column.insert(place, texts.place(text));
        }
        if let Some(figure) = result.figure {
            columns.figure.insert(place, figure.value);
        }
        if result.attempts > 1 {
            columns.attempts.insert(place, result.attempts);
        }
    }
    let hosts = tables.hosts.rows.iter().map(|&name| {
        let facts = results.hosts.get(name);
        HostRow {
            name,
            kernel: facts.and_then(|facts| facts.kernel.as_deref()),
            error: facts.and_then(|facts| facts.error.as_deref()),
        }
    });
    let changes = report.changes();
    // The ids of cells that are gone are the baseline's.
    let known = |id: &str| -> Option<&'a str> {
        let base = report.base?.cells.get_key_value(id);
        let (id, _) = base.or_else(|| results.cells.get_key_value(id))?;
        Some(id)
    };
    let changes = changes
        .iter()
        .filter_map(|change| {
            Some(ChangeRow {
                cell: places.get(change.cell.as_str()).copied(),
                id: known(&change.cell).or_else(|| {
                    let (id, _) = results.cells.get_key_value(&change.cell)?;
                    Some(id)
                })?,
                kind: Kind::ALL.iter().position(|&kind| kind == change.kind)?,
                before: Seen::describe(change.before.as_ref(), change.kind),
                after: Seen::describe(change.after.as_ref(), change.kind),
            })
        })
        .collect();
    let (runs, past) = history(report);
    Data {
        lab: &results.header.lab,
        started: results.header.started,
        version: &results.header.version,
        complete: results.complete,
        statuses: Status::ALL.map(Status::name).to_vec(),
        outcomes: Outcome::ALL.map(Outcome::name).to_vec(),
        kinds: Kind::ALL
            .into_iter()
            .map(|kind| KindRow {
                name: kind.name(),
                regression: kind.is_regression(),
            })
            .collect(),
        hosts: hosts.collect(),
        nics,
        programs: tables.programs.rows,
        modes: tables.modes.rows,
        checks: tables.checks.rows,
        texts: tables.texts.rows,
        cells: columns,
        base: report.base.map(|base| base.header.started),
        changes,
        exchanged: report
            .base
            .map(|base| inventory::exchanged(base, report.results))
            .unwrap_or_default(),
        runs,
        past,
        left_out,
    }
}

#[derive(Default)]
struct Tables<'a> {
    hosts: Table<'a>,
    nics: HashMap<(usize, &'a str), usize>,
    programs: Table<'a>,
    modes: Table<'a>,
    checks: Table<'a>,
    texts: Table<'a>,
}

impl<'a> Tables<'a> {
    fn cell(&mut self, result: &'a CellResult, columns: &mut Columns, nics: &mut Vec<NicRow<'a>>) {
        let [host, nic, program, mode, check] = result.parts();
        let host = self.hosts.place(host);
        let nic = *self.nics.entry((host, nic)).or_insert_with(|| {
            nics.push(NicRow {
                host,
                name: nic,
                ifname: None,
                driver: None,
                version: None,
                firmware: None,
            });
            nics.len() - 1
        });
        let row = &mut nics[nic];
        row.ifname = row.ifname.or(result.ifname.as_deref());
        row.driver = row.driver.or(result.driver.as_deref());
        row.version = row.version.or(result.driver_version.as_deref());
        row.firmware = row.firmware.or(result.firmware.as_deref());
        columns.nic.push(nic);
        columns.program.push(self.programs.place(program));
        columns.mode.push(self.modes.place(mode));
        columns.check.push(self.checks.place(check));
        columns.status.push(status(result.status));
        columns.outcome.push(outcome(result.outcome));
        columns.expected.push(outcome(result.expected));
        columns.ms.push(result.duration_ms);
    }
}

/// The runs, this one last, and the cells that were not always as now.
fn history(report: &Report<'_>) -> (Vec<RunRow>, BTreeMap<usize, String>) {
    let results = report.results;
    let count = |statuses: &mut dyn Iterator<Item = Status>| {
        let mut counts = vec![0; Status::ALL.len()];
        for one in statuses {
            counts[status(one)] += 1;
        }
        counts
    };
    let mut runs: Vec<RunRow> = report
        .past
        .iter()
        .map(|run| RunRow {
            started: run.started,
            counts: count(&mut run.cells.values().copied()),
        })
        .collect();
    runs.push(RunRow {
        started: results.header.started,
        counts: count(&mut results.cells.values().map(|result| result.status)),
    });
    let mut past = BTreeMap::new();
    for (place, (id, result)) in results.cells.iter().enumerate() {
        let then = |run: &crate::history::Past| run.cells.get(id).copied();
        if report
            .past
            .iter()
            .any(|run| then(run) != Some(result.status))
        {
            let digits = report.past.iter().map(|run| {
                then(run).map_or('.', |one| {
                    char::from_digit(status(one) as u32, 10).unwrap_or('.')
                })
            });
            past.insert(place, digits.collect());
        }
    }
    (runs, past)
}
