//! Compares decisions of the real driver with ours, for longer runs by hand:
//!
//! `cargo run --release -p nfp-target --example decisions -- FILE.tsv`, in the form of
//! `tests/golden/nfp/decisions.tsv.xz`, unpacked.

#[path = "../tests/decisions/mod.rs"]
mod decisions;

use std::collections::BTreeMap;

use nfp_target::profile::Profile;

fn main() {
    let path = std::env::args().nth(1).expect("a file of decisions");
    let text = std::fs::read_to_string(&path).expect("a file that can be read");
    let mut profiles: BTreeMap<String, Profile> = BTreeMap::new();
    // Asked, refused, decided otherwise.
    let mut counts: BTreeMap<String, (u32, u32, u32)> = BTreeMap::new();
    for decision in tests::nfp::parse(&text) {
        let profile = profiles
            .entry(decision.profile.clone())
            .or_insert_with(|| Profile::shipped(&decision.profile).expect("a shipped profile"));
        let (alike, ours) = decisions::compare(&decision, profile);
        let count = counts.entry(decision.profile.clone()).or_default();
        count.0 += 1;
        count.1 += u32::from(decision.said != "accept");
        if !alike {
            count.2 += 1;
            println!(
                "{}/{}: driver: {}; ours: {ours}",
                decision.profile, decision.id, decision.said
            );
        }
    }
    for (profile, (asked, refused, otherwise)) in counts {
        println!("{profile}: {asked} asked, {refused} refused, {otherwise} decided otherwise");
    }
}
