//! `caps`: what a device accepts, as text, as JSON, and as the profile for `xdp-offload` (TOML).

use std::fmt::Write;

use schemars::JsonSchema;
use serde::Serialize;

use super::paint;
use super::show::Page;
use crate::caps::Report;
use crate::caps::answers::{Alike, Answer, Answers, Asked, Limit, MapLimits};
use crate::caps::profile::{Entry, Source, Value};
use crate::facts::{Facts, Snapshot};

/// `caps --json`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Caps<'a> {
    /// "xdp-probe/caps/v1".
    pub schema: &'static str,
    /// The running kernel's release.
    pub kernel: &'a str,
    /// The network namespace that was asked for with --netns; null for the caller's own.
    pub netns: Option<&'a str>,
    /// Interface name.
    pub ifname: &'a str,
    /// Driver name.
    pub driver: Option<&'a str>,
    /// Programs and maps that were tried.
    pub trials: u32,
    /// What is bound to the device now and was not before.
    pub left: &'a [String],
    /// What the device answered.
    pub answers: &'a Answers,
    /// The profile, a line each; null where the device is no NFP.
    pub profile: Option<&'a [Entry]>,
}

impl<'a> Caps<'a> {
    /// The report of one interface.
    pub fn new(
        snapshot: &'a Snapshot,
        netns: Option<&'a str>,
        facts: &'a Facts,
        report: &'a Report,
    ) -> Self {
        Self {
            schema: "xdp-probe/caps/v1",
            kernel: &snapshot.host.release.text,
            netns,
            ifname: &facts.link.name,
            driver: facts.driver_name(),
            trials: report.trials,
            left: &report.left,
            answers: &report.answers,
            profile: report.profile.as_deref(),
        }
    }
}

/// The report for people.
pub fn page(facts: &Facts, report: &Report, width: Option<u16>) -> String {
    let answers = &report.answers;
    let mut page = Page::new(width);
    page.heading(&format!("{} ({})", facts.link.name, facts.driver_label()));
    page.line(
        "profile",
        if report.profile.is_some() {
            "an NFP"
        } else {
            "none: this is no NFP, whose are the only profiles"
        },
    );
    let program = &answers.program;
    let words = if program.words == 0 {
        "the device shows no machine code".to_owned()
    } else {
        format!("{} words of machine code", program.words)
    };
    page.line(
        "program",
        &format!("{} instructions, {words}", at_most(program.instructions)),
    );
    page.line(
        "stack",
        &if program.stack.open {
            "as much as the kernel allows".to_owned()
        } else {
            format!("{} bytes", program.stack.most)
        },
    );
    write_asked(&mut page, "map kinds", &answers.map_kinds);
    write_asked(&mut page, "map flags", &answers.map_flags);
    match &answers.maps {
        Some(maps) => page.line("maps", &sizes(maps)),
        None => page.line("maps", "neither hash nor array"),
    }
    write_asked(&mut page, "helpers", &answers.helpers);
    write_asked(&mut page, "instructions", &answers.instructions);
    let alike = |alike: &Alike| {
        format!(
            "{} becomes the machine code of {}",
            alike.wrong, alike.right
        )
    };
    let alike: Vec<String> = answers.alike.iter().map(alike).collect();
    if !alike.is_empty() {
        page.line("runs wrongly", &paint::bad(&alike.join(", ")));
    }
    for entry in report.profile.iter().flatten() {
        if entry.source == Source::Assumed {
            let says = format!("{}: {}", path(entry), entry.remark);
            page.line("assumed", &paint::doubtful(&says));
        }
    }
    if report.left.is_empty() {
        let says = format!(
            "{} programs and maps were tried; nothing is left of them",
            report.trials
        );
        page.line("afterwards", &says);
    } else {
        let says = format!(
            "new since: {}; of others, or kept by others",
            report.left.join(", ")
        );
        page.line("afterwards", &paint::doubtful(&says));
    }
    paint::finish(&page.text)
}

/// The most names of what is taken: of more, only the number is told.
const NAMED: usize = 20;

/// What of a list is taken and what is not.
fn write_asked(page: &mut Page, label: &str, asked: &[Asked]) {
    let named = |is: &dyn Fn(&Answer) -> bool| -> Vec<&str> {
        let which = asked.iter().filter(|one| is(&one.answer));
        which.map(|one| one.what.as_str()).collect()
    };
    let taken = named(&Answer::is_taken);
    let mut label = label;
    let mut line = |how: &str, text: &str| {
        if !text.is_empty() {
            page.line(label, &format!("{how}: {text}"));
            label = "";
        }
    };
    let all = if taken.len() > NAMED {
        format!("{} of {}", taken.len(), asked.len())
    } else {
        taken.join(", ")
    };
    line("taken", &all);
    let refused = named(&|answer| matches!(answer, Answer::Refused { .. }));
    line("refused", &refused.join(", "));
    let kernel = named(&|answer| matches!(answer, Answer::Kernel { .. }));
    line("refused by this kernel for any device", &kernel.join(", "));
}

fn at_most(limit: Limit) -> String {
    let open = if limit.open { " and more" } else { "" };
    format!("{}{open}", limit.most)
}

fn sizes(maps: &MapLimits) -> String {
    let of = if maps.elements_a_map {
        "in each"
    } else {
        "in all"
    };
    let others = if maps.others == 0 {
        String::new()
    } else {
        format!(" ({} maps of others among them)", maps.others)
    };
    format!(
        "{} at a time, {} elements {of}{others}; key {} B, value {} B, both {} B",
        at_most(maps.count),
        at_most(maps.elements),
        at_most(maps.key),
        at_most(maps.value),
        at_most(maps.element)
    )
}

fn path(entry: &Entry) -> String {
    if entry.table.is_empty() {
        entry.key.to_owned()
    } else {
        format!("{}.{}", entry.table, entry.key)
    }
}

/// The profile, as `xdp-offload check --profile` takes it, with a remark where a value was not simply measured.
pub fn toml(snapshot: &Snapshot, facts: &Facts, entries: &[Entry]) -> String {
    let quoted = |text: &str| toml::Value::String(text.to_owned()).to_string();
    let source = format!(
        "measured by xdp-probe caps: {}, Linux {}{}",
        facts.driver_label(),
        snapshot.host.release.text,
        match &facts.firmware {
            Some(firmware) => format!(", firmware {firmware}"),
            None => String::new(),
        }
    );
    let mut text = String::new();
    let _ = writeln!(text, "name = {}", quoted(&facts.link.name));
    let _ = writeln!(text, "source = {}", quoted(&source));
    let mut table = "";
    for entry in entries {
        if entry.table != table {
            table = entry.table;
            let _ = write!(text, "\n[{table}]\n");
        }
        let value = match &entry.value {
            Value::Number(number) => number.to_string(),
            Value::Flag(flag) => flag.to_string(),
            Value::Names(names) => {
                let names: Vec<String> = names.iter().map(|name| quoted(name)).collect();
                format!("[{}]", names.join(", "))
            }
        };
        let remark = match (entry.source, entry.remark.as_str()) {
            (Source::Measured, "") => String::new(),
            (Source::Measured, remark) => format!(" # {remark}"),
            (source, remark) => format!(" # {}: {remark}", source.name()),
        };
        let _ = writeln!(text, "{} = {value}{remark}", entry.key);
    }
    text
}
