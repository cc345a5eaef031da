//! xdp-probe as a user runs it: output by its schemas, exit codes, trials that leave no trace, events.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use tests::{Netns, Output, binary, corpus, require_root, tool, workspace};

/// The committed schema of a command's JSON.
fn schema(command: &str) -> jsonschema::Validator {
    let path = workspace().join(format!("probe/schemas/{command}.v1.json"));
    let text = std::fs::read_to_string(path).expect("it is committed");
    jsonschema::validator_for(&serde_json::from_str(&text).expect("it is JSON"))
        .expect("it is a schema")
}

#[track_caller]
fn assert_valid(command: &str, output: &Output) -> serde_json::Value {
    let value = output.expect_code(0).json();
    assert_eq!(value["schema"], format!("xdp-probe/{command}/v1"));
    if let Err(error) = schema(command).validate(&value) {
        panic!("{}: {error}", output.command);
    }
    value
}

#[test]
fn json_keeps_to_its_schemas_on_this_host() {
    assert_valid("list", &tool("xdp-probe", ["list", "--json"]));
    let lo = assert_valid("show", &tool("xdp-probe", ["show", "lo", "--json"]));
    assert_eq!(lo["interface"]["best"], "generic");
    assert_valid("drivers", &tool("xdp-probe", ["drivers", "--json"]));
}

#[test]
fn every_command_helps_with_an_example() {
    for command in ["list", "show", "try", "caps", "watch", "drivers"] {
        let help = tool("xdp-probe", [command, "--help"]);
        assert!(
            help.expect_code(0).stdout.contains("Example"),
            "{}",
            help.stdout
        );
    }
    for shell in ["bash", "zsh", "fish"] {
        let script = tool("xdp-probe", ["completions", shell]);
        assert!(script.expect_code(0).stdout.contains("xdp-probe"));
    }
}

#[test]
fn names_that_do_not_exist_are_usage_errors() {
    for arguments in [
        &["show", "nonesuch0"][..],
        &["list", "lo", "nonesuch0"],
        &["drivers", "nonesuch"],
        &["watch", "nonesuch0"],
        &["caps", "nonesuch0"],
        &["list", "--nonesuch"],
    ] {
        let output = tool("xdp-probe", arguments);
        output.expect_code(2);
        assert!(output.stderr.starts_with("error:"), "{}", output.stderr);
        assert!(output.stdout.is_empty());
    }
    let output = tool("xdp-probe", ["list", "--netns", "nonesuch"]);
    assert!(
        output.code != 0 && output.stderr.contains("network namespace"),
        "{}",
        output.stderr
    );
}

