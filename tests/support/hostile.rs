//! What strangers may hand us, used as our commands use it. Each function takes any bytes, and has to end soon and without
//! a panic. `tests/hostile` calls them with a fixed seed; a fuzzer may, too.

use std::collections::{BTreeSet, HashMap};

use nfp_target::isa::{asm, decode, encode};
use offload_compiler::cfg::Cfg;
use offload_compiler::emit::{Image, ImageProgram};
use offload_compiler::interp::{
    FaultKind, Fixed, Limits, Machine, MapKind, MapSpec, Uninitialised, XdpInput,
};
use offload_compiler::isa::{Callee, Code, Imm64, Insn, Instruction, assemble, text};
use offload_compiler::object::btf::{Btf, BtfFeatures};
use offload_compiler::object::{Environment, GlobalValue, Object, map_kind};
use offload_compiler::verify::{
    Function, Input, MapReference, MapShape, Prepared, Rules, Verdict, verify,
};

/// Instructions that the verifier may follow here, lest one input takes seconds.
const MOST_INSTRUCTIONS: usize = 5_000;

/// An object: read, linked against itself as the kernel and without one, verified, changed. Whether it could be read.
pub fn object(bytes: &[u8]) -> bool {
    let Ok(mut object) = Object::parse(bytes) else {
        return false;
    };
    let symbols = |name: &str| Some(name.len() as u64);
    let own = object.btf().cloned();
    for kernel_btf in [None, own.as_ref()] {
        let environment = Environment {
            kernel_btf,
            kernel_version: Some(6 << 16 | 12 << 8),
            kconfig: Some(
                "CONFIG_HZ=250\nCONFIG_BPF_SYSCALL=y\nCONFIG_DEFAULT_HOSTNAME=\"(none)\"\n",
            ),
            kernel_symbols: Some(&symbols),
            ..Environment::default()
        };
        for program in 0..object.programs.len() {
            object.requirements(program);
            if let Some(kernel) = kernel_btf {
                object.needs_modules(program, kernel);
            }
            let Ok(linked) = object.link(program, &environment) else {
                continue;
            };
            assert_eq!(linked.with_fds(|_| 3).len(), linked.insns.len() * 8);
            for insn in 0..linked.insns.len() {
                linked.source_line(insn);
            }
            let kind = object.programs[program].kind;
            if let Ok(mut prepared) = Prepared::new(&object, kind, &linked, &environment) {
                prepared.rules.instructions = MOST_INSTRUCTIONS;
                verify(&prepared.input());
            }
            let mut image = Image::new(&object);
            image.programs.push(ImageProgram { program, linked });
            image.write().ok();
        }
    }
    for map in &object.maps {
        map.max_entries_on(4, 4096);
        map.kernel_btf_types();
        assert!(map.kind != map_kind::PROG_ARRAY || map.inner.is_none());
    }
    let names: Vec<String> = object
        .globals()
        .iter()
        .filter(|global| object.maps[global.map].value_size < 1 << 20)
        .map(|global| global.name.clone())
        .collect();
    for name in names {
        object.set_global(&name, GlobalValue::Integer(1)).ok();
        object.set_global(&name, GlobalValue::Bytes(&[1; 8])).ok();
    }
    true
}

/// Instructions: printed whatever they are; what decodes is written back the same, by its text too, and has a control flow
/// graph or none. Whether they decode.
pub fn instructions(bytes: &[u8]) -> bool {
    let insns = Insn::read_all(bytes);
    let listing = text::listing(&insns, &text::Plain, true);
    let Ok(code) = Code::decode(&insns) else {
        return false;
    };
    assert_eq!(code.encode(), insns);
    if let Ok(again) = assemble(&listing) {
        assert_eq!(again.encode(), insns, "{listing}");
    }
    if code.len() < 1000
        && let Ok(graph) = Cfg::build(&code, &std::collections::BTreeMap::new())
    {
        graph.to_text(&code, &text::Plain);
        graph.to_dot(&code, &text::Plain);
        graph.to_svg(&code, &text::Plain);
    }
    true
}

/// BTF: read, asked for all of its types, written for kernels of all ages. Whether it could be read.
pub fn btf(bytes: &[u8]) -> bool {
    let Ok(btf) = Btf::parse(bytes) else {
        return false;
    };
    btf.to_kernel_bytes(BtfFeatures::default());
    btf.to_kernel_bytes(BtfFeatures::of_kernel(0));
    for id in (0..btf.type_count()).take(1000) {
        btf.c_name(id);
        btf.size_of(id);
    }
    true
}

/// The maps of [`program`]: (kind, bytes of key, bytes of value, elements).
const MAPS: [(MapKind, u32, u32, u32); 3] = [
    (MapKind::Array, 4, 48, 3),
    (MapKind::Hash, 8, 24, 16),
    (MapKind::Array, 4, 64, 1),
];

/// A program for the verifier, of bytes that are made to decode; what it takes does nothing wrong in the interpreter.
/// Whether it takes it.
///
/// # Panics
/// Where an accepted program faults.
pub fn program(bytes: &[u8]) -> bool {
    let insns = meaningful(&Insn::read_all(&bytes[..bytes.len().min(8 * 512)]));
    let Ok(code) = Code::decode(&insns) else {
        return false;
    };
    if !judge(&code).is_accepted() {
        return false;
    }
    if let Some(fault) = fault(&code) {
        panic!(
            "accepted, but {fault}:\n{}",
            text::listing(&insns, &text::Plain, false)
        );
    }
    true
}

