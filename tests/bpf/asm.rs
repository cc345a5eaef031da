//! Programs of a few instructions, written as the kernel reads them.

use std::os::fd::AsRawFd;

use kernel::bpf::program::{ATTACH_XDP, Program, ProgramSpec};

/// One instruction slot: opcode, destination, source, offset, immediate.
pub(crate) fn insn(code: u8, dst: u8, src: u8, off: i16, imm: i32) -> [u8; 8] {
    let registers = if cfg!(target_endian = "little") {
        src << 4 | dst
    } else {
        dst << 4 | src
    };
    let [o0, o1] = off.to_ne_bytes();
    let [i0, i1, i2, i3] = imm.to_ne_bytes();
    [code, registers, o0, o1, i0, i1, i2, i3]
}

/// `rDST = IMM`
pub(crate) fn mov(dst: u8, imm: i32) -> [u8; 8] {
    insn(0xb7, dst, 0, 0, imm)
}

/// `rDST = map`, which takes two slots.
pub(crate) fn map_address(dst: u8, map: &impl AsRawFd) -> [[u8; 8]; 2] {
    [insn(0x18, dst, 1, 0, map.as_raw_fd()), insn(0, 0, 0, 0, 0)]
}

/// `rDST = *(u32 *)(rSRC + OFF)`
pub(crate) fn load_word(dst: u8, src: u8, off: i16) -> [u8; 8] {
    insn(0x61, dst, src, off, 0)
}

pub(crate) fn call(helper: i32) -> [u8; 8] {
    insn(0x85, 0, 0, 0, helper)
}

pub(crate) fn exit() -> [u8; 8] {
    insn(0x95, 0, 0, 0, 0)
}

/// `return VERDICT`
pub(crate) fn returning(verdict: i32) -> Vec<u8> {
    [mov(0, verdict), exit()].concat()
}

/// An XDP program as loaders load it.
pub(crate) fn xdp(insns: &[u8]) -> ProgramSpec<'_> {
    ProgramSpec {
        name: "under_test",
        expected_attach_type: ATTACH_XDP,
        insns,
        license: "GPL",
        ..ProgramSpec::default()
    }
}

/// A loaded program that returns `verdict`.
pub(crate) fn loaded(verdict: i32) -> Program {
    Program::load(&xdp(&returning(verdict))).unwrap()
}
