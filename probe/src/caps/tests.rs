//! The survey on devices made up here, and the judge on answers that were recorded.

use std::collections::VecDeque;

use super::answers::{Answer, Answers, Limit};
use super::catalogue::{self, HASH, Shape, TrialMap};
use super::code::Insn;
use super::maps;
use super::profile::{Entry, Source, Value, profile};
use super::survey::{Device, Loaded};
use crate::{Error, Result};

/// A device that keeps maps as the NFP's driver does, and frees those that are dropped one a pause.
struct Fake {
    kinds: &'static [u32],
    count: usize,
    /// Of all maps; `None`: of each 2, as netdevsim.
    elements: Option<u32>,
    key: u32,
    value: u32,
    element: u32,
    kept: Vec<Shape>,
    dropped: VecDeque<Shape>,
    others: (u32, u32),
    /// So many maps later.
    goes_away_after: Option<u32>,
}

impl Fake {
    fn new() -> Self {
        Self {
            kinds: &[HASH, catalogue::ARRAY],
            count: 64,
            elements: Some(1 << 20),
            key: 64,
            value: 64,
            element: 128,
            kept: Vec::new(),
            dropped: VecDeque::new(),
            others: (0, 0),
            goes_away_after: None,
        }
    }

    fn there(&self) -> impl Iterator<Item = &Shape> {
        self.kept.iter().chain(&self.dropped)
    }
}

impl Device for Fake {
    fn load(&mut self, _: &[Insn], _: &[TrialMap]) -> Result<Loaded> {
        unreachable!("only maps are asked for")
    }

    fn load_on_host(&mut self, _: &[Insn], _: &[TrialMap]) -> Result<Option<i32>> {
        unreachable!("only maps are asked for")
    }

    fn keep_map(&mut self, shape: Shape) -> Result<Option<i32>> {
        const ENOMEM: i32 = 12;
        if let Some(left) = &mut self.goes_away_after {
            *left = left.saturating_sub(1);
            if *left == 0 {
                return Ok(Some(ENOMEM));
            }
        }
        let rounded = shape.key.next_multiple_of(8) + shape.value.next_multiple_of(8);
        let used: u32 = self.there().map(|shape| shape.entries).sum();
        let fits = match self.elements {
            Some(all) => shape.entries <= all - used - self.others.1,
            None => shape.entries <= 2,
        };
        let taken = self.kinds.contains(&shape.kind)
            && shape.flags == 0
            && self.there().count() + (self.others.0 as usize) < self.count
            && fits
            && rounded <= self.element
            && shape.key <= self.key
            && shape.value <= self.value;
        if taken {
            self.kept.push(shape);
        }
        Ok((!taken).then_some(ENOMEM))
    }

    fn host_map(&mut self, _: Shape) -> Result<Option<i32>> {
        Ok(None)
    }

    fn drop_maps(&mut self) {
        self.dropped.extend(self.kept.drain(..));
    }

    fn pause(&mut self) {
        for _ in 0..8 {
            self.dropped.pop_front();
        }
    }

    fn most_maps(&self) -> u32 {
        u32::MAX
    }

    fn others(&mut self) -> Result<(u32, u32)> {
        Ok(self.others)
    }

    fn use_kind(&mut self, _: u32) {}

    fn registers(&mut self) -> Result<Option<Vec<u8>>> {
        Ok(None)
    }

    fn check(&mut self) -> Result<()> {
        if self.goes_away_after == Some(0) {
            return Err(Error::Vanished {
                name: "fake0".to_owned(),
                during: "caps",
            });
        }
        Ok(())
    }
}

fn exactly(most: u32) -> Limit {
    Limit { most, open: false }
}

#[test]
fn maps_are_measured_exactly_while_dropped_ones_are_freed_later() {
    for (count, elements, key, value, element) in [
        (64, 1 << 20, 64, 64, 128),
        (40, 1000, 17, 65, 96),
        (100, 4_000_000_000, 512, 2048, 2560),
        (64, 1 << 20, 64, 64, 64),
    ] {
        let mut fake = Fake {
            count,
            elements: Some(elements),
            key,
            value,
            element,
            ..Fake::new()
        };
        let (kinds, flags, limits) = maps::survey(&mut fake).unwrap();
        let limits = limits.unwrap();
        let taken: Vec<&str> = kinds
            .iter()
            .filter(|asked| asked.answer.is_taken())
            .map(|asked| asked.what.as_str())
            .collect();
        assert_eq!(taken, ["hash", "array"]);
        assert!(flags.iter().all(|asked| !asked.answer.is_taken()));
        assert_eq!(limits.count, exactly(count as u32));
        assert_eq!(limits.elements, exactly(elements));
        assert!(!limits.elements_a_map);
        assert_eq!(limits.key, exactly(key.min(element - 8)));
        assert_eq!(limits.value, exactly(value.min(element - 8)));
        let together = key.next_multiple_of(8) + value.next_multiple_of(8);
        assert_eq!(limits.element.most, element.min(together));
        fake.drop_maps();
        assert!(fake.kept.is_empty());
    }
}

#[test]
fn maps_of_others_are_counted() {
    let mut fake = Fake {
        others: (3, 300),
        ..Fake::new()
    };
    let limits = maps::survey(&mut fake).unwrap().2.unwrap();
    assert_eq!(limits.count, exactly(64));
    assert_eq!(limits.elements, exactly(1 << 20));
    assert_eq!((limits.others, limits.others_elements), (3, 300));
}

#[test]
fn a_limit_of_each_map_is_told_from_one_of_all() {
    let mut fake = Fake {
        kinds: &[catalogue::ARRAY],
        count: usize::MAX,
        elements: None,
        ..Fake::new()
    };
    let limits = maps::survey(&mut fake).unwrap().2.unwrap();
    assert!(limits.elements_a_map);
    assert_eq!(limits.elements, exactly(2));
    assert!(limits.count.open);
    // An array's key has no other size.
    assert_eq!((limits.key.most, limits.key.open), (4, true));
}

