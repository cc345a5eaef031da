//! From answers to the profile that `xdp-offload check --profile` and `attach --profile` take. Pure.
//!
//! The form of the file is that of `nfp-target/profiles/full.toml`; `tests/caps.rs` reads what is written here with
//! `nfp_target::profile::Profile`. What nobody outside of the card can see is as in `full`, and marked.

use schemars::JsonSchema;
use serde::Serialize;

use super::answers::{Answers, Limit, MapLimits};
use super::catalogue::{self, ARRAY_NAME, HASH_NAME};
use super::registers::{Registers, adjust_head_limits};

/// One line of a profile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Entry {
    /// The table that it stands in; "" for the file's beginning.
    pub table: &'static str,
    /// Its name there.
    pub key: &'static str,
    /// The value.
    pub value: Value,
    /// How it is known.
    pub source: Source,
    /// What else is to be said.
    pub remark: String,
}

/// A value of a profile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Value {
    /// A number.
    Number(u32),
    /// Whether something is there.
    Flag(bool),
    /// Names.
    Names(Vec<&'static str>),
}

/// How a value is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// Trial loads found it.
    Measured,
    /// The device shows it, in its registers or in the machine code of a trial.
    Told,
    /// It cannot be seen from outside: as in the profile `full`.
    Assumed,
}

impl Source {
    /// For output.
    pub fn name(self) -> &'static str {
        match self {
            Self::Measured => "measured",
            Self::Told => "told",
            Self::Assumed => "assumed",
        }
    }
}

/// The driver compares with the padding of the shortest packet (`nfp_record_adjust_head`): 60 bytes less the Ethernet
/// header.
const FARTHEST_UNCHECKED: u32 = 46;
/// Highest address in the control store.
const MAX_ADDRESS: u16 = 0x3fff;
/// The longest code that a profile can have.
const MAX_WORDS: u32 = 16384;

/// The lines of the profile; `None` where the device is no NFP.
pub fn profile(answers: &Answers) -> Option<Vec<Entry>> {
    if !answers.words.starts_with("[nfp]") || answers.program.words == 0 {
        return None;
    }
    let mut entries = Entries(Vec::new());
    card(&mut entries, answers);
    adjust_head(&mut entries, answers);
    helpers(&mut entries, answers);
    maps(&mut entries, answers);
    Some(entries.0)
}

/// Whether the registers say what was measured: only then is believed what else they say.
fn registers(answers: &Answers) -> Option<Registers> {
    let read = Registers::read(answers.registers.as_deref()?)?;
    let program = &answers.program;
    let agrees = |told: u32, limit: Limit, most: u32| told == most || limit.open && told >= most;
    let believed = agrees(read.code_words.into(), program.instructions, program.words)
        && agrees(read.stack_bytes, program.stack, program.stack.most)
        && read.start <= MAX_ADDRESS
        && read.next_packet <= MAX_ADDRESS;
    believed.then_some(read)
}

struct Entries(Vec<Entry>);

impl Entries {
    fn push(
        &mut self,
        table: &'static str,
        key: &'static str,
        value: Value,
        source: Source,
        remark: impl Into<String>,
    ) {
        self.0.push(Entry {
            table,
            key,
            value,
            source,
            remark: remark.into(),
        });
    }

    fn flag(&mut self, key: &'static str, value: bool) {
        self.push("", key, Value::Flag(value), Source::Measured, "");
    }
}

fn is_taken(answers: &[super::answers::Asked], what: &str) -> bool {
    answers
        .iter()
        .any(|asked| asked.what == what && asked.answer.is_taken())
}

fn card(entries: &mut Entries, answers: &Answers) {
    let told = registers(answers);
    let program = &answers.program;
    let from_registers = |told: Option<u32>, full: u32| match told {
        Some(told) => (Value::Number(told), Source::Told, "by the registers"),
        None => (
            Value::Number(full),
            Source::Assumed,
            "the device shows no registers that agree with what was measured",
        ),
    };
    let mut shown = |key, told: Option<u32>, full| {
        let (value, source, remark) = from_registers(told, full);
        entries.push("", key, value, source, remark);
    };
    let abi = told.map(|told| u32::from(told.abi));
    shown("abi", abi.filter(|abi| (2..=3).contains(abi)), 3);
    let packet = told.map(|told| told.packet_bytes);
    shown("packet_bytes", packet, 2016);
    shown("start", told.map(|told| told.start.into()), 2048);
    shown("next_packet", told.map(|told| told.next_packet.into()), 100);
    let words = program.words.min(MAX_WORDS);
    let open = program.instructions.open || words < program.words;
    entries.push(
        "",
        "code_words",
        Value::Number(words),
        Source::Measured,
        if open { "or more" } else { "" },
    );
    match told.filter(|_| program.stack.open) {
        Some(told) => {
            let stack = Value::Number(told.stack_bytes);
            entries.push("", "stack_bytes", stack, Source::Told, "by the registers");
        }
        None => entries.push(
            "",
            "stack_bytes",
            Value::Number(program.stack.most),
            Source::Measured,
            if program.stack.open {
                "or more: the kernel lets no program use more"
            } else {
                ""
            },
        ),
    }
    entries.flag(
        "adjust_tail",
        is_taken(&answers.helpers, catalogue::ADJUST_TAIL),
    );
    entries.flag("random", is_taken(&answers.helpers, catalogue::RANDOM));
    let queue = is_taken(&answers.instructions, catalogue::STORE_QUEUE);
    entries.flag("queue_select", queue);
}

