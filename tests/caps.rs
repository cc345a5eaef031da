//! `xdp-probe caps` on the kernel's own NFP driver, in a virtual machine (hw-matrix/lab/nfpsim): each card that a shipped
//! profile describes is found again.

use std::thread;

use nfp_target::profile::{AdjustHead, Helpers, MapType, Maps, Profile};
use tests::nfpsim::Simulator;
use tests::{Output, corpus, workspace};

/// A card as an observer can see it, so that two cards that nobody can tell apart are equal. What is changed here is
/// all that `caps` does not find.
fn seen(profile: &Profile) -> Profile {
    let full = Profile::default();
    let head = &profile.adjust_head;
    let maps = &profile.maps;
    // Whether a helper is there; its address appears only in the image that the driver hands to the card.
    let address = |address: u16, full: u16| if address == 0 { 0 } else { full };
    let callable = head.supported && head.no_metadata;
    Profile {
        // What it is called and where it is from are no parameters of a card.
        name: String::new(),
        source: String::new(),
        helpers: Helpers {
            map_lookup: address(profile.helpers.map_lookup, full.helpers.map_lookup),
            map_update: address(profile.helpers.map_update, full.helpers.map_update),
            map_delete: address(profile.helpers.map_delete, full.helpers.map_delete),
            perf_event_output: address(
                profile.helpers.perf_event_output,
                full.helpers.perf_event_output,
            ),
        },
        adjust_head: match (head.supported, callable) {
            // Of more than 46 bytes (60, the shortest frame, less 14) the driver checks every removal
            // (`nfp_record_adjust_head`).
            (true, true) => AdjustHead {
                sure_back: head.sure_back.min(46),
                ..head.clone()
            },
            // The driver refuses every call.
            (supported, _) => AdjustHead {
                supported,
                no_metadata: head.no_metadata || !supported,
                ..AdjustHead::default()
            },
        },
        maps: if maps.types.is_empty() {
            // No map can be made.
            Maps {
                types: Vec::new(),
                ..Maps::default()
            }
        } else {
            // Beside the smallest value there is no larger key, and the other way round: eight bytes.
            let beside = maps.element_bytes - 8;
            Maps {
                key_bytes: maps.key_bytes.min(beside),
                value_bytes: maps.value_bytes.min(beside),
                ..maps.clone()
            }
        },
        ..profile.clone()
    }
}

fn found(output: &Output) -> Profile {
    let text = &output.expect_code(0).stdout;
    Profile::parse(text).unwrap_or_else(|error| panic!("{error}:\n{text}"))
}

/// A card of which nothing is as in `full`, so that nothing of it can be found by assuming.
fn odd() -> Profile {
    Profile {
        name: "odd".to_owned(),
        abi: 2,
        code_words: 2999,
        stack_bytes: 320,
        packet_bytes: 1504,
        start: 1027,
        next_packet: 77,
        adjust_tail: false,
        queue_select: false,
        adjust_head: AdjustHead {
            lowest: 41,
            highest: 203,
            sure_front: 17,
            sure_back: 33,
            ..AdjustHead::default()
        },
        helpers: Helpers {
            map_delete: 0,
            ..Helpers::default()
        },
        maps: Maps {
            types: vec![MapType::Array],
            count: 13,
            elements: 12_345,
            key_bytes: 4,
            value_bytes: 43,
            element_bytes: 56,
        },
        ..Profile::default()
    }
}

#[test]
fn every_shipped_profile_is_found_again() {
    let Some(simulator) = Simulator::obtain() else {
        return;
    };
    let mut profiles: Vec<Profile> = Profile::shipped_names()
        .map(|name| Profile::shipped(name).expect("it is shipped"))
        .collect();
    assert_eq!(profiles.len(), 10);
    profiles.push(odd());
    let commands = [
        "xdp-probe caps nfpsim0 -o card.toml",
        "cat card.toml",
        "dmesg | grep -E 'WARNING|BUG|Oops'",
    ];
    // Two machines at a time.
    let find = |profiles: &[Profile]| {
        let outputs = simulator.run_each(profiles, &[], &commands);
        for (profile, outputs) in profiles.iter().zip(outputs.expect("the machine runs")) {
            let [page, card, dmesg] = outputs.as_slice() else {
                panic!("an output each");
            };
            let page = &page.expect_code(0).stdout;
            assert!(page.contains("nothing is left of them"), "{page}");
            assert_eq!(dmesg.stdout, "", "the driver stumbled: {page}");
            let card = found(card);
            assert_eq!(seen(&card), seen(profile), "{}: {page}", profile.name);
            assert_ne!(card.source, profile.source);
        }
    };
    let (some, others) = profiles.split_at(6);
    thread::scope(|scope| {
        scope.spawn(|| find(some));
        scope.spawn(|| find(others));
    });
}

