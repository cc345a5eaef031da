//! One side of a pair in the running kernel.

use std::os::fd::{AsFd, AsRawFd};

use kernel::bpf::map::{self, ANY, Map, MapKind};
use kernel::bpf::program::{ATTACH_XDP, Program, ProgramSpec, XDP};
use kernel::bpf::test_run::{TestRun, TestRunResult};
use offload_compiler::isa::{Callee, Insn, Instruction};

use crate::interpreter::Contents;
use crate::pair::Side;

/// Helpers that answer differently from call to call: the clocks, random numbers.
const RESTLESS: [i32; 6] = [5, 7, 58, 125, 160, 208];
/// `BPF_F_RDONLY_PROG`
const READ_ONLY: u32 = 1 << 7;

/// The CPU that runs the programs, and how many there may be.
#[derive(Clone, Copy)]
pub(crate) struct Cpus {
    pub(crate) this: u32,
    pub(crate) possible: u32,
}

/// A side, loaded.
pub(crate) struct OnKernel {
    program: Program,
    maps: Vec<Map>,
    sizes: Vec<usize>,
    cpus: Cpus,
}

/// Whether two runs of a side give the same.
pub(crate) fn is_restful(side: &Side) -> bool {
    !side.code.iter().any(|(_, instruction)| {
        matches!(instruction, Instruction::Call(Callee::Helper(id)) if RESTLESS.contains(id))
    })
}

impl OnKernel {
    /// Loads a side with what its maps hold at the beginning.
    ///
    /// # Errors
    /// What the kernel refuses, in its words.
    pub(crate) fn load(
        side: &Side,
        contents: &[Option<Vec<u8>>],
        cpus: Cpus,
    ) -> Result<Self, String> {
        let mut maps = Vec::new();
        for (shape, content) in side.maps().iter().zip(contents) {
            let map = Map::create(&map::MapSpec {
                name: "equal",
                kind: MapKind(shape.kind),
                key_size: shape.key_size,
                value_size: shape.value_size,
                max_entries: shape.max_entries,
                flags: shape.flags,
                ..map::MapSpec::default()
            })
            .map_err(|error| error.to_string())?;
            if let Some(content) = content {
                map.update(&0u32.to_ne_bytes(), content, ANY)
                    .map_err(|error| error.to_string())?;
                if shape.flags & READ_ONLY != 0 {
                    map.freeze().map_err(|error| error.to_string())?;
                }
            }
            maps.push(map);
        }
        let mut insns = side.program.code.clone();
        let mut second_half = false;
        for insn in &mut insns {
            let refers = matches!(insn.src, Insn::PSEUDO_MAP_FD | Insn::PSEUDO_MAP_VALUE);
            if !second_half && insn.is_ld_imm64() && refers {
                insn.imm = maps[insn.imm as usize].as_fd().as_raw_fd();
            }
            second_half = !second_half && insn.is_ld_imm64();
        }
        let bytes = Insn::write_all(&insns);
        let spec = ProgramSpec {
            name: "equal",
            kind: XDP,
            expected_attach_type: ATTACH_XDP,
            insns: &bytes,
            license: "GPL",
            ..ProgramSpec::pass(None)
        };
        let program = Program::load(&spec).map_err(|error| {
            let log = error.refusal().and_then(|it| it.verifier_log.clone());
            let log = log.unwrap_or_default();
            let end: Vec<&str> = log.lines().rev().take(4).collect();
            format!("{error}: {end:?}")
        })?;
        Ok(Self {
            program,
            maps,
            sizes: side
                .maps()
                .iter()
                .map(|map| map.value_size as usize)
                .collect(),
            cpus,
        })
    }

    /// Runs it on a packet.
    pub(crate) fn run(&self, packet: &[u8]) -> Result<TestRunResult, String> {
        let run = TestRun {
            data: packet,
            context: None,
            repeat: 1,
        };
        self.program
            .test_run(&run)
            .map_err(|error| error.to_string())
    }

    /// Whether the map has a value for each CPU.
    fn is_per_cpu(&self, map: usize) -> bool {
        self.maps[map].value_len() > self.sizes[map].next_multiple_of(8)
            || (self.cpus.possible == 1 && self.maps[map].value_len() != self.sizes[map])
    }

    /// Where this CPU's value begins.
    fn start(&self, map: usize) -> usize {
        if self.is_per_cpu(map) {
            self.cpus.this as usize * self.sizes[map].next_multiple_of(8)
        } else {
            0
        }
    }

    /// Sets an element; of a per-CPU map this CPU's value.
    pub(crate) fn set(&self, map: usize, key: &[u8], value: &[u8]) -> bool {
        let mut all = vec![0; self.maps[map].value_len()];
        let start = self.start(map);
        let size = self.sizes[map].min(value.len());
        all[start..start + size].copy_from_slice(&value[..size]);
        self.maps[map].update(key, &all, ANY).is_ok()
    }

    /// What a map holds; of a per-CPU map this CPU's values.
    pub(crate) fn contents(&self, map: usize) -> Contents {
        let start = self.start(map);
        let entries = self.maps[map].entries().filter_map(Result::ok);
        entries
            .map(|(key, value)| (key, value[start..start + self.sizes[map]].to_vec()))
            .collect()
    }
}
