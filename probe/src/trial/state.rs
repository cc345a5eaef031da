//! What a trial may change.

use kernel::netlink::ethtool::FeatureState;

use crate::render::json::xdp_feature_names;

/// A setting that took another value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Which setting.
    pub what: &'static str,
    /// Before.
    pub from: String,
    /// Afterwards.
    pub to: String,
}

/// What a trial may change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct State {
    pub(super) carrier: bool,
    pub(super) mtu: u32,
    pub(super) max_mtu: u32,
    pub(super) features: Option<u64>,
    pub(super) channels: Option<[u32; 3]>,
    pub(super) lro: Option<FeatureState>,
    pub(super) gro_hw: Option<FeatureState>,
    pub(super) gro: Option<FeatureState>,
}

impl State {
    pub(super) fn changes(&self, later: &Self) -> Vec<Change> {
        let on = |state: Option<FeatureState>| match state {
            Some(state) if state.active => "on".to_owned(),
            Some(_) => "off".to_owned(),
            None => "absent".to_owned(),
        };
        let features = |bits: Option<u64>| {
            bits.map_or_else(String::new, |bits| xdp_feature_names(bits).join(" "))
        };
        let queues = |queues: Option<[u32; 3]>| {
            queues.map_or_else(String::new, |[combined, rx, tx]| {
                format!("combined {combined}, rx {rx}, tx {tx}")
            })
        };
        let pairs = [
            (
                "carrier",
                self.carrier.to_string(),
                later.carrier.to_string(),
            ),
            ("mtu", self.mtu.to_string(), later.mtu.to_string()),
            (
                "max-mtu",
                self.max_mtu.to_string(),
                later.max_mtu.to_string(),
            ),
            (
                "xdp-features",
                features(self.features),
                features(later.features),
            ),
            ("channels", queues(self.channels), queues(later.channels)),
            ("rx-lro", on(self.lro), on(later.lro)),
            ("rx-gro-hw", on(self.gro_hw), on(later.gro_hw)),
            ("rx-gro", on(self.gro), on(later.gro)),
        ];
        pairs
            .into_iter()
            .filter(|(_, from, to)| from != to)
            .map(|(what, from, to)| Change { what, from, to })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> State {
        State {
            carrier: true,
            mtu: 1500,
            max_mtu: 9600,
            features: Some(0x23),
            channels: Some([2, 0, 0]),
            lro: Some(FeatureState {
                active: true,
                changeable: true,
            }),
            gro_hw: None,
            gro: None,
        }
    }

    #[test]
    fn changes_name_old_and_new_values() {
        assert!(state().changes(&state()).is_empty());
        // What a virtio_net with free queues and a vmxnet3 with LRO do.
        let during = State {
            features: Some(0x67),
            channels: Some([4, 0, 0]),
            lro: Some(FeatureState {
                active: false,
                changeable: true,
            }),
            ..state()
        };
        let changes: Vec<String> = state()
            .changes(&during)
            .iter()
            .map(|change| format!("{}: {} -> {}", change.what, change.from, change.to))
            .collect();
        assert_eq!(
            changes,
            [
                "xdp-features: basic redirect rx-sg -> basic redirect ndo-xmit rx-sg ndo-xmit-sg",
                "channels: combined 2, rx 0, tx 0 -> combined 4, rx 0, tx 0",
                "rx-lro: on -> off",
            ]
        );
    }
}
