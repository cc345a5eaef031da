//! `run`, `disasm` and `cfg`: programs on packets and as text, without a NIC.

use std::fs;
use std::path::Path;

use nfp_target::isa::reloc::Relocation;
use nfp_target::isa::{Word, asm, encode};
use serde_json::{Value, json};
use tests::packets::{capture, udp};
use tests::{corpus, golden, require_root, tool, workspace};

use crate::code;

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn run_tells_each_packets_verdict() {
    let folder = tempfile::tempdir().unwrap();
    let packets: Vec<Vec<u8>> = (7000..7005).map(udp).collect();
    let packets = capture(folder.path(), &packets);
    let object = corpus("verdicts");
    let arguments = ["run", text(&object), "--packets", text(&packets), "--json"];
    let output = tool("xdp-offload", arguments);
    let report: Value = output.expect_code(code::DONE).stdout.parse().unwrap();
    let schema = workspace().join("xdp-offload/schemas/run.json");
    let schema: Value = fs::read_to_string(schema).unwrap().parse().unwrap();
    jsonschema::validate(&schema, &report).unwrap();
    let verdicts: Vec<&Value> = report["packets"]
        .as_array()
        .unwrap()
        .iter()
        .map(|packet| &packet["verdict"])
        .collect();
    assert_eq!(verdicts, [0, 1, 2, 3, 4]);
    assert_eq!(report["packets"][4]["redirect"], "interface 1");
}

#[test]
fn the_interpreter_and_the_kernel_agree_on_filled_maps() {
    if !require_root() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let packets = capture(folder.path(), &[udp(53), udp(54)]);
    let rules = folder.path().join("rules.json");
    let rule = json!([{
        "key": {"port": 53, "protocol": 17, "unused": 0},
        "value": {"verdict": 1, "unused": 0, "packets": 0},
    }]);
    fs::write(&rules, rule.to_string()).unwrap();
    let left = folder.path().join("left.pcap");
    let object = corpus("firewall");
    let map = format!("rules={}", rules.display());
    let output = tool(
        "xdp-offload",
        [
            "run",
            text(&object),
            "--packets",
            text(&packets),
            "--compare",
            "interp,kernel",
            "--map",
            &map,
            "--out",
            text(&left),
        ],
    );
    let stdout = &output.expect_code(code::DONE).stdout;
    assert!(
        stdout.contains("interp = kernel: 2 packets; XDP_DROP 1, XDP_PASS 1"),
        "{stdout}"
    );
    let left = fs::read(left).unwrap();
    assert_eq!(left[24 + 16..], udp(54), "what passed is in the file");
}

#[test]
fn a_program_that_reads_past_the_packet_stops_at_its_source_line() {
    let folder = tempfile::tempdir().unwrap();
    let mut short = udp(53);
    short.truncate(12);
    let packets = capture(folder.path(), &[udp(53), short]);
    let object = corpus("bad/no_bounds_check");
    let arguments = ["run", text(&object), "--packets", text(&packets)];
    let output = tool("xdp-offload", arguments);
    let stderr = &output.expect_code(code::NO).stderr;
    for part in [
        "packet 2: 'no_bounds_check' stops at instruction",
        "no_bounds_check.bpf.c:",
        "at packet+12, outside 0..12",
    ] {
        assert!(stderr.contains(part), "{part:?} is not in\n{stderr}");
    }
}

#[test]
fn what_is_no_packet_file_or_no_map_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let packets = capture(folder.path(), &[udp(53)]);
    let object = corpus("firewall");
    let refused = |arguments: &[&str], message: &str| {
        let all = [&["run", text(&object), "--packets"], arguments].concat();
        let output = tool("xdp-offload", all);
        let stderr = &output.expect_code(code::USAGE).stderr;
        assert!(stderr.contains(message), "{message:?} is not in\n{stderr}");
    };
    refused(&[text(&object)], "it does not begin as a pcap file does");
    refused(&["/no/such/file"], "cannot read /no/such/file");
    let packets = text(&packets);
    refused(&[packets, "--map", "rules"], "it is not NAME=FILE");
    refused(
        &[packets, "--map", "nomap=x"],
        "the object's maps are rules",
    );
    refused(
        &[packets, "--compare", "interp"],
        "two engines are compared",
    );
}

#[test]
fn code_is_shown_as_text_and_as_a_graph() {
    let object = corpus("subprograms");
    let shown = |arguments: &[&str]| {
        let output = tool("xdp-offload", [arguments, &[text(&object)]].concat());
        output.expect_code(code::DONE).stdout.clone()
    };
    golden("code/disasm", &shown(&["disasm", "--opcodes"]));
    golden("code/cfg", &shown(&["cfg"]));
    golden("code/cfg.dot", &shown(&["cfg", "--format", "dot"]));
    golden("code/cfg.svg", &shown(&["cfg", "--format", "svg"]));
}

