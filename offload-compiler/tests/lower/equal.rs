//! The programs of the golden files before and after, on random packets: the same verdict and packet, and the same values in
//! maps that are what they were.

use std::collections::BTreeMap;

use offload_compiler::interp::{Fixed, Limits, Machine, MapKind, MapSpec, World, XdpInput, XdpRun};
use offload_compiler::isa::Code;
use offload_compiler::lower::{Allow, Lowered};
use offload_compiler::verify::MapShape;

use crate::{Case, cases, files};

/// Packets a program.
const PACKETS: u64 = 40;
const XDP_PASS: u32 = 2;
const XDP_TX: u32 = 3;
const XDP_REDIRECT: u32 = 4;

/// Bytes that follow from a few numbers.
fn bytes(seed: u64, count: usize) -> Vec<u8> {
    let mut random = Fixed::new(seed);
    let small = random.random().is_multiple_of(3);
    let byte = |random: &mut Fixed| {
        let byte = random.random();
        if small { byte % 3 } else { byte }
    };
    (0..count).map(|_| byte(&mut random) as u8).collect()
}

/// A machine with a program and its maps, in which array maps hold something.
fn machine(code: &Code, maps: &[MapShape]) -> Option<Machine> {
    let mut machine = Machine::new(Limits::default());
    machine.add_program(code.clone());
    for (index, shape) in maps.iter().enumerate() {
        let spec = MapSpec {
            kind: MapKind::from_number(shape.kind)?,
            key_size: shape.key_size,
            value_size: shape.value_size,
            max_entries: shape.max_entries,
            flags: shape.flags,
        };
        let map = machine.add_map(spec).ok()?;
        for entry in 0..shape.max_entries.min(4) {
            let seed = 100 * index as u64 + u64::from(entry);
            let value = match &shape.constant {
                Some(constant) => constant.clone(),
                None => bytes(seed, shape.value_size as usize),
            };
            let mut key = entry.to_le_bytes().to_vec();
            key.resize(shape.key_size as usize, 0);
            machine.update(map, &key, &value, 0).ok();
        }
    }
    Some(machine)
}

fn contents(machine: &mut Machine, map: usize) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut key = None;
    while let Ok(Some(next)) = machine.next_key(map, key.as_deref()) {
        let value = machine.lookup(map, &next).ok().flatten();
        found.insert(next.clone(), value.unwrap_or_default());
        key = Some(next);
    }
    found
}

/// How the lowered program differs on a packet.
fn difference(
    lowered: &Lowered,
    packet: &[u8],
    original: &XdpRun,
    run: &XdpRun,
) -> Option<&'static str> {
    let handed_up = lowered.share.is_some() && run.verdict() == XDP_PASS;
    if handed_up {
        return (run.packet != packet).then_some("a packet for the host was changed");
    }
    let sent_back = original.verdict() == XDP_REDIRECT && run.verdict() == XDP_TX;
    if original.verdict() != run.verdict() && !sent_back {
        return Some("another verdict");
    }
    (original.packet != run.packet).then_some("another packet")
}

/// Compares; gives how many packets both ran on.
fn compare(case: &Case, lowered: &Lowered) -> Result<u64, String> {
    // What read-only data holds is the loader's to fill in.
    let filled = lowered.program.maps.iter().map(|map| MapShape {
        constant: (map.from).and_then(|from| case.maps[from as usize].constant.clone()),
        ..map.shape.clone()
    });
    let filled: Vec<MapShape> = filled.collect();
    let (Some(mut theirs), Some(mut ours)) = (
        machine(&case.code, &case.maps),
        machine(&lowered.layout.code, &filled),
    ) else {
        return Ok(0);
    };
    // What only user space sees may be left out.
    let traced = case.options.allow.contains(&Allow::Trace);
    let mut compared = 0;
    for seed in 0..PACKETS {
        let packet = bytes(
            seed,
            [14, 18, 34, 60, 61, 200, 1514, 1600][seed as usize % 8],
        );
        let input = XdpInput {
            ingress_ifindex: case.options.ifindex.unwrap_or(1),
            mtu: case.options.mtu.unwrap_or(1500),
            ..XdpInput::new(&packet)
        };
        let mut worlds = [Fixed::new(seed), Fixed::new(seed)];
        let expected = theirs.run_xdp(0, &input, &mut worlds[0]);
        let found = ours.run_xdp(0, &input, &mut worlds[1]);
        let (Ok(expected), Ok(found)) = (&expected, &found) else {
            if expected.is_err() {
                // Not in the interpreter.
                return Ok(0);
            }
            return Err(format!("{packet:02x?}: {found:?}"));
        };
        if let Some(difference) = difference(lowered, &packet, expected, found) {
            return Err(format!(
                "{difference}: {packet:02x?}: {expected:?} became {found:?}"
            ));
        }
        compared += 1;
        if lowered.share.is_some() {
            continue;
        }
        for (index, map) in lowered.program.maps.iter().enumerate() {
            let Some(from) = map.from.filter(|_| map.changes.is_empty() && !traced) else {
                continue;
            };
            let before = contents(&mut theirs, from as usize);
            if before != contents(&mut ours, index) {
                return Err(format!("{packet:02x?}: map {} differs", map.shape.name));
            }
        }
    }
    Ok(compared)
}

#[test]
fn golden_programs_do_the_same_when_lowered() {
    let mut differ = Vec::new();
    let mut compared = BTreeMap::new();
    for path in files() {
        let text = std::fs::read_to_string(&path).unwrap();
        let file = path.file_stem().unwrap_or_default().display().to_string();
        for (title, source) in cases(&text) {
            let case = Case::of(&source);
            let Ok(lowered) = case.lowered() else {
                continue;
            };
            match compare(&case, &lowered) {
                Ok(packets) => *compared.entry(file.clone()).or_insert(0) += packets,
                Err(difference) => differ.push(format!("{file}, {title}: {difference}")),
            }
        }
    }
    println!("packets compared: {compared:?}");
    assert!(differ.is_empty(), "{}", differ.join("\n"));
    let nothing: Vec<_> = compared
        .iter()
        .filter(|(_, packets)| **packets == 0)
        .collect();
    assert!(nothing.is_empty(), "not compared at all: {nothing:?}");
}
