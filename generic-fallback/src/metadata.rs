//! Programs that ask the driver for what it knows of a packet: kernel functions that only a program can call that is bound
//! to its interface, which native mode alone runs (Documentation/networking/xdp-rx-metadata.rst).

use crate::plan::{Decision, Plan};
use kernel::netlink::link::Mode;
use offload_compiler::object::Object;
use probe::Facts;

/// A metadata function, and what the driver needs for it.
struct Function {
    name: &'static str,
    /// Its bit in `xdp-rx-metadata-features` (include/uapi/linux/netdev.h).
    feature: u64,
    tells: &'static str,
}

/// All of them (include/net/xdp.h, XDP_METADATA_KFUNC_xxx).
const FUNCTIONS: [Function; 3] = [
    Function {
        name: "bpf_xdp_metadata_rx_timestamp",
        feature: 1,
        tells: "timestamps",
    },
    Function {
        name: "bpf_xdp_metadata_rx_hash",
        feature: 2,
        tells: "receive hashes",
    },
    Function {
        name: "bpf_xdp_metadata_rx_vlan_tag",
        feature: 4,
        tells: "VLAN tags",
    },
];

/// The metadata functions that a program calls.
#[derive(Default)]
pub(crate) struct Metadata {
    called: Vec<&'static Function>,
}

impl Metadata {
    pub(crate) fn of(object: &Object, program: usize) -> Self {
        let called = object.kernel_functions(program);
        Self {
            called: FUNCTIONS
                .iter()
                .filter(|function| called.contains(&function.name))
                .collect(),
        }
    }

    /// Whether the program has to be bound to its interface.
    pub(crate) fn is_asked(&self) -> bool {
        !self.called.is_empty()
    }

    /// Leaves generic mode out of a plan, and says nobody that it would help.
    pub(crate) fn restrict(&self, plan: &mut Plan) {
        let Some(first) = self.called.first() else {
            return;
        };
        for rung in &mut plan.rungs {
            match (rung.mode, &mut rung.decision) {
                (Mode::Generic, decision @ Decision::Try(_)) => {
                    *decision = Decision::Skip {
                        reason: format!(
                            "it calls {}, which asks the driver, and generic mode has no driver to ask",
                            first.name
                        ),
                        remedy: Some(
                            "attach it in native mode, to an interface for which `xdp-probe show` lists rx-metadata; or leave out the call"
                                .to_owned(),
                        ),
                    };
                }
                (Mode::Native, Decision::Skip { remedy, .. }) => {
                    // "... or use generic mode (--generic)"
                    remedy.take_if(|remedy| remedy.contains("--generic"));
                }
                _ => {}
            }
        }
    }

    /// What the driver advertises not to tell, although the program asks for it.
    pub(crate) fn untold(&self, facts: &Facts) -> Option<String> {
        let advertised = facts.advertised?.rx_metadata;
        let untold: Vec<&Function> = self
            .called
            .iter()
            .copied()
            .filter(|function| advertised & function.feature == 0)
            .collect();
        let list = |of: fn(&Function) -> &'static str| {
            untold
                .iter()
                .map(|&function| of(function))
                .collect::<Vec<_>>()
                .join(", ")
        };
        (!untold.is_empty()).then(|| {
            format!(
                "{} tells no {}: {} return -EOPNOTSUPP for every packet",
                facts.driver_label(),
                list(|function| function.tells),
                list(|function| function.name),
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Action, Rung, Wanted};
    use kernel::netlink::netdev::NetdevFeatures;

    fn all() -> Metadata {
        Metadata {
            called: FUNCTIONS.iter().collect(),
        }
    }

    #[test]
    fn generic_mode_is_left_out_and_not_recommended() {
        let mut plan = Plan {
            wanted: Wanted::Best,
            rungs: vec![
                Rung::new(
                    Mode::Native,
                    Decision::Skip {
                        reason: "bridge has no native mode".to_owned(),
                        remedy: Some("use generic mode (--generic)".to_owned()),
                    },
                ),
                Rung::new(Mode::Generic, Decision::Try(Action::Add)),
            ],
        };
        let before = plan.clone();
        Metadata::default().restrict(&mut plan);
        assert_eq!(plan, before);
        all().restrict(&mut plan);
        assert!(!plan.has_a_try());
        assert!(matches!(
            &plan.rungs[0].decision,
            Decision::Skip { remedy: None, .. }
        ));
    }

    #[test]
    fn what_the_driver_does_not_tell_is_named() {
        let facts = |rx_metadata| Facts {
            advertised: Some(NetdevFeatures {
                rx_metadata,
                ..NetdevFeatures::default()
            }),
            ..Facts::default()
        };
        assert_eq!(all().untold(&facts(7)), None);
        assert_eq!(Metadata::default().untold(&facts(0)), None);
        assert_eq!(
            all().untold(&Facts::default()),
            None,
            "an older kernel lets no driver tell"
        );
        assert_eq!(
            all().untold(&facts(2)).unwrap(),
            "the driver tells no timestamps, VLAN tags: bpf_xdp_metadata_rx_timestamp, bpf_xdp_metadata_rx_vlan_tag return \
             -EOPNOTSUPP for every packet"
        );
    }
}
