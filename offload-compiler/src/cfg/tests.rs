//! What the graph says of code, and its pictures.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use proptest::prelude::*;

use super::{BlockId, Cfg, CfgErrorKind, LoopKind};
use crate::isa::text::Plain;
use crate::isa::{Code, Insn, assemble};

fn graph(source: &str) -> (Code, Cfg) {
    let code = assemble(source).unwrap();
    let cfg = Cfg::build(&code, &BTreeMap::new()).unwrap();
    (code, cfg)
}

fn block(number: usize) -> BlockId {
    BlockId::new(number)
}

/// Compares with a committed file; `BLESS=1` rewrites it.
#[track_caller]
fn golden(name: &str, actual: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("src/cfg/testdata")
        .join(name);
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, actual).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        expected == actual,
        "{} differs (BLESS=1 rewrites it); it is now:\n{actual}",
        path.display()
    );
}

/// A check, a counted loop with a branch inside, a subprogram and a callback.
const SAMPLE: &str = "
    r6 = r1
    r7 = *(u32 *)(r6 +0)
    r8 = *(u32 *)(r6 +4)
    r1 = r7
    r1 += 14
    if r1 > r8 goto drop
    r9 = 0
head:
    r1 = r9
    call weight
    if r0 == 0 goto next
    r7 += r0
next:
    r9 += 1
    if r9 < 8 goto head
    r1 = 4
    r2 = subprog[body]
    r3 = 0
    r4 = 0
    call bpf_loop
    r0 = 2
    exit
drop:
    r0 = 1
    exit
weight:
    r0 = r1
    exit
body:
    r0 = 0
    exit";

#[test]
fn text_dot_and_svg_are_as_committed() {
    let (code, cfg) = graph(SAMPLE);
    golden("sample.txt.expected", &cfg.to_text(&code, &Plain));
    golden("sample.dot.expected", &cfg.to_dot(&code, &Plain));
    golden("sample.svg.expected", &cfg.to_svg(&code, &Plain));
}

#[test]
fn functions_blocks_and_calls_follow_the_code() {
    let (_, cfg) = graph(SAMPLE);
    let slots: Vec<_> = cfg.functions.iter().map(|its| its.slots.clone()).collect();
    assert_eq!(slots, [0..23, 23..25, 25..27]);
    assert_eq!(cfg.calls.edge_count(), 2);
    assert_eq!(cfg.function_at(24), Some(1));
    assert!(cfg.recursive().is_empty());
    let main = &cfg.functions[0];
    let blocks: Vec<_> = main
        .blocks
        .node_weights()
        .map(|block| block.slots.clone())
        .collect();
    assert_eq!(blocks, [0..6, 6..7, 7..10, 10..11, 11..13, 13..21, 21..23]);
    assert_eq!(main.block_at(12), Some(block(4)));
}

#[test]
fn dominators_hold_on_every_path() {
    let (_, cfg) = graph(SAMPLE);
    let main = &cfg.functions[0];
    let (over, under) = (main.dominators(), main.post_dominators());
    assert_eq!(over.immediate(block(4)), Some(block(2)));
    assert_eq!(over.immediate(block(6)), Some(block(0)));
    assert!(over.dominates(block(1), block(5)));
    assert!(!over.dominates(block(3), block(4)));
    assert_eq!(under.immediate(block(2)), Some(block(4)));
    assert_eq!(under.immediate(block(0)), None, "two exits");
    assert!(under.dominates(block(5), block(1)));
}

#[test]
fn nested_loops_are_found_with_their_headers() {
    let (_, cfg) = graph(
        "r0 = 0
    outer:
        r1 = 0
    inner:
        r1 += 1
        if r1 < 5 goto inner
        r0 += 1
        if r0 < 3 goto outer
        exit",
    );
    let loops = cfg.functions[0].loops();
    assert_eq!(loops.len(), 2);
    assert_eq!(loops[0].entries, [block(1)]);
    assert_eq!(loops[0].blocks, [block(1), block(2), block(3)]);
    assert_eq!((loops[1].parent, loops[1].depth), (Some(0), 2));
    assert_eq!(loops[1].latches, [block(2)]);
    assert!(loops.iter().all(|its| its.kind == LoopKind::Natural));
}

#[test]
fn a_loop_with_two_entries_is_irreducible() {
    let (_, cfg) = graph(
        "if r1 == 0 goto second
    first:
        r1 += 1
    second:
        r1 += 2
        if r1 < 10 goto first
        r0 = 0
        exit",
    );
    let loops = cfg.functions[0].loops();
    assert_eq!(loops.len(), 1);
    assert_eq!(loops[0].kind, LoopKind::Irreducible);
    assert_eq!(loops[0].entries, [block(1), block(2)]);
}

#[test]
fn unreachable_blocks_and_recursion_are_named() {
    let (_, cfg) = graph("r0 = 0\nexit\nr0 = 1\nexit");
    assert_eq!(cfg.functions[0].unreachable(), [block(1)]);
    let (_, cfg) = graph("call f\nexit\nf:\ncall f\nexit");
    assert_eq!(cfg.recursive(), [1]);
}

