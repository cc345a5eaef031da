//! NICs that go away: unplugged, or their driver unloaded.

use serde_json::Value;
use tests::lab::Guest;

/// All ways. Takes igb0 and vmxnet0 away.
pub(crate) fn all(guest: &Guest) {
    unplugged_while_tried(guest);
    unloaded_under_a_program(guest);
}

/// The trial ends with the step and the reason, and what it found until then.
fn unplugged_while_tried(guest: &Guest) {
    // The link of igb is down for seconds after each attach: time enough.
    let output = guest.run(
        "xdp-probe try --force --json igb0 e1000e0 & trial=$!
        until ip link show dev igb0 | grep -q xdp; do :; done
        echo 1 >/sys/class/net/igb0/device/remove
        wait $trial",
    );
    output.expect_code(1);
    assert!(
        output.stderr.contains("igb0 vanished while 'native"),
        "{output:?}"
    );
    let reports: Vec<Value> = output
        .stdout
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect();
    let [igb, e1000e] = &reports[..] else {
        panic!("two reports: {output:?}")
    };
    let results = |report: &Value| -> Vec<String> {
        let trials = report["trials"].as_array().expect("trials");
        trials
            .iter()
            .map(|trial| trial["result"].as_str().expect("a result").to_owned())
            .collect()
    };
    let found = results(igb);
    let gone = found
        .iter()
        .position(|result| result == "vanished")
        .unwrap_or_else(|| panic!("{igb}"));
    assert!(igb["trials"][gone]["step"].is_string(), "{igb}");
    assert!(
        found[gone + 1..].iter().all(|result| result == "skipped"),
        "{igb}"
    );
    // The others are tried all the same.
    assert!(
        results(e1000e)
            .iter()
            .all(|result| result == "ok" || result == "refused"),
        "{e1000e}"
    );
    guest
        .run("xdp-offload attach pass.bpf.o igb0")
        .expect_code(2);
}

/// The program goes with its interface, and nothing is left to detach.
fn unloaded_under_a_program(guest: &Guest) {
    guest
        .run("xdp-offload attach pass.bpf.o --native vmxnet0 && modprobe -r vmxnet3")
        .expect_code(0);
    let detached = guest.run("xdp-offload detach vmxnet0");
    detached.expect_code(2);
    assert!(detached.stderr.contains("vmxnet0"), "{detached:?}");
    let status = guest.run("xdp-offload status --json");
    assert!(
        !status.expect_code(0).stdout.contains("vmxnet0"),
        "{status:?}"
    );
}
