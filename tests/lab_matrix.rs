//! hw-matrix on machines of the virtual lab, with the committed lab file: what somebody changed in the lab is found and named.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tests::{Output, binary, lab, workspace};
use toml::{Table, Value};

/// A few cells of it: a real driver, and a card with switches that make it refuse.
const CELLS: &str = "nic=igb & host=native-73 & (check=probe | check=attach & program=pass | check=af-xdp-zerocopy) \
                     | nic=netdevsim & host=cards-612 & check=attach & program=pass";

/// Where netdevsim, the first NIC of its machine, has its switches.
const SWITCHES: &str = "/sys/kernel/debug/netdevsim/netdevsim0";

fn run(lab_file: &Path, out: &Path, baseline: Option<&Path>) -> Output {
    let mut command = Command::new(binary("hw-matrix"));
    command.arg("run").arg(lab_file).args(["--filter", CELLS]);
    command.arg("--out").arg(out);
    if let Some(baseline) = baseline {
        command.arg("--baseline").arg(baseline);
    }
    Output::of(&mut command).unwrap_or_else(|error| panic!("{error}"))
}

/// The committed lab file with changes, in a folder of its own. Its newer kernel is the newest that this lab has.
fn written(folder: &Path, newest: &str, change: impl FnOnce(&mut Table)) -> PathBuf {
    let examples = workspace().join("hw-matrix/examples/virtual-lab");
    let text = fs::read_to_string(examples.join("lab.toml")).expect("it is committed");
    let corpus = workspace().join("tests/corpus");
    let text = text.replace("../../../tests/corpus", &corpus.display().to_string());
    let text = text.replace("kernel = \"7.3\"", &format!("kernel = \"{newest}\""));
    let mut lab: Table = text.parse().expect("it is TOML");
    change(&mut lab);
    let path = folder.join("lab.toml");
    fs::write(&path, lab.to_string()).expect("the folder is ours");
    path
}

fn prepare(lab: &mut Table, host: &str, command: &str) {
    let host = lab["host"][host].as_table_mut().expect("a section");
    let prepare = host
        .entry("prepare")
        .or_insert_with(|| Value::Array(Vec::new()));
    let commands = prepare.as_array_mut().expect("a list");
    commands.push(command.into());
}

#[test]
fn another_mtu_a_switch_that_refuses_and_another_kernel_are_found_and_named() {
    let Some(lab) = lab::obtain() else { return };
    let newest = lab.kernels().pop().expect("the lab has kernels");
    let folder = tempfile::tempdir().expect("there is room");
    let folder = folder.path();
    let good = run(
        &written(folder, &newest, |_| {}),
        &folder.join("good"),
        None,
    );
    good.expect_code(0);

    let bad = written(folder, &newest, |lab| {
        lab["host"]["native-73"]["kernel"] = "6.12".into();
        prepare(lab, "native-73", "ip link set igb mtu 3047");
        let refuse = format!("echo 0 >{SWITCHES}/bpf_bind_accept");
        prepare(lab, "cards-612", &refuse);
    });
    let baseline = folder.join("good/results.jsonl");
    let bad = run(&bad, &folder.join("bad"), Some(&baseline));
    bad.expect_code(5);
    let exchanged = format!("exchanged kernel of native-73: {newest}.");
    for line in [
        "broken native-73/igb/pass/native/attach: pass (attached) -> fail (refused)",
        "broken native-73/igb/-/native/af-xdp-zerocopy: pass (held) -> fail (refused)",
        "changed native-73/igb/-/native/probe: pass (yes) -> pass (no)",
        &exchanged,
        "broken cards-612/netdevsim/pass/offload/attach: pass (attached) -> fail (refused)",
    ] {
        assert!(bad.stdout.contains(line), "{line}\n{}", bad.stdout);
    }
}
