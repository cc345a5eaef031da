//! `xdp-probe watch`: differences between what was known of an interface and what the kernel notifies.

use std::collections::HashMap;
use std::time::{SystemTime, UNIX_EPOCH};

use kernel::netlink::events::{Event, Watch};
use kernel::netlink::link::{Link, Mode};

use super::{Output, find};
use crate::Result;
use crate::facts::collect;
use crate::feature_names::xdp_feature_names;
use crate::render::watch::{Happening, Line};

pub(super) fn run(names: &[String], out: &mut Output<'_>) -> Result<()> {
    // Subscribed first, so that nothing falls between the state and the first event.
    let mut watch = Watch::open()?;
    let snapshot = collect()?;
    let names = &names
        .iter()
        .map(|name| Ok(find(&snapshot, name)?.link.name.clone()))
        .collect::<Result<Vec<_>>>()?;
    let mut known = Known::default();
    for facts in snapshot.interfaces() {
        known.links.insert(facts.link.ifindex, facts.link.clone());
        known.features.insert(
            facts.link.ifindex,
            facts.advertised.map_or(0, |advertised| advertised.xdp),
        );
    }
    drop(snapshot);
    loop {
        let Some(event) = watch.next(None)? else {
            continue;
        };
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs_f64();
        for line in known.learn(event) {
            let line = Line {
                time: (now * 1000.0).round() / 1000.0,
                ..line
            };
            if !names.is_empty()
                && !names.contains(&line.ifname)
                && !matches!(line.event, Happening::Lost)
            {
                continue;
            }
            if out.json {
                out.json(&line)?;
            } else {
                let text = line.text();
                out.text(&text)?;
            }
        }
        out.stream.flush()?;
    }
}

/// What is known of all interfaces.
#[derive(Default)]
struct Known {
    links: HashMap<u32, Link>,
    features: HashMap<u32, u64>,
}

impl Known {
    /// Takes in an event and tells what is different now.
    fn learn(&mut self, event: Event) -> Vec<Line> {
        match event {
            Event::Link(link) => {
                let lines = match self.links.get(&link.ifindex) {
                    Some(before) => differences(before, &link),
                    None => vec![Line::new(&link, Happening::New)],
                };
                self.links.insert(link.ifindex, *link);
                lines
            }
            Event::LinkDeleted { ifindex, name } => {
                self.features.remove(&ifindex);
                self.links.remove(&ifindex);
                vec![Line {
                    ifindex,
                    ifname: name,
                    event: Happening::Deleted,
                    ..Line::default()
                }]
            }
            Event::Features(features) => {
                let before = self
                    .features
                    .insert(features.ifindex, features.xdp)
                    .unwrap_or(0);
                if before == features.xdp {
                    return Vec::new();
                }
                let names = |bits| Some(xdp_feature_names(bits).join(" "));
                vec![self.about(
                    features.ifindex,
                    Happening::Features,
                    names(before),
                    names(features.xdp),
                )]
            }
            Event::Settings { ifindex } => {
                vec![self.about(ifindex, Happening::Settings, None, None)]
            }
            Event::Lost => vec![Line {
                event: Happening::Lost,
                ..Line::default()
            }],
        }
    }

    fn about(
        &self,
        ifindex: u32,
        event: Happening,
        from: Option<String>,
        to: Option<String>,
    ) -> Line {
        let ifname = self
            .links
            .get(&ifindex)
            .map(|link| link.name.clone())
            .unwrap_or_default();
        Line {
            event,
            ifindex,
            ifname,
            from,
            to,
            ..Line::default()
        }
    }
}

fn differences(before: &Link, after: &Link) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut tell = |event, from: String, to: String| {
        if from != to {
            lines.push(Line {
                from: Some(from),
                to: Some(to),
                ..Line::new(after, event)
            });
        }
    };
    tell(Happening::Name, before.name.clone(), after.name.clone());
    tell(
        Happening::Mtu,
        before.mtu.to_string(),
        after.mtu.to_string(),
    );
    let state = |link: &Link| if link.is_up() { "up" } else { "down" }.to_owned();
    tell(Happening::State, state(before), state(after));
    let carrier = |link: &Link| if link.carrier { "on" } else { "off" }.to_owned();
    tell(Happening::Carrier, carrier(before), carrier(after));
    for mode in Mode::ALL {
        let (from, to) = (before.xdp.get(mode), after.xdp.get(mode));
        let event = match (from, to) {
            (None, Some(_)) => Happening::Attach,
            (Some(_), None) => Happening::Detach,
            (Some(from), Some(to)) if from != to => Happening::Replace,
            _ => continue,
        };
        lines.push(Line {
            mode: Some(mode.into()),
            from: from.map(|id| id.to_string()),
            to: to.map(|id| id.to_string()),
            ..Line::new(after, event)
        });
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernel::netlink::link::AttachedXdp;
    use kernel::netlink::netdev::NetdevFeatures;

    fn texts(known: &mut Known, event: Event) -> Vec<String> {
        known
            .learn(event)
            .into_iter()
            .map(|line| line.text_without_time())
            .collect()
    }

    #[test]
    fn only_what_is_different_is_told() {
        let mut known = Known::default();
        let link = Link {
            ifindex: 7,
            name: "v0".to_owned(),
            mtu: 1500,
            ..Link::default()
        };
        let event = |link: &Link| Event::Link(Box::new(link.clone()));
        assert_eq!(texts(&mut known, event(&link)), ["v0: new"]);
        assert!(texts(&mut known, event(&link)).is_empty());
        let larger = Link {
            mtu: 9000,
            xdp: AttachedXdp {
                native: Some(5),
                ..AttachedXdp::default()
            },
            ..link.clone()
        };
        assert_eq!(
            texts(&mut known, event(&larger)),
            ["v0: mtu 1500 -> 9000", "v0: attached native program 5"]
        );
        let replaced = Link {
            xdp: AttachedXdp {
                native: Some(6),
                ..AttachedXdp::default()
            },
            ..larger.clone()
        };
        assert_eq!(
            texts(&mut known, event(&replaced)),
            ["v0: replaced native program 5 by 6"]
        );
        assert_eq!(
            texts(&mut known, event(&link)),
            ["v0: mtu 9000 -> 1500", "v0: detached native program 6"]
        );
        let features = |xdp| {
            Event::Features(NetdevFeatures {
                ifindex: 7,
                xdp,
                ..NetdevFeatures::default()
            })
        };
        assert_eq!(
            texts(&mut known, features(3)),
            ["v0: xdp-features none -> basic redirect"]
        );
        assert!(texts(&mut known, features(3)).is_empty());
        assert_eq!(
            texts(
                &mut known,
                Event::LinkDeleted {
                    ifindex: 7,
                    name: "v0".to_owned()
                }
            ),
            ["v0: deleted"]
        );
    }
}
