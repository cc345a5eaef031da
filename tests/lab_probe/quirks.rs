//! What drivers do besides attaching: told, and undone.

use serde_json::Value;
use tests::lab::Guest;

/// All of them. The NICs are up, and programs are attached to some.
pub(crate) fn all(guest: &Guest) {
    guest.run(
        "xdp-offload detach virtio0 virtiomq0 igb0 vmxnet0 e1000x0; ethtool -K vmxnet0 lro on",
    );
    // The link comes back in its time.
    guest.run("until [ $(cat /sys/class/net/igb0/carrier) = 1 ]; do sleep 0.2; done");
    link_that_bounces(guest);
    queues_and_features(guest);
    large_receive_offload(guest);
    outgrown_mtu(guest);
    metadata(guest);
}

fn attach(guest: &Guest, program: &str, arguments: &str) -> Value {
    let output = guest.run(&format!(
        "xdp-offload attach {program}.bpf.o --json {arguments}"
    ));
    output.expect_code(0).json()
}

fn detach(guest: &Guest, name: &str) -> Value {
    guest
        .run(&format!("xdp-offload detach --json {name}"))
        .expect_code(0)
        .json()
}

/// What a report says of one setting: "from -> to".
fn change(report: &Value, what: &str) -> Option<String> {
    let changes = report["changes"].as_array().expect("changes");
    let change = changes.iter().find(|change| change["what"] == what)?;
    Some(format!(
        "{} -> {}",
        change["from"].as_str()?,
        change["to"].as_str()?
    ))
}

fn link_that_bounces(guest: &Guest) {
    let attached = attach(guest, "pass", "igb0 --native");
    assert!(attached["link_down_ms"].as_u64() > Some(0), "{attached}");
    assert_eq!(
        change(&attached, "carrier"),
        None,
        "it was waited for: {attached}"
    );
    guest
        .run("cat /sys/class/net/igb0/carrier | grep 1")
        .expect_code(0);
    let detached = detach(guest, "igb0");
    assert!(detached["link_down_ms"].as_u64() > Some(0), "{detached}");
    guest
        .run("cat /sys/class/net/igb0/carrier | grep 1")
        .expect_code(0);
}

fn queues_and_features(guest: &Guest) {
    let attached = attach(guest, "pass", "virtiomq0 --native");
    let features = change(&attached, "xdp-features").expect("ndo-xmit comes with a program");
    assert!(
        features.ends_with("ndo-xmit-sg") && !features.starts_with("basic redirect ndo-xmit"),
        "{features}"
    );
    let queues = change(&attached, "channels").expect("a queue more for each processor");
    assert_eq!(queues, "combined 2, rx 0, tx 0 -> combined 4, rx 0, tx 0");
    let detached = detach(guest, "virtiomq0");
    assert_eq!(
        change(&detached, "channels").as_deref(),
        Some("combined 4, rx 0, tx 0 -> combined 2, rx 0, tx 0")
    );
}

/// vmxnet3 turns LRO off, with a text about it; taking the program off turns it on again.
fn large_receive_offload(guest: &Guest) {
    let attached = attach(guest, "pass", "vmxnet0 --native");
    assert_eq!(
        change(&attached, "rx-lro").as_deref(),
        Some("on -> off"),
        "{attached}"
    );
    let held = attached["attempts"]
        .as_array()
        .and_then(|all| all.last())
        .expect("a rung");
    assert_eq!(held["result"], "ok");
    assert_eq!(
        held["kernel_message"],
        "vmxnet3: LRO is not supported with XDP"
    );
    let detached = detach(guest, "vmxnet0");
    assert_eq!(
        change(&detached, "rx-lro").as_deref(),
        Some("off -> on"),
        "{detached}"
    );
}

/// virtio_net and vmxnet3 look at the MTU when a program is attached, and never again.
fn outgrown_mtu(guest: &Guest) {
    for nic in ["virtio0", "vmxnet0"] {
        attach(guest, "pass", &format!("{nic} --native"));
        let list = guest.run(&format!(
            "ip link set dev {nic} mtu 9000 && xdp-probe list {nic} --json"
        ));
        let list = list.expect_code(0).json();
        let notes = list["interfaces"][0]["modes"]["native"]["notes"].to_string();
        assert!(notes.contains("the MTU 9000 is above the 3"), "{notes}");
        guest
            .run(&format!(
                "ip link set dev {nic} mtu 1500; xdp-offload detach {nic}"
            ))
            .expect_code(0);
    }
}

/// veth tells a packet's metadata. Other drivers with native mode take the program and tell nothing, which is said; those
/// without refuse it.
fn metadata(guest: &Guest) {
    let reason = |report: &Value| {
        report["attempts"]
            .as_array()
            .and_then(|all| all.last())
            .expect("a rung")["reason"]
            .clone()
    };
    guest.run("xdp-offload detach plain0");
    let veth = attach(guest, "rx_metadata", "plain0");
    assert_eq!(veth["mode"], "native");
    assert_eq!(reason(&veth), Value::Null);
    detach(guest, "plain0");

    let virtio = attach(guest, "rx_metadata", "virtio0");
    assert_eq!(virtio["mode"], "native");
    let told = reason(&virtio);
    assert!(
        told.as_str()
            .is_some_and(|told| told.contains("virtio_net tells no timestamps")),
        "{virtio}"
    );
    detach(guest, "virtio0");

    let e1000e = guest.run("xdp-offload attach rx_metadata.bpf.o --json e1000e0");
    let e1000e = e1000e.expect_code(3).json();
    assert!(
        reason(&e1000e)
            .to_string()
            .contains("generic mode has no driver to ask"),
        "{e1000e}"
    );
}
