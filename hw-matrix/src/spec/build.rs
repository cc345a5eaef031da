//! From the file's sections to a checked [`Lab`]: names resolve, selectors and expressions are well formed.

use std::path::Path;
use std::time::Duration;

use toml::Spanned;

use super::error::Source;
use super::file::{LabFile, ProgramSection, ReserveSection};
use super::forms::{date, duration};
use super::{
    Exclusion, Expectation, Host, KnownBad, Lab, LabError, LabErrors, MAX_FILE, MapEntry, Program,
    Reserve,
};
use crate::filter::{Filter, printable};

/// Time limit of a cell where the file names none.
const DEFAULT_TIMEOUT: Duration = Duration::from_mins(1);
/// How long a place is waited for where the file does not say it.
const DEFAULT_WAIT: Duration = Duration::from_mins(10);
/// Longest time limit.
const MAX_TIMEOUT: Duration = Duration::from_hours(24);
/// Longest name of a host, NIC, program or check: five of them make a cell id.
const MAX_NAME: usize = 64;

pub(super) fn lab(text: &str, path: &str) -> Result<Lab, LabErrors> {
    let source = Source { path, text };
    if text.len() > MAX_FILE {
        let message = format!("the lab file is larger than {MAX_FILE} bytes");
        return Err(LabErrors(vec![source.error(
            MAX_FILE..MAX_FILE,
            message,
            None,
        )]));
    }
    let file: LabFile =
        toml::from_str(text).map_err(|error| LabErrors(vec![source.toml_error(&error)]))?;
    let mut builder = Builder {
        source,
        errors: Vec::new(),
    };
    let lab = builder.lab(file);
    let mut errors = builder.errors;
    if errors.is_empty() {
        return Ok(lab);
    }
    errors.sort_by_key(|error| (error.line, error.column));
    Err(LabErrors(errors))
}

pub(super) struct Builder<'a> {
    pub(super) source: Source<'a>,
    errors: Vec<LabError>,
}