/// Most is taken away only where nobody can see it.
#[test]
fn what_an_observer_sees_tells_the_shipped_profiles_apart() {
    let all: Vec<Profile> = Profile::shipped_names()
        .filter_map(Profile::shipped)
        .collect();
    for (at, one) in all.iter().enumerate() {
        for other in &all[at + 1..] {
            assert_ne!(seen(one), seen(other), "{} and {}", one.name, other.name);
        }
    }
    assert_eq!(seen(&all[0]).maps.types, [MapType::Hash, MapType::Array]);
}

#[test]
fn a_busy_card_an_interruption_and_a_card_that_goes_away() {
    let Some(simulator) = Simulator::obtain() else {
        return;
    };
    let card = Profile::default();
    // In the middle of it, by its own log.
    let meanwhile = |then: &str| {
        format!(
            "xdp-probe -v caps nfpsim0 2> log & while ! grep -q 'asking for helpers' log; do :; done; {then}; wait $!; code=$?; cat log >&2; exit $code"
        )
    };
    let commands = [
        // Maps of others count, and stay.
        "xdp-offload attach --hw counter.bpf.o nfpsim0 --allow counters",
        "xdp-probe caps nfpsim0",
        "xdp-offload status --json",
        "xdp-offload detach nfpsim0",
        &meanwhile("kill -INT $!"),
        &meanwhile("kill -KILL $!"),
        "xdp-probe caps nfpsim0 --json",
        "xdp-probe caps nfpsim0 -o card.toml > page && xdp-offload check counter.bpf.o --profile card.toml --json",
        "xdp-probe caps nfpsim0 -o /nowhere/card.toml",
        "xdp-probe caps lo",
        &meanwhile("rmmod nfpsim"),
    ];
    let outputs = simulator
        .run(&card, &[&corpus("counter")], &commands)
        .expect("the machine runs");
    let [
        attach,
        busy,
        status,
        detach,
        int,
        kill,
        json,
        check,
        nowhere,
        lo,
        gone,
    ] = outputs.as_slice()
    else {
        panic!("an output each");
    };
    attach.expect_code(0);
    assert_eq!(seen(&found(busy)), seen(&card));
    assert!(
        busy.stdout.contains("# with 1 maps of others, "),
        "{}",
        busy.stdout
    );
    let status = status.expect_code(0).json();
    assert_eq!(status["interfaces"][0]["attached"][0]["mode"], "offload");
    detach.expect_code(0);

    int.expect_code(1);
    assert!(
        int.stderr.contains("interrupted; nothing is left"),
        "{}",
        int.stderr
    );
    kill.expect_code(128 + 9);
    // The next one finds all of the card free.
    let json = json.expect_code(0).json();
    let path = workspace().join("probe/schemas/caps.v1.json");
    let text = std::fs::read_to_string(path).expect("it is committed");
    let schema = serde_json::from_str(&text).expect("it is JSON");
    let schema = jsonschema::validator_for(&schema).expect("it is a schema");
    schema.validate(&json).expect("caps keeps to its schema");
    let maps = &json["answers"]["maps"];
    assert_eq!(maps["others"], 0);
    assert_eq!(maps["count"]["most"], 64);
    assert_eq!(maps["elements"]["most"], 1 << 20);
    assert_eq!(json["left"], serde_json::json!([]));
    // The program counts per CPU, which is lowered or refused: the card was read.
    let check: serde_json::Value = serde_json::from_str(&check.stdout).expect("it is JSON");
    assert!(
        check["target"]
            .as_str()
            .is_some_and(|target| target.contains("nfpsim0")),
        "{check}"
    );
    nowhere.expect_code(1);
    assert!(nowhere.stderr.contains("/nowhere/card.toml"));
    lo.expect_code(3);
    assert!(lo.stderr.contains("not measured: "), "{}", lo.stderr);
    gone.expect_code(1);
    assert!(gone.stderr.contains("nfpsim0 vanished"), "{gone:?}");
}
