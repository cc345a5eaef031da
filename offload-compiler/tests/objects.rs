//! What the object reader says of the corpus, on no kernel or on one that is made up.

use std::path::Path;

use offload_compiler::isa::Insn;
use offload_compiler::object::btf::{Btf, BtfFeatures, Kind, TypeBody};
use offload_compiler::object::{
    Environment, GlobalError, GlobalValue, LinkError, Linked, MapContent, MapDef, MapOrigin,
    ModuleBtf, Object, ObjectError, PatchTarget, ProgramKind, RawInfo, SlotTarget, map_kind,
};

fn bytes(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../tests/corpus")
        .join(format!("{name}.bpf.o"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn object(name: &str) -> Object {
    Object::parse(&bytes(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Links the first program on no kernel at all.
fn linked(object: &Object) -> Linked {
    object
        .link(0, &Environment::default())
        .unwrap_or_else(|error| panic!("{error}"))
}

fn map<'a>(object: &'a Object, name: &str) -> &'a MapDef {
    &object.maps[object.map_named(name).expect("the map exists")]
}

fn of_kind(object: &Object, kind: u32) -> &MapDef {
    let mut maps = object.maps.iter();
    maps.find(|map| map.kind == kind)
        .expect("a map of the kind")
}

#[test]
fn programs_have_the_kinds_of_their_sections() {
    let kinds = |name: &str| -> Vec<(String, ProgramKind)> {
        let programs = object(name).programs.into_iter();
        programs
            .map(|program| (program.name, program.kind))
            .collect()
    };
    let xdp = |name: &str| (name.to_owned(), ProgramKind::Xdp { frags: false });
    assert_eq!(
        kinds("several"),
        [xdp("pass_all"), xdp("drop_all"), xdp("send_back")]
    );
    assert_eq!(
        kinds("frags"),
        [("frags".to_owned(), ProgramKind::Xdp { frags: true })]
    );
    assert!(kinds("redirect").contains(&(
        "on_the_way_out".to_owned(),
        ProgramKind::XdpDevmap { frags: false }
    )));
    assert!(kinds("cpu_spread").contains(&(
        "on_worker".to_owned(),
        ProgramKind::XdpCpumap { frags: false }
    )));
    let other = kinds("bad/not_xdp");
    assert!(!other.is_empty() && other.iter().all(|(_, kind)| !kind.is_xdp()));
    assert_eq!(object("pass").license(), "Dual MIT/GPL");
}

#[test]
fn maps_are_what_their_definitions_say() {
    let redirect = object("redirect");
    let devmap = of_kind(&redirect, map_kind::DEVMAP_HASH);
    assert_eq!((devmap.key_size, devmap.value_size), (4, 8));
    assert_eq!(devmap.kernel_btf_types(), None);
    assert_eq!(devmap.origin, MapOrigin::Btf);

    let counter = object("counter");
    let array = &counter.maps[0];
    assert_eq!((array.key_size, array.value_size), (4, 16));
    let (key, value) = array.kernel_btf_types().expect("its types are known");
    let btf = counter.btf().expect("it has BTF");
    assert_eq!(btf.size_of(key), Some(4));
    assert_eq!(btf.size_of(value), Some(16));

    let events = object("events");
    let ring = of_kind(&events, map_kind::RINGBUF);
    assert_eq!(ring.max_entries_on(4, 4096), ring.max_entries);
    let large_pages = ring.max_entries * 2;
    assert_eq!(ring.max_entries_on(4, large_pages), large_pages);

    let mirror = object("mirror");
    let perf = of_kind(&mirror, map_kind::PERF_EVENT_ARRAY);
    assert_eq!((perf.max_entries, perf.max_entries_on(12, 4096)), (0, 12));

    let legacy = object("legacy_maps");
    assert!(
        legacy
            .maps
            .iter()
            .all(|map| map.origin == MapOrigin::Legacy)
    );
    assert_eq!(map(&legacy, "allowed").max_entries, 128);
    assert_eq!(linked(&legacy).maps, [0, 1]);
}

#[test]
fn slots_of_maps_name_maps_and_programs() {
    let nested = object("map_in_map");
    let outer = of_kind(&nested, map_kind::ARRAY_OF_MAPS);
    assert!(outer.inner.is_some());
    let MapContent::Slots(slots) = &outer.content else {
        panic!("{:?}", outer.content);
    };
    let [(_, SlotTarget::Map(inner))] = slots[..] else {
        panic!("{slots:?}");
    };
    // The loader must create the map in the slot too, though no instruction names it.
    assert!(linked(&nested).maps.contains(&inner));

    let tail = object("tail_call");
    let MapContent::Slots(slots) = &of_kind(&tail, map_kind::PROG_ARRAY).content else {
        panic!("no slots");
    };
    let names: Vec<&str> = slots
        .iter()
        .map(|&(_, target)| match target {
            SlotTarget::Program(program) => tail.programs[program].name.as_str(),
            SlotTarget::Map(_) => panic!("a map in a program array"),
        })
        .collect();
    assert!(names.contains(&"handle_ipv4") && names.contains(&"handle_other"));
}

#[test]
fn subprograms_follow_the_program_and_calls_reach_their_first_instruction() {
    let object = object("subprograms");
    let linked = linked(&object);
    let names: Vec<&str> = linked.functions.iter().map(|f| f.name.as_str()).collect();
    assert_eq!(names, ["subprograms", "classify", "bucket_of"]);
    let starts: Vec<usize> = linked.functions.iter().map(|f| f.start).collect();
    let mut calls = 0;
    for (at, insn) in linked.insns.iter().enumerate() {
        if insn.is_local_call() {
            let target = at as i64 + 1 + i64::from(insn.imm);
            assert!(starts.contains(&(target as usize)), "{at}: {insn:?}");
            calls += 1;
        }
    }
    assert_eq!(calls, 3);
    assert_eq!(linked.func_info.as_ref().map(RawInfo::count), Some(3));
    // The kernel refuses line information that does not start every function.
    let lines = linked.line_info.as_ref().expect("it has lines");
    let slots: Vec<usize> = lines
        .bytes
        .chunks(16)
        .map(|record| u32::from_le_bytes([record[0], record[1], record[2], record[3]]) as usize)
        .collect();
    assert!(slots.is_sorted() && starts.iter().all(|start| slots.contains(start)));
}

#[test]
fn every_instruction_has_its_source_line() {
    let object = object("subprograms");
    let linked = linked(&object);
    let classify = &linked.functions[1];
    let line = linked.source_line(classify.start).expect("a line");
    assert_eq!(line.file, "./subprograms.bpf.c");
    assert!(
        line.text.contains("classify") || line.text.contains("ipv4"),
        "{line:?}"
    );
    let source = std::fs::read_to_string(
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/corpus/subprograms.bpf.c"),
    )
    .expect("the source");
    for insn in 0..linked.insns.len() {
        let Some(line) = linked.source_line(insn) else {
            panic!("no line for instruction {insn}");
        };
        if line.file.ends_with("subprograms.bpf.c") {
            let actual = source.lines().nth(line.line as usize - 1);
            assert_eq!(
                actual.map(str::trim_end),
                Some(line.text.as_str()),
                "{insn}"
            );
        }
    }
    assert_eq!(linked.source_line(linked.insns.len()), None);
}

#[test]
fn globals_are_set_in_the_content_of_their_section() {
    let mut object = object("cpu_spread");
    let rodata = object.map_named(".rodata").expect(".rodata");
    assert!(object.maps[rodata].freeze);
    let global = object
        .globals()
        .iter()
        .find(|global| global.name == "cpus")
        .cloned()
        .expect("the variable");
    assert!(global.read_only);
    object
        .set_global("cpus", GlobalValue::Integer(0x0102))
        .expect("it fits");
    let MapContent::Data(content) = &object.maps[rodata].content else {
        panic!("no content");
    };
    let place = &content[global.offset as usize..][..global.size as usize];
    assert_eq!(place, &0x0102_u64.to_le_bytes()[..global.size as usize]);

    assert!(matches!(
        object.set_global("cpus", GlobalValue::Integer(1 << 40)),
        Err(GlobalError::Range { .. })
    ));
    assert!(matches!(
        object.set_global("cpus", GlobalValue::Bytes(&[1; 3])),
        Err(GlobalError::Size { given: 3, .. })
    ));
    let unknown = object.set_global("cpu", GlobalValue::Integer(1));
    let Err(GlobalError::Unknown { known, .. }) = unknown else {
        panic!("{unknown:?}");
    };
    assert!(known.contains(&"cpus".to_owned()));
}

#[test]
fn zeroed_globals_get_content_only_once_set() {
    let mut object = object("kernel_symbols");
    let bss = object.map_named(".bss").expect(".bss");
    assert_eq!(object.maps[bss].content, MapContent::None);
    assert!(matches!(
        object.set_global("answers", GlobalValue::Integer(1)),
        Err(GlobalError::NotInteger { .. })
    ));
    let value: Vec<u8> = (0..32).collect();
    object
        .set_global("answers", GlobalValue::Bytes(&value))
        .expect("its size");
    assert_eq!(object.maps[bss].content, MapContent::Data(value));
}

#[test]
fn kconfig_variables_take_the_kernels_values() {
    let object = object("kconfig");
    let needs = object.requirements(0);
    assert!(needs.kconfig && needs.kernel_version && !needs.kernel_btf);
    let environment = Environment {
        kernel_version: Some(6 << 16 | 12 << 8 | 7),
        kconfig: Some("CONFIG_HZ=250\nCONFIG_BPF_SYSCALL=y\nCONFIG_DEFAULT_HOSTNAME=\"abc\"\n"),
        ..Environment::default()
    };
    let linked = object
        .link(0, &environment)
        .expect("all strong ones are set");
    let content = linked.kconfig.as_ref().expect("it uses them");
    let words: Vec<[u8; 4]> = content
        .chunks(4)
        .filter_map(|w| w.try_into().ok())
        .collect();
    assert!(words.contains(&250_u32.to_le_bytes()));
    assert!(words.contains(&(6_u32 << 16 | 12 << 8 | 7).to_le_bytes()));
    assert!(content.windows(4).any(|bytes| bytes == b"abc\0"));
    let kconfig = object.map_named(".kconfig").expect("the map");
    assert_eq!(content.len(), object.maps[kconfig].value_size as usize);
    assert_eq!(object.maps[kconfig].content, MapContent::Kconfig);
    assert!(linked.maps.contains(&kconfig));

    let unset = Environment {
        kconfig: Some("CONFIG_BPF_SYSCALL=y\n"),
        ..environment
    };
    let error = object.link(0, &unset).expect_err("CONFIG_HZ is strong");
    assert!(
        matches!(&error, LinkError::Extern { name, .. } if name == "CONFIG_HZ"),
        "{error}"
    );
}

/// The corpus' own type information stands for a kernel that has just these types.
#[test]
fn co_re_takes_what_the_kernel_has_and_poisons_what_it_lacks() {
    let object = object("core");
    assert!(object.requirements(0).kernel_btf);
    assert!(matches!(
        object.link(0, &Environment::default()),
        Err(LinkError::NeedsKernelBtf { .. })
    ));

    let same = object.btf().cloned();
    let has_all = Environment {
        kernel_btf: same.as_ref(),
        ..Environment::default()
    };
    let linked = object.link(0, &has_all).expect("it has all");
    assert_eq!(linked.poisoned, []);

    let pass = self::object("pass");
    let lacks_all = Environment {
        kernel_btf: pass.btf(),
        ..Environment::default()
    };
    let linked = object.link(0, &lacks_all).expect("what lacks is poisoned");
    let missing: Vec<&str> = linked.poisoned.iter().map(|p| p.what.as_str()).collect();
    assert!(
        missing.contains(&"struct task_struct___pid.tgid")
            && missing.contains(&"enum bpf_map_type___core::BPF_MAP_TYPE_RINGBUF___core"),
        "{missing:?}"
    );
    for poisoned in &linked.poisoned {
        assert_eq!(linked.insns[poisoned.insn].code, Insn::CALL);
    }
    let log = "31: (85) call unknown#195896080\ninvalid func unknown#195896080\n";
    assert!(linked.explain_poison(log).is_some());
    assert!(linked.explain_poison("invalid func unknown#7").is_none());
}

#[test]
fn weak_kernel_symbols_may_be_missing_and_strong_ones_may_not() {
    let object = object("kernel_symbols");
    let needs = object.requirements(0);
    assert!(needs.kernel_btf && needs.kernel_symbols && !needs.kconfig);
    let pass = self::object("pass");
    assert!(object.needs_modules(0, pass.btf().expect("it has BTF")));
    assert!(!object.needs_modules(0, object.btf().expect("it has BTF")));
    let symbols = |name: &str| (name == "bpf_prog_put").then_some(0xffff_ffff_8123_4567);
    let environment = Environment {
        kernel_btf: pass.btf(),
        kernel_symbols: Some(&symbols),
        ..Environment::default()
    };
    let error = object
        .link(0, &environment)
        .expect_err("a strong function is missing");
    assert!(
        matches!(&error, LinkError::Extern { name, .. } if name == "bpf_cast_to_kern_ctx"),
        "{error}"
    );
}

/// The corpus' own type information stands for a module that has the strong function and the weak one.
#[test]
fn functions_of_modules_are_called_through_the_fd_array() {
    let object = object("kernel_symbols");
    let pass = self::object("pass");
    let own = object.btf().cloned().expect("it has BTF");
    let module = ModuleBtf {
        name: "some_module",
        btf: &own,
    };
    let other = ModuleBtf {
        name: "other_module",
        btf: pass.btf().expect("it has BTF"),
    };
    let modules = [other, module];
    let symbols = |_: &str| Some(0xffff_ffff_8123_4567);
    let environment = Environment {
        kernel_btf: pass.btf(),
        modules: &modules,
        kernel_symbols: Some(&symbols),
        ..Environment::default()
    };
    let linked = object.link(0, &environment).expect("all is found");
    assert_eq!(linked.modules, [1]);
    let calls: Vec<&Insn> = linked
        .insns
        .iter()
        .filter(|insn| insn.code == Insn::CALL && insn.src == Insn::PSEUDO_KFUNC_CALL)
        .collect();
    assert!(
        calls.len() >= 2 && calls.iter().all(|call| call.off == 1),
        "{calls:?}"
    );
    for call in calls {
        assert_eq!(own.kind(call.imm as u32), Kind::Func);
    }
    // Asking whether the weak function exists takes the module's descriptor in place.
    let asked = linked
        .patches
        .iter()
        .find(|patch| patch.target == PatchTarget::ModuleBtf { module: 1 })
        .expect("the weak function's address is asked for");
    let code = Insn::read_all(&linked.with_fds(|target| match target {
        PatchTarget::ModuleBtf { .. } => 77,
        _ => 3,
    }));
    assert_eq!(code[asked.insn].src, Insn::PSEUDO_BTF_ID);
    assert_eq!(code[asked.insn + 1].imm, 77);
    // The callback's address is a distance, as a call's target is.
    let callback = linked.functions.iter().find(|f| f.name == "one_turn");
    let start = callback.expect("the callback comes along").start as i64;
    assert!(linked.insns.iter().enumerate().any(|(at, insn)| {
        insn.is_ld_imm64()
            && insn.src == Insn::PSEUDO_FUNC
            && at as i64 + 1 + i64::from(insn.imm) == start
    }));
}

#[test]
fn references_to_maps_are_left_for_descriptors() {
    let object = object("configured");
    let linked = linked(&object);
    assert!(!linked.patches.is_empty());
    let code = Insn::read_all(&linked.with_fds(|target| match target {
        PatchTarget::Map { map } | PatchTarget::MapValue { map, .. } => 100 + map as i32,
        PatchTarget::ModuleBtf { .. } => panic!("no module is used"),
    }));
    for patch in &linked.patches {
        let (first, second) = (code[patch.insn], code[patch.insn + 1]);
        match patch.target {
            PatchTarget::MapValue { map, offset } => {
                assert_eq!(
                    (first.src, first.imm),
                    (Insn::PSEUDO_MAP_VALUE, 100 + map as i32)
                );
                assert_eq!(second.imm as u32, offset);
                assert!(offset < object.maps[map].value_size);
            }
            PatchTarget::Map { map } => {
                assert_eq!(
                    (first.src, first.imm),
                    (Insn::PSEUDO_MAP_FD, 100 + map as i32)
                );
            }
            PatchTarget::ModuleBtf { .. } => panic!("no module is used"),
        }
    }
}

#[test]
fn btf_for_an_old_kernel_holds_only_what_it_knows() {
    for name in ["configured", "kconfig", "kernel_symbols", "core"] {
        let object = object(name);
        let btf = object.btf().expect("it has BTF");
        let modern = Btf::parse(btf.to_kernel_bytes(BtfFeatures::default())).expect("valid");
        assert_eq!(modern.type_count(), btf.type_count());
        for id in 1..modern.type_count() {
            if let Some(TypeBody::Datasec { size, vars }) = modern.get(id).map(|ty| ty.body) {
                let section = modern.name(id);
                assert!(size > 0, "{name}: {section} has no size");
                let mut end = 0;
                for var in vars {
                    assert!(var.offset >= end, "{name}: {section} is not in order");
                    end = var.offset + var.size;
                }
                assert!(end <= size, "{name}: {section} is too small");
            }
        }
        let old = Btf::parse(btf.to_kernel_bytes(BtfFeatures::of_kernel(4 << 16 | 19 << 8)))
            .expect("valid");
        for id in 1..old.type_count() {
            let kind = old.kind(id);
            assert!(kind <= Kind::Restrict, "{name}: type {id} is a {kind:?}");
        }
    }
}

#[test]
fn what_is_no_object_is_named() {
    let pass = bytes("pass");
    assert!(matches!(
        Object::parse(b""),
        Err(ObjectError::NotElf { .. })
    ));
    assert!(matches!(
        Object::parse(b"#!/bin/sh\n"),
        Err(ObjectError::NotElf { .. })
    ));
    let with = |at: usize, value: &[u8]| {
        let mut bytes = pass.clone();
        bytes[at..at + value.len()].copy_from_slice(value);
        Object::parse(&bytes)
    };
    assert!(matches!(with(4, &[1]), Err(ObjectError::Elf32)));
    // A shared object of this machine, as a user may give by mistake.
    assert!(matches!(
        with(16, &[3, 0, 62, 0]),
        Err(ObjectError::NotBpf {
            machine: 62,
            kind: 3
        })
    ));
    let mut big = pass.clone();
    big[5] = 2;
    big[16..20].copy_from_slice(&[0, 1, 0, 247]);
    assert!(matches!(Object::parse(&big), Err(ObjectError::BigEndian)));
    for len in [4, 20, 63, 64, 100, pass.len() / 2, pass.len() - 1] {
        let cut = Object::parse(&pass[..len]);
        assert!(
            matches!(cut, Err(ObjectError::Truncated { .. })),
            "{len}: {cut:?}"
        );
    }
}

#[test]
fn what_does_not_exist_is_an_error() {
    let object = object("pass");
    assert!(matches!(
        object.link(1, &Environment::default()),
        Err(LinkError::NoProgram { index: 1, count: 1 })
    ));
    assert_eq!(object.program_named("nothing"), None);
    assert_eq!(object.map_named("nothing"), None);
}
