//! Objects that are linked and written again are the same to those who load objects: bpftool and `ip`, which use libbpf.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use generic_fallback::load::Loader;
use offload_compiler::emit::{Image, ImageProgram};
use offload_compiler::object::Object;
use serde_json::Value;
use tests::{
    Bpffs, Netns, Output, corpus, corpus_names, require, require_command, require_root, workspace,
};

/// Where Debian's xdp-tools have theirs.
const INSTALLED: &str = "/usr/lib/x86_64-linux-gnu/bpf";

#[test]
fn bpftool_loads_the_same_programs_and_maps() {
    if !require_root() || !require_command("bpftool") {
        return;
    }
    let installed = objects_in(Path::new(INSTALLED));
    if !require(
        !installed.is_empty(),
        "needs the objects of Debian's xdp-tools",
    ) {
        return;
    }
    let corpus = objects_in(&workspace().join("tests/corpus"));
    let mut tally = Tally::new();
    for object in corpus.iter().chain(&installed) {
        tally.compare(object);
    }
    tally.report("corpus and xdp-tools");
    assert!(tally.programs >= 30, "only {} programs", tally.programs);
    assert!(tally.source_lines > 1000, "{} lines", tally.source_lines);
    assert!(tally.typed_maps >= 10, "{} typed maps", tally.typed_maps);
}

#[test]
fn bpftool_loads_the_same_of_the_kernels_selftests() {
    if !require_root() || !require_command("bpftool") {
        return;
    }
    let mut build = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    build
        .current_dir(workspace())
        .args(["xtask", "selftests", "--no-install"]);
    let built = Output::of(&mut build).and_then(Output::ok);
    let reason = built.as_ref().err().map(ToString::to_string);
    if !require(
        built.is_ok(),
        &format!(
            "needs the kernel's selftests as objects: {}",
            reason.unwrap_or_default()
        ),
    ) {
        return;
    }
    let target = std::env::current_exe().unwrap();
    let target = target.ancestors().nth(3).unwrap();
    let mut tally = Tally::new();
    for object in objects_in(&target.join("selftests/objects")) {
        tally.compare(&object);
    }
    tally.report("kernel selftests and samples");
    assert!(tally.programs >= 40, "only {} programs", tally.programs);
}

/// `bpftool` and `ip` of today refuse `SEC("maps")`; what we write has the maps as they want them.
#[test]
fn maps_of_the_old_form_are_written_in_the_new_one() {
    if !require_root() || !require_command("bpftool") {
        return;
    }
    let tally = Tally::new();
    let original = corpus("legacy_maps");
    assert!(tally.bpffs.load(&original).is_err());
    let loaded = tally.bpffs.load(&tally.write(&original)).unwrap();
    let maps: Vec<&String> = loaded.values().flat_map(|program| &program.maps).collect();
    assert!(!maps.is_empty(), "{loaded:?}");
}

#[test]
fn ip_attaches_the_same_programs() {
    if !require_root() || !require_command("ip") {
        return;
    }
    let netns = Netns::new("emitted");
    netns.veth("v0", "v1");
    let tally = Tally::new();
    let mut attached = 0;
    for name in corpus_names() {
        let original = corpus(&name);
        let written = tally.write(&original);
        let object = Object::parse(&fs::read(&original).unwrap()).unwrap();
        let mut sections: Vec<&str> = object
            .programs
            .iter()
            .filter(|program| program.kind.is_attachable_xdp())
            .map(|program| program.section.as_str())
            .collect();
        sections.dedup();
        for section in sections {
            for mode in ["xdpgeneric", "xdpdrv"] {
                let tag = attach(&netns, &original, section, mode);
                let again = attach(&netns, &written, section, mode);
                match name.as_str() {
                    // libbpf refuses SEC("maps").
                    "legacy_maps" => assert!(tag.is_none() && again.is_some()),
                    // libbpf before 1.3 leaves the call of a missing weak function as it is.
                    "kernel_symbols" => assert_eq!(again.is_some(), tag.is_some()),
                    _ => assert_eq!(again, tag, "{name}: {section} {mode}"),
                }
                attached += usize::from(again.is_some());
            }
        }
    }
    assert!(attached >= 40, "{attached} attached");
}

/// Attaches with `ip`, tells the program's tag (a hash of its instructions) and takes it off; `None` if it is refused.
fn attach(netns: &Netns, object: &Path, section: &str, mode: &str) -> Option<String> {
    let object = object.to_str().unwrap();
    let args = [
        "ip", "link", "set", "v0", mode, "obj", object, "sec", section,
    ];
    if netns.try_run(&args).code != 0 {
        return None;
    }
    let shown = netns.try_run(&["ip", "-j", "-d", "link", "show", "v0"]);
    netns.run(&["ip", "link", "set", "v0", mode, "off"]);
    let tag = &shown.json()[0]["xdp"]["prog"]["tag"];
    Some(tag.as_str().unwrap().to_owned())
}

/// What was compared so far.
struct Tally {
    bpffs: Pins,
    folder: tempfile::TempDir,
    objects: usize,
    programs: usize,
    source_lines: usize,
    typed_maps: usize,
}

impl Tally {
    fn new() -> Self {
        Self {
            bpffs: Pins(Bpffs::mount()),
            folder: tempfile::tempdir().unwrap(),
            objects: 0,
            programs: 0,
            source_lines: 0,
            typed_maps: 0,
        }
    }

