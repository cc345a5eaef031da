//! A program on the running kernel.

use std::os::fd::{AsFd, AsRawFd};

use kernel::bpf::map::{ANY, Map, MapKind, MapSpec};
use kernel::bpf::program::{Program, ProgramSpec, XDP};
use kernel::bpf::test_run::{TestRun, TestRunResult};
use offload_compiler::isa::Insn;
use offload_compiler::verify::MapShape;
use tests::nfp::{Element, Unlinked};

const HASH: u32 = 1;
const ARRAY: u32 = 2;
/// More elements take long to list.
const MOST_ELEMENTS: u32 = 1024;

/// Whether what is in a map can be compared: plain ones of moderate size.
pub(crate) fn is_comparable(map: &MapShape) -> bool {
    matches!(map.kind, HASH | ARRAY) && map.flags == 0 && map.max_entries <= MOST_ELEMENTS
}

/// A program with its maps.
pub(crate) struct OnKernel {
    maps: Vec<Map>,
    program: Program,
}

impl OnKernel {
    /// Loads a program, its maps filled with these elements.
    ///
    /// # Errors
    /// The kernel refuses it.
    pub(crate) fn load(ebpf: &Unlinked, elements: &[Element]) -> Result<Self, String> {
        let create = |map: &MapShape| {
            Map::create(&MapSpec {
                name: "nfp_code",
                kind: MapKind(map.kind),
                key_size: map.key_size,
                value_size: map.value_size,
                max_entries: map.max_entries,
                ..MapSpec::default()
            })
        };
        let maps: Result<Vec<Map>, _> = ebpf.maps.iter().map(create).collect();
        let maps = maps.map_err(|error| error.to_string())?;
        for (map, key, value) in elements {
            maps[*map]
                .update(key, value, ANY)
                .map_err(|error| error.to_string())?;
        }
        let mut insns = ebpf.code.encode();
        let mut second_half = false;
        for insn in &mut insns {
            if !second_half && insn.is_ld_imm64() && insn.src == Insn::PSEUDO_MAP_FD {
                insn.imm = maps[insn.imm as usize].as_fd().as_raw_fd();
            }
            second_half = !second_half && insn.is_ld_imm64();
        }
        let program = Program::load(&ProgramSpec {
            name: "nfp_code",
            kind: XDP,
            insns: &Insn::write_all(&insns),
            license: "GPL",
            ..ProgramSpec::pass(None)
        })
        .map_err(|error| error.to_string())?;
        Ok(Self { maps, program })
    }

    /// Sets an element where there is room for it.
    pub(crate) fn set(&self, map: usize, key: &[u8], value: &[u8]) {
        self.maps[map].update(key, value, ANY).ok();
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
            .map_err(|error| format!("the kernel's run: {error}"))
    }

    /// What the maps hold; of arrays what is not 0, as the interpreter's are told.
    pub(crate) fn contents(&self) -> Vec<Element> {
        let mut all = Vec::new();
        for (number, map) in self.maps.iter().enumerate() {
            for entry in map.entries() {
                let (key, value) = entry.expect("the kernel gives the map's entries");
                if map.kind().0 != ARRAY || value.iter().any(|byte| *byte != 0) {
                    all.push((number, key, value));
                }
            }
        }
        all.sort();
        all
    }
}