/// The instructions with those fields cleared that must be zero, and an end. What stays meaningless is left out.
fn meaningful(insns: &[Insn]) -> Vec<Insn> {
    let mut out = Vec::new();
    for &insn in insns {
        let insn = Insn {
            dst: insn.dst % 11,
            src: if insn.is_ld_imm64() {
                insn.src % 3
            } else {
                insn.src % 11
            },
            ..insn
        };
        let candidates = [
            insn,
            Insn { off: 0, ..insn },
            Insn { src: 0, ..insn },
            Insn { imm: 0, ..insn },
            Insn {
                off: 0,
                imm: 0,
                ..insn
            },
            Insn {
                off: 0,
                src: 0,
                ..insn
            },
            Insn {
                off: 0,
                src: 0,
                imm: insn.imm & 0x7f,
                ..insn
            },
            Insn {
                off: 0,
                src: 0,
                imm: 0,
                dst: 0,
                ..insn
            },
        ];
        if insn.is_ld_imm64() {
            let imm = if insn.src == 0 {
                insn.imm
            } else {
                insn.imm & 3
            };
            out.extend([
                Insn {
                    off: 0,
                    imm,
                    ..insn
                },
                Insn::default(),
            ]);
        } else if let Some(fits) = candidates
            .into_iter()
            .find(|candidate| Code::decode(&[*candidate]).is_ok())
        {
            out.push(fits);
        }
    }
    let end = assemble("r0 = 1\nexit").expect("it assembles").encode();
    if out.last() != end.last() {
        out.extend(end);
    }
    out
}

/// The verifier's answer to a program that refers to [`MAPS`] by number.
fn judge(code: &Code) -> Verdict {
    let mut starts = BTreeSet::from([0]);
    let mut map_at = HashMap::new();
    for (slot, instruction) in code.iter() {
        match instruction {
            Instruction::Call(Callee::Local(distance))
            | Instruction::LoadImm64 {
                value: Imm64::Function(distance),
                ..
            } => {
                let start = slot as i64 + 1 + i64::from(*distance);
                starts.extend(usize::try_from(start).ok().filter(|&at| at < code.len()));
            }
            Instruction::LoadImm64 { value, .. } => {
                let (map, value_offset) = match value {
                    Imm64::MapFd(map) => (*map, None),
                    Imm64::MapValueFd { fd, offset } => (*fd, Some(*offset)),
                    _ => continue,
                };
                let map = map as u32;
                map_at.insert(slot, MapReference { map, value_offset });
            }
            _ => {}
        }
    }
    let ends = starts.iter().copied().skip(1).chain([code.len()]);
    let functions: Vec<Function> = starts
        .iter()
        .zip(ends)
        .map(|(&start, end)| Function {
            name: String::new(),
            start,
            len: end - start,
            global: None,
        })
        .collect();
    let shapes = MAPS.map(|(kind, key_size, value_size, max_entries)| MapShape {
        kind: kind as u32,
        key_size,
        value_size,
        max_entries,
        ..MapShape::default()
    });
    verify(&Input {
        has_function_info: true,
        rules: Rules {
            instructions: MOST_INSTRUCTIONS,
            uninitialised_stack_allowed: false,
            ..Rules::default()
        },
        ..Input::new(code, &shapes, &map_at, &functions)
    })
}

/// What the program does wrong with one of some packets; not what the interpreter does not know, or where it gives up.
fn fault(code: &Code) -> Option<String> {
    let mut machine = Machine::new(Limits {
        instructions: 100_000,
        uninitialised: Uninitialised::default(),
        ..Limits::default()
    });
    for (kind, key_size, value_size, max_entries) in MAPS {
        let spec = MapSpec {
            kind,
            key_size,
            value_size,
            max_entries,
            flags: 0,
        };
        machine.add_map(spec).expect("the map is possible");
    }
    machine.add_program(code.clone());
    [14, 34, 64, 300].into_iter().find_map(|len| {
        let packet: Vec<u8> = (0..len).map(|at: u32| at as u8).collect();
        let fault = machine
            .run_xdp(0, &XdpInput::new(&packet), &mut Fixed::new(0))
            .err()?;
        let unknown = matches!(
            fault.kind,
            FaultKind::Budget(_)
                | FaultKind::Memory(_)
                | FaultKind::UnknownHelper { .. }
                | FaultKind::KernelOnly(_)
                | FaultKind::Undefined(_)
        );
        (!unknown).then(|| fault.to_string())
    })
}

/// NFP code: a word decodes exactly or not at all, and so does its text; any text is read or refused.
pub fn nfp(bytes: &[u8]) -> bool {
    let mut decoded = false;
    for chunk in bytes.as_chunks::<8>().0 {
        let word = u64::from_le_bytes(*chunk) & ((1 << 45) - 1);
        if let Ok(instruction) = decode(word) {
            decoded = true;
            assert_eq!(encode(&instruction), Ok(word));
            let text = instruction.to_string();
            let again = asm::parse(&text).map(|again| again.to_string());
            assert_eq!(again, Ok(text));
        }
    }
    for line in String::from_utf8_lossy(bytes).lines() {
        if let Ok(instruction) = asm::parse(line) {
            // What was read can be said again.
            let text = instruction.to_string();
            assert_eq!(asm::parse(&text).map(|again| again.to_string()), Ok(text));
        }
    }
    decoded
}
