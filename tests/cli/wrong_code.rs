//! `check --target nfp` warns of programs that the NIC's driver takes and translates wrongly.

use std::fs;

use nfp_target::driver_model::WrongCode;
use offload_compiler::isa::{Insn, assemble};
use serde_json::Value;
use tests::{corpus, golden, tool};

use crate::code;

/// Loads data into r1, data_end into r2, and leaves unless there are 32 bytes.
const PACKET: &str =
    "r2 = *(u32 *)(r1 +4)\nr1 = *(u32 *)(r1 +0)\nr3 = r1\nr3 += 32\nif r3 > r2 goto out\n";
const OUT: &str = "\nr0 = 1\nexit\nout:\nr0 = 2\nexit";

/// A small program of each class, the slot that is warned of, and whether it has packets.
const CLASSES: &[(WrongCode, &str, bool, usize)] = &[
    (
        WrongCode::LeastConstant,
        "r2 = 5\nr2 += -2147483648\nr0 = 1\nexit",
        false,
        1,
    ),
    (
        WrongCode::SignIgnored,
        "r2 = 200\nr2 = (s8)r2\nr0 = 1\nexit",
        false,
        1,
    ),
    (
        WrongCode::DivisionShift,
        "w2 = 100\nw2 /= 28\nr0 = r2\nexit",
        false,
        1,
    ),
    (
        WrongCode::DivisionUpper,
        "r2 = 0x100000001\nw2 += 5\nw2 /= 3\nr0 = r2\nr0 >>= 32\nexit",
        false,
        3,
    ),
    (
        WrongCode::MultiplicationUpper,
        "r2 = 0x100000001\nw2 &= 255\nw2 *= 7\nr0 = r2\nr0 >>= 32\nexit",
        false,
        3,
    ),
    (
        WrongCode::ShiftSign,
        "r4 = *(u32 *)(r1 +0)\nr5 = *(u32 *)(r1 +4)\nr5 s>>= r4",
        true,
        2,
    ),
    (
        WrongCode::ShiftBySelf,
        "r4 = *(u32 *)(r1 +0)\nr4 >>= r4",
        true,
        1,
    ),
    (
        WrongCode::ShiftRange,
        "r4 = *(u8 *)(r1 +0)\nr4 |= 64\nr5 = *(u32 *)(r1 +4)\nr5 <<= r4",
        true,
        3,
    ),
    (
        WrongCode::CopyRegister,
        "r4 = *(u32 *)(r1 +0)\n*(u32 *)(r1 +8) = r4\nr4 = *(u32 *)(r1 +4)\n*(u32 *)(r1 +12) = r4\nr5 = r4",
        true,
        0,
    ),
    (
        WrongCode::CopyMerged,
        "r4 = *(u32 *)(r1 +0)\n*(u32 *)(r1 +16) = r4\nr4 = *(u32 *)(r1 +4)\n*(u32 *)(r1 +20) = r4\n\
         r4 = *(u32 *)(r1 +0)\n*(u32 *)(r1 +16) = r4",
        true,
        0,
    ),
    (
        WrongCode::MapBefore,
        "w3 = 0\n*(u32 *)(r10 -4) = r3\nr1 = map[fd:0]\nr2 = r10\nr2 += -4\ncall bpf_map_lookup_elem\n\
         if r0 == 0 goto out\nr0 += 8\nr0 = *(u32 *)(r0 -4)\nexit\nout:\nr0 = 2\nexit",
        false,
        9,
    ),
    (
        WrongCode::CallerStack,
        "w2 = 0\n*(u32 *)(r10 -8) = r2\nr1 = r10\nr1 += -8\ncall f\nr0 = 1\nexit\nf:\nw3 = 1\n*(u8 *)(r1 +3) = r3\nr0 = 1\nexit",
        false,
        8,
    ),
    (
        WrongCode::AdjustLimits,
        "r2 = -1\ncall bpf_xdp_adjust_tail\nr0 = 1\nexit",
        false,
        1,
    ),
];

/// The classes that no program is warned of.
const UNTOLD: [WrongCode; 2] = [WrongCode::WalkedRange, WrongCode::HeadUnchecked];

#[test]
fn each_class_is_warned_of_and_the_exit_code_stays() {
    let folder = tempfile::tempdir().unwrap();
    for (class, body, packet, slot) in CLASSES {
        let (start, end) = if *packet { (PACKET, OUT) } else { ("", "") };
        let text = format!("{start}{body}{end}");
        let code = assemble(&text).unwrap_or_else(|error| panic!("{}: {error}", class.name()));
        let path = folder.path().join(format!("{}.bpf", class.name()));
        fs::write(&path, Insn::write_all(&code.encode())).unwrap();
        fs::write(path.with_extension("maps"), "2 4 16 4\n").unwrap();
        let arguments = [
            "check",
            "--raw",
            path.to_str().unwrap(),
            "--target",
            "nfp",
            "--json",
        ];
        let output = tool("xdp-offload", arguments);
        let report: Value = output.expect_code(code::DONE).stdout.parse().unwrap();
        let program = &report["programs"][0];
        assert_eq!(
            program["verdict"],
            "accept",
            "{}: {program:#}",
            class.name()
        );
        let slot = slot + if *packet { 5 } else { 0 };
        let warned = program["diagnostics"]
            .as_array()
            .unwrap()
            .iter()
            .any(|found| {
                found["code"] == "offload-wrong-code"
                    && found["severity"] == "warning"
                    && found["insn"] == slot
                    && found["notes"][0]
                        .as_str()
                        .unwrap()
                        .starts_with(class.name())
            });
        assert!(warned, "{} at {slot}: {program:#}", class.name());
    }
}

#[test]
fn all_classes_have_a_test_or_a_reason_and_stand_on_the_page() {
    let page = tool("xdp-offload", ["explain", "offload-wrong-code"]);
    let page = &page.expect_code(code::DONE).stdout;
    for class in WrongCode::ALL {
        let tested = CLASSES.iter().any(|(tested, ..)| *tested == class);
        assert_ne!(tested, UNTOLD.contains(&class), "{}", class.name());
        assert!(page.contains(class.name()), "{}", class.name());
    }
}

#[test]
fn the_warning_stands_at_the_source_line() {
    let object = corpus("bad/nfp_wrong_code");
    let output = tool(
        "xdp-offload",
        ["check", object.to_str().unwrap(), "--target", "nfp"],
    );
    let stdout = &output.expect_code(code::DONE).stdout;
    // How long our translation is may change.
    let (warnings, accepted) = stdout.split_once("nfp_wrong_code (section xdp)").unwrap();
    assert!(accepted.contains("nfp (full) takes it"), "{stdout}");
    golden("code/check-wrong-code", warnings);
    // A kernel runs it rightly.
    let output = tool(
        "xdp-offload",
        ["check", object.to_str().unwrap(), "--target", "kernel:6.12"],
    );
    let stdout = &output.expect_code(code::DONE).stdout;
    assert!(!stdout.contains("offload-wrong-code"), "{stdout}");
}
