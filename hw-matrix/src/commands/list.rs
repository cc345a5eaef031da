//! `hw-matrix list`: the cells, without running.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use comfy_table::Table;
use comfy_table::presets::NOTHING;
use schemars::JsonSchema;
use serde::Serialize;

use super::{End, Failure, read_lab, select};
use crate::cell::Cell;
use crate::checks::describe;
use crate::spec::{CheckKind, Mode, Outcome};

/// Show the cells of a lab file without running them
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  hw-matrix list lab.toml --filter 'host=vm-* & mode=native'\n\nA lab file:\n  [host.here]\n  executor = \"local\"          # or \"vm\" with kernel, or \"ssh\" with address\n  [host.here.nic.left]\n  ifname = \"eth0\"             # or pci, driver, mac\n  [program.pass]\n  object = \"xdp_pass.o\"       # relative to this file\n  [check.probe]               # does the prober say that the mode works?\n  [check.attach]              # does each program attach, in each mode?\n  modes = [\"native\", \"generic\"]\n  [[expect]]\n  cells = \"mode=native\"\n  outcome = \"refused\"         # or held, wrong; attach: attached; probe: yes, no, unknown\n  [[exclude]]\n  cells = \"nic=left & check=attach\"\n  reason = \"carries our own traffic\""
)]
pub(super) struct Arguments {
    /// The lab file
    lab: PathBuf,
    /// Only these cells: KEY=GLOB with keys id, host, nic, program, mode, check, joined by & | ! ( )
    #[arg(long, value_name = "EXPR")]
    filter: Option<String>,
    /// Write JSON (schema hw-matrix/list/v1)
    #[arg(long)]
    json: bool,
}

/// What `list --json` writes.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct List<'a> {
    /// `hw-matrix/list/v1`.
    schema: &'static str,
    /// The lab's name.
    lab: &'a str,
    /// The cells, in the order they run.
    cells: Vec<Row<'a>>,
}

/// A cell of `list --json`.
#[derive(Debug, Serialize, JsonSchema)]
struct Row<'a> {
    /// `host/nic/program/mode/check`.
    id: String,
    /// The host's name.
    host: &'a str,
    /// How commands get there: local, vm or ssh.
    executor: &'static str,
    /// The NIC's name in the lab file.
    nic: &'a str,
    /// What the lab file says of the NIC.
    selector: String,
    /// The NIC at the other end, `host/nic`.
    peer: Option<&'a str>,
    /// The interface at the other end, `[netns/]ifname`, where it is on the same host.
    peer_interface: Option<&'a str>,
    /// The program's name.
    program: Option<&'a str>,
    /// The program's object file, relative to the lab file's folder.
    object: Option<&'a str>,
    /// The mode.
    mode: Mode,
    /// The check's name.
    check: &'a str,
    /// What is asked.
    kind: CheckKind,
    /// Time limit in milliseconds.
    timeout_ms: u64,
    /// What should come out; null where any outcome will do.
    expected: Option<Outcome>,
    /// Why that is expected.
    expected_reason: Option<&'a str>,
    /// Why the cell is not run; null if it is.
    excluded: Option<&'a str>,
    /// Why a failure of it does not count; null if it does.
    known_bad: Option<&'a str>,
}

impl<'a> Row<'a> {
    fn new(cell: &Cell<'a>) -> Row<'a> {
        Row {
            id: cell.to_string(),
            host: &cell.host.name,
            executor: cell.host.executor.name(),
            nic: &cell.nic.name,
            selector: describe(cell.nic),
            peer: cell.nic.peer.as_deref(),
            peer_interface: cell.nic.peer_interface.as_deref(),
            program: cell.program.map(|program| program.name.as_str()),
            object: cell.program.map(|program| program.object.as_str()),
            mode: cell.mode,
            check: &cell.check.name,
            kind: cell.check.kind,
            timeout_ms: u64::try_from(cell.check.timeout.as_millis()).unwrap_or(u64::MAX),
            expected: cell.expected.map(|(outcome, _)| outcome),
            expected_reason: cell.expected.and_then(|(_, reason)| reason),
            excluded: cell.excluded,
            known_bad: cell.known_bad,
        }
    }
}

pub(super) fn run(arguments: &Arguments) -> Result<End, Failure> {
    let lab = read_lab(&arguments.lab)?;
    let cells = select(&lab, &arguments.lab, arguments.filter.as_deref())?;
    let mut out = anstream::stdout().lock();
    if arguments.json {
        let list = List {
            schema: "hw-matrix/list/v1",
            lab: &lab.name,
            cells: cells.iter().map(Row::new).collect(),
        };
        serde_json::to_writer_pretty(&mut out, &list)
            .map_err(|error| Failure::from(std::io::Error::from(error)))?;
        writeln!(out)?;
        return Ok(End::Done);
    }
    let mut table = Table::new();
    table.load_style(NOTHING).set_header([
        "HOST", "NIC", "PROGRAM", "MODE", "CHECK", "EXPECTED", "NOTE",
    ]);
    for cell in &cells {
        let (expected, reason) = cell
            .expected
            .map_or(("-", None), |(outcome, reason)| (outcome.name(), reason));
        let note = match (cell.excluded, cell.known_bad, reason) {
            (Some(why), _, _) => format!("excluded: {why}"),
            (None, Some(why), _) => format!("known bad: {why}"),
            (None, None, Some(why)) => why.to_owned(),
            (None, None, None) => String::new(),
        };
        let fields = [
            &cell.host.name,
            &cell.nic.name,
            cell.program_name(),
            cell.mode.name(),
            &cell.check.name,
        ];
        table.add_row(fields.into_iter().chain([expected, &note]));
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    writeln!(out, "{}", table.trim_fmt())?;
    let excluded = cells.iter().filter(|cell| cell.excluded.is_some()).count();
    writeln!(out, "{} cells, {excluded} of them excluded", cells.len())?;
    Ok(End::Done)
}