#[test]
fn plain_instructions_are_read_with_raw() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("two.bpf");
    fs::write(
        &file,
        [0xb7, 0, 0, 0, 2, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0],
    )
    .unwrap();
    let output = tool("xdp-offload", ["disasm", "--raw", text(&file)]);
    let stdout = &output.expect_code(code::DONE).stdout;
    assert_eq!(stdout, "two:\n   0: (b7) r0 = 2\n   1: (95) exit\n");
    fs::write(&file, [0xb7, 0, 0, 0, 2, 0, 0, 0]).unwrap();
    let output = tool("xdp-offload", ["cfg", "--raw", text(&file)]);
    let stderr = &output.expect_code(code::NO).stderr;
    assert!(
        stderr.contains("instruction 0: the function ends without exit or goto"),
        "{stderr}"
    );
}

#[test]
fn words_run_on_a_simulated_nfp_and_are_held_to_the_program() {
    let folder = tempfile::tempdir().unwrap();
    let packets = capture(folder.path(), &[udp(53), udp(80)]);
    let words = workspace().join("tests/golden/nfp/drop.words");
    let run = |object: &str, engine: &[&str]| {
        let object = corpus(object);
        let start = ["run", text(&object), "--packets", text(&packets)];
        tool("xdp-offload", start.iter().chain(engine))
    };
    let given = ["--engine", "nfp", "--json", "--words", text(&words)];
    let report: Value =
        serde_json::from_str(&run("drop", &given).expect_code(code::DONE).stdout).unwrap();
    assert_eq!(report["verdicts"], json!({"XDP_DROP": 2}));
    // Fifteen words and two empty slots.
    assert_eq!(report["packets"][0]["instructions"], 15);
    assert_eq!(report["packets"][0]["cycles"], 17);

    let compared = ["--compare", "interp,nfp", "--words", text(&words)];
    run("drop", &compared).expect_code(code::DONE);
    let other = run("pass", &compared);
    let other = &other.expect_code(code::NO).stderr;
    assert!(other.contains("XDP_PASS and XDP_DROP"), "{other}");
}

#[test]
fn the_nfp_runs_our_translation_and_does_what_the_program_does() {
    let folder = tempfile::tempdir().unwrap();
    let services = json!([{
        "key": hex_of(&[10, 0, 0, 2, 0, 53, 17, 0]),
        "value": hex_of(&[0, 0, 0, 0, 1, 0, 0, 0]),
    }]);
    let file = folder.path().join("services.json");
    fs::write(&file, services.to_string()).unwrap();
    let fill = format!("services={}", file.display());
    let vlan = {
        let mut packet = udp(53);
        packet.splice(12..12, [0x81, 0, 0, 5]);
        packet
    };
    let packets = capture(folder.path(), &[udp(53), udp(80), vlan, vec![0; 60]]);
    for (object, fill) in [
        ("pass", None),
        ("vlan_pop", None),
        ("bounded_loop", None),
        ("load_balancer", Some(&fill)),
    ] {
        let object = corpus(object);
        let mut arguments = vec!["run", text(&object), "--packets", text(&packets)];
        arguments.extend(["--compare", "interp,nfp"]);
        if let Some(fill) = fill {
            arguments.extend(["--map", fill]);
        }
        let output = tool("xdp-offload", &arguments);
        let stdout = &output.expect_code(code::DONE).stdout;
        assert!(stdout.contains("interp = nfp: 4 packets"), "{stdout}");
    }
    let object = corpus("pass");
    let arguments = ["run", text(&object), "--packets", text(&packets)];
    let output = tool(
        "xdp-offload",
        [&arguments[..], &["--engine", "nfp"]].concat(),
    );
    golden("code/run-nfp", &output.expect_code(code::DONE).stdout);
}

/// Bytes as a map's file may have them.
fn hex_of(bytes: &[u8]) -> String {
    let digits: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("hex:{}", digits.concat())
}

#[test]
fn what_the_card_cannot_run_is_said_before_the_first_packet() {
    let folder = tempfile::tempdir().unwrap();
    let packets = capture(folder.path(), &[udp(53)]);
    let object = corpus("rate_limit");
    let arguments = ["run", text(&object), "--packets", text(&packets)];
    let refused = tool(
        "xdp-offload",
        [&arguments[..], &["--engine", "nfp"]].concat(),
    );
    let stderr = &refused.expect_code(code::NO).stderr;
    assert!(
        stderr.contains("error[offload-helper]") && stderr.contains("rate_limit.bpf.c:"),
        "{stderr}"
    );
    let unused = tool(
        "xdp-offload",
        [&arguments[..], &["--words", "x.nfp"]].concat(),
    );
    let stderr = &unused.expect_code(code::USAGE).stderr;
    assert!(
        stderr.contains("only the engine nfp runs words"),
        "{stderr}"
    );
}

