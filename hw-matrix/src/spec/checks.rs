//! From the sections `[check.NAME]` to checks.

use std::ops::Range;
use std::time::Duration;

use toml::Spanned;

use super::build::Builder;
use super::file::CheckSection;
use super::forms::duration;
use super::{Check, CheckKind, Mode, Options, Program};
use crate::filter::{Filter, printable};
use crate::suggest;

/// MTUs that an interface can have: IPv4 asks for 68 (RFC 791), the kernel's limit is that of an IPv4 packet.
const MTUS: Range<u32> = 68..65_536;
/// Most MTUs of one sweep: each takes a few commands.
const MAX_MTUS: usize = 64;
/// Longest time that packets are sent in one cell.
const MAX_TIME: Duration = Duration::from_hours(12);
/// Most packets a second that can be asked for.
const MAX_RATE: u32 = 1_000_000;
/// How many times the lab's time limit a sweep has, which asks one thing after the other.
const SWEEP: u32 = 3;

impl Builder<'_> {
    pub(super) fn check(
        &mut self,
        name: &Spanned<String>,
        section: &CheckSection,
        programs: &[Program],
        timeout: Duration,
    ) -> Option<Check> {
        self.name(name, "check");
        let kind = self.kind(name, section)?;
        let modes = self.modes(section, kind);
        let programs = match &section.programs {
            Some(list) if !kind.takes_program() => {
                let message = format!("a check of kind {} takes no program", kind.name());
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
        let cells = match &section.cells {
            Some(cells) => self.filter(cells)?,
            None => Filter::All,
        };
        let options = self.options(section, kind);
        let default = match kind {
            CheckKind::Mtu | CheckKind::Queues => timeout.saturating_mul(SWEEP),
            _ if kind.takes().contains(&"for") => timeout + options.time,
            _ => timeout,
        };
        let timeout = self.timeout(section.timeout.as_ref(), default);
        Some(Check {
            name: name.get_ref().clone(),
            kind,
            modes,
            programs,
            cells,
            line: self.source.place(name.span().start).0,
            timeout,
            options,
        })
    }

    fn kind(&mut self, name: &Spanned<String>, section: &CheckSection) -> Option<CheckKind> {
        if let Some(kind) = &section.kind {
            return Some(*kind.get_ref());
        }
        let word = name.get_ref();
        let named = CheckKind::ALL
            .into_iter()
            .find(|kind| kind.name() == word.as_str());
        if named.is_none() {
            let kinds = CheckKind::ALL.map(CheckKind::name);
            let list = kinds.join(", ");
            let help = suggest::nearest(word, kinds).map_or_else(
                || format!("add kind, one of {list}"),
                |near| format!("did you mean `{near}`? Or add kind, one of {list}"),
            );
            let message = format!("check `{}` has no kind", printable(word));
            self.wrong(name.span(), message, Some(help));
        }
        named
    }

    fn modes(&mut self, section: &CheckSection, kind: CheckKind) -> Vec<Mode> {
        let Some(modes) = &section.modes else {
            return kind.modes().to_vec();
        };
        let can = kind.modes().iter().map(|mode| mode.name());
        let can = can.collect::<Vec<_>>().join(", ");
        let mut list: Vec<Mode> = Vec::new();
        for mode in modes.get_ref() {
            if !kind.modes().contains(mode.get_ref()) {
                let message = format!("a check of kind {} has no such mode", kind.name());
                self.wrong(mode.span(), message, Some(can.clone()));
            } else if list.contains(mode.get_ref()) {
                self.wrong(mode.span(), "this mode stands here twice", None);
            } else {
                list.push(*mode.get_ref());
            }
        }
        if modes.get_ref().is_empty() {
            self.wrong(modes.span(), "no mode", Some(can));
        }
        list.sort_unstable();
        list
    }

    /// Each key is for some kinds.
    fn options(&mut self, section: &CheckSection, kind: CheckKind) -> Options {
        fn span<T>(value: Option<&Spanned<T>>) -> Option<Range<usize>> {
            value.map(Spanned::span)
        }
        for (key, span) in [
            ("mtus", span(section.mtus.as_ref())),
            ("for", span(section.time.as_ref())),
            ("rate", span(section.rate.as_ref())),
            ("lost", span(section.lost.as_ref())),
            ("slower", span(section.slower.as_ref())),
        ] {
            if let Some(span) = span
                && !kind.takes().contains(&key)
            {
                let kinds: Vec<&str> = CheckKind::ALL
                    .into_iter()
                    .filter(|kind| kind.takes().contains(&key))
                    .map(CheckKind::name)
                    .collect();
                let message = format!("a check of kind {} takes no `{key}`", kind.name());
                let help = format!("remove it: it is for {}", kinds.join(", "));
                self.wrong(span, message, Some(help));
            }
        }
        let mut options = kind.defaults();
        if let Some(mtus) = &section.mtus {
            options.mtus = self.mtus(mtus);
        }
        if let Some(time) = &section.time {
            match duration(time.get_ref()) {
                Some(time) if !time.is_zero() && time <= MAX_TIME => options.time = time,
                _ => {
                    let help = "a number with ms, s, m or h, at most 12h: 10s";
                    self.wrong(time.span(), "not a time", Some(help.into()));
                }
            }
        }
        if let Some(rate) = &section.rate {
            options.rate = *rate.get_ref();
            if !(1..=MAX_RATE).contains(&options.rate) {
                let message = format!("not 1 to {MAX_RATE} packets a second");
                self.wrong(rate.span(), message, None);
            }
        }
        if let Some(lost) = &section.lost {
            options.lost = *lost.get_ref();
        }
        if let Some(slower) = &section.slower {
            options.slower = *slower.get_ref();
            if !(options.slower.is_finite() && options.slower >= 1.0) {
                let help = Some("1 or more: 1.5".into());
                self.wrong(slower.span(), "not a factor", help);
            }
        }
        options
    }

    fn mtus(&mut self, list: &Spanned<Vec<Spanned<u32>>>) -> Vec<u32> {
        let count = list.get_ref().len();
        if !(1..=MAX_MTUS).contains(&count) {
            let message = format!("{count} MTUs are not 1 to {MAX_MTUS}");
            self.wrong(list.span(), message, None);
        }
        for mtu in list.get_ref() {
            if !MTUS.contains(mtu.get_ref()) {
                let message = format!("not an MTU of {} to {}", MTUS.start, MTUS.end - 1);
                self.wrong(mtu.span(), message, None);
            }
        }
        let mut mtus: Vec<u32> = list.get_ref().iter().map(|mtu| *mtu.get_ref()).collect();
        mtus.sort_unstable();
        mtus.dedup();
        mtus
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
}
