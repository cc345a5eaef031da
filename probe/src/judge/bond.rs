//! bonding: the mode must allow XDP and every slave must take the program (`bond_xdp_set`,
//! drivers/net/bonding/bond_main.c).

use super::{Case, Evidence, EvidenceKind, Obstacle, Support, native};
use crate::drivers::Xmit;

/// The names of bonding's modes by number (drivers/net/bonding/bonding_priv.h).
const MODES: [&str; 7] = [
    "balance-rr",
    "active-backup",
    "balance-xor",
    "broadcast",
    "802.3ad",
    "balance-tlb",
    "balance-alb",
];
/// BOND_XMIT_POLICY_VLAN_SRCMAC.
const VLAN_SRCMAC: u8 = 5;

/// `Some` where the bond's mode or slaves decide.
pub(super) fn judge(case: &Case<'_>) -> Option<Support> {
    if let Some(obstacle) = mode(case) {
        return Some(obstacle.into());
    }
    let mut evidence = Vec::new();
    for slave in case.snapshot.ports(case.facts) {
        let name = &slave.link.name;
        if !slave.link.xdp.is_empty() {
            return Some(
                Obstacle::observed(
                    format!("slave {name} has an XDP program"),
                    format!(
                        "the slave {name} has a program of its own, and {} takes none while it has",
                        case.name()
                    ),
                    format!("detach it first: xdp-offload detach {name}"),
                )
                .into(),
            );
        }
        let slave_case = Case::new(case.snapshot, slave, case.needs);
        if slave_case.row.is_some_and(|row| row.name == "bonding") {
            continue; // bonds do not nest; a snapshot that says so is not followed further
        }
        match native::judge_driver(&slave_case) {
            Support::No { reason, remedy, .. } => {
                return Some(
                    Obstacle {
                        evidence: Evidence::new(
                            EvidenceKind::Observed,
                            format!("slave {name}: {reason}"),
                        ),
                        reason: format!("its slave {name} does not take a program: {reason}"),
                        remedy,
                    }
                    .into(),
                );
            }
            Support::Unknown { why } => {
                return Some(Support::Unknown {
                    why: format!("it depends on the slave {name}: {why}"),
                });
            }
            Support::Yes { .. } if slave_case.row.is_some_and(|row| row.xmit == Xmit::Never) => {
                return Some(
                    Obstacle::observed(
                        format!("slave {name}: {} has no ndo_xdp_xmit", slave.driver_label()),
                        format!(
                            "its slave {name} cannot be a redirect target, which bonding asks for"
                        ),
                        format!("attach to the slaves instead, or take {name} out"),
                    )
                    .into(),
                );
            }
            Support::Yes { .. } => {
                evidence.push(Evidence::new(
                    EvidenceKind::Observed,
                    format!("slave {name} takes native programs"),
                ));
            }
        }
    }
    (!evidence.is_empty()).then_some(Support::Yes {
        evidence,
        notes: Vec::new(),
    })
}

/// `bond_xdp_check`: which modes allow XDP.
fn mode(case: &Case<'_>) -> Option<Obstacle> {
    let bond = case.facts.link.bond?;
    let mode = MODES
        .get(usize::from(bond.mode))
        .copied()
        .unwrap_or("unknown");
    let hashed = matches!(bond.mode, 2 | 4);
    if bond.mode <= 1 || (hashed && bond.xmit_hash_policy != VLAN_SRCMAC) {
        return None;
    }
    let (with, remedy) = if hashed {
        (
            " with transmit hash policy vlan+srcmac",
            format!(
                "ip link set dev {} type bond xmit_hash_policy layer3+4",
                case.name()
            ),
        )
    } else {
        ("", "use mode active-backup, balance-rr, balance-xor or 802.3ad, or attach to the slaves instead".to_owned())
    };
    Some(Obstacle::observed(
        format!("bond mode {mode}{with}"),
        format!("bonding has no native mode in bond mode {mode}{with}"),
        remedy,
    ))
}
