//! `show` for people: one interface, every fact, every verdict.

use std::fmt::Write;

use kernel::netlink::ethtool::FeatureState;

use super::paint;
use super::table::wrap;
use crate::facts::{Facts, Snapshot};
use crate::feature_names::xdp_feature_names;
use crate::judge::permission;
use crate::judge::{Support, Verdicts};

/// Where the right-hand side begins.
const INDENT: usize = 16;

/// The page. `width` in columns; `None` (a pipe) breaks no line.
pub fn page(snapshot: &Snapshot, facts: &Facts, verdicts: &Verdicts, width: Option<u16>) -> String {
    let mut page = Page {
        text: String::new(),
        width: width.map_or(usize::MAX, usize::from),
    };
    write_facts(&mut page, snapshot, facts);
    page.text.push('\n');
    write_verdicts(&mut page, verdicts);
    paint::finish(&page.text)
}

/// All verdicts and the best mode.
pub(super) fn write_verdicts(page: &mut Page, verdicts: &Verdicts) {
    page.verdict("native", &verdicts.native);
    page.verdict("generic", &verdicts.generic);
    page.verdict("offload", &verdicts.offload);
    page.verdict("AF_XDP copy", &verdicts.xsk_copy);
    page.verdict("AF_XDP zerocopy", &verdicts.xsk_zerocopy);
    page.verdict("redirect from", &verdicts.redirect_source);
    page.verdict("redirect to", &verdicts.redirect_target);
    page.verdict("multi-buffer", &verdicts.multi_buffer);
    page.line(
        "best mode",
        &verdicts
            .best()
            .map_or_else(|| "none".to_owned(), |mode| paint::bold(&mode.to_string())),
    );
}

fn write_facts(page: &mut Page, snapshot: &Snapshot, facts: &Facts) {
    let link = &facts.link;
    let _ = writeln!(
        page.text,
        "{} (index {})",
        paint::bold(&link.name),
        link.ifindex
    );
    page.line("kernel", &snapshot.host.release.text);
    page.line(
        "driver",
        &match &facts.driver {
            Some(driver) => format!("{} (told by {})", driver.name, driver.source.name()),
            None => "none".to_owned(),
        },
    );
    page.optional("version", facts.driver_version.as_deref());
    page.optional("kind", link.kind.as_deref());
    page.optional("bus", facts.bus_info.as_deref());
    page.optional("firmware", facts.firmware.as_deref());
    let carrier = if link.carrier {
        "carrier"
    } else {
        "no carrier"
    };
    page.line(
        "state",
        &format!(
            "{}, {} ({carrier})",
            if link.is_up() { "up" } else { "down" },
            link.operstate
        ),
    );
    let limits = match link.mtu_range {
        (0, 0) => String::new(),
        (min, 0) => format!(" ({min} or more)"),
        (min, max) => format!(" ({min} to {max})"),
    };
    page.line("mtu", &format!("{}{limits}", link.mtu));
    write_relations(page, snapshot, facts);
    if let Some(channels) = facts.channels {
        let all = [
            ("combined", channels.combined),
            ("rx", channels.rx),
            ("tx", channels.tx),
        ];
        page.line("queues", &counts(&all));
    }
    if let Some(rings) = facts.rings {
        page.line("rings", &counts(&[("rx", rings.rx), ("tx", rings.tx)]));
    }
    let offloads = &facts.offloads;
    let settings: Vec<String> = [
        ("rx-lro", offloads.lro),
        ("rx-gro-hw", offloads.gro_hw),
        ("rx-gro", offloads.gro),
        ("rx-checksum", offloads.rx_checksum),
    ]
    .into_iter()
    .filter_map(|(name, state)| Some(format!("{name} {}", setting(state?))))
    .collect();
    page.optional(
        "offloads",
        (!settings.is_empty())
            .then(|| settings.join(", "))
            .as_deref(),
    );
    page.line("advertised", &advertised(facts));
    for (mode, id) in link.xdp.iter() {
        let program = facts.programs.iter().find(|program| program.id == id);
        let named = program.map_or_else(String::new, |program| {
            format!(" {} (tag {})", program.name, program.tag)
        });
        page.line("attached", &format!("{mode}: program {id}{named}"));
    }
    let mut missing = permission::missing_to_attach(&snapshot.host);
    missing.extend(permission::missing_to_bind(&snapshot.host));
    if !missing.is_empty() {
        page.line(
            "you",
            &format!(
                "lack {}, so attaching or binding is refused (EPERM); run it as root",
                missing.join(", ")
            ),
        );
    }
    page.optional("lockdown", permission::lockdown_note(&snapshot.host));
}

