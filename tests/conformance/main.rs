//! Every instruction, through the plugin of the public conformance suite.
//!
//! `data/*.data` are cases in that suite's form, several a file, in the kernel's assembly: `-- test NAME`,
//! `-- asm`, `-- mem` (optional), `-- result`. The results were computed by other code than ours.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::process::{Command, Stdio};

use offload_compiler::isa::{Callee, Code, Imm64, Insn, Instruction, assemble};

#[derive(Default)]
struct Case {
    name: String,
    asm: String,
    memory: String,
    result: u64,
}

fn cases() -> Vec<Case> {
    let folder = tests::workspace().join("tests/conformance/data");
    let mut cases: Vec<Case> = Vec::new();
    for entry in std::fs::read_dir(folder).expect("the data is there") {
        let path = entry.expect("a folder's entry").path();
        let text = std::fs::read_to_string(&path).expect("text");
        let mut section = String::new();
        for line in text.lines() {
            if let Some(name) = line.strip_prefix("-- test ") {
                cases.push(Case {
                    name: format!("{}: {name}", path.display()),
                    ..Case::default()
                });
            } else if let Some(name) = line.strip_prefix("-- ") {
                name.clone_into(&mut section);
            } else if let Some(case) = cases.last_mut()
                && !line.is_empty()
            {
                match section.as_str() {
                    "asm" => {
                        case.asm.push_str(line);
                        case.asm.push('\n');
                    }
                    "mem" => case.memory.push_str(line),
                    "result" => {
                        let hex = line.strip_prefix("0x").expect("hexadecimal");
                        case.result = u64::from_str_radix(hex, 16).expect("a number");
                    }
                    other => panic!("{}: section {other}", path.display()),
                }
            }
        }
    }
    cases
}

fn hex(code: &Code) -> String {
    let bytes = Insn::write_all(&code.encode());
    let words: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    words.join(" ")
}