    /// Links what can be linked on this kernel and writes it under the same name.
    fn write(&self, original: &Path) -> PathBuf {
        let object = Object::parse(&fs::read(original).unwrap()).unwrap();
        let loader = Loader::for_trial(&object, "emitted");
        let mut image = Image::new(&object);
        for program in 0..object.programs.len() {
            if let Ok(linked) = loader.link(program) {
                image.programs.push(ImageProgram { program, linked });
            }
        }
        let written = self.folder.path().join(original.file_name().unwrap());
        let bytes = image
            .write()
            .unwrap_or_else(|error| panic!("{}: {error}", original.display()));
        fs::write(&written, bytes).unwrap();
        written
    }

    /// What bpftool loads of the object, it loads of what is written, and finds the same.
    fn compare(&mut self, original: &Path) {
        let Ok(theirs) = self.bpffs.load(original) else {
            return;
        };
        let ours = self
            .bpffs
            .load(&self.write(original))
            .unwrap_or_else(|why| panic!("{}: {why}", original.display()));
        let names = |loaded: &BTreeMap<String, Loaded>| loaded.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&ours), names(&theirs), "{}", original.display());
        for (name, program) in &theirs {
            let place = format!("{}: {name}", original.display());
            assert_eq!(ours[name].code, program.code, "{place}");
            for map in &ours[name].maps {
                // Its own name follows the file's name there; here it is constant data like any other.
                if !map.contains(".rodata.kconfig") {
                    assert!(program.maps.contains(map), "{place}: {map}\n{program:#?}");
                }
                self.typed_maps += usize::from(map.contains("\"formatted\""));
            }
            self.programs += 1;
            self.source_lines += program.code.matches("; ").count();
        }
        self.objects += 1;
    }

    /// Past the harness' capture: the counts are what a reader of the log looks for.
    fn report(&self, source: &str) {
        let _ = writeln!(
            std::io::stderr(),
            "{source}: {} objects with {} programs are the same to bpftool when written again",
            self.objects,
            self.programs
        );
    }
}

/// A program as bpftool shows it.
#[derive(Debug)]
struct Loaded {
    /// `prog dump xlated linum`, without ids.
    code: String,
    /// Each of its maps with all that it holds.
    maps: Vec<String>,
}

struct Pins(Bpffs);

impl Pins {
    /// Loads all programs of an object and tells what they are.
    fn load(&self, object: &Path) -> Result<BTreeMap<String, Loaded>, String> {
        let folder = self.0.path().join("all");
        let arguments = ["prog", "loadall"].map(Path::new);
        bpftool(arguments.into_iter().chain([object, &folder]))?;
        let mut loaded = BTreeMap::new();
        for entry in fs::read_dir(&folder).unwrap() {
            let pin = entry.unwrap().path();
            let name = pin.file_name().unwrap().to_string_lossy().into_owned();
            loaded.insert(name, show(&pin)?);
            fs::remove_file(&pin).unwrap();
        }
        fs::remove_dir(&folder).unwrap();
        Ok(loaded)
    }
}

fn show(pin: &Path) -> Result<Loaded, String> {
    let pin = pin.to_str().unwrap();
    let dump = ["prog", "dump", "xlated", "pinned", pin, "linum"];
    let code = bpftool(dump.map(Path::new))?.stdout;
    let shown = bpftool(["-j", "prog", "show", "pinned", pin].map(Path::new))?.json();
    let maps = shown["map_ids"].as_array().into_iter().flatten().map(map);
    Ok(Loaded {
        code: without_ids(&code),
        maps: maps.collect::<Result<_, _>>()?,
    })
}

fn map(id: &Value) -> Result<String, String> {
    let id = id.to_string();
    let mut shown = bpftool(["-j", "map", "show", "id", &id].map(Path::new))?.json();
    // What differs between two maps of one definition.
    let fields = shown.as_object_mut().unwrap();
    for own in ["id", "btf_id", "bytes_memlock", "pids"] {
        fields.remove(own);
    }
    // A map of maps holds ids.
    let is_of_maps = shown["type"].as_str().unwrap().ends_with("of_maps");
    let content = if is_of_maps {
        Value::Null
    } else {
        bpftool(["-j", "map", "dump", "id", &id].map(Path::new)).map_or(Value::Null, |d| d.json())
    };
    Ok(format!("{shown} {content}"))
}

/// `map[id:12]` and `bpf_prog_0123456789abcdef_name` become the same for all.
fn without_ids(code: &str) -> String {
    let mut words: Vec<String> = Vec::new();
    for (index, part) in code.split("map[id:").enumerate() {
        let rest = part.trim_start_matches(|c: char| index > 0 && c.is_ascii_digit());
        words.push(rest.to_owned());
    }
    words.join("map[id:")
}

fn bpftool<'a>(arguments: impl IntoIterator<Item = &'a Path>) -> Result<Output, String> {
    Output::of(Command::new("bpftool").args(arguments))
        .and_then(Output::ok)
        .map_err(|error| error.to_string())
}

fn objects_in(folder: &Path) -> Vec<PathBuf> {
    let mut objects: Vec<PathBuf> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "o"))
        .collect();
    objects.sort();
    objects
}