/// What is above, below and at the other end.
fn write_relations(page: &mut Page, snapshot: &Snapshot, facts: &Facts) {
    let name = |facts: &Facts| facts.link.name.clone();
    let master = facts
        .link
        .master
        .and_then(|master| snapshot.by_index(master));
    page.optional("master", master.map(name).as_deref());
    page.optional("lower device", snapshot.lower(facts).map(name).as_deref());
    let ports: Vec<String> = snapshot.ports(facts).map(name).collect();
    page.optional(
        "ports",
        (!ports.is_empty()).then(|| ports.join(", ")).as_deref(),
    );
    if facts.link.kind.as_deref() == Some("veth") {
        let elsewhere = facts
            .link
            .lower_netns
            .map_or_else(String::new, |id| format!(" in network namespace id {id}"));
        let peer = match (facts.link.lower_netns, &facts.remote_peer) {
            (None, _) => facts
                .link
                .lower
                .and_then(|peer| snapshot.by_index(peer))
                .map(|peer| &peer.link),
            (Some(_), peer) => peer.as_deref(),
        };
        let peer = peer.map_or_else(
            || "not to be seen".to_owned(),
            |peer| format!("{} (mtu {})", peer.name, peer.mtu),
        );
        page.line("peer", &format!("{peer}{elsewhere}"));
    }
}

fn counts(all: &[(&str, (u32, u32))]) -> String {
    let all: Vec<String> = all
        .iter()
        .filter(|(_, (now, max))| *now > 0 || *max > 0)
        .map(|(what, (now, max))| format!("{what} {now} of {max}"))
        .collect();
    if all.is_empty() {
        "none".to_owned()
    } else {
        all.join(", ")
    }
}

fn setting(state: FeatureState) -> String {
    format!(
        "{}{}",
        if state.active { "on" } else { "off" },
        if state.changeable { "" } else { " [fixed]" }
    )
}

fn advertised(facts: &Facts) -> String {
    let Some(features) = &facts.advertised else {
        return "nothing: this kernel has no netdev family (since 6.3)".to_owned();
    };
    let interface = super::json::Advertised::from_features(features);
    let list = |names: Vec<String>| {
        if names.is_empty() {
            "none".to_owned()
        } else {
            names.join(" ")
        }
    };
    let mut text = format!("xdp-features {}", list(xdp_feature_names(features.xdp)));
    if !interface.rx_metadata.is_empty() {
        let _ = write!(text, "; rx-metadata {}", list(interface.rx_metadata));
    }
    if !interface.xsk_features.is_empty() {
        let _ = write!(text, "; xsk-features {}", list(interface.xsk_features));
    }
    if let Some(segments) = interface.zc_max_segs {
        let _ = write!(text, "; zero-copy segments {segments}");
    }
    text
}

/// A page of labelled lines.
pub(super) struct Page {
    pub(super) text: String,
    width: usize,
}

impl Page {
    pub(super) fn new(width: Option<u16>) -> Self {
        Self {
            text: String::new(),
            width: width.map_or(usize::MAX, usize::from),
        }
    }

    pub(super) fn heading(&mut self, text: &str) {
        let _ = writeln!(self.text, "{}", paint::bold(text));
    }

    pub(super) fn line(&mut self, label: &str, value: &str) {
        let room = self.width.saturating_sub(INDENT + 2).max(20);
        let mut label = label;
        for part in wrap(value, room) {
            let _ = writeln!(self.text, "  {label:<INDENT$}{part}");
            label = "";
        }
    }

    pub(super) fn optional(&mut self, label: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.line(label, value);
        }
    }

    fn verdict(&mut self, label: &str, support: &Support) {
        self.line(label, &paint::verdict(support));
        match support {
            Support::Yes { evidence, notes } => {
                self.evidence(evidence);
                for note in notes {
                    self.line("", &format!("note: {note}"));
                }
            }
            Support::No {
                evidence,
                reason,
                remedy,
            } => {
                self.line("", reason);
                self.evidence(evidence);
                if let Some(remedy) = remedy {
                    self.line("", &format!("to do: {remedy}"));
                }
            }
            Support::Unknown { why } => self.line("", why),
        }
    }

    fn evidence(&mut self, evidence: &[crate::judge::Evidence]) {
        for one in evidence {
            self.line("", &format!("{}: {}", one.kind, one.detail));
        }
    }
}