#[test]
fn code_without_a_graph_is_refused_at_its_instruction() {
    let refused = |source: &str| {
        let error = Cfg::build(&assemble(source).unwrap(), &BTreeMap::new()).unwrap_err();
        (error.slot, error.kind)
    };
    assert_eq!(refused(""), (0, CfgErrorKind::Empty));
    assert_eq!(
        refused("r0 = 0\nif r0 == 0 goto pc+5\nexit"),
        (1, CfgErrorKind::JumpOutside(7))
    );
    assert_eq!(
        refused("goto pc+1\nr1 = 0x5\nexit"),
        (0, CfgErrorKind::JumpOutside(2))
    );
    assert_eq!(
        refused("goto pc-2\nexit"),
        (0, CfgErrorKind::JumpOutside(-1))
    );
    assert_eq!(
        refused("call pc+9\nexit"),
        (0, CfgErrorKind::CallOutside(10))
    );
    assert_eq!(refused("exit\nr0 = 0"), (1, CfgErrorKind::FallsOff));
    assert_eq!(
        refused("call f\ngoto pc+1\nexit\nf:\nexit\nexit"),
        (1, CfgErrorKind::JumpToOtherFunction(3))
    );
}

#[test]
fn a_large_graph_is_drawn_in_reasonable_time_and_size() {
    // Checks that leave to one exit, and branches that join again.
    let mut source = String::new();
    for at in 0..100 {
        let _ = writeln!(source, "r0 = {at}\nif r1 > {at} goto out\nr2 += 1");
        let _ = writeln!(source, "if r2 == {at} goto l{at}\nr3 += 1\nl{at}:\nr4 += 1");
    }
    source.push_str("out:\nexit");
    let (code, cfg) = graph(&source);
    assert_eq!(cfg.functions[0].blocks.node_count(), 302);
    let picture = cfg.to_svg(&code, &Plain);
    assert_eq!(picture.matches("<rect").count(), 303);
    let size: Vec<u32> = ["width=\"", "height=\""]
        .iter()
        .map(|key| {
            let rest = picture.split_once(key).unwrap().1;
            rest.split_once('"').unwrap().0.parse().unwrap()
        })
        .collect();
    assert!(size[0] < 1_000 && size[1] < 40_000, "{size:?}");
}

#[test]
fn hostile_graphs_are_drawn_within_bounds() {
    // Every block jumps far, each to a block of its own; and loops nested as deep as there are blocks.
    let (mut far, mut deep) = (String::new(), String::new());
    for at in 0..1_500 {
        let _ = writeln!(far, "if r1 > {at} goto l{at}");
        let _ = writeln!(deep, "l{at}:\nr0 += 1");
    }
    for at in 0..1_500 {
        let _ = writeln!(far, "l{at}:\nr0 += 1");
        let _ = writeln!(deep, "if r1 > {at} goto l{}", 1_499 - at);
    }
    for source in [far, deep] {
        let (code, cfg) = graph(&(source + "exit"));
        assert!(cfg.functions[0].loops().len() <= 64);
        let size = cfg.to_svg(&code, &Plain).len();
        assert!(size < 8 << 20, "{size} bytes");
    }
}

proptest! {
    /// Any code that has a graph has consistent dominators and loops, and can be drawn.
    #[test]
    fn graphs_of_random_code_are_consistent(
        jumps in prop::collection::vec((0..4u8, -12..12i16), 1..40)
    ) {
        let mut slots: Vec<Insn> = jumps
            .into_iter()
            .map(|(kind, off)| match kind {
                0 => Insn { code: Insn::EXIT, ..Insn::default() },
                1 => Insn { code: 0x05, off, ..Insn::default() },
                2 => Insn { code: 0x15, off, ..Insn::default() },
                _ => Insn { code: 0xb7, ..Insn::default() },
            })
            .collect();
        slots.push(Insn { code: Insn::EXIT, ..Insn::default() });
        let code = Code::decode(&slots).unwrap();
        if let Ok(cfg) = Cfg::build(&code, &BTreeMap::new()) {
            let function = &cfg.functions[0];
            let dominators = function.dominators();
            let unreachable = function.unreachable();
            for block in function.blocks.node_indices() {
                prop_assert_eq!(dominators.contains(block), !unreachable.contains(&block));
            }
            for its in function.loops() {
                for latch in &its.latches {
                    prop_assert!(its.contains(*latch));
                }
                let reachable = its.blocks.iter().all(|block| dominators.contains(*block));
                if its.kind == LoopKind::Natural && reachable {
                    for block in &its.blocks {
                        prop_assert!(dominators.dominates(its.entries[0], *block));
                    }
                }
            }
            cfg.to_text(&code, &Plain);
            cfg.to_dot(&code, &Plain);
            cfg.to_svg(&code, &Plain);
        }
    }
}
