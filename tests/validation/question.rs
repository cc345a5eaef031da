//! Can two programs differ? A formula that only a packet and map contents satisfy on which verdict, bytes or maps differ.

use std::fmt::Write as _;

use offload_compiler::lower::{Map, MapChange};

use crate::chain::Change;
use crate::encode::run;
use crate::state::MapState;
use crate::term::{byte, joined};

/// A packet's bytes at most.
pub(crate) const LONGEST: u64 = 0x0600;

const ARRAYS: [u32; 2] = [2, 6];
const HASHES: [u32; 4] = [1, 5, 9, 10];

/// Bytes of a key or a value at most, so that z3 does not take long.
const WIDEST: u32 = 64;

/// The question; none where one of the two has something that is not encoded.
pub(crate) fn question(change: &Change) -> Option<String> {
    let mut text = format!(
        "(declare-const base (_ BitVec 64))\n\
         (declare-const length (_ BitVec 64))\n\
         (declare-const packet (Array (_ BitVec 64) (_ BitVec 8)))\n\
         (declare-const context (Array (_ BitVec 64) (_ BitVec 32)))\n\
         (declare-const time (_ BitVec 64))\n\
         (declare-const random (_ BitVec 32))\n\
         (declare-const cpu (_ BitVec 32))\n\
         (declare-const room Bool)\n\
         (assert (bvule #x0000000000010000 base))\n\
         (assert (bvule base #x00000000ffff0000))\n\
         (assert (bvule #x000000000000000e length))\n\
         (assert (bvule length #x{LONGEST:016x}))\n\
         (define-fun limit () (_ BitVec 64) (bvadd base length))\n"
    );
    if let Some(interface) = change.interface {
        let field = "(select context #x000000000000000c)";
        let _ = writeln!(text, "(assert (= {field} #x{interface:08x}))");
    }
    let before: Vec<MapState> = change
        .before
        .maps
        .iter()
        .enumerate()
        .map(|(index, map)| declared(map, &format!("m{index}"), &mut text))
        .collect::<Option<_>>()?;
    let after: Vec<MapState> = change
        .after
        .maps
        .iter()
        .enumerate()
        .map(|(index, map)| match map.from {
            Some(from) => translated(map, &before[from as usize], &format!("n{index}"), &mut text),
            None => declared(map, &format!("n{index}"), &mut text),
        })
        .collect::<Option<_>>()?;
    let one = run(&change.before, before, 'a', &mut text)?;
    let other = run(&change.after, after, 'b', &mut text)?;
    let mut differences = vec![
        format!("(distinct {} {})", one.verdict, other.verdict),
        format!("(distinct {} {})", one.packet, other.packet),
    ];
    for (index, map) in change.after.maps.iter().enumerate() {
        if let Some(from) = map.from {
            let maps = (&one.maps[from as usize], &other.maps[index]);
            differences.push(difference(map, maps, &format!("k{index}"), &mut text));
        }
    }
    let _ = writeln!(text, "(assert (or {}))", differences.join(" "));
    Some(text)
}

/// A map with any contents, or those that never change.
fn declared(map: &Map, name: &str, text: &mut String) -> Option<MapState> {
    let shape = &map.shape;
    let array = ARRAYS.contains(&shape.kind);
    if !array && !HASHES.contains(&shape.kind) || shape.key_size == 0 || shape.value_size == 0 {
        return None;
    }
    if shape.key_size > WIDEST || shape.value_size > WIDEST {
        return None;
    }
    let (key, value) = (shape.key_size * 8, shape.value_size * 8);
    let state = MapState {
        values: format!("{name}v"),
        present: format!("{name}p"),
        key_bytes: shape.key_size,
        value_bytes: shape.value_size,
        elements: array.then_some(shape.max_entries),
    };
    let _ = writeln!(
        text,
        "(declare-const {name}v (Array (_ BitVec {key}) (_ BitVec {value})))\n\
         (declare-const {name}p (Array (_ BitVec {key}) Bool))"
    );
    if let Some(bytes) = shape.constant.as_ref().filter(|_| shape.max_entries == 1) {
        let bytes: Vec<String> = bytes.iter().map(|byte| format!("#x{byte:02x}")).collect();
        let first = state.value("#x00000000");
        let _ = writeln!(text, "(assert (= {first} {}))", joined(&bytes));
    }
    Some(state)
}

/// Parts of the original's value in the other: where, where there, how many bytes.
fn parts(map: &Map, original: u32) -> Vec<(u32, u32, u32)> {
    let parts = map.changes.iter().filter_map(|change| match *change {
        MapChange::Part { start, len, at } => Some((start, at, len)),
        _ => None,
    });
    let parts: Vec<_> = parts.collect();
    if parts.is_empty() {
        return vec![(0, 0, original.min(map.shape.value_size))];
    }
    parts
}

/// What a map begins with that stands for another.
fn translated(map: &Map, original: &MapState, name: &str, text: &mut String) -> Option<MapState> {
    let shape = &map.shape;
    if shape.value_size > WIDEST {
        return None;
    }
    let mut state = original.clone();
    if map
        .changes
        .iter()
        .any(|it| matches!(it, MapChange::Kind { .. }))
    {
        state.elements = ARRAYS.contains(&shape.kind).then_some(shape.max_entries);
    }
    let moved = parts(map, original.value_bytes);
    if moved == [(0, 0, shape.value_size)] && shape.value_size == original.value_bytes {
        return Some(state);
    }
    let mut bytes = vec!["#x00".to_owned(); shape.value_size as usize];
    let whole = original.value("k");
    for (start, at, len) in moved {
        for index in 0..len {
            bytes[(at + index) as usize] = byte(&whole, start + index);
        }
    }
    let (key, value) = (original.key_bytes * 8, shape.value_size * 8);
    let _ = writeln!(
        text,
        "(define-fun {name}v () (Array (_ BitVec {key}) (_ BitVec {value})) (lambda ((k (_ BitVec {key}))) {}))",
        joined(&bytes)
    );
    state.values = format!("{name}v");
    state.value_bytes = shape.value_size;
    Some(state)
}

/// Whether what the maps hold for some key differs, as user space knows it.
fn difference(
    map: &Map,
    (one, other): (&MapState, &MapState),
    key: &str,
    text: &mut String,
) -> String {
    let _ = writeln!(
        text,
        "(declare-const {key} (_ BitVec {}))",
        one.key_bytes * 8
    );
    let there = one.has(key);
    let (ours, theirs) = (one.value(key), other.value(key));
    let mut known: Vec<String> = (0..other.value_bytes).map(|at| byte(&theirs, at)).collect();
    for change in &map.changes {
        if let MapChange::Counter { word, size, at } = *change {
            let read = |from: u32| {
                let bytes: Vec<String> = (from..from + size).map(|at| byte(&theirs, at)).collect();
                joined(&bytes)
            };
            let sum = format!("(bvadd {} {})", read(word), read(at));
            for index in 0..size {
                known[(word + index) as usize] = byte(&sum, index);
            }
        }
    }
    let same: Vec<String> = parts(map, one.value_bytes)
        .into_iter()
        .map(|(start, at, len)| {
            let range = |bytes: Vec<String>| joined(&bytes);
            let ours = range((start..start + len).map(|at| byte(&ours, at)).collect());
            let theirs = range(known[at as usize..(at + len) as usize].to_vec());
            format!("(= {ours} {theirs})")
        })
        .collect();
    format!(
        "(or (distinct {there} {}) (and {there} (not (and true {}))))",
        other.has(key),
        same.join(" ")
    )
}
