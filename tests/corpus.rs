//! Every object of the corpus attaches by `xdp-offload attach` in native and in generic mode, as ip(8) sees it too, and
//! detaches without a trace.

use std::path::Path;

use libtest_mimic::{Arguments, Failed, Trial};
use offload_compiler::object::Object;
use tests::{Bpffs, Netns, corpus, require_root, tool, workspace};

/// The modes with the numbers that ip(8) has for them (XDP_ATTACHED_DRV, XDP_ATTACHED_SKB).
const MODES: [(&str, u64); 2] = [("native", 1), ("generic", 2)];
/// Asks the driver something, so it is bound to its device, which only native mode runs.
const BOUND: &str = "rx_metadata";

fn main() {
    let mut arguments = Arguments::from_args();
    // Namespaces of their own, but two cores at most are worth it: the kernel attaches one program at a time.
    arguments.test_threads.get_or_insert(2);
    let trials = if require_root() { trials() } else { Vec::new() };
    libtest_mimic::run(&arguments, trials).exit();
}

fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    let folder = workspace().join("tests/corpus");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    files.sort();
    for object in files.iter().filter_map(|file| file.strip_suffix(".bpf.o")) {
        for program in attachable(&corpus(object)) {
            let modes = if object == BOUND {
                &MODES[..1]
            } else {
                &MODES[..]
            };
            for &(mode, number) in modes {
                let (object, program) = (object.to_owned(), program.clone());
                trials.push(Trial::test(
                    format!("{object} {program} {mode}"),
                    move || attach_and_detach(&object, &program, mode, number),
                ));
            }
        }
    }
    trials
}

fn attachable(object: &Path) -> Vec<String> {
    let object = Object::parse(&std::fs::read(object).unwrap()).unwrap();
    object
        .programs
        .iter()
        .filter(|program| program.kind.is_attachable_xdp())
        .map(|program| program.name.clone())
        .collect()
}

fn attach_and_detach(object: &str, program: &str, mode: &str, number: u64) -> Result<(), Failed> {
    let netns = Netns::create("corpus")?;
    netns.veth("v0", "v1");
    let bpffs = Bpffs::mount();
    let pins = bpffs.path().join(object);
    let object = corpus(object);
    let [object, pins] = [&object, &pins].map(|path| path.to_str().unwrap());
    let mode_option = format!("--{mode}");
    let arguments = ["attach", object, "v0", "--prog", program, &mode_option];
    let options = [
        "--no-fallback",
        "--pin",
        pins,
        "--json",
        "--netns",
        netns.name(),
    ];
    let attached = tool("xdp-offload", [&arguments[..], &options].concat());
    let report = attached.expect_code(0).json();
    assert_eq!(report["mode"], mode);

    let shown = xdp(&netns);
    assert_eq!(shown["mode"], number);
    assert_eq!(shown["prog"]["id"], report["prog_id"]);

    let id = report["prog_id"].to_string();
    tool(
        "xdp-offload",
        ["detach", "v0", "--id", &id, "--netns", netns.name()],
    )
    .expect_code(0);
    assert!(xdp(&netns).is_null());
    Ok(())
}

/// What ip(8) says of XDP on v0; null where nothing is attached.
fn xdp(netns: &Netns) -> serde_json::Value {
    let links: serde_json::Value = netns
        .run(&["ip", "-j", "-d", "link", "show", "v0"])
        .parse()
        .unwrap();
    links[0]["xdp"].clone()
}
