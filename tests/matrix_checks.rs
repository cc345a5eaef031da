//! Every kind of check that hw-matrix makes, with the real tools on a veth pair between two namespaces; and what each
//! says when something is wrong.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use tests::{Cable, Output, corpus, require_command, require_root};

/// Kinds on the cable's near end, and on a pair with four queues.
fn lab(cable: &Cable, verdict: u32) -> String {
    let far = cable.far.name();
    let object = |name: &str| corpus(name).display().to_string();
    format!(
        r#"
        [host.here]
        executor = "local"
        nic.wan = {{ ifname = "near0", peer = "{far}/far0" }}
        nic.many.ifname = "many0"

        [program.verdicts]
        object = "{}"
        [program.firewall]
        object = "{}"
        maps.rules = [{{ key = {{ port = 53, protocol = 17 }}, value = {{ verdict = {verdict} }} }}]

        [check.attach]
        [check.verdicts]
        [check.mtu]
        programs = ["verdicts"]
        [check.queues]
        programs = ["verdicts"]
        [check.af-xdp-copy]
        [check.af-xdp-zerocopy]
        [check.acceptance]
        [check.maps]
        [check.reload]
        [check.replace]
        programs = ["verdicts"]
        for = "1s"
        [check.soak]
        programs = ["firewall"]
        for = "4s"
        [check.throughput]
        programs = ["firewall"]
        slower = 3

        [[expect]]
        cells = "mode=offload | check=af-xdp-zerocopy"
        outcome = "refused"
        "#,
        object("verdicts"),
        object("firewall"),
    )
}

struct Bench {
    cable: Cable,
    folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Bench {
        let cable = Cable::lay("checks").unwrap_or_else(|error| panic!("{error}"));
        cable.near.ip(
            "link add many0 numrxqueues 4 numtxqueues 4 type veth peer name many1 numrxqueues 4 numtxqueues 4",
        );
        cable.near.ip("link set many0 up");
        cable.near.ip("link set many1 up");
        let folder = tempfile::tempdir().expect("there is room");
        let bench = Bench { cable, folder };
        bench.write(&lab(&bench.cable, 1));
        bench
    }

    /// Puts a program on the far end: a veth takes what XDP_TX sends back where a program makes it poll.
    fn attach_far(&self) {
        let pass = corpus("pass").display().to_string();
        let attach = ["attach", &pass, "far0", "--native", "--no-fallback"];
        self.cable.far.tool("xdp-offload", attach).expect_code(0);
    }

    fn write(&self, lab: &str) {
        std::fs::write(self.folder.path().join("lab.toml"), lab).expect("the folder is ours");
    }

    fn hw_matrix(&self, arguments: &[&str]) -> Output {
        let mut command = self.cable.near.command(tests::binary("hw-matrix"));
        Output::of(command.current_dir(self.folder.path()).args(arguments))
            .unwrap_or_else(|error| panic!("{error}"))
    }

    /// Runs the cells that the filter leaves.
    fn run(&self, filter: &str, out: &str) -> Results {
        let output = self.hw_matrix(&["run", "lab.toml", "--filter", filter, "--out", out]);
        assert!(
            [0, 5].contains(&output.code),
            "{}{}",
            output.stdout,
            output.stderr
        );
        Results::read(&self.folder.path().join(out))
    }

