//! Rendering, with findings made by hand; what real programs show is in `docs/examples`.

use super::*;
use crate::isa::{Code as Instructions, Insn, assemble};
use crate::object::{Environment, Object};

const OBJECT: &[u8] = include_bytes!("../../../tests/corpus/bad/no_bounds_check.bpf.o");
const SOURCE: &str = include_str!("../../../tests/corpus/bad/no_bounds_check.bpf.c");

fn linked() -> (Linked, Instructions) {
    let object = Object::parse(OBJECT).expect("an object");
    let linked = object
        .link(0, &Environment::default())
        .expect("nothing external");
    let code = Instructions::decode(&linked.insns).expect("eBPF");
    (linked, code)
}

/// A finding at the first load from the packet.
fn finding(code: &Instructions) -> Finding {
    let (insn, _) = code
        .iter()
        .filter(|(_, instruction)| matches!(instruction, crate::isa::Instruction::Load { .. }))
        .nth(1)
        .expect("a load");
    Finding::error(Code::PacketBounds, insn, "nothing covers these bytes")
        .knowing("r1 is the packet + 12")
        .knowing("a second thing that was known")
        .related(0, "data comes from here")
        .help("compare first")
}

const STYLE: Style = Style {
    width: 80,
    colour: false,
};

fn rendered(finding: &Finding, source: Option<&str>, style: Style) -> String {
    let (linked, code) = linked();
    let diagnostic = Diagnostic::of(finding, &linked, &code);
    render(
        &diagnostic,
        &code,
        &mut |_| source.map(str::to_owned),
        style,
    )
}

fn golden(name: &str, text: &str) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("src/diagnostic/golden")
        .join(name);
    if std::env::var_os("BLESS").is_some() {
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        std::fs::write(&path, text).expect("written");
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(text, expected, "BLESS=1 rewrites {name}");
}

#[test]
fn the_source_file_is_shown_where_it_can_be_read() {
    let (_, code) = linked();
    golden(
        "source.expected",
        &rendered(&finding(&code), Some(SOURCE), STYLE),
    );
}

#[test]
fn without_the_file_or_with_a_newer_one_the_lines_of_the_object_are_shown() {
    let (_, code) = linked();
    let text = rendered(&finding(&code), None, STYLE);
    golden("lines.expected", &text);
    let newer = format!("/* a new first line */\n{SOURCE}");
    assert_eq!(rendered(&finding(&code), Some(&newer), STYLE), text);
}

#[test]
fn without_lines_the_instructions_are_shown() {
    let code = assemble("r0 = 2\nr1 = 0\nr2 = *(u8 *)(r1 + 0)\nexit\n").expect("assembles");
    let linked = Linked::raw(code.encode());
    let finding =
        Finding::error(Code::NotAPointer, 2, "r1 is used as an address").knowing("r1 is 0");
    let diagnostic = Diagnostic::of(&finding, &linked, &code);
    golden(
        "instructions.expected",
        &render(&diagnostic, &code, &mut |_| None, STYLE),
    );
}

#[test]
fn long_notes_follow_the_width_and_colour_is_optional() {
    let (_, code) = linked();
    let mut finding = finding(&code);
    finding.help = Some("a help that goes on and on, with many words ".repeat(4));
    let narrow = Style {
        width: 60,
        colour: false,
    };
    let text = rendered(&finding, Some(SOURCE), narrow);
    let wide = text
        .lines()
        .filter(|line| line.contains("a help") && line.len() > 60);
    assert_eq!(wide.count(), 0, "{text}");
    let coloured = Style {
        colour: true,
        ..STYLE
    };
    assert!(rendered(&finding, Some(SOURCE), coloured).contains("\u{1b}["));
    assert!(!text.contains('\u{1b}'));
}

#[test]
fn what_an_object_says_cannot_steer_the_terminal() {
    let (_, code) = linked();
    let mut finding = finding(&code);
    finding.message = "map \u{1b}[2Jname".to_owned();
    finding.known[0] = "\u{1b}]0;title\u{7}".to_owned();
    let text = rendered(&finding, None, STYLE);
    assert!(
        !text.contains('\u{1b}') && !text.contains('\u{7}'),
        "{text}"
    );
}

#[test]
fn a_path_names_branches_once_and_leaves_guards_out_where_they_say_nothing() {
    // 0: if r1 == 0 leave; 1: if r2 == 0 skip the initialisation; 3: loop back; 5: the finding.
    let code = assemble(
        "if r1 == 0x0 goto +5\nif r2 == 0x0 goto +1\nr3 = 1\nr4 += 1\nif r4 != 0x5 goto -2\nr0 = r3\nexit\n",
    )
    .expect("assembles");
    let linked = Linked::raw(code.encode());
    let path = vec![(0, false), (1, true), (4, true), (4, true), (4, false)];
    let of = |code_of: Code| {
        let finding = Finding {
            path: path.clone(),
            ..Finding::error(code_of, 5, "r3")
        };
        Diagnostic::of(&finding, &linked, &code)
            .path
            .iter()
            .map(|step| (step.insn, step.to, step.times))
            .collect::<Vec<_>>()
    };
    assert_eq!(of(Code::UninitialisedRegister), [(1, 3, 1), (4, 5, 3)]);
    assert_eq!(of(Code::PacketBounds), [(0, 1, 1), (1, 3, 1), (4, 5, 3)]);
    let hostile = Insn {
        code: 0x05,
        off: 30000,
        ..Insn::default()
    };
    let linked = Linked::raw(vec![hostile]);
    let finding = Finding {
        path: vec![(0, true), (7, false)],
        ..Finding::error(Code::ControlFlow, 9, "beyond the end")
    };
    let code = Instructions::decode(&linked.insns).expect("a jump");
    let diagnostic = Diagnostic::of(&finding, &linked, &code);
    assert!(render(&diagnostic, &code, &mut |_| None, STYLE).contains("beyond the end"));
}
