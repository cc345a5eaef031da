//! Small programs: those of the passes' golden tests (offload-compiler/tests/lower).

use std::fs;

use offload_compiler::isa::assemble;
use offload_compiler::lower::{Allow, Options};
use offload_compiler::verify::MapShape;
use tests::nfp::Unlinked;
use tests::workspace;

/// A map that is allocated as needed.
const FLAGS: &str = "map 1 4 8 4\nr1 = 1\n*(u32 *)(r10 -4) = r1\nr2 = r10\nr2 += -4\nr1 = map[fd:0]\n\
    call bpf_map_lookup_elem#1\nif r0 == 0 goto out\nr0 = *(u32 *)(r0 +0)\nout:\nexit";

pub(crate) struct Small {
    pub(crate) name: String,
    pub(crate) program: Unlinked,
    pub(crate) options: Options,
}

/// All of them.
pub(crate) fn small() -> Vec<Small> {
    let folder = workspace().join("offload-compiler/tests/lower");
    let mut files: Vec<_> = fs::read_dir(folder)
        .expect("the passes' golden tests are there")
        .map(|entry| entry.expect("a folder's entry").path())
        .collect();
    files.sort();
    let mut found = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).expect("a text file");
        let name = file.file_stem().unwrap_or_default().to_string_lossy();
        for case in format!("\n{text}").split("\n== ").skip(1) {
            let (title, rest) = case.split_once('\n').expect("a title and a program");
            let source = rest.split("\n->").next().unwrap_or_default();
            found.push(read(format!("{name}: {title}"), source));
        }
    }
    // What a golden test cannot say.
    let mut flags = read("flags".to_owned(), FLAGS);
    flags.program.maps[0].flags = 1;
    found.push(flags);
    found
}

fn read(name: String, source: &str) -> Small {
    let (mut maps, mut code, mut options) = (Vec::new(), Vec::new(), crate::optimised());
    for line in source.lines() {
        if let Some(map) = line.strip_prefix("map ") {
            maps.push(map_shape(map, maps.len()));
        } else if let Some(names) = line.strip_prefix("allow ") {
            // A split is no pass, and not the same by itself.
            options.allow = names
                .split(',')
                .map(|name| name.parse().expect("something that can be allowed"))
                .filter(|allow| *allow != Allow::Split)
                .collect();
        } else if let Some(ifindex) = line.strip_prefix("ifindex ") {
            options.ifindex = ifindex.parse().ok();
        } else if let Some(mtu) = line.strip_prefix("mtu ") {
            options.mtu = mtu.parse().ok();
        } else if !line.starts_with("lacks ") && line != "optimise" {
            code.push(line);
        }
    }
    let code = assemble(&code.join("\n")).unwrap_or_else(|error| panic!("{name}: {error}"));
    Small {
        program: Unlinked::new(code, maps).expect("calls lead somewhere"),
        name,
        options,
    }
}

/// `KIND KEY VALUE ENTRIES [CONSTANT as hex]`
fn map_shape(text: &str, index: usize) -> MapShape {
    let fields: Vec<&str> = text.split(' ').collect();
    let number = |at: usize| fields[at].parse().expect("a number");
    let byte = |at: usize, hex: &str| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex digits");
    MapShape {
        name: format!("m{index}"),
        kind: number(0),
        key_size: number(1),
        value_size: number(2),
        max_entries: number(3),
        constant: fields
            .get(4)
            .map(|hex| (0..hex.len()).step_by(2).map(|at| byte(at, hex)).collect()),
        ..MapShape::default()
    }
}