    /// Until the near end has got so many more packets.
    fn wait_for_packets(&self, count: u64, gives_up: impl Fn() -> bool) {
        let received = || {
            let counter = ["cat", "/sys/class/net/near0/statistics/rx_packets"];
            let text = self.cable.near.run(&counter);
            text.trim().parse::<u64>().expect("a number")
        };
        let before = received();
        while received() < before + count && !gives_up() {
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn diff(&self, one: &str, other: &str) -> Output {
        self.hw_matrix(&["diff", one, other])
    }
}

/// The lines of results.jsonl that are results.
struct Results(Vec<Value>);

impl Results {
    fn read(folder: &Path) -> Results {
        let text = std::fs::read_to_string(folder.join("results.jsonl")).expect("it was written");
        let lines = text
            .lines()
            .map(|line| serde_json::from_str(line).expect("JSON"));
        Results(
            lines
                .filter(|line: &Value| line["event"] == "result")
                .collect(),
        )
    }

    #[track_caller]
    fn cell(&self, id: &str) -> &Value {
        let found = self.0.iter().find(|result| result["cell"] == id);
        found.unwrap_or_else(|| panic!("no result of {id}"))
    }

    #[track_caller]
    fn expect(&self, id: &str, outcome: &str, found: Option<&str>) {
        let cell = self.cell(id);
        assert_eq!(cell["outcome"], outcome, "{cell}");
        assert_eq!(cell["found"].as_str(), found, "{cell}");
    }
}

#[test]
fn each_kind_holds_on_a_veth_pair() {
    if !require_root() || !require_command("ethtool") {
        return;
    }
    let bench = Bench::new();
    let with_packets = "check=verdicts | check=replace | check=soak | check=throughput";
    let mut results = bench.run(&format!("!({with_packets})"), "first");
    bench.attach_far();
    results.0.extend(bench.run(with_packets, "packets").0);
    for result in &results.0 {
        let status = result["status"].as_str();
        assert!(matches!(status, Some("pass" | "skip")), "{result}");
        // No driver has a veth, and it is no card; how many queues it has by itself is the machine's affair.
        let part = |number| result["cell"].as_str()?.split('/').nth(number);
        let lacks = match (part(1), part(4)) {
            (Some("wan"), Some("queues")) => continue,
            (Some("many"), Some("replace" | "soak" | "throughput")) => true,
            (_, check) => matches!(check, Some("reload" | "acceptance")),
        };
        assert_eq!(status == Some("skip"), lacks, "{result}");
    }
    results.expect("here/wan/verdicts/native/mtu", "held", Some("1280..3506"));
    results.expect("here/wan/verdicts/generic/mtu", "held", Some("1280..9000"));
    // A veth takes native programs where its peer has no more queues.
    results.expect(
        "here/many/verdicts/native/queues",
        "held",
        Some("4, not 1, 2"),
    );
    results.expect("here/many/verdicts/generic/queues", "held", Some("1, 2, 4"));
    results.expect(
        "here/wan/firewall/native/maps",
        "held",
        Some("rules (hash)"),
    );
    results.expect("here/wan/-/native/af-xdp-copy", "held", None);
    results.expect("here/wan/-/native/af-xdp-zerocopy", "refused", None);
    let by_test_run = Some("test run: ABORTED 1, DROP 1, PASS 28, TX 1, REDIRECT 1");
    results.expect("here/many/verdicts/native/verdicts", "held", by_test_run);
    let on_wire = Some("wire: ABORTED 1, DROP 1, PASS 28, TX 1, REDIRECT 1");
    results.expect("here/wan/verdicts/native/verdicts", "held", on_wire);
    results.expect("here/wan/verdicts/generic/verdicts", "held", on_wire);

    let throughput = results.cell("here/wan/firewall/native/throughput");
    assert!(
        throughput["figure"]["value"].as_f64() > Some(0.0),
        "{throughput}"
    );
    assert_eq!(throughput["figure"]["slower"], 3.0);

    let links = bench.cable.near.ip("-details link show").stdout;
    assert!(!links.contains("xdp"), "nothing is left: {links}");
    assert!(
        links.contains("mtu 1500") && !links.contains("mtu 9000"),
        "{links}"
    );
    let channels = bench.cable.near.run(&["ethtool", "-l", "many0"]);
    assert_eq!(channels.matches("RX:\t\t4").count(), 2, "{channels}");
}

/// A program that somebody left on the far end keeps both ends from large MTUs.
#[test]
fn another_largest_mtu_is_a_change() {
    if !require_root() || !require_command("ethtool") {
        return;
    }
    let bench = Bench::new();
    let filter = "check=mtu & nic=wan & mode=generic & program=verdicts";
    bench.run(filter, "before");
    bench.attach_far();
    bench.run(filter, "after");
    let diff = bench.diff("before", "after");
    diff.expect_code(5);
    assert!(
        diff.stdout.starts_with(
            "changed here/wan/verdicts/generic/mtu: pass (held: 1280..9000) -> pass (held: 1280..3506)\n"
        ),
        "{}",
        diff.stdout
    );
}

/// A veth without a program at its far end loses what XDP_TX sends back.
#[test]
fn a_packet_that_does_not_come_back_is_wrong() {
    if !require_root() || !require_command("ethtool") {
        return;
    }
    let bench = Bench::new();
    let id = "here/wan/verdicts/native/verdicts";
    let results = bench.run(&format!("id={id}"), "out");
    let cell = results.cell(id);
    assert_eq!(cell["outcome"], "wrong", "{cell}");
    let reason = cell["reason"].as_str().unwrap_or_default();
    let words = "packet 4: interp and wire do not do the same: XDP_TX, but";
    assert!(reason.starts_with(words), "{cell}");
    assert!(cell["remedy"].is_string(), "{cell}");
}

/// A rule that comes while packets flow costs packets, and a program that somebody takes off lets them by.
#[test]
fn lost_and_unprotected_packets_are_wrong() {
    if !require_root() || !require_command("ethtool") {
        return;
    }
    let bench = Bench::new();
    let once = "\n[[known-bad]]\ncells = \"id=*\"\nuntil = \"2100-01-01\"\nreason = \"one attempt is enough\"\n";
    bench.write(&(lab(&bench.cable, 1) + once));
    let reason = |out: &str, fault: &dyn Fn()| {
        let id = "here/wan/firewall/native/soak";
        let results = std::thread::scope(|scope| {
            let soak = scope.spawn(|| bench.run(&format!("id={id}"), out));
            // Each packet is sent alone before; then they come at their rate.
            bench.wait_for_packets(32 + 100, || soak.is_finished());
            fault();
            soak.join().expect("it ran")
        });
        let cell = results.cell(id);
        assert_eq!(cell["outcome"], "wrong", "{cell}");
        cell["reason"].as_str().unwrap_or_default().to_owned()
    };
    let (port, drop) = (r#"{"port": 80, "protocol": 17}"#, r#"{"verdict": 1}"#);
    let rule = ["map", "rules", "set", port, drop, "--dev", "near0"];
    let near = &bench.cable.near;
    let lost = reason("lost", &|| {
        near.tool("xdp-offload", rule).expect_code(0);
    });
    assert!(lost.contains("packets were lost, 0 may be"), "{lost}");
    let unprotected = reason("unprotected", &|| {
        near.ip("link set near0 xdpdrv off");
    });
    assert!(
        unprotected.contains("packets passed by the program"),
        "{unprotected}"
    );
}

/// A rule that drops instead of passing, or the reverse, is told as other verdicts.
#[test]
fn another_rule_is_a_change_of_verdicts() {
    if !require_root() || !require_command("ethtool") {
        return;
    }
    let bench = Bench::new();
    let filter = "check=verdicts & program=firewall & mode=native & nic=wan";
    bench.run(filter, "before");
    bench.write(&lab(&bench.cable, 2));
    bench.run(filter, "after");
    let diff = bench.diff("before", "after");
    diff.expect_code(5);
    let change = "changed here/wan/firewall/native/verdicts: pass (held: wire: DROP 2, PASS 30) -> pass (held: wire: PASS 32)";
    assert!(diff.stdout.contains(change), "{}", diff.stdout);
}
