//! What the NFP's driver shows of the card, beside its decisions: the control registers, and its machine code.

/// Offsets in the control BAR (Linux 6.12, drivers/net/ethernet/netronome/nfp/nfp_net_ctrl.h, `NFP_NET_CFG_BPF_*`),
/// which `ethtool -d` shows (`nfp_net_get_regs`).
mod at {
    pub(super) const ABI: usize = 0x80;
    pub(super) const MAX_LEN: usize = 0x82;
    pub(super) const START: usize = 0x84;
    pub(super) const DONE: usize = 0x86;
    pub(super) const STACK_SZ: usize = 0x88;
    pub(super) const INL_MTU: usize = 0x89;
}

/// The registers about BPF.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Registers {
    /// Version of the interface between driver and firmware.
    pub(super) abi: u8,
    /// Words of a program.
    pub(super) code_words: u16,
    /// Where programs are loaded.
    pub(super) start: u16,
    /// Where they go when they are done.
    pub(super) next_packet: u16,
    /// Bytes of stack.
    pub(super) stack_bytes: u32,
    /// Bytes of a packet that the card keeps near: `nfp_net_bpf_load` takes 32 off.
    pub(super) packet_bytes: u32,
}

impl Registers {
    /// Reads them; `None` where the dump ends before.
    pub(super) fn read(dump: &[u8]) -> Option<Self> {
        // The driver dumps them as numbers of four bytes in the host's order; the fields are little-endian.
        let dump: Vec<u8> = dump
            .as_chunks::<4>()
            .0
            .iter()
            .flat_map(|word| u32::from_ne_bytes(*word).to_le_bytes())
            .collect();
        let byte = |at: usize| dump.get(at).copied();
        let half = |at: usize| Some(u16::from_le_bytes([byte(at)?, byte(at + 1)?]));
        Some(Self {
            abi: byte(at::ABI)?,
            code_words: half(at::MAX_LEN)?,
            start: half(at::START)?,
            next_packet: half(at::DONE)?,
            stack_bytes: u32::from(byte(at::STACK_SZ)?) * 64,
            packet_bytes: (u32::from(byte(at::INL_MTU)?) * 64).saturating_sub(32),
        })
    }
}

/// Lowest and highest offset of the packet in its buffer, which the code of a checked `bpf_xdp_adjust_head` compares
/// with: among constants of arithmetic words, each before a branch, the two before the 14 of an Ethernet header.
pub(super) fn adjust_head_limits(code: &[u64]) -> Option<(u8, u8)> {
    /// Bits 39..35: the instruction's class; of arithmetic the two upper ones are the class, too.
    const ALU: u64 = 0b10100;
    const ALU_MASK: u64 = 0b11100;
    const BRANCH: u64 = 0b11011;
    const ETHERNET_HEADER: u8 = 14;
    let class = |word: u64| word >> 35 & 0x1f;
    // An operand of ten bits is a number where its upper two are set: the right one at bit 10, or the left one at 0.
    let constant = |word: u64| {
        let number = |operand: u64| (operand >> 8 & 0b11 == 0b11).then_some(operand as u8);
        let is_alu = class(word) & ALU_MASK == ALU;
        let number = number(word >> 10).or_else(|| number(word));
        number.filter(|_| is_alu)
    };
    let compared: Vec<u8> = code
        .windows(2)
        .filter(|pair| class(pair[1]) == BRANCH)
        .filter_map(|pair| constant(pair[0]))
        .collect();
    let mut places = compared.windows(3);
    let found = places.find(|three| three[2] == ETHERNET_HEADER && three[0] <= three[1])?;
    Some((found[0], found[1]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dump() -> Vec<u8> {
        let mut bytes = [0; 0x90];
        bytes[at::ABI] = 3;
        bytes[at::MAX_LEN..][..2].copy_from_slice(&8192u16.to_le_bytes());
        bytes[at::START..][..2].copy_from_slice(&2048u16.to_le_bytes());
        bytes[at::DONE..][..2].copy_from_slice(&100u16.to_le_bytes());
        bytes[at::STACK_SZ] = 8;
        bytes[at::INL_MTU] = 32;
        let host = |word: &[u8; 4]| u32::from_le_bytes(*word).to_ne_bytes();
        bytes.as_chunks::<4>().0.iter().flat_map(host).collect()
    }

    #[test]
    fn registers_are_read_where_the_driver_has_them() {
        let read = Registers::read(&dump()).unwrap();
        let expected = Registers {
            abi: 3,
            code_words: 8192,
            start: 2048,
            next_packet: 100,
            stack_bytes: 512,
            packet_bytes: 2016,
        };
        assert_eq!(read, expected);
    }

    #[test]
    fn a_dump_that_ends_early_tells_nothing() {
        assert_eq!(Registers::read(&dump()[..0x88]), None);
        assert_eq!(Registers::read(&[]), None);
    }

    /// What Linux 6.12 makes of `bpf_xdp_adjust_head` by an unknown number, for a card with room from 32 to 248.
    const CHECKED: [u64; 9] = [
        0x0000_00a2_8158_8804,
        0x0000_00aa_b00c_8015,
        0x0100_00d8_0840_8125,
        0x0000_00aa_f00f_e015,
        0x0100_00d8_0840_8125,
        0x0000_00ba_c150_5804,
        0x0000_00aa_f000_570e,
        0x0100_00d8_0840_8122,
        0x0000_02f0_000c_0000,
    ];

    #[test]
    fn the_limits_of_adjust_head_stand_in_its_machine_code() {
        assert_eq!(adjust_head_limits(&CHECKED), Some((32, 248)));
        assert_eq!(adjust_head_limits(&CHECKED[..6]), None);
    }

    #[test]
    fn code_without_the_checks_tells_no_limits() {
        assert_eq!(adjust_head_limits(&[]), None);
        assert_eq!(adjust_head_limits(&[u64::MAX; 40]), None);
    }
}
