//! Objects of others: all XDP programs of Debian's xdp-tools, and of the kernel's own selftests and samples, that bpftool
//! loads are loaded and attached by us, too.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use generic_fallback::load::{Binding, Loader};
use offload_compiler::object::Object;
use tests::real_objects::{XDP_TOOLS, objects_in, selftests};
use tests::{Bpffs, Netns, Output, require, require_command, require_root, tool};

#[test]
fn every_program_of_xdp_tools_that_bpftool_loads() {
    if !require_root() || !require_command("bpftool") {
        return;
    }
    let objects: Vec<PathBuf> = XDP_TOOLS
        .iter()
        .flat_map(|folder| objects_in(Path::new(folder)))
        .collect();
    if !require(
        !objects.is_empty(),
        "needs the objects of Debian's xdp-tools",
    ) {
        return;
    }
    compare("xdp-tools", &objects);
}

#[test]
fn every_program_of_the_kernels_selftests_that_bpftool_loads() {
    if !require_root() || !require_command("bpftool") {
        return;
    }
    let Some(selftests) = selftests() else {
        return;
    };
    compare(
        "kernel selftests and samples",
        &objects_in(&selftests.join("objects")),
    );
}

/// What became of one object: its XDP programs by name, those that bpftool loads and those that we do.
#[derive(Default)]
struct Tally {
    theirs: BTreeSet<String>,
    ours: BTreeSet<String>,
    /// Why we do not, by program; empty name: the object cannot be read.
    refusals: BTreeMap<String, String>,
}

fn compare(source: &str, objects: &[PathBuf]) {
    let bpffs = Bpffs::mount();
    let netns = Netns::new("external");
    netns.veth("v0", "v1");
    let mut tallies = BTreeMap::new();
    for object in objects {
        let mut tally = Tally {
            theirs: loaded_by_bpftool(object, bpffs.path()),
            ..Tally::default()
        };
        load_by_us(object, &netns, &mut tally);
        tallies.insert(object.file_name().unwrap().display().to_string(), tally);
    }

    let count = |of: fn(&Tally) -> &BTreeSet<String>| {
        tallies.values().map(|tally| of(tally).len()).sum::<usize>()
    };
    let both: usize = tallies
        .values()
        .map(|tally| tally.theirs.intersection(&tally.ours).count())
        .sum();
    let mut report = vec![format!(
        "{source}: {} objects; bpftool loads {} XDP programs, xdp-offload {}, both {both}",
        objects.len(),
        count(|tally| &tally.theirs),
        count(|tally| &tally.ours),
    )];
    for (object, tally) in &tallies {
        for name in tally.ours.difference(&tally.theirs) {
            report.push(format!("  only xdp-offload: {object} {name}"));
        }
    }
    // Past the harness' capture: the counts are what a reader of the log looks for.
    let _ = writeln!(std::io::stderr(), "{}", report.join("\n"));

    let mut missed = Vec::new();
    for (object, tally) in &tallies {
        for name in tally.theirs.difference(&tally.ours) {
            let why = tally
                .refusals
                .get(name)
                .or_else(|| tally.refusals.get(""))
                .map_or("not found in the object", String::as_str);
            missed.push(format!("{object} {name}: {why}"));
        }
    }
    assert!(
        missed.is_empty(),
        "bpftool loads these, xdp-offload does not:\n{}",
        missed.join("\n")
    );
    assert!(
        count(|tally| &tally.theirs) > 0,
        "bpftool loads nothing, so nothing was compared"
    );
}

/// Attaches each XDP program natively and detaches it; those for devmap and cpumap slots, which no interface takes, are loaded
/// as `attach` loads.
fn load_by_us(object: &Path, netns: &Netns, tally: &mut Tally) {
    let parsed = match Object::parse(&fs::read(object).unwrap()) {
        Ok(parsed) => parsed,
        Err(error) => {
            tally.refusals.insert(String::new(), error.to_string());
            return;
        }
    };
    for (index, program) in parsed.programs.iter().enumerate() {
        let result = if program.kind.is_attachable_xdp() {
            attach_and_detach(object, &program.name, netns)
        } else if program.kind.is_xdp() {
            let loaded = Loader::for_trial(&parsed, "external").load(index, Binding::None);
            loaded.map(drop).map_err(|error| error.to_string())
        } else {
            continue;
        };
        match result {
            Ok(()) => drop(tally.ours.insert(program.name.clone())),
            Err(why) => drop(tally.refusals.insert(program.name.clone(), why)),
        }
    }
}

fn attach_and_detach(object: &Path, program: &str, netns: &Netns) -> Result<(), String> {
    let inside = ["--netns", netns.name()];
    let attach = ["attach", object.to_str().unwrap(), "v0", "--prog", program];
    let native = ["--native", "--no-fallback"];
    let output = tool("xdp-offload", [&attach[..], &native, &inside].concat());
    if output.code != 0 {
        return Err(format!(
            "code {}: {}{}",
            output.code, output.stdout, output.stderr
        ));
    }
    tool("xdp-offload", [&["detach", "v0"][..], &inside].concat()).expect_code(0);
    Ok(())
}

/// The XDP programs that bpftool pins. `prog load` loads all programs of an object too and only pins the first.
fn loaded_by_bpftool(object: &Path, bpffs: &Path) -> BTreeSet<String> {
    let folder = bpffs.join("all");
    let mut load = Command::new("bpftool");
    load.args(["prog", "loadall"]).arg(object).arg(&folder);
    if Output::of(&mut load).unwrap().code != 0 {
        return BTreeSet::new();
    }
    let pins: Vec<PathBuf> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    let loaded = pins.iter().filter_map(|pin| xdp_program_at(pin)).collect();
    for pin in &pins {
        fs::remove_file(pin).unwrap();
    }
    fs::remove_dir(&folder).unwrap();
    loaded
}

fn xdp_program_at(pin: &Path) -> Option<String> {
    let mut show = Command::new("bpftool");
    show.args(["-j", "prog", "show", "pinned"]).arg(pin);
    let program = Output::of(&mut show).unwrap().json();
    (program["type"] == "xdp").then(|| pin.file_name().unwrap().to_string_lossy().into_owned())
}
