//! Which lines of the kernel's log are about an attempt on an interface. Some drivers say only there why they refuse:
//! nfp's translation, virtio_net's MTU and queues, igb's MTU. Pure; [`kernel::kmsg`] reads the log.

use kernel::kmsg::Record;

use crate::facts::Facts;

/// KERN_WARNING: refusals are warnings or errors, and what comes below (link up, link down) is news of other things.
const WARNING: u8 = 4;

/// How drivers begin lines that name neither the device nor themselves, by the driver's name in the table.
const PREFIXES: [(&str, &str); 1] = [
    // pr_fmt of drivers/net/ethernet/netronome/nfp/bpf (Linux 6.12).
    ("nfp", "NFP net bpf: "),
];

/// The kernel's own words among `records` that are about this interface, its device or its driver, each once.
pub fn about(facts: &Facts, records: &[Record]) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for record in records {
        if record.facility == 0
            && record.level <= WARNING
            && is_about(facts, record)
            && !found.contains(&record.text)
        {
            found.push(record.text.clone());
        }
    }
    found
}

fn is_about(facts: &Facts, record: &Record) -> bool {
    let text = record.text.as_str();
    let names_device = |device: &str| {
        has_word(text, device)
            || record.device.as_deref().is_some_and(|found| {
                found
                    .split_once(':')
                    .is_some_and(|(_, name)| name == device)
            })
    };
    let of_driver = |driver: &str| {
        text.strip_prefix(driver)
            .is_some_and(|rest| rest.starts_with(": "))
    };
    has_word(text, &facts.link.name)
        || [&facts.bus_info, &facts.link.parent_device]
            .into_iter()
            .flatten()
            .any(|device| names_device(device))
        || facts.driver_name().is_some_and(of_driver)
        || facts.driver_row().is_some_and(|row| {
            PREFIXES
                .iter()
                .any(|(driver, prefix)| *driver == row.name && text.starts_with(prefix))
        })
}

/// Whether `word` stands in `text` with nothing around it that could belong to a name: "eth1" does not in "eth10: up".
fn has_word(text: &str, word: &str) -> bool {
    if word.is_empty() {
        return false;
    }
    let belongs = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-');
    text.match_indices(word).any(|(at, _)| {
        !text[..at].ends_with(belongs) && !text[at + word.len()..].starts_with(belongs)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::Driver;
    use kernel::netlink::link::Link;

    fn interface(name: &str, driver: &str, device: &str) -> Facts {
        Facts {
            link: Link {
                name: name.to_owned(),
                parent_device: Some(device.to_owned()),
                ..Link::default()
            },
            driver: Some(Driver {
                name: driver.to_owned(),
                source: crate::facts::DriverSource::Ethtool,
            }),
            ..Facts::default()
        }
    }

    fn record(text: &str) -> Record {
        Record {
            level: WARNING,
            facility: 0,
            text: text.to_owned(),
            device: None,
        }
    }

    /// What of `texts` is about the interface.
    fn about_it(facts: &Facts, texts: &[&str]) -> Vec<String> {
        let records: Vec<Record> = texts.iter().map(|text| record(text)).collect();
        about(facts, &records)
    }

    // The lines are those of Linux 6.12 to 7.3.
    const VIRTIO: &str = "virtio_net virtio1 eth1: single-buffer XDP requires MTU less than 3506";
    const IGB: &str = "igb 0000:00:04.0 eth1: Requested MTU size is not supported with XDP. Max frame size is 3072";
    const NFP: &str = "NFP net bpf: Translation failed with error -95 (translated: 3)";

    #[test]
    fn a_line_that_names_the_interface_or_its_device_is_about_it() {
        let facts = interface("eth1", "virtio_net", "virtio1");
        assert_eq!(about_it(&facts, &[VIRTIO, IGB, NFP]), [VIRTIO, IGB]);
        let renamed = interface("wan", "igb", "0000:00:04.0");
        assert_eq!(about_it(&renamed, &[VIRTIO, IGB, NFP]), [IGB]);
        let by_field = Record {
            device: Some("+pci:0000:00:04.0".to_owned()),
            ..record("failed to allocate rings")
        };
        assert_eq!(about(&renamed, &[by_field]).len(), 1);
    }

    #[test]
    fn other_interfaces_devices_and_speakers_are_left_out() {
        let facts = interface("eth1", "igb", "0000:00:04.0");
        for other in [
            "igb 0000:00:04.1 eth10: no",
            "br-eth1: port 1 entered disabled state",
            "audit: type=1334 prog-id=3",
        ] {
            assert!(about_it(&facts, &[other]).is_empty(), "{other}");
        }
        let news = Record {
            level: 6,
            ..record("igb 0000:00:04.0 eth1: igb: eth1 NIC Link is Down")
        };
        let from_user_space = Record {
            facility: 3,
            ..record(IGB)
        };
        assert!(about(&facts, &[news, from_user_space]).is_empty());
    }

    #[test]
    fn nfp_names_only_itself() {
        let card = interface("enp3s0np0", "nfp", "0000:03:00.0");
        assert_eq!(about_it(&card, &[NFP, VIRTIO]), [NFP]);
        assert_eq!(about_it(&card, &[NFP, NFP]), [NFP], "once");
    }
}
