//! From the file's sections to a checked [`Lab`]: names resolve, selectors and expressions are well formed.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use toml::Spanned;

use super::error::Source;
use super::file::{CheckSection, ExecutorWord, HostSection, LabFile, LinkSection, NicSection};
use super::{
    Check, CheckKind, Exclusion, Executor, Expectation, Host, Lab, LabError, LabErrors, MAX_FILE,
    Mode, Nic, Program,
};
use crate::filter::{Filter, printable};
use crate::suggest;

/// Time limit of a cell where the file names none.
const DEFAULT_TIMEOUT: Duration = Duration::from_mins(1);
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

struct Builder<'a> {
    source: Source<'a>,
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
        self.links(&file.link, &mut hosts);
        let programs: Vec<Program> = file
            .program
            .into_iter()
            .map(|(name, section)| {
                self.name(&name, "program");
                if section.object.get_ref().is_empty() {
                    self.wrong(section.object.span(), "the object's path is empty", None);
                }
                Program {
                    name: name.into_inner(),
                    object: section.object.into_inner(),
                    prog: section.prog,
                }
            })
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
            hosts,
            programs,
            checks,
            exclusions,
            expectations,
        }
    }

    fn host(&mut self, name: &Spanned<String>, section: &HostSection) -> Host {
        self.name(name, "host");
        let mut only_for =
            |value: &Option<Spanned<String>>, key: &str, word: ExecutorWord, example: &str| {
                match (value, section.executor == word) {
                    (Some(value), false) => {
                        let message = format!("`{key}` is for another executor");
                        self.wrong(
                            value.span(),
                            message,
                            Some(format!("remove it, or set executor = {example}")),
                        );
                    }
                    (Some(value), true) if value.get_ref().is_empty() => {
                        self.wrong(value.span(), format!("`{key}` is empty"), None);
                    }
                    (None, true) => {
                        let message = format!("host `{}` needs `{key}`", printable(name.get_ref()));
                        self.wrong(name.span(), message, None);
                    }
                    _ => {}
                }
                value
                    .as_ref()
                    .map(|value| value.get_ref().clone())
                    .unwrap_or_default()
            };
        let address = only_for(&section.address, "address", ExecutorWord::Ssh, "\"ssh\"");
        let kernel = only_for(&section.kernel, "kernel", ExecutorWord::Vm, "\"vm\"");
        // The OpenSSH client would read a leading dash as an option.
        if let Some(value) = &section.address
            && (address.starts_with('-') || address.contains(char::is_whitespace))
        {
            self.wrong(
                value.span(),
                "not an address",
                Some("[user@]host[:port]".into()),
            );
        }
        let executor = match section.executor {
            ExecutorWord::Local => Executor::Local,
            ExecutorWord::Vm => Executor::Vm { kernel },
            ExecutorWord::Ssh => Executor::Ssh { address },
        };
        if section.nic.is_empty() {
            let message = format!("host `{0}` has no NIC", printable(name.get_ref()));
            let help = format!(
                "add [host.{}.nic.NAME] with ifname, pci, driver or mac",
                printable(name.get_ref())
            );
            self.wrong(name.span(), message, Some(help));
        }
        let nics = section
            .nic
            .iter()
            .map(|(name, section)| self.nic(name, section))
            .collect();
        Host {
            name: name.get_ref().clone(),
            executor,
            nics,
        }
    }

    fn nic(&mut self, name: &Spanned<String>, section: &NicSection) -> Nic {
        self.name(name, "NIC");
        let mut field = |value: &Option<Spanned<String>>,
                         valid: fn(&str) -> bool,
                         message: &str,
                         help: &str| {
            let value = value.as_ref()?;
            if !valid(value.get_ref()) {
                self.wrong(value.span(), message, Some(help.to_owned()));
            }
            Some(value.get_ref().clone())
        };
        // Linux: IFNAMSIZ is 16 with the final zero; no slash, no white space, not "." or "..".
        let ifname = field(
            &section.ifname,
            is_ifname,
            "not an interface name",
            "1 to 15 characters without / or space",
        );
        let pci = field(
            &section.pci,
            is_pci_address,
            "not a PCI address",
            "domain:bus:device.function, 0000:01:00.0",
        );
        let mac = field(
            &section.mac,
            is_mac,
            "not a MAC address",
            "six pairs of hex digits, 52:54:00:12:34:56",
        );
        let driver = field(
            &section.driver,
            |word| !word.is_empty(),
            "the driver's name is empty",
            "as `ethtool -i` says",
        );
        if ifname.is_none() && pci.is_none() && mac.is_none() && driver.is_none() {
            let message = format!(
                "NIC `{}` does not say which interface it is",
                printable(name.get_ref())
            );
            self.wrong(
                name.span(),
                message,
                Some("give ifname, pci, driver or mac".into()),
            );
        }
        Nic {
            name: name.get_ref().clone(),
            ifname,
            pci: pci.map(|pci| pci.to_lowercase()),
            driver,
            mac: mac.map(|mac| mac.to_lowercase()),
            peer: None,
        }
    }

    fn links(&mut self, links: &[LinkSection], hosts: &mut [Host]) {
        let ends: Vec<String> = hosts
            .iter()
            .flat_map(|host| {
                host.nics
                    .iter()
                    .map(|nic| format!("{}/{}", host.name, nic.name))
            })
            .collect();
        let mut peers: BTreeMap<&str, &str> = BTreeMap::new();
        for link in links {
            let [one, other] = &link.between;
            if one.get_ref() == other.get_ref() {
                self.wrong(other.span(), "a link needs two different NICs", None);
                continue;
            }
            for (end, peer) in [(one, other), (other, one)] {
                if !ends.contains(end.get_ref()) {
                    let message = format!("no NIC `{}`", printable(end.get_ref()));
                    let help = suggest::nearest(end.get_ref(), ends.iter().map(String::as_str))
                        .map_or_else(
                            || "a NIC is named HOST/NIC".to_owned(),
                            |near| format!("did you mean `{near}`?"),
                        );
                    self.wrong(end.span(), message, Some(help));
                } else if peers.insert(end.get_ref(), peer.get_ref()).is_some() {
                    let message = format!("`{}` has a link already", end.get_ref());
                    self.wrong(end.span(), message, None);
                }
            }
        }
        for host in hosts {
            for nic in &mut host.nics {
                nic.peer = peers
                    .get(format!("{}/{}", host.name, nic.name).as_str())
                    .map(|&peer| peer.to_owned());
            }
        }
    }

    fn check(
        &mut self,
        name: &Spanned<String>,
        section: &CheckSection,
        programs: &[Program],
        timeout: Duration,
    ) -> Option<Check> {
        self.name(name, "check");
        let kind = section
            .kind
            .as_ref()
            .map(|kind| *kind.get_ref())
            .or_else(|| {
                CheckKind::ALL
                    .into_iter()
                    .find(|kind| kind.name() == name.get_ref())
            });
        let Some(kind) = kind else {
            let kinds = CheckKind::ALL.map(CheckKind::name);
            let help = suggest::nearest(name.get_ref(), kinds).map_or_else(
                || format!("add kind, one of {}", kinds.join(", ")),
                |near| {
                    format!(
                        "did you mean `{near}`? Or add kind, one of {}",
                        kinds.join(", ")
                    )
                },
            );
            self.wrong(
                name.span(),
                format!("check `{}` has no kind", printable(name.get_ref())),
                Some(help),
            );
            return None;
        };
        let modes = match &section.modes {
            None => Mode::ALL.to_vec(),
            Some(modes) => {
                let mut list = modes.get_ref().clone();
                list.sort_unstable();
                list.dedup();
                if list.is_empty() || list.len() < modes.get_ref().len() {
                    let message = if list.is_empty() {
                        "no mode"
                    } else {
                        "a mode stands here twice"
                    };
                    self.wrong(
                        modes.span(),
                        message,
                        Some("native, generic, offload".into()),
                    );
                }
                list
            }
        };
        let programs = match &section.programs {
            Some(list) if !kind.takes_program() => {
                let message = format!("a {} check takes no program", kind.name());
                self.wrong(list.span(), message, Some("remove it".into()));
                Vec::new()
            }
            Some(list) => self.programs(list.get_ref(), programs),
            None if kind.takes_program() => {
                if programs.is_empty() {
                    let message = format!("check `{}` needs a program", printable(name.get_ref()));
                    self.wrong(
                        name.span(),
                        message,
                        Some("add [program.NAME] with object = \"FILE.o\"".into()),
                    );
                }
                (0..programs.len()).collect()
            }
            None => Vec::new(),
        };
        let timeout = self.timeout(section.timeout.as_ref(), timeout);
        Some(Check {
            name: name.get_ref().clone(),
            kind,
            modes,
            programs,
            timeout,
        })
    }

    fn programs(&mut self, list: &[Spanned<String>], programs: &[Program]) -> Vec<usize> {
        let mut indices = Vec::new();
        for word in list {
            match programs
                .iter()
                .position(|program| program.name == *word.get_ref())
            {
                Some(index) if indices.contains(&index) => {
                    self.wrong(
                        word.span(),
                        format!("program `{}` stands here twice", word.get_ref()),
                        None,
                    );
                }
                Some(index) => indices.push(index),
                None => {
                    let names: Vec<&str> = programs
                        .iter()
                        .map(|program| program.name.as_str())
                        .collect();
                    let help = suggest::nearest(word.get_ref(), names.iter().copied())
                        .map(|near| format!("did you mean `{near}`?"));
                    self.wrong(
                        word.span(),
                        format!("no program `{}`", printable(word.get_ref())),
                        help,
                    );
                }
            }
        }
        indices.sort_unstable();
        indices
    }

    fn filter(&mut self, text: &Spanned<String>) -> Option<Filter> {
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

    fn timeout(&mut self, text: Option<&Spanned<String>>, default: Duration) -> Duration {
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
    fn name(&mut self, name: &Spanned<String>, what: &str) {
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

    fn wrong(
        &mut self,
        span: std::ops::Range<usize>,
        message: impl Into<String>,
        help: Option<String>,
    ) {
        self.errors.push(self.source.error(span, message, help));
    }
}

fn duration(text: &str) -> Option<Duration> {
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().ok()?;
    let milliseconds = match unit.trim() {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    number.checked_mul(milliseconds).map(Duration::from_millis)
}

fn is_ifname(word: &str) -> bool {
    (1..=15).contains(&word.len())
        && word != "."
        && word != ".."
        && !word.starts_with('-')
        && !word.contains(|c: char| c == '/' || c == ':' || c.is_whitespace() || c.is_control())
}

fn is_pci_address(word: &str) -> bool {
    let hex =
        |part: &str, digits| part.len() == digits && part.bytes().all(|b| b.is_ascii_hexdigit());
    let Some((bus, function)) = word.rsplit_once('.') else {
        return false;
    };
    let parts: Vec<&str> = bus.split(':').collect();
    matches!(parts[..], [domain, bus, device] if hex(domain, 4) && hex(bus, 2) && hex(device, 2))
        && matches!(function.as_bytes(), [b'0'..=b'7'])
}

fn is_mac(word: &str) -> bool {
    let pairs: Vec<&str> = word.split(':').collect();
    pairs.len() == 6
        && pairs
            .iter()
            .all(|pair| pair.len() == 2 && pair.bytes().all(|b| b.is_ascii_hexdigit()))
}
