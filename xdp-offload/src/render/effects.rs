//! What an attach or a detach did to the interface besides.

use super::attach::INDENT;
use crate::output::wrap;
use generic_fallback::effects::Effects;

/// A line each; nothing where nothing changed.
pub(super) fn lines(ifname: &str, effects: &Effects, width: usize) -> String {
    let mut out = String::new();
    let mut line = |word: &str, text: &str| {
        out += &format!("  {word:17} {}\n", wrap(text, INDENT, width));
    };
    if let Some(time) = effects.link_down {
        line("link", &format!("was down for {:.1} s", time.as_secs_f32()));
    }
    for change in &effects.changes {
        let feature = match change.what {
            _ if change.to != "off" => None,
            "rx-lro" => Some("lro"),
            what => what.starts_with("rx-").then_some(what),
        };
        let later = feature.map_or_else(String::new, |feature| {
            format!("; once no program is attached: ethtool -K {ifname} {feature} on")
        });
        line("changed", &format!("{change}{later}"));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use probe::settings::Change;
    use std::time::Duration;

    #[test]
    fn a_link_that_bounced_and_lro_that_went_off() {
        let change = |what, from: &str, to: &str| Change {
            what,
            from: from.to_owned(),
            to: to.to_owned(),
        };
        let effects = Effects {
            changes: vec![
                change("xdp-features", "basic redirect", "basic redirect ndo-xmit"),
                change("rx-lro", "on", "off"),
            ],
            link_down: Some(Duration::from_millis(640)),
        };
        assert_eq!(
            lines("eth0", &effects, 200),
            "  link              was down for 0.6 s\n  \
             changed           xdp-features: basic redirect -> basic redirect ndo-xmit\n  \
             changed           rx-lro: on -> off; once no program is attached: ethtool -K eth0 lro on\n"
        );
        assert_eq!(lines("eth0", &Effects::default(), 200), "");
    }
}
