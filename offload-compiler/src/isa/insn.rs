//! One eBPF instruction slot: eight bytes, uninterpreted (RFC 9669, section 3).

use std::fmt;

/// One 8-byte slot of eBPF code. A 64-bit immediate load takes two slots; the second holds only `imm`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Insn {
    /// Opcode.
    pub code: u8,
    /// Destination register, 0..=15 (the kernel accepts 0..=10).
    pub dst: u8,
    /// Source register or a pseudo code such as [`Insn::PSEUDO_MAP_FD`], 0..=15.
    pub src: u8,
    /// Signed offset: of memory accesses in bytes, of jumps in slots.
    pub off: i16,
    /// Signed immediate.
    pub imm: i32,
}

impl Insn {
    /// Bytes that a slot takes.
    pub const SIZE: usize = 8;

    /// `BPF_LD | BPF_IMM | BPF_DW`: the two-slot 64-bit immediate load.
    pub const LD_IMM64: u8 = 0x18;
    /// `BPF_JMP | BPF_CALL`.
    pub const CALL: u8 = 0x85;
    /// `BPF_JMP | BPF_EXIT`.
    pub const EXIT: u8 = 0x95;

    // Pseudo values of `src`, include/uapi/linux/bpf.h (Linux 6.12).
    /// In `ld_imm64`: `imm` is the fd of a map.
    pub const PSEUDO_MAP_FD: u8 = 1;
    /// In `ld_imm64`: `imm` is the fd of a map, the second `imm` an offset into its first value.
    pub const PSEUDO_MAP_VALUE: u8 = 2;
    /// In `ld_imm64`: `imm` is a type id of kernel BTF, the second `imm` the fd of a module's BTF or 0.
    pub const PSEUDO_BTF_ID: u8 = 3;
    /// In `ld_imm64`: `imm` is the distance to a function of this program, in slots.
    pub const PSEUDO_FUNC: u8 = 4;
    /// In `ld_imm64`: `imm` is an index into the load's array of map fds.
    pub const PSEUDO_MAP_IDX: u8 = 5;
    /// In `ld_imm64`: as [`Insn::PSEUDO_MAP_VALUE`] with an index for the fd.
    pub const PSEUDO_MAP_IDX_VALUE: u8 = 6;
    /// In a call: `imm` is the distance to a function of this program, in slots.
    pub const PSEUDO_CALL: u8 = 1;
    /// In a call: `imm` is the kernel BTF id of a kernel function, `off` an index of the fd array.
    pub const PSEUDO_KFUNC_CALL: u8 = 2;

    /// Reads a slot, little endian.
    pub const fn from_bytes(bytes: [u8; 8]) -> Self {
        Self {
            code: bytes[0],
            dst: bytes[1] & 0xf,
            src: bytes[1] >> 4,
            off: i16::from_le_bytes([bytes[2], bytes[3]]),
            imm: i32::from_le_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]),
        }
    }

    /// The slot as the kernel takes it, little endian. Registers above 15 lose their high bits.
    pub const fn to_bytes(self) -> [u8; 8] {
        let off = self.off.to_le_bytes();
        let imm = self.imm.to_le_bytes();
        [
            self.code,
            (self.dst & 0xf) | (self.src << 4),
            off[0],
            off[1],
            imm[0],
            imm[1],
            imm[2],
            imm[3],
        ]
    }

    /// Whether this slot starts a two-slot 64-bit immediate load.
    pub const fn is_ld_imm64(self) -> bool {
        self.code == Self::LD_IMM64
    }

    /// Whether this is a call of a function of the same program.
    pub const fn is_local_call(self) -> bool {
        self.code == Self::CALL && self.src == Self::PSEUDO_CALL
    }

    /// Reads whole slots; trailing bytes that make no slot are left out.
    pub fn read_all(bytes: &[u8]) -> Vec<Self> {
        let (slots, _) = bytes.as_chunks::<8>();
        slots.iter().copied().map(Self::from_bytes).collect()
    }

    /// All slots as one byte string, as `BPF_PROG_LOAD` takes it.
    pub fn write_all(insns: &[Self]) -> Vec<u8> {
        insns.iter().flat_map(|insn| insn.to_bytes()).collect()
    }
}

impl fmt::Debug for Insn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:02x} dst={} src={} off={} imm={:#x}",
            self.code, self.dst, self.src, self.off, self.imm
        )
    }
}

#[cfg(test)]
mod tests {
    use super::Insn;

    #[test]
    fn every_field_survives_a_round_trip() {
        let bytes = [0x7b, 0x1a, 0xf8, 0xff, 0x04, 0x03, 0x02, 0x81];
        let insn = Insn::from_bytes(bytes);
        assert_eq!((insn.code, insn.dst, insn.src), (0x7b, 10, 1));
        assert_eq!((insn.off, insn.imm), (-8, 0x8102_0304_u32 as i32));
        assert_eq!(insn.to_bytes(), bytes);
        assert_eq!(Insn::write_all(&Insn::read_all(&bytes)), bytes);
    }
}
