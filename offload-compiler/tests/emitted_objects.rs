//! An object that is linked, written and read again is the same to all who load it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use offload_compiler::emit::{EmitError, Image, ImageProgram};
use offload_compiler::isa::Insn;
use offload_compiler::lower::{Options, lower};
use offload_compiler::object::{
    Environment, Linked, LinkedFunction, MapContent, MapDef, MapOrigin, Object, PatchTarget,
    SlotTarget, map_kind,
};
use offload_compiler::target::{Availability, Limits, Need, Program, Target};
use offload_compiler::verify::{Prepared, Verdict, verify};

fn corpus() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/corpus");
    let mut paths: Vec<_> = std::fs::read_dir(folder)
        .expect("the corpus exists")
        .map(|entry| entry.expect("the corpus can be listed").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "o"))
        .collect();
    paths.sort();
    paths
}

fn object(name: &str) -> Object {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../tests/corpus")
        .join(format!("{name}.bpf.o"));
    read(&path)
}

fn read(path: &Path) -> Object {
    let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    Object::parse(&bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// All programs of an object, linked against its own types as the kernel's.
fn image(object: &Object) -> Image<'_> {
    let symbols = |name: &str| Some(name.len() as u64);
    let environment = Environment {
        kernel_btf: object.btf(),
        kernel_version: Some(6 << 16 | 12 << 8),
        kconfig: Some("CONFIG_HZ=250\nCONFIG_BPF_SYSCALL=y\nCONFIG_NR_CPUS=64\n"),
        kernel_symbols: Some(&symbols),
        ..Environment::default()
    };
    let mut image = Image::new(object);
    image.programs = (0..object.programs.len())
        .map(|program| ImageProgram {
            program,
            linked: object
                .link(program, &environment)
                .unwrap_or_else(|error| panic!("{}: {error}", object.programs[program].name)),
        })
        .collect();
    image
}

fn written(image: &Image<'_>) -> Object {
    let bytes = image.write().unwrap_or_else(|error| panic!("{error}"));
    Object::parse(&bytes).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn every_program_of_the_corpus_is_the_same_again() {
    let mut compared = 0;
    for path in corpus() {
        let original = read(&path);
        let image = image(&original);
        let again = written(&image);
        assert_eq!(again.programs.len(), original.programs.len());
        assert_eq!(again.license(), original.license());
        for ImageProgram { program, linked } in &image.programs {
            let (before, after) = (&original.programs[*program], &again.programs[*program]);
            assert_eq!(
                (&after.name, &after.section, after.kind, after.len),
                (&before.name, &before.section, before.kind, before.len)
            );
            let relinked = again
                .link(*program, &Environment::default())
                .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            let place = format!("{}: {}", path.display(), before.name);
            assert_eq!(
                facts(&again, &relinked, None),
                facts(&original, linked, linked.kconfig.as_ref()),
                "{place}"
            );
            compared += 1;
        }
    }
    assert!(compared >= 30, "only {compared} programs");
}

/// All that a loader makes of a program, with names in place of numbers that differ.
#[derive(Debug, PartialEq)]
struct Facts {
    insns: Vec<Insn>,
    references: Vec<(usize, String, Option<u32>)>,
    functions: Vec<LinkedFunction>,
    function_types: Option<Vec<String>>,
    lines: Option<Vec<String>>,
    maps: BTreeMap<String, MapFacts>,
    globals: Vec<(String, String, u32, u32, bool)>,
}

#[derive(Debug, PartialEq)]
struct MapFacts {
    numbers: [u32; 6],
    extra: u64,
    pinned: bool,
    frozen: bool,
    key_type: String,
    value_type: String,
    content: Option<Vec<u8>>,
    slots: Vec<(u32, String)>,
    inner: Option<Box<MapFacts>>,
}

fn facts(object: &Object, linked: &Linked, kconfig: Option<&Vec<u8>>) -> Facts {
    let name = |map: usize| map_name(&object.maps[map]);
    let references = linked.patches.iter().map(|patch| match patch.target {
        PatchTarget::Map { map } => (patch.insn, name(map), None),
        PatchTarget::MapValue { map, offset } => (patch.insn, name(map), Some(offset)),
        PatchTarget::ModuleBtf { .. } => panic!("there are no modules"),
    });
    let globals = object
        .globals()
        .iter()
        .filter(|global| linked.maps.contains(&global.map))
        // What is resolved has become a variable like any other.
        .filter(|global| !name(global.map).ends_with("kconfig"))
        .map(|global| {
            (
                name(global.map),
                global.name.clone(),
                global.offset,
                global.size,
                global.read_only,
            )
        });
    let mut globals: Vec<_> = globals.collect();
    globals.sort();
    let lines = (0..linked.insns.len()).map(|insn| format!("{:?}", linked.source_line(insn)));
    Facts {
        insns: linked.insns.clone(),
        references: references.collect(),
        functions: linked.functions.clone(),
        function_types: linked.func_info.as_ref().map(|info| {
            let words = info.bytes.as_chunks::<4>().0;
            let words = words.iter().map(|word| u32::from_le_bytes(*word));
            let btf = object.btf().expect("func_info needs BTF");
            let mut is_type = false;
            words
                .map(|word| {
                    is_type = !is_type;
                    if is_type {
                        word.to_string()
                    } else {
                        format!("{:?}", btf.get(word))
                    }
                })
                .collect()
        }),
        lines: linked.line_info.as_ref().map(|_| lines.collect()),
        maps: linked
            .maps
            .iter()
            .map(|&map| (name(map), map_facts(object, &object.maps[map], kconfig)))
            .collect(),
        globals,
    }
}

/// The map of `__kconfig` variables is written as constants.
fn map_name(map: &MapDef) -> String {
    match map.origin {
        MapOrigin::Kconfig => ".rodata.kconfig".to_owned(),
        _ => map.name.clone(),
    }
}

fn map_facts(object: &Object, map: &MapDef, kconfig: Option<&Vec<u8>>) -> MapFacts {
    let c_name = |id: u32| match (object.btf(), id) {
        (None, _) | (_, 0) => String::new(),
        (Some(btf), _) if map.is_data() => {
            let vars = format!("{:?}", btf.get(id).map(|ty| ty.body));
            vars.chars().filter(|c| !c.is_ascii_digit()).collect()
        }
        (Some(btf), id) => btf.c_name(id),
    };
    MapFacts {
        numbers: [
            map.kind,
            map.key_size,
            map.value_size,
            map.max_entries,
            map.flags,
            map.numa_node,
        ],
        extra: map.map_extra,
        pinned: map.pin_by_name,
        frozen: map.freeze,
        key_type: c_name(map.key_type_id),
        value_type: c_name(map.value_type_id),
        content: match &map.content {
            MapContent::Data(bytes) => Some(bytes.clone()),
            MapContent::Kconfig => kconfig.cloned(),
            MapContent::None | MapContent::Slots(_) => None,
        },
        slots: match &map.content {
            MapContent::Slots(slots) => slots
                .iter()
                .map(|&(slot, target)| {
                    let name = match target {
                        SlotTarget::Map(map) => &object.maps[map].name,
                        SlotTarget::Program(program) => &object.programs[program].name,
                    };
                    (slot, name.clone())
                })
                .collect(),
            _ => Vec::new(),
        },
        inner: map
            .inner
            .as_ref()
            .map(|inner| Box::new(map_facts(object, inner, kconfig))),
    }
}

/// A kernel to which nothing but constants of read-only data is lowered.
struct Plain;

impl Target for Plain {
    fn name(&self) -> String {
        "plain".to_owned()
    }

    fn has(&self, _: Need) -> Availability {
        Availability::Unknown
    }

    fn limits(&self) -> Limits {
        Limits {
            instructions: 4096,
            complexity: 1_000_000,
            stack: 512,
        }
    }

    fn check(&self, program: &Program<'_>) -> Verdict {
        verify(program.input)
    }
}

#[test]
fn a_lowered_program_keeps_its_source_lines() {
    let mut rewritten = 0;
    for path in corpus() {
        let original = read(&path);
        let all = image(&original);
        for ImageProgram { program, linked } in &all.programs {
            let described = &original.programs[*program];
            let prepared = Prepared::new(
                &original,
                described.kind,
                linked,
                &Environment {
                    kernel_btf: original.btf(),
                    ..Environment::default()
                },
            )
            .expect("all instructions are known");
            let input = prepared.input();
            let subject = Program {
                input: &input,
                frags: described.kind.frags(),
            };
            let options = Options {
                optimise: true,
                ..Options::default()
            };
            let Ok(lowered) = lower(&subject, &Plain, &options) else {
                continue;
            };
            let mut image = Image::new(&original);
            image
                .add_lowered(*program, linked, &lowered)
                .unwrap_or_else(|error| panic!("{error}"));
            let calls_others = original.maps.iter().any(|map| {
                matches!(&map.content, MapContent::Slots(slots) if slots
                    .iter()
                    .any(|(_, target)| matches!(target, SlotTarget::Program(_))))
            });
            if calls_others {
                let alone = image.write().map(drop);
                assert!(
                    alone.is_ok() || matches!(alone, Err(EmitError::Map { .. })),
                    "{alone:?}"
                );
                continue;
            }
            let again = written(&image);
            let relinked = again.link(0, &Environment::default()).expect("it links");
            let place = format!("{}: {}", path.display(), described.name);
            let written = &image.programs[0].linked;
            assert_eq!(relinked.insns.len(), lowered.layout.code.len(), "{place}");
            assert_eq!(relinked.functions, written.functions, "{place}");
            assert_eq!(
                relinked.func_info.is_some(),
                linked.func_info.is_some(),
                "{place}"
            );
            for (slot, origin) in lowered.layout.origins.iter().enumerate() {
                let old = origin.and_then(|origin| linked.source_line(origin));
                if old.is_some() {
                    assert_eq!(relinked.source_line(slot), old, "{place}: {slot}");
                }
            }
            rewritten += usize::from(!lowered.rewrites.is_empty());
        }
    }
    assert!(rewritten >= 3, "only {rewritten} programs were changed");
}

#[test]
fn what_an_object_cannot_hold_is_a_typed_error() {
    let original = object("counter");
    let all = image(&original);
    let map = image(&original).programs[0].linked.maps[0];

    let mut twice = all.clone();
    twice.programs.push(twice.programs[0].clone());
    assert!(matches!(
        twice.write(),
        Err(EmitError::NameTaken {
            what: "program",
            ..
        })
    ));

    let mut cut = all.clone();
    cut.programs[0].linked.insns.pop();
    assert!(matches!(cut.write(), Err(EmitError::Functions { .. })));

    let mut fewer = all.clone();
    fewer.maps.truncate(map);
    assert_eq!(fewer.write(), Err(EmitError::NoMap { index: map }));

    let mut named = all.clone();
    named.maps[map].name = "a\0b".to_owned();
    assert!(matches!(named.write(), Err(EmitError::Name { .. })));

    let mut endless = all.clone();
    endless.maps[map].kind = map_kind::ARRAY_OF_MAPS;
    endless.maps[map].inner = Some(Box::new(endless.maps[map].clone()));
    endless.maps[map].content = MapContent::Slots(vec![(u32::MAX, SlotTarget::Map(map))]);
    assert!(matches!(endless.write(), Err(EmitError::TooMany { .. })));
}

/// BTF has no place for it; libbpf leaves such a map empty.
#[test]
fn a_plain_map_keeps_what_it_holds_at_first() {
    let original = object("counter");
    let mut image = image(&original);
    let map = image.programs[0].linked.maps[0];
    let size = image.maps[map].value_size as usize;
    image.maps[map].kind = map_kind::ARRAY;
    image.maps[map].max_entries = 1;
    image.maps[map].content = MapContent::Data(vec![7; size]);
    assert_eq!(
        image.first_values(),
        Ok(vec![image.maps[map].name.as_str()])
    );
    let again = written(&image);
    let known = again.map_named(&image.maps[map].name).expect("it is there");
    assert_eq!(again.maps[known].content, image.maps[map].content);
}
