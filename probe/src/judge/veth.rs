//! veth: its limits hang on the other end (`veth_xdp_set`, drivers/net/veth.c).

use kernel::netlink::link::Link;
use kernel::netlink::netdev::XdpFeature;

use super::{Case, Obstacle, Support, limits};

/// The other end, as far as it can be seen.
pub(super) enum Peer<'a> {
    /// Its link, and its transmit queues in use where ethtool tells.
    Seen {
        link: &'a Link,
        tx_queues: Option<u32>,
    },
    /// It lives in this other network namespace (an id local to ours) and could not be read.
    Elsewhere(i32),
    /// There is no other end to be seen.
    None,
}

pub(super) fn peer<'a>(case: &Case<'a>) -> Peer<'a> {
    let link = &case.facts.link;
    let Some(index) = link.lower else {
        return Peer::None;
    };
    if let Some(netns) = link.lower_netns {
        return match &case.facts.remote_peer {
            Some(link) => Peer::Seen {
                link,
                tx_queues: None,
            },
            None => Peer::Elsewhere(netns),
        };
    }
    match case.snapshot.by_index(index) {
        Some(peer) => Peer::Seen {
            link: &peer.link,
            tx_queues: peer.channels.map(|channels| channels.tx.0),
        },
        None => Peer::None,
    }
}

/// `Some` where the peer decides; `None` leaves it to what is advertised.
pub(super) fn judge(case: &Case<'_>) -> Option<Support> {
    let obstacles = match peer(case) {
        Peer::Seen { link, tx_queues } => {
            let mtu = limits::mtu(case, &link.name, link.mtu);
            mtu.into_iter()
                .chain(queues(case, Some((link, tx_queues))))
                .collect()
        }
        Peer::Elsewhere(netns) => {
            if let Some(obstacle) = queues(case, None) {
                return Some(obstacle.into());
            }
            if !(case.needs.frags && limits::frags_lift(case)) {
                return Some(Support::Unknown {
                    why: format!(
                        "the peer lives in another network namespace (id {netns}) and its MTU, which must not be above {} for a \
                         program without frags, needs CAP_NET_ADMIN there to be read",
                        case.row.and_then(|row| row.mtu).unwrap_or_default(),
                    ),
                });
            }
            Vec::new()
        }
        Peer::None => queues(case, None).into_iter().collect(),
    };
    Obstacle::together(obstacles)
}

/// There must be a receive queue for each transmit queue of the peer. Where the driver advertises, it takes this
/// into account: `basic` goes away when queues are missing (`veth_set_xdp_features`).
fn queues(case: &Case<'_>, peer: Option<(&Link, Option<u32>)>) -> Option<Obstacle> {
    let own = case
        .facts
        .channels
        .map_or(case.facts.link.rx_queues, |channels| channels.rx.0);
    let theirs = peer.and_then(|(link, tx_queues)| tx_queues.map(|queues| (link, queues)));
    if let Some((link, queues)) = theirs {
        return (own < queues).then(|| {
            let (name, peer) = (case.name(), &link.name);
            let grow = case.facts.channels.filter(|channels| channels.rx.1 >= queues);
            let remedy = match grow {
                Some(_) => format!("ethtool -L {name} rx {queues}"),
                None => format!("ethtool -L {peer} tx {own}"),
            };
            Obstacle::observed(
                format!("{name} has {own} rx queues, {peer} has {queues} tx queues"),
                format!("veth needs a receive queue for each transmit queue of the peer: {own} here, {queues} on {peer}"),
                remedy,
            )
        });
    }
    let lacking = case.facts.advertised.is_some() && !case.facts.advertises(XdpFeature::Basic);
    lacking.then(|| Obstacle {
        evidence: case.advertisement(XdpFeature::Basic),
        reason: format!(
            "veth needs a receive queue for each transmit queue of the peer, and {} has only {own}",
            case.name()
        ),
        remedy: Some(format!(
            "raise them with: ethtool -L {} rx N (or lower the peer's tx)",
            case.name()
        )),
    })
}

/// What the peer is called in a message.
pub(super) fn peer_name(case: &Case<'_>) -> String {
    match peer(case) {
        Peer::Seen { link, .. } => link.name.clone(),
        Peer::Elsewhere(_) | Peer::None => "the peer".to_owned(),
    }
}
