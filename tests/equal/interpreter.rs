//! One side of a pair in the interpreter.

use std::collections::BTreeMap;

use offload_compiler::interp::{
    Act, At, Clock, Event, Fault, FaultKind, Limits, Machine, MapKind, MapSpec, Redirect,
    Semantics, World, XdpInput, XdpRun,
};
use offload_compiler::isa::{Callee, Instruction, Reg};

use crate::pair::{Pair, Side, Twin};

/// What a map holds.
pub(crate) type Contents = BTreeMap<Vec<u8>, Vec<u8>>;

/// Answers that do not depend on how often they are asked for: lowering may leave out a question whose answer is not used.
pub(crate) struct Still(pub(crate) u64);

impl World for Still {
    fn time_ns(&mut self, _clock: Clock) -> u64 {
        1 << 40
    }

    fn random(&mut self) -> u32 {
        (self.0.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as u32
    }

    fn cpu(&mut self) -> u32 {
        0
    }
}

/// A machine with the side's program and empty maps; none where the interpreter does not have such maps.
pub(crate) fn machine(side: &Side) -> Option<Machine> {
    let mut machine = Machine::new(Limits::default());
    for shape in side.maps() {
        let spec = MapSpec {
            kind: MapKind::from_number(shape.kind)?,
            key_size: shape.key_size,
            value_size: shape.value_size,
            max_entries: shape.max_entries,
            flags: shape.flags,
        };
        machine.add_map(spec).ok()?;
    }
    machine.add_program(side.code.clone());
    Some(machine)
}

/// Whether user space can read a map's elements one by one.
pub(crate) fn has_elements(kind: u32) -> bool {
    use MapKind::{Array, Hash, LpmTrie, LruHash, LruPerCpuHash, PerCpuArray, PerCpuHash};
    matches!(
        MapKind::from_number(kind),
        Some(Array | Hash | LpmTrie | LruHash | LruPerCpuHash | PerCpuArray | PerCpuHash)
    )
}

/// Sets an element on the original's side, with this value or as much of it as there is room for.
pub(crate) fn set_original(machine: &mut Machine, map: usize, key: &[u8], value: &[u8]) -> bool {
    let size = machine
        .map_spec(map)
        .map_or(0, |spec| spec.value_size as usize);
    let padded = padded(machine, map, &value[..size.min(value.len())]);
    machine.update(map, key, &padded, 0).is_ok()
}

/// The same on the other side.
pub(crate) fn set_lowered(machine: &mut Machine, twin: &Twin, key: &[u8], value: &[u8]) -> bool {
    let value = twin.translated(value);
    let padded = padded(machine, twin.lowered, &value);
    machine.update(twin.lowered, key, &padded, 0).is_ok()
}

/// As user space gives it: a per-CPU value in whole words.
fn padded(machine: &Machine, map: usize, value: &[u8]) -> Vec<u8> {
    let mut value = value.to_vec();
    let kind = machine.map_spec(map).map(|spec| spec.kind);
    let per_cpu = matches!(
        kind,
        Some(MapKind::PerCpuArray | MapKind::PerCpuHash | MapKind::LruPerCpuHash)
    );
    if per_cpu {
        value.resize(value.len().next_multiple_of(8), 0);
    }
    value
}

/// What a map holds, a value with as many bytes as its map says.
pub(crate) fn contents(machine: &mut Machine, map: usize) -> Contents {
    let mut contents = Contents::new();
    let size = machine
        .map_spec(map)
        .map_or(0, |spec| spec.value_size as usize);
    let mut key = None;
    while let Ok(Some(next)) = machine.next_key(map, key.as_deref()) {
        if let Ok(Some(mut value)) = machine.lookup(map, &next) {
            value.truncate(size);
            contents.insert(next.clone(), value);
        }
        key = Some(next);
    }
    contents
}

/// Whether the maps of both sides hold the same; what differs, in words.
pub(crate) fn same_maps(
    pair: &Pair,
    mut original: impl FnMut(usize) -> Contents,
    mut lowered: impl FnMut(usize) -> Contents,
) -> Result<(), String> {
    for twin in &pair.twins {
        let shape = &pair.original.maps()[twin.original];
        if !has_elements(shape.kind) {
            continue;
        }
        let mut ours = original(twin.original);
        let mut theirs = lowered(twin.lowered);
        for value in ours.values_mut() {
            *value = twin.translated(value);
        }
        for value in theirs.values_mut() {
            *value = twin.known(value);
        }
        if ours != theirs {
            let of = |these: &Contents, those: &Contents| {
                let other = these
                    .iter()
                    .filter(|(key, value)| those.get(*key) != Some(value));
                format!("{:02x?}", other.take(2).collect::<Vec<_>>())
            };
            return Err(format!(
                "map {}:\n  original {}\n  lowered  {}",
                shape.name,
                of(&ours, &theirs),
                of(&theirs, &ours)
            ));
        }
    }
    Ok(())
}

/// Remembers keys that were looked up.
pub(crate) struct Asked<'a> {
    side: &'a Side,
    pub(crate) keys: Vec<(usize, Vec<u8>)>,
}

impl<'a> Asked<'a> {
    pub(crate) fn new(side: &'a Side) -> Self {
        Self {
            side,
            keys: Vec::new(),
        }
    }
}

impl Semantics for Asked<'_> {
    fn step(&mut self, at: &mut At<'_, '_>) -> Result<Act, FaultKind> {
        if let Instruction::Call(Callee::Helper(1)) = at.instruction()
            && self.keys.len() < 8
            && let (Some(map), Some(key)) = (at.register(Reg::R1), at.register(Reg::R2))
        {
            let map = (map & 0xff) as usize;
            if let Some(shape) = self.side.maps().get(map)
                && let Ok(key) = at.read(key, shape.key_size.into())
            {
                self.keys.push((map, key.to_vec()));
            }
        }
        Ok(Act::Leave)
    }
}

/// Runs a side on a packet.
pub(crate) fn run(
    machine: &mut Machine,
    packet: &[u8],
    seed: u64,
    asked: Option<&mut Asked<'_>>,
) -> Result<XdpRun, Fault> {
    let mut world = Still(seed);
    let input = XdpInput::new(packet);
    match asked {
        Some(asked) => machine.run_xdp_by(0, &input, &mut world, asked),
        None => machine.run_xdp(0, &input, &mut world),
    }
}

/// All that a run says, without the numbers of maps.
type Told<'a> = (u32, &'a [u8], &'a [u8], Option<String>, Vec<String>);

/// All that a run says.
pub(crate) fn told(run: &XdpRun) -> Told<'_> {
    let redirect = run.redirect.as_ref().map(|redirect| match redirect {
        Redirect::Device { ifindex } => format!("device {ifindex}"),
        Redirect::Map {
            key, value, flags, ..
        } => format!("key {key}, {value:?}, flags {flags}"),
    });
    let events = run.events.iter().map(|event| match event {
        Event::Trace(text) => text.clone(),
        Event::Perf { index, data, .. } => format!("{index}: {data:?}"),
    });
    (
        run.verdict(),
        &run.packet,
        &run.metadata,
        redirect,
        events.collect(),
    )
}
