//! The corpus, lowered by `compile`, on netdevsim: in hw mode, or with the driver's reason in the next.

use std::fmt::Write as _;

use tests::golden;

use crate::machine::Guest;
use crate::refusals::{every_rung_is_explained, rungs};

pub(crate) fn the_lowered_corpus_attaches_or_falls_back(guest: &Guest) {
    let device = guest.device(10, 1);
    let mut page = String::new();
    let (mut held, all) = (0, guest.lowered.len());
    for name in &guest.lowered {
        let report = guest.json(&format!("attach --hw {name}.nic.o sim10p0"));
        every_rung_is_explained(&report);
        let _ = write!(page, "{name:16} {}", report["mode"].as_str().unwrap_or("-"));
        if report["mode"] == "offload" {
            held += 1;
        } else {
            assert_eq!(
                rungs(&report),
                "offload:load:refused native:attach:ok",
                "{name}"
            );
            let _ = write!(
                page,
                ": {}",
                report["attempts"][0]["reason"].as_str().unwrap_or_default()
            );
        }
        page.push('\n');
        guest.offload("detach sim10p0 --all", 0);
    }
    let _ = writeln!(page, "{held} of {all} in hw mode");
    guest.nothing_is_left();
    golden("lab/corpus-netdevsim", &page);
    device.delete();
}
