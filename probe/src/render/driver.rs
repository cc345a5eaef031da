//! `drivers NAME` for people: one row of the table.

use super::paint;
use super::show::Page;
use crate::drivers::{Coalescing, Driver, MtuOf, Queues, Version, Xmit};

/// The page.
pub fn page(driver: &Driver, width: Option<u16>) -> String {
    let mut page = Page::new(width);
    page.heading(&driver.name);
    let list = |all: &[String]| (!all.is_empty()).then(|| all.join(", "));
    page.optional("also called", list(&driver.aliases).as_deref());
    page.optional("kinds", list(&driver.kinds).as_deref());
    let since = |version: Option<Version>| {
        version.map_or_else(
            || "no".to_owned(),
            |version| format!("since Linux {version}"),
        )
    };
    page.line("native", &since(driver.native));
    page.optional("", driver.depends.as_deref());
    page.optional("", driver.silent.as_deref());
    page.line("redirect from", if driver.redirect { "yes" } else { "no" });
    page.line(
        "redirect to",
        match driver.xmit {
            Xmit::Always => "yes",
            Xmit::WithProgram => "while a native program is attached",
            Xmit::Never => "no",
        },
    );
    page.line("AF_XDP zerocopy", &since(driver.zero_copy));
    page.line("multi-buffer", &since(driver.frags));
    page.line("offload", &since(driver.offload));
    let whose = if driver.mtu_of == MtuOf::Peer {
        " on the peer"
    } else {
        ""
    };
    let without = if driver.frags.is_some() {
        " without frags"
    } else {
        ""
    };
    page.optional(
        "mtu",
        driver
            .mtu
            .map(|mtu| format!("at most {mtu}{whose} for a program{without}"))
            .as_deref(),
    );
    for (label, rule) in [("LRO", driver.lro), ("rx-gro-hw", driver.gro_hw)] {
        page.optional(
            label,
            rule.map(|rule| match rule {
                Coalescing::Refuses => "has to be off",
                Coalescing::TurnedOff => "is turned off by an attach",
            }),
        );
    }
    page.optional(
        "queues",
        driver.queues.map(|queues| match queues {
            Queues::Half => "at most half of the channels may be in use",
            Queues::Combined => "combined channels only",
            Queues::Free => "wants one more transmit queue for each CPU",
        }),
    );
    if driver.bounces {
        page.line("link", "goes down for a moment when a program is attached");
    }
    for note in &driver.notes {
        page.line("note", note);
    }
    for source in &driver.sources {
        page.line(&source.how.to_string(), &source.text);
    }
    paint::finish(&page.text)
}