/// Words that end with the branch to the firmware that a program ends with.
#[test]
fn words_that_cannot_run_are_told_by_their_place() {
    let folder = tempfile::tempdir().unwrap();
    let packets = capture(folder.path(), &[udp(53)]);
    let file = folder.path().join("bad.nfp");
    let object = corpus("pass");
    let run = |content: &str| {
        fs::write(&file, content).unwrap();
        let start = ["run", text(&object), "--packets", text(&packets)];
        let words = ["--engine", "nfp", "--words", text(&file)];
        tool("xdp-offload", start.iter().chain(&words))
    };
    let word = |text: &str, relocation| {
        let instruction = encode(&asm::parse(text).unwrap()).unwrap();
        let word = Word {
            instruction,
            relocation,
        };
        format!("{:016x}\n", word.to_bits())
    };
    let plain = |text: &str| word(text, Relocation::None);
    let nop = plain("nop");
    let no = |content: &str, says: &[&str]| {
        let output = run(content);
        let stderr = &output.expect_code(code::NO).stderr;
        for part in says {
            assert!(stderr.contains(part), "{part:?} is not in\n{stderr}");
        }
        assert!(!stderr.contains("panicked"), "{stderr}");
    };
    // Bits 39..35 of no instruction.
    no(
        &format!("{nop}{:016x}\n", 0x00c8_0000_0000_u64),
        &["packet 1: 'pass' stops at word 1"],
    );
    no(
        &format!("{nop}{}", plain("br[.9]")),
        &[
            "stops at word 1",
            "control goes to address 9, where neither",
        ],
    );
    no(&nop, &["stops at word 0", "control goes to address 2049"]);
    no(
        &format!("{nop}{}", word("br[.0]", Relocation::Branch)),
        &["stops at word", "budget of 1048576 words used up"],
    );
    let read = "mem[read32_swap, $xfer_0, gprA_1, 0x7c, 1], ctx_swap[sig1]";
    no(
        &format!(
            "{}{}",
            plain("alu[gprA_1, *l$index1[2], +, 0x0]"),
            plain(read)
        ),
        &[
            "stops at word 1",
            "read of 4 bytes at +124 of the packet, which has 42",
        ],
    );
    let usage = |content: &str, says: &str| {
        let output = run(content);
        let stderr = &output.expect_code(code::USAGE).stderr;
        assert!(stderr.contains(says), "{says:?} is not in\n{stderr}");
        let shown = tool("xdp-offload", ["disasm", "--nfp", text(&file)]);
        shown.expect_code(code::USAGE);
    };
    usage("000000f0000c0300\nnop\n", "line 2: not a word");
    usage(
        "ff0000f0000c0300\n",
        "line 1: relocation kind 255 is unknown",
    );
    let shown = {
        fs::write(&file, format!("{nop}{:016x}\n{nop}", 0x00c8_0000_0000_u64)).unwrap();
        tool("xdp-offload", ["disasm", text(&file)])
    };
    assert!(
        shown
            .expect_code(code::USAGE)
            .stderr
            .contains("word 1 is no instruction")
    );
    assert_eq!(
        shown.stdout.lines().count(),
        3,
        "the others are shown: {}",
        shown.stdout
    );
}

#[test]
fn a_report_says_how_many_packets_the_card_decides() {
    let folder = tempfile::tempdir().unwrap();
    let mut blocked = udp(53);
    blocked[26..30].copy_from_slice(&[192, 0, 2, 1]);
    let packets = capture(folder.path(), &[udp(53), blocked, udp(80)]);
    let rules = folder.path().join("blocked.json");
    let source = u32::from_le_bytes([192, 0, 2, 1]);
    fs::write(&rules, format!("[{{\"key\": {source}, \"value\": 1}}]")).unwrap();
    let object = corpus("edge");
    let filled = format!("blocked={}", text(&rules));
    let report = |more: &[&str]| {
        let start = [
            "compile",
            text(&object),
            "--emit",
            "report",
            "--allow",
            "split",
        ];
        tool("xdp-offload", start.iter().chain(more))
    };
    let decides = |more: &[&str], count: usize| {
        let output = report(&[&["--packets", text(&packets)], more].concat());
        let stdout = &output.expect_code(code::DONE).stdout;
        let line = format!("of 3 packets the card decides {count}\n");
        assert!(stdout.ends_with(&line), "{stdout}");
    };
    decides(&[], 0);
    decides(&["--map", &filled], 1);
    report(&["--json", "--packets", text(&packets)]).expect_code(code::USAGE);
}
