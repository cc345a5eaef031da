//! `maps`: entries of the attached program's maps are written, read back and deleted; after the detach program and maps
//! are gone.

use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::Value;

use super::program::{self, Subject};
use super::status::status;
use super::{Attempt, Report, Stop};
use crate::spec::Outcome;

/// How long the kernel may take to free what nobody holds: it waits for its CPUs.
const FREED_WITHIN: Duration = Duration::from_secs(10);
/// How often it is looked at meanwhile.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Entries up to which a whole map is read.
const MAX_DUMP: u32 = 4096;

pub(super) fn run(attempt: &mut Attempt<'_>, subject: &Subject<'_>) -> Result<Report, Stop> {
    let ifname = subject.ifname();
    let mut loaded = None;
    let report = program::attached(attempt, subject, |attempt, id| {
        let list = ["map", "list", "--dev", ifname, "--json"];
        let output = attempt.command("xdp-offload", &list)?;
        if !output.is_success() {
            return Ok(Report::failed(output.complaint()));
        }
        let list: List = output.json().map_err(Stop::Failed)?;
        loaded = Some((*id, list.maps.iter().map(|map| map.id).collect::<Vec<_>>()));
        let mut found = Vec::new();
        for map in list.maps.iter().filter(|map| map.access().is_some()) {
            if let Some(what) = exercise(attempt, ifname, map)? {
                return Ok(Report::wrong(format!("{}: {what}", map.name)));
            }
            found.push(format!("{} ({})", map.name, map.kind));
        }
        if found.is_empty() {
            return Ok(Report::skipped("the program has no map that takes entries"));
        }
        found.sort_unstable();
        Ok(Report {
            found: Some(found.join(", ")),
            ..Report::of(Outcome::Held)
        })
    })?;
    match loaded {
        Some((id, maps)) if report.outcome == Some(Outcome::Held) => {
            match left(attempt, ifname, id, &maps)? {
                Some(what) => Ok(Report {
                    found: report.found,
                    ..Report::wrong(what)
                }),
                None => Ok(report),
            }
        }
        _ => Ok(report),
    }
}

#[derive(Debug, Deserialize)]
struct List {
    maps: Vec<Map>,
}

#[derive(Debug, Deserialize)]
struct Map {
    id: u32,
    name: String,
    kind: String,
    key_size: usize,
    value_size: usize,
    max_entries: u32,
}

/// How entries get into a map.
#[derive(Debug, PartialEq, Eq)]
enum Access {
    /// Under any key; they can be deleted.
    Keyed,
    /// By number; they are always there.
    Indexed,
}

impl Map {
    /// None for maps whose values are programs, maps, devices or sockets, or whose keys have a form of their own, and
    /// for global variables, which libbpf and `xdp-offload` keep in maps with a dot in their names.
    fn access(&self) -> Option<Access> {
        match self.kind.as_str() {
            _ if self.name.contains('.') => None,
            "hash" | "lru_hash" | "percpu_hash" | "lru_percpu_hash" => Some(Access::Keyed),
            "array" | "percpu_array" => Some(Access::Indexed),
            _ => None,
        }
    }

    /// A key that hardly any packet asks for: the last number, or all ones.
    fn key(&self) -> String {
        match self.access() {
            Some(Access::Indexed) => self.max_entries.saturating_sub(1).to_string(),
            _ => bytes(1, self.key_size),
        }
    }
}

/// As `xdp-offload map` takes bytes.
fn bytes(byte: u8, count: usize) -> String {
    format!("hex:{}", format!("{byte:02x}").repeat(count))
}

#[derive(Debug, Deserialize)]
struct Entries {
    #[serde(default)]
    entries: Vec<Value>,
}

