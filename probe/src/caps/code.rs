//! Trial programs, as plain instructions (include/uapi/linux/bpf.h; RFC 9669 names the fields).

/// An instruction's eight bytes: opcode, registers, offset, constant.
pub(super) type Insn = [u8; 8];

/// `BPF_PSEUDO_MAP_FD` in the source register of `ld_imm64`.
const MAP: u8 = 1;
const LD_IMM64: u8 = 0x18;

/// Any instruction.
pub(super) const fn insn(code: u8, dst: u8, src: u8, off: i16, imm: i32) -> Insn {
    let (off, imm) = (off.to_ne_bytes(), imm.to_ne_bytes());
    // The kernel's bit fields follow the host's byte order.
    let registers = if cfg!(target_endian = "little") {
        src << 4 | dst
    } else {
        dst << 4 | src
    };
    [
        code, registers, off[0], off[1], imm[0], imm[1], imm[2], imm[3],
    ]
}

/// `dst = imm`
pub(super) const fn set(dst: u8, imm: i32) -> Insn {
    insn(0xb7, dst, 0, 0, imm)
}

/// `dst = src`
pub(super) const fn copy(dst: u8, src: u8) -> Insn {
    insn(0xbf, dst, src, 0, 0)
}

/// `dst += imm`
pub(super) const fn add(dst: u8, imm: i32) -> Insn {
    insn(0x07, dst, 0, 0, imm)
}

/// `dst = *(u64 *)(src + off)`, and narrower ones by [`size`].
pub(super) const fn load(size: u8, dst: u8, src: u8, off: i16) -> Insn {
    insn(0x61 | size, dst, src, off, 0)
}

/// `*(u64 *)(dst + off) = src`, and narrower ones.
pub(super) const fn store(size: u8, dst: u8, off: i16, src: u8) -> Insn {
    insn(0x63 | size, dst, src, off, 0)
}

/// Bits of the opcode for the width of an access.
pub(super) mod size {
    /// 4 bytes
    pub(in super::super) const W: u8 = 0x00;
    /// 2 bytes
    pub(in super::super) const H: u8 = 0x08;
    /// 1 byte
    pub(in super::super) const B: u8 = 0x10;
    /// 8 bytes
    pub(in super::super) const DW: u8 = 0x18;
}

/// `call` of a helper.
pub(super) const fn call(helper: i32) -> Insn {
    insn(0x85, 0, 0, 0, helper)
}

/// `call` of the instruction that is `distance` after the next one.
pub(super) const fn call_local(distance: i32) -> Insn {
    insn(0x85, 0, 1, 0, distance)
}

pub(super) const EXIT: Insn = insn(0x95, 0, 0, 0, 0);

/// `dst = ` the trial's map of this number: two slots.
pub(super) const fn map(dst: u8, number: i32) -> [Insn; 2] {
    [insn(LD_IMM64, dst, MAP, 0, number), insn(0, 0, 0, 0, 0)]
}

/// The program's bytes, with the map of each number replaced by its descriptor.
pub(super) fn bytes(code: &[Insn], descriptor: impl Fn(i32) -> i32) -> Vec<u8> {
    let map_of = |number| insn(LD_IMM64, 0, MAP, 0, number);
    let mut bytes = Vec::with_capacity(code.len() * 8);
    for insn in code {
        let number = i32::from_ne_bytes([insn[4], insn[5], insn[6], insn[7]]);
        let source = if cfg!(target_endian = "little") {
            insn[1] >> 4
        } else {
            insn[1] & 0xf
        };
        bytes.extend_from_slice(&insn[..4]);
        if insn[0] == map_of(0)[0] && source == MAP {
            bytes.extend(descriptor(number).to_ne_bytes());
        } else {
            bytes.extend_from_slice(&insn[4..]);
        }
    }
    bytes
}

/// Code whose last instructions are `r0 = XDP_PASS; exit`.
pub(super) fn passing(body: impl IntoIterator<Item = Insn>) -> Vec<Insn> {
    let mut code: Vec<Insn> = body.into_iter().collect();
    code.extend([set(0, 2), EXIT]);
    code
}

/// The same after a look at the packet: r1 stays the context, r2 is the packet's start, of which 64 bytes may be
/// accessed, and r0 and r5 are two of its bytes, numbers that nobody knows. A shorter packet passes.
pub(super) fn on_packet(body: impl IntoIterator<Item = Insn>) -> Vec<Insn> {
    let body: Vec<Insn> = body.into_iter().collect();
    let mut code = vec![
        load(size::W, 2, 1, 0),
        load(size::W, 3, 1, 4),
        copy(4, 2),
        add(4, 64),
        // if r4 > r3 goto the end
        insn(0x2d, 4, 3, body.len() as i16 + 2, 0),
        load(size::B, 0, 2, 12),
        load(size::B, 5, 2, 13),
    ];
    code.extend(passing(body));
    code
}

/// The same with r0 the value of the element 0 of the trial's map; where there is none, the packet passes.
pub(super) fn on_map_value(body: impl IntoIterator<Item = Insn>) -> Vec<Insn> {
    let body: Vec<Insn> = body.into_iter().collect();
    let mut code = key_of_map();
    code.extend([
        call(1),
        // if r0 == 0 goto the end
        insn(0x15, 0, 0, body.len() as i16 + 1, 0),
        set(1, 1),
    ]);
    code.extend(passing(body));
    code
}

/// r1 is the trial's map, r2 the address of a key that is 0, on the stack.
pub(super) fn key_of_map() -> Vec<Insn> {
    let [low, high] = map(1, 0);
    vec![
        set(0, 0),
        store(size::W, 10, -4, 0),
        copy(2, 10),
        add(2, -4),
        low,
        high,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shortest_program_is_the_one_that_passes() {
        let code = passing([]);
        assert_eq!(bytes(&code, |_| 0), kernel::bpf::program::PASS);
    }

    #[test]
    fn maps_become_descriptors_and_constants_stay() {
        let mut code = vec![set(0, 7)];
        code.extend(map(1, 7));
        let bytes = bytes(&code, |number| number + 100);
        let constant =
            |slot: usize| i32::from_ne_bytes(bytes[slot * 8 + 4..][..4].try_into().unwrap());
        assert_eq!([constant(0), constant(1), constant(2)], [7, 107, 0]);
    }
}