#[test]
fn a_reader_that_leaves_early_is_no_error() {
    let mut child = Command::new(binary("xdp-probe"))
        .args(["drivers", "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{:?}", output.status);
    assert!(output.stderr.is_empty());
}

#[test]
fn without_privilege_list_works_and_try_names_what_is_missing() {
    if !require_root() {
        return;
    }
    let netns = Netns::new("nobody");
    netns.veth("v0", "v1");
    netns.ip(&format!(
        "link set v0 xdpgeneric obj {} sec xdp",
        corpus("pass").display()
    ));
    // setpriv drops the capabilities that `ip netns exec` needed.
    let as_nobody = |arguments: &[&str]| {
        let program = binary("xdp-probe");
        let mut all = vec![
            "setpriv",
            "--bounding-set=-all",
            "--inh-caps=-all",
            "--no-new-privs",
            "--",
            program.to_str().expect("a path"),
        ];
        all.extend(arguments);
        netns.try_run(&all)
    };
    let list = as_nobody(&["list", "--json"]);
    let list = list.expect_code(0).json();
    let interfaces = list["interfaces"].as_array().expect("an array");
    let v0 = interfaces
        .iter()
        .find(|interface| interface["ifname"] == "v0")
        .expect("v0");
    assert_eq!(v0["attached"][0]["mode"], "generic");
    assert!(
        v0["attached"][0]["prog_id"]
            .as_u64()
            .is_some_and(|id| id > 0)
    );
    let v1 = interfaces
        .iter()
        .find(|interface| interface["ifname"] == "v1")
        .expect("v1");
    assert_eq!(v1["best"], "native");

    let refused = as_nobody(&["try", "v1"]);
    refused.expect_code(4);
    for capability in ["CAP_BPF", "CAP_NET_ADMIN", "CAP_NET_RAW"] {
        assert!(refused.stderr.contains(capability), "{}", refused.stderr);
    }
    let refused = as_nobody(&["caps", "v1"]);
    refused.expect_code(4);
    for capability in ["CAP_BPF", "CAP_NET_ADMIN", "CAP_SYS_ADMIN"] {
        assert!(refused.stderr.contains(capability), "{}", refused.stderr);
    }
    let show = as_nobody(&["show", "v1"]);
    assert!(
        show.expect_code(0).stdout.contains("lack CAP_BPF"),
        "{}",
        show.stdout
    );
}

/// What `caps` finds on devices that offload is in caps.rs.
#[test]
fn a_nic_that_offloads_nothing_is_not_measured() {
    if !require_root() {
        return;
    }
    let netns = Netns::new("caps");
    netns.veth("v0", "v1");
    for interface in ["v0", "lo"] {
        let file = netns.tool("xdp-probe", ["caps", interface, "-o", "/nowhere/card.toml"]);
        file.expect_code(3);
        assert!(
            file.stderr.starts_with("error: not measured: ")
                && file.stderr.contains("runs no programs in hardware"),
            "{}",
            file.stderr
        );
        assert_eq!(file.stdout, "");
    }
}

#[test]
fn a_trial_proves_the_verdicts_and_leaves_no_trace() {
    if !require_root() {
        return;
    }
    let netns = Netns::new("try");
    netns.veth("v0", "v1");
    let settings = || {
        let features = netns.run(&["ethtool", "-k", "v0"]);
        let link = netns.ip("-d link show v0").stdout;
        (features, link)
    };
    let before = settings();
    let report = assert_valid("try", &netns.tool("xdp-probe", ["try", "v0", "--json"]));
    assert_eq!(settings(), before);
    assert_eq!(report["best"], "native");
    assert_eq!(report["lasting"], serde_json::json!([]));
    for trial in report["trials"].as_array().expect("an array") {
        assert_eq!(trial["agrees"], true, "{trial}");
    }
    let native = &report["modes"]["native"]["evidence"][0];
    assert_eq!(native["kind"], "trial");
    let text = netns.tool("xdp-probe", ["try", "v0"]);
    assert!(
        text.expect_code(0)
            .stdout
            .contains("everything is as it was"),
        "{}",
        text.stdout
    );
}

#[test]
fn a_trial_refuses_to_disturb_unless_forced() {
    if !require_root() {
        return;
    }
    let netns = Netns::new("force");
    netns.veth("v0", "v1");
    netns.ip(&format!(
        "link set v0 xdpdrv obj {} sec xdp",
        corpus("pass").display()
    ));
    let attached = || {
        netns.tool("xdp-probe", ["list", "v0", "--json"]).json()["interfaces"][0]["attached"]
            .clone()
    };
    let before = attached();
    assert_eq!(before[0]["mode"], "native");
    let refused = netns.tool("xdp-probe", ["try", "v0"]);
    refused.expect_code(3);
    assert!(refused.stderr.contains("--force"), "{}", refused.stderr);
    assert_eq!(attached(), before);

    let forced = assert_valid(
        "try",
        &netns.tool("xdp-probe", ["try", "v0", "--force", "--json"]),
    );
    assert_eq!(attached(), before, "the same program is back");
    let result = |what: &str| {
        let trials = forced["trials"].as_array().expect("an array");
        trials
            .iter()
            .find(|trial| trial["what"] == what)
            .expect("it was tried")["result"]
            .clone()
    };
    assert_eq!(result("native"), "ok");
    assert_eq!(result("generic"), "skipped");
}

#[test]
fn only_the_trials_that_are_named_are_made() {
    if !require_root() {
        return;
    }
    let netns = Netns::new("only");
    netns.veth("v0", "v1");
    let only = ["try", "v0", "--only", "af-xdp-copy,generic", "--json"];
    let report = assert_valid("try", &netns.tool("xdp-probe", only));
    let trials = report["trials"].as_array().expect("an array");
    let made: Vec<_> = trials.iter().map(|trial| &trial["what"]).collect();
    assert_eq!(made, ["generic", "af-xdp-copy"]);
    let unknown = netns.tool("xdp-probe", ["try", "v0", "--only", "zerocopy"]);
    unknown.expect_code(2);
    assert!(
        unknown.stderr.contains("af-xdp-zerocopy"),
        "{}",
        unknown.stderr
    );
}

#[test]
fn watch_tells_what_changes() {
    if !require_root() {
        return;
    }
    let netns = Netns::new("watch");
    netns.veth("v0", "v1");
    let mut watch = netns
        .command(binary("xdp-probe"))
        .args(["watch", "v0", "--json", "-v"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    // It has subscribed once it has read the links (-v tells).
    let mut log = BufReader::new(watch.stderr.take().expect("piped")).lines();
    assert!(
        log.any(|line| line.expect("text").contains("read links")),
        "it ended early"
    );
    netns.ip("link set v1 mtu 1400");
    netns.ip("link set v0 mtu 1400");
    netns.ip(&format!(
        "link set v0 xdpgeneric obj {} sec xdp",
        corpus("pass").display()
    ));
    netns.ip("link set v0 xdpgeneric off");
    netns.ip("link delete v0");
    let schema = schema("watch");
    let mut events = Vec::new();
    for line in BufReader::new(watch.stdout.take().expect("piped")).lines() {
        let event: serde_json::Value =
            serde_json::from_str(&line.expect("text")).expect("JSON lines");
        schema.validate(&event).expect("it keeps to its schema");
        assert_eq!(event["ifname"], "v0", "the others were not asked for");
        events.push(event["event"].as_str().expect("a word").to_owned());
        if event["event"] == "deleted" {
            break;
        }
    }
    watch.kill().expect("it runs");
    watch.wait().expect("it ends");
    for expected in ["mtu", "attach", "detach", "deleted"] {
        assert!(
            events.iter().any(|event| event == expected),
            "{expected} is not in {events:?}"
        );
    }
}

#[test]
fn another_namespace_is_reached_by_name() {
    if !require_root() {
        return;
    }
    let netns = Netns::new("named");
    netns.veth("here0", "here1");
    let list = assert_valid(
        "list",
        &tool("xdp-probe", ["list", "--json", "--netns", netns.name()]),
    );
    assert_eq!(list["netns"], netns.name());
    let here: Vec<_> = list["interfaces"]
        .as_array()
        .expect("an array")
        .iter()
        .map(|interface| &interface["ifname"])
        .collect();
    assert!(here.iter().any(|name| *name == "here0"), "{here:?}");
    assert!(here.iter().all(|name| *name != "eth0"), "{here:?}");
    // An alternative name is a name.
    netns.ip("link property add dev here0 altname alternative0");
    let show = tool(
        "xdp-probe",
        ["show", "alternative0", "--netns", netns.name()],
    );
    assert!(
        show.expect_code(0).stdout.starts_with("here0"),
        "{}",
        show.stdout
    );
}
