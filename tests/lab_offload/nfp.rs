//! nfpsim: the kernel's NFP driver without a card.

use serde_json::json;
use tests::{corpus, golden};

use crate::machine::{ALLOW, Guest, says, without_ids};
use crate::refusals::rungs;

/// Runs `body` with a card, and takes it away again.
fn with_card(guest: &Guest, body: impl FnOnce()) {
    guest.ok("modprobe nfpsim && ip link set nfpsim0 up");
    body();
    guest.ok("rmmod nfpsim");
    guest.nothing_is_left();
}

/// As `compile` made them: lowering them once more is tested in `nfp_attach` and takes its time in here.
pub(crate) fn the_lowered_corpus_attaches_to_the_nfp_driver(guest: &Guest) {
    let mut page = String::new();
    with_card(guest, || {
        for name in &guest.lowered {
            let words = guest.ok(&format!(
                "xdp-offload attach --hw --as-is {name}.nic.o nfpsim0 && xdp-offload detach nfpsim0 --all >/dev/null"
            ));
            page += &without_ids(&words);
        }
    });
    golden("lab/corpus-nfpsim", &page);
    let held = page.matches("runs in offload mode").count();
    // All but `frags`: the kernel offloads no such program.
    assert_eq!(held, guest.lowered.len() - 1, "{page}");
}

/// Of the program as it is, which is what the driver says of it.
pub(crate) fn check_says_what_the_card_behind_an_interface_takes(guest: &Guest) {
    with_card(guest, || {
        for (name, verdict, code) in [("verdicts", "refuse", 3), ("pass", "accept", 0)] {
            let object = corpus(name).display().to_string();
            let report = guest.json(&format!("check {object} --dev nfpsim0"));
            let offload = &report["programs"][0]["offload"];
            assert_eq!(offload["verdict"], verdict, "{report}");
            let attach = format!("attach --hw --as-is --no-fallback {object} nfpsim0");
            guest.offload(&attach, code);
        }
        guest.offload("detach nfpsim0 --all", 0);
    });
}

/// The driver finds no translation for a constant that is stored on the stack, and says so to the kernel's log alone. Our
/// tool would have seen it before, so here it is told not to look.
pub(crate) fn a_reason_that_is_in_the_kernels_log_only_is_shown(guest: &Guest) {
    with_card(guest, || {
        let words = guest.offload("attach --hw --as-is stack_constant.bpf.o nfpsim0", 0);
        golden("lab/kernel-log-nfp", &without_ids(&words));
        guest.offload("detach nfpsim0 --all", 0);
    });
}

/// virtio_net says the limit of its MTU there, and that too few queues make some verdicts slow, which is no refusal.
pub(crate) fn what_virtio_net_says_in_the_kernels_log_only_is_shown(guest: &Guest) {
    let pass = corpus("pass").display().to_string();
    // Nobody is at the other end, which the driver would say meanwhile.
    guest.ok("ip link set virtio-net down && ip link set virtio-net mtu 3507");
    let refused = guest.offload(
        &format!("attach --native --no-fallback {pass} virtio-net"),
        3,
    );
    guest.ok("ip link set virtio-net mtu 1500");
    let held = guest.offload(&format!("attach --native {pass} virtio-net"), 0);
    guest.offload("detach virtio-net", 0);
    let devices = |text: &str| {
        let words = text.split(' ');
        let word = |word: &str| {
            // "virtio6", as the machine has more devices or fewer.
            match word.strip_prefix("virtio") {
                Some(number) if number.parse::<u32>().is_ok() => "virtioN".to_owned(),
                _ => word.to_owned(),
            }
        };
        words.map(word).collect::<Vec<_>>().join(" ")
    };
    golden(
        "lab/kernel-log-virtio",
        &devices(&without_ids(&(refused + &held))),
    );
    guest.nothing_is_left();
}

pub(crate) fn counters_of_an_offloaded_program_are_read_from_the_device(guest: &Guest) {
    with_card(guest, || {
        let counter = corpus("counter").display().to_string();
        let report = guest.json(&format!("attach --hw {counter} nfpsim0 --allow {ALLOW}"));
        assert_eq!(rungs(&report), "offload:attach:ok", "{report}");
        let maps = guest.json("map list");
        let map = &maps["maps"][0];
        assert_eq!(map["kind"], "array", "one value for all CPUs: {map}");
        assert!(map["offloaded_to"].is_number(), "{map}");
        // As if the card had counted. Maps on a NIC have no types: the kernel takes none for them.
        let counts = [
            (0, "hex:0700000000000000a401000000000000"),
            (1, "hex:02000000000000007800000000000000"),
        ];
        for (key, value) in counts {
            guest.offload(&format!("map traffic set {key} {value}"), 0);
        }
        let dump = guest.json("map traffic dump");
        let written = counts.map(|(key, value)| json!({"key": key, "value": value}));
        assert_eq!(dump["entries"], json!(written));
        // The object knows them.
        let dump = guest.json(&format!("map traffic dump --object {counter}"));
        let typed = json!([
            {"key": 0, "value": {"packets": 7, "bytes": 420}},
            {"key": 1, "value": {"packets": 2, "bytes": 120}},
        ]);
        assert_eq!(dump["entries"], typed);
        let set = r#"map traffic set 1 '{"packets": 3, "bytes": 180}'"#;
        guest.offload(set, 2);
        guest.offload(&format!("{set} --object {counter}"), 0);
        let value = guest.offload("map traffic get 1", 0);
        assert_eq!(value, "1: \"hex:0300000000000000b400000000000000\"\n");
        let other = corpus("pass").display().to_string();
        let words = guest.offload(&format!("map traffic dump --object {other}"), 2);
        says(&words, "the object tells no types of map 'traffic'");
        guest.offload("detach nfpsim0 --all", 0);
    });
}