/// Writes, reads and deletes an entry; what went wrong, if something did.
fn exercise(attempt: &mut Attempt<'_>, ifname: &str, map: &Map) -> Result<Option<String>, Stop> {
    let key = map.key();
    let mut ask = |words: &[&str]| {
        let mut arguments = vec!["map", &map.name];
        arguments.extend(words);
        arguments.extend(["--dev", ifname, "--json"]);
        attempt.command("xdp-offload", &arguments)
    };
    // Twice, so that no value is right that was there before.
    for byte in [1, 2] {
        let value = bytes(byte, map.value_size);
        let mut said = Vec::new();
        for words in [&["set", &key, &value][..], &["get", &key]] {
            let output = ask(words)?;
            if !output.is_success() {
                return Ok(Some(format!("{}: {}", words[0], output.error_words())));
            }
            let entries: Entries = output.json().map_err(Stop::Failed)?;
            said.push(entries.entries);
        }
        if let Some(what) = differs(&said[0], &said[1]) {
            return Ok(Some(what));
        }
        if map.max_entries <= MAX_DUMP {
            let output = ask(&["dump"])?;
            let dump: Entries = output.json().map_err(Stop::Failed)?;
            if !said[1].iter().all(|entry| dump.entries.contains(entry)) {
                return Ok(Some("an entry that was written is not in its dump".into()));
            }
        }
    }
    if map.access() == Some(Access::Keyed) {
        let output = ask(&["del", &key])?;
        if !output.is_success() {
            return Ok(Some(format!("del: {}", output.error_words())));
        }
        // Code 3 is a reasoned no.
        if ask(&["get", &key])?.code != Some(3) {
            return Ok(Some("an entry that was deleted is still there".into()));
        }
    }
    Ok(None)
}

fn differs(written: &[Value], read: &[Value]) -> Option<String> {
    let text = |entries: &[Value]| {
        let entries: Vec<String> = entries.iter().map(ToString::to_string).collect();
        entries.join(", ")
    };
    (written != read || read.is_empty())
        .then(|| format!("{} was written, {} is read", text(written), text(read)))
}

/// What is left of a program that was detached, if something is.
fn left(
    attempt: &mut Attempt<'_>,
    ifname: &str,
    id: u32,
    maps: &[u32],
) -> Result<Option<String>, Stop> {
    if status(attempt, Some(ifname))?.has(id) {
        return Ok(Some(format!("program {id} is still attached")));
    }
    for map in maps {
        let map = map.to_string();
        let is_there = |attempt: &mut Attempt<'_>| {
            let shown = attempt.command("xdp-offload", &["map", &map, "--json"])?;
            Ok::<bool, Stop>(shown.is_success())
        };
        let deadline = Instant::now() + FREED_WITHIN;
        while is_there(attempt)? {
            if Instant::now() > deadline {
                let after = FREED_WITHIN.as_secs();
                return Ok(Some(format!(
                    "map {map} is still there {after} s after the detach"
                )));
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(name: &str, kind: &str) -> Map {
        Map {
            id: 1,
            name: name.into(),
            kind: kind.into(),
            key_size: 4,
            value_size: 8,
            max_entries: 64,
        }
    }

    #[test]
    fn maps_of_plain_entries_are_written() {
        assert_eq!(map("rules", "lru_hash").access(), Some(Access::Keyed));
        assert_eq!(map("rules", "hash").key(), "hex:01010101");
        assert_eq!(map("counts", "percpu_array").key(), "63");
        for (name, kind) in [
            (".rodata", "array"),
            ("a.bss", "array"),
            ("ports", "devmap"),
        ] {
            assert_eq!(map(name, kind).access(), None, "{name}");
        }
    }

    #[test]
    fn what_is_read_has_to_be_what_was_written() {
        let entries = |text: &str| serde_json::from_str::<Vec<Value>>(text).unwrap();
        let one = entries(r#"[{"key":1,"value":7}]"#);
        assert_eq!(differs(&one, &one), None);
        assert_eq!(
            differs(&one, &entries(r#"[{"key":1,"value":8}]"#)).as_deref(),
            Some(r#"{"key":1,"value":7} was written, {"key":1,"value":8} is read"#)
        );
        assert!(differs(&[], &[]).is_some());
    }
}