fn adjust_head(entries: &mut Entries, answers: &Answers) {
    const TABLE: &str = "adjust_head";
    let asked = answers
        .helpers
        .iter()
        .find(|asked| asked.what == catalogue::ADJUST_HEAD);
    let taken = asked.is_some_and(|asked| asked.answer.is_taken());
    // The driver's words where the card has it, and only the metadata is in the way (`nfp_bpf_check_helper_call`).
    let metadata = asked.is_some_and(|asked| match &asked.answer {
        super::answers::Answer::Refused { words, .. } => words.contains("shifting metadata"),
        _ => false,
    });
    let measured = answers.adjust_head.as_ref().filter(|_| taken);
    entries.push(
        TABLE,
        "supported",
        Value::Flag(taken || metadata),
        Source::Measured,
        "",
    );
    let unseen = "no program may call it";
    let unread = "its machine code was not understood";
    let limits = measured.and_then(|measured| adjust_head_limits(&measured.code));
    let why = if taken { unread } else { unseen };
    for (key, told, full) in [
        ("lowest", limits.map(|(lowest, _)| lowest), 32),
        ("highest", limits.map(|(_, highest)| highest), 248),
    ] {
        let (number, source, remark) = match told {
            Some(told) => (told, Source::Told, "by its machine code"),
            None => (full, Source::Assumed, why),
        };
        entries.push(TABLE, key, Value::Number(number.into()), source, remark);
    }
    for (key, limit, full) in [
        (
            "sure_front",
            measured.map(|measured| measured.unchecked_front),
            64,
        ),
        (
            "sure_back",
            measured.map(|measured| measured.unchecked_back),
            128,
        ),
    ] {
        let (number, source) = match limit {
            Some(limit) => (limit.most, Source::Measured),
            None => (full, Source::Assumed),
        };
        let remark = match limit {
            None => why,
            Some(limit) if key == "sure_back" && limit.most >= FARTHEST_UNCHECKED => {
                "or more: the driver checks whatever is more"
            }
            Some(limit) if limit.open => "or more",
            Some(_) => "",
        };
        entries.push(TABLE, key, Value::Number(number), source, remark);
    }
    let (value, source, remark) = if taken || metadata {
        (taken, Source::Measured, "")
    } else {
        (true, Source::Assumed, unseen)
    };
    entries.push(TABLE, "no_metadata", Value::Flag(value), source, remark);
}

fn helpers(entries: &mut Entries, answers: &Answers) {
    for (key, what, full) in [
        ("map_lookup", catalogue::MAP_LOOKUP, 200),
        ("map_update", catalogue::MAP_UPDATE, 210),
        ("map_delete", catalogue::MAP_DELETE, 220),
        ("perf_event_output", catalogue::EVENT_OUTPUT, 230),
    ] {
        if is_taken(&answers.helpers, what) {
            let remark = "it is there, but nobody shows its address";
            let value = Value::Number(full);
            entries.push("helpers", key, value, Source::Assumed, remark);
        } else {
            let value = Value::Number(0);
            entries.push("helpers", key, value, Source::Measured, "");
        }
    }
}

fn maps(entries: &mut Entries, answers: &Answers) {
    const TABLE: &str = "maps";
    let types = [HASH_NAME, ARRAY_NAME];
    let types = types
        .into_iter()
        .filter(|name| is_taken(&answers.map_kinds, name));
    let types = Value::Names(types.collect());
    entries.push(TABLE, "types", types, Source::Measured, "");
    let Some(maps) = &answers.maps else {
        for (key, full) in [
            ("count", 64),
            ("elements", 1 << 20),
            ("key_bytes", 64),
            ("value_bytes", 64),
            ("element_bytes", 128),
        ] {
            let value = Value::Number(full);
            entries.push(TABLE, key, value, Source::Assumed, "no map can be made");
        }
        return;
    };
    let or_more = |limit: Limit| if limit.open { "or more" } else { "" }.to_owned();
    for (key, limit, remark) in [
        ("count", maps.count, others(maps, or_more(maps.count))),
        (
            "elements",
            maps.elements,
            others(maps, or_more(maps.elements)),
        ),
        ("key_bytes", maps.key, size_remark(maps, maps.key)),
        ("value_bytes", maps.value, size_remark(maps, maps.value)),
        (
            "element_bytes",
            maps.element,
            if maps.element.open {
                "or more: no larger key or value is taken".to_owned()
            } else {
                String::new()
            },
        ),
    ] {
        let value = Value::Number(limit.most);
        entries.push(TABLE, key, value, Source::Measured, remark);
    }
}

fn others(maps: &MapLimits, remark: String) -> String {
    if maps.others == 0 {
        return remark;
    }
    let others = format!(
        "with {} maps of others, {} elements",
        maps.others, maps.others_elements
    );
    if remark.is_empty() {
        others
    } else {
        format!("{remark}; {others}")
    }
}

/// Beside the smallest key or value, a larger one is refused for the sum of both: the limit of its own is not seen.
fn size_remark(maps: &MapLimits, limit: Limit) -> String {
    if limit.open {
        "or more".to_owned()
    } else if limit.most.is_multiple_of(8) && limit.most + 8 == maps.element.most {
        "or more: the limit is that of key and value together".to_owned()
    } else {
        String::new()
    }
}
