//! hw-matrix with the real tools on real interfaces: a lab in a namespace is run, run again, and a change is found.

use std::path::Path;

use tests::{Netns, Output, corpus, require_root};

fn lab(folder: &Path) {
    let text = format!(
        r#"
        [host.here]
        executor = "local"
        nic.lo.ifname = "lo"
        nic.veth.ifname = "near0"

        [program.pass]
        object = "{}"
        [program.firewall]
        object = "{}"

        [check.probe]
        [check.attach]

        [[expect]]
        cells = "check=attach & (mode=offload | nic=lo & mode=native)"
        outcome = "refused"
        "#,
        corpus("pass").display(),
        corpus("firewall").display()
    );
    std::fs::write(folder.join("lab.toml"), text).expect("the folder is ours");
}

fn run(netns: &Netns, folder: &Path, arguments: &[&str]) -> Output {
    let mut command = netns.command(tests::binary("hw-matrix"));
    Output::of(command.current_dir(folder).args(arguments))
        .unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn a_lab_runs_twice_alike_and_a_larger_mtu_is_found() {
    if !require_root() {
        return;
    }
    let netns = Netns::new("matrix");
    netns.veth("near0", "far0");
    netns.ip("link set lo up");
    let folder = tempfile::tempdir().expect("there is room");
    let folder = folder.path();
    lab(folder);

    let first = run(&netns, folder, &["run", "lab.toml", "--out", "first"]);
    first.expect_code(0);
    assert!(first.stdout.contains("18 pass"), "{}", first.stdout);
    let attached = netns.ip("-details link show dev near0").stdout;
    assert!(!attached.contains("xdp"), "nothing is left: {attached}");

    let baseline = ["--baseline", "first/results.jsonl"];
    let again = run(
        &netns,
        folder,
        &[&["run", "lab.toml", "--out", "again"][..], &baseline].concat(),
    );
    again.expect_code(0);
    assert!(again.stdout.contains("0 regressions"), "{}", again.stdout);

    netns.ip("link set far0 mtu 9000");
    let changed = run(
        &netns,
        folder,
        &[&["run", "lab.toml", "--out", "changed"][..], &baseline].concat(),
    );
    changed.expect_code(5);
    for line in [
        "broken here/veth/pass/native/attach: pass (attached) -> fail (refused): veth: Peer MTU is too large to set XDP",
        "changed here/veth/-/native/probe: pass (yes) -> pass (no)",
        "3 regressions, 0 fixed, 18 cells compared",
    ] {
        assert!(changed.stdout.contains(line), "{line}\n{}", changed.stdout);
    }
}

/// A program that somebody else attached stays, and the cell says so.
#[test]
fn a_program_that_is_there_is_left_alone() {
    if !require_root() {
        return;
    }
    let netns = Netns::new("matrix");
    netns.veth("near0", "far0");
    let folder = tempfile::tempdir().expect("there is room");
    lab(folder.path());
    let pass = corpus("pass").display().to_string();
    let before = netns
        .tool("xdp-offload", ["attach", &pass, "near0", "--json"])
        .expect_code(0)
        .json();

    let filter = "nic=veth & program=firewall & mode!=offload";
    let output = run(
        &netns,
        folder.path(),
        &["run", "lab.toml", "--filter", filter],
    );
    output.expect_code(5);
    assert!(output.stdout.contains("2 fail"), "{}", output.stdout);
    let status = netns.ip("-details link show dev near0").stdout;
    assert!(
        status.contains(&format!("prog/xdp id {} ", before["prog_id"])),
        "{status}"
    );
}
