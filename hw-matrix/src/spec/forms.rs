//! The forms of single values: times, dates, names of interfaces, addresses.

use std::time::Duration;

use jiff::civil::Date;

pub(super) fn duration(text: &str) -> Option<Duration> {
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().ok()?;
    let milliseconds = match unit.trim() {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    number.checked_mul(milliseconds).map(Duration::from_millis)
}

pub(super) fn is_ifname(word: &str) -> bool {
    (1..=15).contains(&word.len())
        && word != "."
        && word != ".."
        && !word.starts_with('-')
        && !word.contains(|c: char| c == '/' || c == ':' || c.is_whitespace() || c.is_control())
}

/// `[NETNS/]IFNAME`.
pub(super) fn is_peer(word: &str) -> bool {
    let (netns, ifname) = match word.split_once('/') {
        Some((netns, ifname)) => (Some(netns), ifname),
        None => (None, word),
    };
    let named = |netns: &str| {
        !netns.is_empty()
            && !netns.starts_with('-')
            && !matches!(netns, "." | "..")
            && !netns.contains(|c: char| c.is_whitespace() || c.is_control())
    };
    is_ifname(ifname) && netns.is_none_or(named)
}

pub(super) fn is_pci_address(word: &str) -> bool {
    let hex =
        |part: &str, digits| part.len() == digits && part.bytes().all(|b| b.is_ascii_hexdigit());
    let Some((bus, function)) = word.rsplit_once('.') else {
        return false;
    };
    let parts: Vec<&str> = bus.split(':').collect();
    matches!(parts[..], [domain, bus, device] if hex(domain, 4) && hex(bus, 2) && hex(device, 2))
        && matches!(function.as_bytes(), [b'0'..=b'7'])
}

pub(super) fn is_mac(word: &str) -> bool {
    let pairs: Vec<&str> = word.split(':').collect();
    pairs.len() == 6
        && pairs
            .iter()
            .all(|pair| pair.len() == 2 && pair.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// `2027-01-31`.
pub(super) fn date(text: &str) -> Option<Date> {
    text.parse().ok().filter(|_| text.len() == 10)
}

/// `[user@]host[:port]`, an IPv6 address with a port in brackets: user, host, port.
pub(super) fn ssh_address(text: &str) -> Option<(Option<&str>, &str, Option<u16>)> {
    let (user, rest) = match text.rsplit_once('@') {
        Some((user, rest)) => (Some(user), rest),
        None => (None, text),
    };
    let (host, port) = match rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, "")) => (host, None),
        Some((host, port)) => (host, Some(port.strip_prefix(':')?)),
        None => match rest.rsplit_once(':') {
            Some((host, port)) if !host.contains(':') => (host, Some(port)),
            _ => (rest, None),
        },
    };
    // The OpenSSH client would read a leading dash as an option.
    let word = |word: &str| {
        !word.is_empty()
            && !word.starts_with('-')
            && !word.contains(|c: char| c.is_whitespace() || c.is_control() || c == '@')
    };
    let valid = word(host) && user.is_none_or(word);
    let port = match port {
        None => None,
        Some(port) => Some(port.parse().ok().filter(|&port| port > 0)?),
    };
    valid.then_some((user, host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers() {
        for right in ["eth1", "left/eth1", "veth-peer/peer"] {
            assert!(is_peer(right), "{right}");
        }
        for wrong in [
            "", "/eth1", "left/", "a/b/c", "-n/eth1", "left/-x", "../eth1",
        ] {
            assert!(!is_peer(wrong), "{wrong}");
        }
    }

    #[test]
    fn ssh_addresses() {
        assert_eq!(ssh_address("rack1"), Some((None, "rack1", None)));
        assert_eq!(
            ssh_address("root@rack1:2222"),
            Some((Some("root"), "rack1", Some(2222)))
        );
        assert_eq!(
            ssh_address("[fe80::1]:22"),
            Some((None, "fe80::1", Some(22)))
        );
        assert_eq!(ssh_address("fe80::1"), Some((None, "fe80::1", None)));
        for wrong in [
            "",
            "-oProxyCommand=sh",
            "a b",
            "a:0",
            "a:99999",
            "@a",
            "-l@a",
            "[a]x",
        ] {
            assert_eq!(ssh_address(wrong), None, "{wrong}");
        }
    }
}
