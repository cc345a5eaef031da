//! What `caps` tells, as text and as a profile: recorded answers in, golden files out.

mod golden;
mod synthetic;

use probe::caps::Report;
use probe::caps::answers::Answers;
use probe::caps::profile::profile;
use probe::render::caps;

fn report(recorded: &str) -> Report {
    let answers: Answers = serde_json::from_str(recorded).expect("recorded answers");
    Report {
        profile: profile(&answers),
        answers,
        trials: 479,
        left: Vec::new(),
    }
}

fn plain(text: &str) -> String {
    anstream::adapter::strip_str(text).to_string()
}

#[test]
fn a_card_is_told_to_people_and_written_as_a_profile() {
    let snapshot = synthetic::zoo();
    let facts = snapshot.by_name("eno1").expect("it is in the zoo");
    let nfp = report(include_str!("../src/caps/recorded/nfp.json"));
    golden::expect(
        "tests/caps-nfp.expected",
        &plain(&caps::page(facts, &nfp, Some(100))),
    );
    let entries = nfp.profile.as_deref().expect("a profile");
    golden::expect(
        "tests/caps-nfp.toml.expected",
        &caps::toml(&snapshot, facts, entries),
    );
    let netdevsim = report(include_str!("../src/caps/recorded/netdevsim.json"));
    golden::expect(
        "tests/caps-netdevsim.expected",
        &plain(&caps::page(facts, &netdevsim, Some(100))),
    );
}
