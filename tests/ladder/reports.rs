//! What `status` and `--json` show.

use super::*;

#[test]
fn status_shows_what_other_tools_attached() {
    if !require_root() {
        return;
    }
    let netns = Netns::new("l-status");
    netns.veth("v0", "v1");
    let object = corpus("drop");
    netns.run(&[
        "ip",
        "link",
        "set",
        "v0",
        "xdpgeneric",
        "obj",
        path(&object),
        "sec",
        "xdp",
    ]);
    let status = run(&netns, &["status", "--json"]).expect_code(0).json();
    let attached = &status["interfaces"][0]["attached"][0];
    assert_eq!(attached["mode"], "generic");
    assert_eq!(attached["name"], "drop");
    assert_eq!(attached["attachment"]["kind"], "netlink");
    assert_eq!(attached["uid"], 0);
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .expect("after 1970")
        .as_secs();
    let loaded = attached["loaded_at"].as_u64().expect("a time");
    assert!(
        now - 60 <= loaded && loaded <= now + 1,
        "{loaded} is not about now, {now}"
    );
    let table = run(&netns, &["status"]);
    assert!(
        table.stdout.contains("v0") && table.stdout.contains("generic"),
        "{}",
        table.stdout
    );
}

#[test]
fn the_programs_behind_a_libxdp_dispatcher_are_shown() {
    if !require_root() {
        return;
    }
    let netns = Netns::new("l-libxdp");
    netns.veth("v0", "v1");
    let bpffs = Bpffs::mount();
    // What libxdp makes, without the dispatching itself, which not every kernel can load.
    let named = |name| {
        Program::load(&ProgramSpec {
            name,
            ..ProgramSpec::pass(None)
        })
    };
    let dispatcher = named("xdp_dispatcher").expect("it loads");
    let ifindex = netns.inside(|| {
        let mut route = Route::open().expect("a socket");
        let ifindex = route.link_by_name("v0").expect("v0").ifindex;
        route
            .set_xdp(&XdpRequest {
                ifindex,
                program: Some(dispatcher.as_fd()),
                mode: Some(Mode::Native),
                expected: Expected::Nothing,
            })
            .expect("it attaches");
        ifindex
    });
    let id = dispatcher.info().expect("info").id;
    let folder = bpffs.path().join(format!("xdp/dispatch-{ifindex}-{id}"));
    std::fs::create_dir_all(&folder).expect("bpffs has folders");
    for (number, name) in ["first", "second"].into_iter().enumerate() {
        let program = named(name).expect("it loads");
        program
            .pin(&folder.join(format!("prog{number}-prog")))
            .expect("it pins");
    }
    let status = run(&netns, &["status", "v0", "--json"]).json();
    let behind = &status["interfaces"][0]["attached"][0]["behind_dispatcher"];
    let names: Vec<&str> = behind
        .as_array()
        .expect("an array")
        .iter()
        .filter_map(|component| component["name"].as_str())
        .collect();
    assert_eq!(names, ["first", "second"], "{status}");
    assert!(run(&netns, &["status"]).stdout.contains("second"));
}

#[test]
fn every_report_keeps_to_its_schema() {
    if !require_root() {
        return;
    }
    let netns = Netns::new("l-schema");
    netns.veth("v0", "v1");
    let firewall = corpus("firewall");
    let counter = corpus("counter");
    let bad = corpus("bad/no_bounds_check");
    let firewall = path(&firewall);
    let steps: [(&str, &[&str]); 13] = [
        ("check", &["check", firewall, "--dev", "v0"]),
        ("check", &["check", path(&bad)]),
        ("attach-plan", &["attach", firewall, "v0", "--dry-run"]),
        ("attach", &["attach", firewall, "v0", "--hw"]),
        ("attach", &["attach", path(&bad), "v0", "--replace"]),
        ("attach", &["attach", path(&counter), "v1"]),
        ("status", &["status"]),
        ("map-list", &["map", "list"]),
        ("map", &["map", "rules", "--dev", "v0"]),
        (
            "map",
            &[
                "map",
                "rules",
                "set",
                r#"{"port":1}"#,
                r#"{"verdict":1}"#,
                "--dev",
                "v0",
            ],
        ),
        ("map", &["map", "rules", "dump", "--dev", "v0"]),
        ("map", &["map", "traffic", "dump", "--dev", "v1"]),
        ("detach", &["detach", "v0"]),
    ];
    for (schema, arguments) in steps {
        // `--dev` stands before the action.
        let mut all: Vec<&str> = arguments.to_vec();
        if let Some(at) = all
            .iter()
            .position(|word| *word == "--dev")
            .filter(|_| all[0] == "map")
        {
            let dev: Vec<&str> = all.drain(at..at + 2).collect();
            all.splice(1..1, dev);
        }
        all.push("--json");
        let report = run(&netns, &all).json();
        let file = tests::workspace().join(format!("xdp-offload/schemas/{schema}.json"));
        let schema_text = std::fs::read_to_string(&file).expect("the schema is committed");
        let schema_json: Value = serde_json::from_str(&schema_text).expect("a schema is JSON");
        let validator = jsonschema::validator_for(&schema_json).expect("a valid schema");
        let errors: Vec<String> = validator
            .iter_errors(&report)
            .map(|error| error.to_string())
            .collect();
        assert!(errors.is_empty(), "{all:?}: {errors:?}\n{report}");
        assert_eq!(report["schema"], format!("xdp-offload/{schema}/v1"));
    }
}