impl Builder<'_> {
    fn lab(&mut self, file: LabFile) -> Lab {
        let timeout = self.timeout(file.lab.timeout.as_ref(), DEFAULT_TIMEOUT);
        let name = file.lab.name.unwrap_or_else(|| {
            Path::new(self.source.path)
                .file_stem()
                .map_or_else(String::new, |stem| stem.to_string_lossy().into_owned())
        });
        if file.host.is_empty() {
            self.wrong(
                0..0,
                "the lab has no host",
                Some("add [host.NAME] with executor = \"local\"".into()),
            );
        }
        if file.check.is_empty() {
            self.wrong(
                0..0,
                "the lab has no check",
                Some("add [check.probe] or [check.attach]".into()),
            );
        }

        let mut hosts: Vec<Host> = file
            .host
            .iter()
            .map(|(name, section)| self.host(name, section))
            .collect();
        self.same_machine(&file.host, &hosts);
        self.links(&file.link, &mut hosts);
        let reserve = file.reserve.as_ref().map(|section| self.reserve(section));
        self.places(&file.host, reserve.is_some());
        let programs: Vec<Program> = file
            .program
            .into_iter()
            .map(|(name, section)| self.program(name, section))
            .collect();
        let checks = file
            .check
            .iter()
            .filter_map(|(name, section)| self.check(name, section, &programs, timeout))
            .collect();
        let exclusions = file
            .exclude
            .iter()
            .filter_map(|section| {
                if section.reason.get_ref().trim().is_empty() {
                    self.wrong(section.reason.span(), "an exclusion needs a reason", None);
                }
                Some(Exclusion {
                    cells: self.filter(&section.cells)?,
                    reason: section.reason.get_ref().clone(),
                    line: self.source.place(section.cells.span().start).0,
                })
            })
            .collect();
        let known_bad = file
            .known_bad
            .iter()
            .filter_map(|section| {
                if section.reason.get_ref().trim().is_empty() {
                    self.wrong(
                        section.reason.span(),
                        "a known failure needs a reason",
                        None,
                    );
                }
                let until = date(section.until.get_ref());
                if until.is_none() {
                    let help = "year-month-day: \"2027-01-31\"";
                    self.wrong(section.until.span(), "not a date", Some(help.into()));
                }
                Some(KnownBad {
                    cells: self.filter(&section.cells)?,
                    until: until?,
                    reason: section.reason.get_ref().clone(),
                    line: self.source.place(section.cells.span().start).0,
                })
            })
            .collect();
        let expectations = file
            .expect
            .iter()
            .filter_map(|section| {
                Some(Expectation {
                    cells: self.filter(&section.cells)?,
                    outcome: section.outcome,
                    reason: section.reason.clone(),
                    line: self.source.place(section.cells.span().start).0,
                })
            })
            .collect();
        Lab {
            name,
            baseline: file.lab.baseline.map(Spanned::into_inner),
            reserve,
            hosts,
            programs,
            checks,
            exclusions,
            known_bad,
            expectations,
        }
    }

    fn program(&mut self, name: Spanned<String>, section: ProgramSection) -> Program {
        self.name(&name, "program");
        if section.object.get_ref().is_empty() {
            self.wrong(section.object.span(), "the object's path is empty", None);
        }
        if let Some(packets) = &section.packets
            && packets.get_ref().is_empty()
        {
            self.wrong(packets.span(), "the packets' path is empty", None);
        }
        let maps = section
            .maps
            .into_iter()
            .flat_map(|(map, entries)| {
                entries.into_iter().map(move |entry| MapEntry {
                    map: map.clone(),
                    key: entry.key.to_string(),
                    value: entry.value.to_string(),
                })
            })
            .collect();
        Program {
            name: name.into_inner(),
            object: section.object.into_inner(),
            prog: section.prog,
            packets: section.packets.map(Spanned::into_inner),
            maps,
        }
    }

    fn reserve(&mut self, section: &ReserveSection) -> Reserve {
        let coordinator = section.coordinator.get_ref();
        if coordinator.is_empty() || coordinator.starts_with('-') {
            let help = Some("host:port, as labgrid-client -x takes it".into());
            self.wrong(section.coordinator.span(), "not an address", help);
        }
        Reserve {
            engine: section.engine,
            coordinator: coordinator.clone(),
            wait: self.timeout(section.wait.as_ref(), DEFAULT_WAIT),
        }
    }

    pub(super) fn filter(&mut self, text: &Spanned<String>) -> Option<Filter> {
        match Filter::parse(text.get_ref()) {
            Ok(filter) => Some(filter),
            Err(error) => {
                // Inside a plain one-line string the mistake has a place of its own.
                let span = text.span();
                let raw = self.source.text.get(span.clone()).unwrap_or("");
                let plain = raw.len() == text.get_ref().len() + 2
                    && &raw[1..raw.len() - 1] == text.get_ref();
                let span = if plain {
                    let at = span.start + 1 + error.at;
                    at..at + error.length
                } else {
                    span
                };
                self.wrong(span, error.message, error.help);
                None
            }
        }
    }

    pub(super) fn timeout(
        &mut self,
        text: Option<&Spanned<String>>,
        default: Duration,
    ) -> Duration {
        let Some(text) = text else { return default };
        match duration(text.get_ref()) {
            Some(limit) if !limit.is_zero() && limit <= MAX_TIMEOUT => limit,
            _ => {
                self.wrong(
                    text.span(),
                    "not a time limit",
                    Some("a number with ms, s, m or h, at most 24h: 90s".into()),
                );
                default
            }
        }
    }

    /// Names make up cell ids, file names and filter terms.
    pub(super) fn name(&mut self, name: &Spanned<String>, what: &str) {
        let word = name.get_ref();
        let valid = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if word.is_empty()
            || word.len() > MAX_NAME
            || !word.chars().all(valid)
            || !word.starts_with(|c: char| c.is_ascii_alphanumeric())
        {
            let help = format!(
                "letters, digits, `.`, `_` and `-`, starting with a letter or digit, at most {MAX_NAME}"
            );
            self.wrong(
                name.span(),
                format!("`{}` cannot name a {what}", printable(word)),
                Some(help),
            );
        }
    }

    pub(super) fn wrong(
        &mut self,
        span: std::ops::Range<usize>,
        message: impl Into<String>,
        help: Option<String>,
    ) {
        self.errors.push(self.source.error(span, message, help));
    }
}