/// What the plugin prints, or says on standard error if it fails.
fn plugin(arguments: &[&str], program: &str) -> Result<String, String> {
    let mut child = Command::new(env!("CARGO_BIN_EXE_conformance-plugin"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the plugin starts");
    let mut input = child.stdin.take().expect("it was asked for");
    // A plugin that has found its arguments wrong does not read.
    let _ = writeln!(input, "{program}");
    drop(input);
    let output = child.wait_with_output().expect("the plugin ends");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text").trim().to_owned();
    if output.status.success() {
        Ok(text(output.stdout))
    } else {
        Err(text(output.stderr))
    }
}

#[test]
fn every_case_gives_its_result() {
    let cases = cases();
    assert!(cases.len() > 600, "only {} cases", cases.len());
    for case in &cases {
        let code = assemble(&case.asm).unwrap_or_else(|error| panic!("{}: {error}", case.name));
        let given = plugin(&[&case.memory, "--engine interp"], &hex(&code));
        assert_eq!(given, Ok(format!("{:x}", case.result)), "{}", case.name);
    }
}

#[test]
fn what_the_card_takes_gives_the_interpreters_result() {
    let cases = cases();
    let mut taken = 0;
    let mut refused: BTreeMap<String, usize> = BTreeMap::new();
    for case in &cases {
        let code = assemble(&case.asm).unwrap_or_else(|error| panic!("{}: {error}", case.name));
        match plugin(&[&case.memory, "--engine nfp"], &hex(&code)) {
            Ok(given) => {
                taken += 1;
                assert_eq!(given, format!("{:x}", case.result), "{}", case.name);
            }
            Err(said) => {
                let reason = said
                    .strip_prefix("conformance-plugin: the card does not take it: instruction ")
                    .and_then(|rest| rest.split_once(": "))
                    .unwrap_or_else(|| panic!("{}: {said}", case.name));
                *refused.entry(reason.1.to_owned()).or_default() += 1;
            }
        }
    }
    println!("{taken} of {} cases run on the card, 0 differ", cases.len());
    for (reason, count) in &refused {
        println!("{count:5} {reason}");
    }
    assert!(taken > 400, "only {taken}: {refused:#?}");
}

/// What tells instructions apart: the opcode, and the fields that select a variant of it.
fn form(slot: Insn) -> (u8, i16, u8, i32) {
    let has_offset_variants = matches!(slot.code & 0xf7, 0x34 | 0x37 | 0x94 | 0x97 | 0xb4 | 0xb7);
    let is_atomic = matches!(slot.code, 0xc3 | 0xcb | 0xd3 | 0xdb);
    let is_swap = matches!(slot.code, 0xd4 | 0xd7 | 0xdc);
    (
        slot.code,
        if has_offset_variants { slot.off } else { 0 },
        if matches!(slot.code, Insn::LD_IMM64 | Insn::CALL) {
            slot.src
        } else {
            0
        },
        if is_atomic || is_swap { slot.imm } else { 0 },
    )
}

/// Instructions that work on what only a kernel has: maps, socket buffers, arenas, kernel functions.
fn needs_a_kernel(instruction: &Instruction) -> bool {
    match instruction {
        Instruction::LoadPacket { .. } | Instruction::CastAddress { .. } => true,
        Instruction::LoadImm64 { value, .. } => {
            !matches!(value, Imm64::Number(_) | Imm64::Function(_))
        }
        Instruction::Call(callee) => matches!(callee, Callee::Kernel { .. }),
        _ => false,
    }
}

#[test]
fn the_cases_cover_every_instruction() {
    let mut covered = BTreeSet::new();
    for case in cases() {
        let code = assemble(&case.asm).expect("it assembles");
        covered.extend(
            code.iter()
                .map(|(_, instruction)| form(instruction.encode().0)),
        );
    }
    let mut missing = BTreeSet::new();
    for code in 0..=u8::MAX {
        for src in 0..=7 {
            for off in [0, 1, 8, 16, 32] {
                for imm in (0..=0x110).chain([0x1_0000]) {
                    let slot = Insn {
                        code,
                        dst: 0,
                        src,
                        off,
                        imm,
                    };
                    let slots = [slot, Insn::default()];
                    let count = if slot.is_ld_imm64() { 2 } else { 1 };
                    let Ok(decoded) = Code::decode(&slots[..count]) else {
                        continue;
                    };
                    let Some(instruction) = decoded.at(0) else {
                        continue;
                    };
                    if !needs_a_kernel(instruction) && !covered.contains(&form(slot)) {
                        missing.insert(form(slot));
                    }
                }
            }
        }
    }
    assert!(missing.is_empty(), "no case for {missing:x?}");
}

#[test]
fn the_plugin_speaks_the_suites_protocol() {
    let exit = hex(&assemble("r0 = r2\nexit").expect("it assembles"));
    let run = |arguments: &[&str]| plugin(arguments, &exit);
    assert_eq!(run(&[]), Ok("0".into()));
    assert_eq!(run(&["aa bb cc ", ""]), Ok("3".into()));
    assert_eq!(run(&["aabb", "--engine", "interp"]), Ok("2".into()));
    assert_eq!(
        plugin(&["--program", &exit, "--engine interp"], ""),
        Ok("0".into())
    );
    assert_eq!(run(&["aa bb cc ", "--engine nfp"]), Ok("3".into()));
    let refused = |arguments: &[&str], program: &str, message: &str| {
        let said = plugin(arguments, program).expect_err("it fails");
        assert_eq!(said, format!("conformance-plugin: {message}"));
    };
    refused(&["aab"], &exit, "half a byte");
    refused(&["", "--engine jit"], &exit, "no engine jit");
    refused(&[], "95 00", "2 bytes are no whole instructions");
    refused(
        &[],
        &hex(&assemble("call kernel-function#42\nexit").expect("it assembles")),
        "program 0, instruction 0: a kernel function exists in a running kernel only",
    );
    refused(
        &["00 11"],
        &hex(&assemble("r0 = *(u64 *)(r1 +0)\nexit").expect("it assembles")),
        "program 0, instruction 0: read of 8 bytes at memory+0, outside 0..2",
    );
}

#[test]
fn the_plugin_runs_objects_with_maps() {
    let object = std::fs::read(tests::corpus("counter")).expect("an object");
    let object: Vec<String> = object.iter().map(|byte| format!("{byte:02x}")).collect();
    let object = object.concat();
    // It is an XDP program, and the memory is no context that it could run on.
    let said = plugin(&["", "--elf"], &object).expect_err("memory is no context");
    assert!(said.contains("memory"), "{said}");
}

/// An object as the suite writes one: code in a section of its own, no symbols but `main`, which is left
/// out here, no maps.
fn object_with(section: &str, code: &[u8]) -> Vec<u8> {
    const HEADER: usize = 64;
    let names = format!("\0{section}\0.shstrtab\0");
    let mut object = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    let put = |object: &mut Vec<u8>, value: usize, bytes: usize| {
        object.extend_from_slice(&value.to_le_bytes()[..bytes]);
    };
    let table = HEADER + code.len() + names.len();
    // Type relocatable, machine BPF, version; no entry, no program headers; three sections, names last.
    let header = [(1, 2), (247, 2), (1, 4), (0, 8), (0, 8), (table, 8), (0, 4)];
    let sizes = [(HEADER, 2), (0, 2), (0, 2), (64, 2), (3, 2), (2, 2)];
    for (value, bytes) in header.into_iter().chain(sizes) {
        put(&mut object, value, bytes);
    }
    object.extend_from_slice(code);
    object.extend_from_slice(names.as_bytes());
    object.extend_from_slice(&[0; 64]);
    // Name, type, flags (allocated, executable), offset, size.
    let text = (1, 1, 6, HEADER, code.len());
    let strings = (section.len() + 2, 3, 0, HEADER + code.len(), names.len());
    for (name, kind, flags, offset, size) in [text, strings] {
        for (value, bytes) in [
            (name, 4),
            (kind, 4),
            (flags, 8),
            (0, 8),
            (offset, 8),
            (size, 8),
        ] {
            put(&mut object, value, bytes);
        }
        for (value, bytes) in [(0, 8), (1, 8), (0, 8)] {
            put(&mut object, value, bytes);
        }
    }
    object
}

#[test]
fn the_plugin_runs_objects_with_text_alone() {
    let code = assemble("call f\nr0 += 1\nexit\nf:\nr0 = r2\nexit").expect("it assembles");
    let code = Insn::write_all(&code.encode());
    let run = |section: &str, code: &[u8]| {
        let bytes = object_with(section, code);
        let hex: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        plugin(&["aa  bb  cc  ", "--elf"], &hex.join("  "))
    };
    assert_eq!(run(".text", &code), Ok("4".into()));
    let refused = |section: &str, code: &[u8], message: &str| {
        let said = run(section, code).expect_err("it fails");
        assert_eq!(said, format!("conformance-plugin: {message}"));
    };
    refused(".text", &[], "no program 0: the object has 0");
    refused(".text", &code[..12], "12 bytes are no whole instructions");
    // Code elsewhere is a program where a symbol says so only.
    refused("xdp", &code, "no program 0: the object has 0");
}