#[test]
fn a_device_without_maps_has_none() {
    let mut fake = Fake {
        kinds: &[],
        ..Fake::new()
    };
    let (kinds, flags, limits) = maps::survey(&mut fake).unwrap();
    assert!(kinds.iter().all(|asked| !asked.answer.is_taken()));
    assert!(flags.is_empty() && limits.is_none());
}

#[test]
fn a_device_that_goes_away_is_an_error() {
    let mut fake = Fake {
        goes_away_after: Some(20),
        ..Fake::new()
    };
    let gone = maps::survey(&mut fake);
    assert!(matches!(gone, Err(Error::Vanished { .. })), "{gone:?}");
}

/// Recorded by `xdp-probe caps nfpsim0 --json` on Linux 6.12, with the parameters of the profile `full`.
fn nfp() -> Answers {
    serde_json::from_str(include_str!("recorded/nfp.json")).expect("answers")
}

fn entry(answers: &Answers, path: &str) -> Entry {
    let entries = profile(answers).expect("an NFP");
    let (table, key) = path.split_once('.').unwrap_or(("", path));
    let mut found = entries.into_iter();
    found
        .find(|entry| (entry.table, entry.key) == (table, key))
        .unwrap_or_else(|| panic!("{path}"))
}

fn value(answers: &Answers, path: &str) -> (Value, Source) {
    let entry = entry(answers, path);
    (entry.value, entry.source)
}

fn answer<'a>(asked: &'a mut [super::answers::Asked], what: &str) -> &'a mut Answer {
    let found = asked.iter_mut().find(|asked| asked.what == what);
    &mut found.expect(what).answer
}

#[test]
fn recorded_answers_are_the_card_that_they_came_from() {
    let nfp = nfp();
    let number = |path, number, source| {
        assert_eq!(value(&nfp, path), (Value::Number(number), source), "{path}");
    };
    number("abi", 3, Source::Told);
    number("start", 2048, Source::Told);
    number("next_packet", 100, Source::Told);
    number("packet_bytes", 2016, Source::Told);
    number("code_words", 8192, Source::Measured);
    number("stack_bytes", 512, Source::Measured);
    number("adjust_head.lowest", 32, Source::Told);
    number("adjust_head.highest", 248, Source::Told);
    number("adjust_head.sure_front", 64, Source::Measured);
    number("adjust_head.sure_back", 46, Source::Measured);
    number("helpers.map_lookup", 200, Source::Assumed);
    number("maps.count", 64, Source::Measured);
    number("maps.elements", 1 << 20, Source::Measured);
    number("maps.element_bytes", 128, Source::Measured);
    let types = Value::Names(vec!["hash", "array"]);
    assert_eq!(value(&nfp, "maps.types").0, types);
    for flag in [
        "adjust_tail",
        "random",
        "queue_select",
        "adjust_head.supported",
        "adjust_head.no_metadata",
    ] {
        assert_eq!(value(&nfp, flag), (Value::Flag(true), Source::Measured));
    }
}

#[test]
fn registers_that_contradict_the_trials_are_not_believed() {
    let mut nfp = nfp();
    nfp.program.words -= 1;
    for path in ["abi", "start", "next_packet", "packet_bytes"] {
        assert_eq!(value(&nfp, path).1, Source::Assumed, "{path}");
    }
    nfp.program.words += 1;
    nfp.registers = None;
    assert_eq!(value(&nfp, "abi"), (Value::Number(3), Source::Assumed));
}

#[test]
fn metadata_in_the_way_is_told_from_no_adjust_head() {
    let mut nfp = nfp();
    nfp.adjust_head = None;
    let refused = |words: &str| Answer::Refused {
        errno: 95,
        words: words.to_owned(),
    };
    *answer(&mut nfp.helpers, catalogue::ADJUST_HEAD) =
        refused("[nfp] adjust_head: FW requires shifting metadata, not supported by the driver");
    assert_eq!(value(&nfp, "adjust_head.supported").0, Value::Flag(true));
    assert_eq!(value(&nfp, "adjust_head.no_metadata").0, Value::Flag(false));
    assert_eq!(value(&nfp, "adjust_head.lowest").1, Source::Assumed);
    *answer(&mut nfp.helpers, catalogue::ADJUST_HEAD) =
        refused("[nfp] adjust_head not supported by FW");
    assert_eq!(value(&nfp, "adjust_head.supported").0, Value::Flag(false));
    assert_eq!(value(&nfp, "adjust_head.no_metadata").1, Source::Assumed);
}

#[test]
fn helpers_that_are_refused_have_no_address() {
    let mut nfp = nfp();
    *answer(&mut nfp.helpers, catalogue::MAP_UPDATE) = Answer::Refused {
        errno: 95,
        words: "[nfp] map_update: not supported by FW".to_owned(),
    };
    let update = value(&nfp, "helpers.map_update");
    assert_eq!(update, (Value::Number(0), Source::Measured));
}

#[test]
fn other_devices_have_no_profile() {
    let mut answers = nfp();
    answers.words = String::new();
    assert_eq!(profile(&answers), None);
    assert_eq!(profile(&Answers::default()), None);
    // By the same command on a netdevsim of Linux 6.12.
    let text = include_str!("recorded/netdevsim.json");
    let netdevsim: Answers = serde_json::from_str(text).expect("answers");
    assert_eq!(profile(&netdevsim), None);
    let maps = netdevsim.maps.expect("it has maps");
    assert_eq!((maps.elements, maps.elements_a_map), (exactly(2), true));
}
