//! What arithmetic instructions and comparisons compute (RFC 9669 sections 4.1 to 4.3), on values alone.

use crate::isa::{AluOp, CmpOp, Size, Swap, Width};

/// `dst OP src`. At 32 bits only the lower halves count and the result's upper half is zero.
pub fn alu(op: AluOp, width: Width, dst: u64, src: u64) -> u64 {
    match width {
        Width::W64 => alu64(op, dst, src),
        Width::W32 => u64::from(alu32(op, dst as u32, src as u32)),
    }
}

fn alu64(op: AluOp, dst: u64, src: u64) -> u64 {
    match op {
        AluOp::Add => dst.wrapping_add(src),
        AluOp::Sub => dst.wrapping_sub(src),
        AluOp::Mul => dst.wrapping_mul(src),
        AluOp::Div => dst.checked_div(src).unwrap_or(0),
        AluOp::SDiv if src == 0 => 0,
        AluOp::SDiv => (dst as i64).wrapping_div(src as i64) as u64,
        AluOp::Or => dst | src,
        AluOp::And => dst & src,
        AluOp::Lsh => dst.wrapping_shl(src as u32),
        AluOp::Rsh => dst.wrapping_shr(src as u32),
        AluOp::Mod => dst.checked_rem(src).unwrap_or(dst),
        AluOp::SMod if src == 0 => dst,
        AluOp::SMod => (dst as i64).wrapping_rem(src as i64) as u64,
        AluOp::Xor => dst ^ src,
        AluOp::Mov => src,
        AluOp::Arsh => (dst as i64).wrapping_shr(src as u32) as u64,
    }
}

fn alu32(op: AluOp, dst: u32, src: u32) -> u32 {
    match op {
        AluOp::Add => dst.wrapping_add(src),
        AluOp::Sub => dst.wrapping_sub(src),
        AluOp::Mul => dst.wrapping_mul(src),
        AluOp::Div => dst.checked_div(src).unwrap_or(0),
        AluOp::SDiv if src == 0 => 0,
        AluOp::SDiv => (dst as i32).wrapping_div(src as i32) as u32,
        AluOp::Or => dst | src,
        AluOp::And => dst & src,
        AluOp::Lsh => dst.wrapping_shl(src),
        AluOp::Rsh => dst.wrapping_shr(src),
        AluOp::Mod => dst.checked_rem(src).unwrap_or(dst),
        AluOp::SMod if src == 0 => dst,
        AluOp::SMod => (dst as i32).wrapping_rem(src as i32) as u32,
        AluOp::Xor => dst ^ src,
        AluOp::Mov => src,
        AluOp::Arsh => (dst as i32).wrapping_shr(src) as u32,
    }
}

/// `-value`
pub fn negate(width: Width, value: u64) -> u64 {
    alu(AluOp::Sub, width, 0, value)
}

/// The lower `size` of a value, sign-extended to the width and zero-extended to 64 bits.
pub fn sign_extend(value: u64, size: Size, width: Width) -> u64 {
    let unused = 64 - size.bits();
    let extended = ((value << unused) as i64 >> unused) as u64;
    alu(AluOp::Mov, width, 0, extended)
}

/// A byte swap on a little-endian host.
pub fn swap(swap: Swap, size: Size, value: u64) -> u64 {
    let unused = 64 - size.bits();
    match swap {
        Swap::ToLittle => value << unused >> unused,
        Swap::ToBig | Swap::Always => value.swap_bytes() >> unused,
    }
}

/// Whether `dst OP src` holds. At 32 bits only the lower halves count.
pub fn compare(op: CmpOp, width: Width, dst: u64, src: u64) -> bool {
    let (dst, src) = match width {
        Width::W64 => (dst, src),
        // Sign extension keeps both the signed and the unsigned order of the halves.
        Width::W32 => (i64::from(dst as i32) as u64, i64::from(src as i32) as u64),
    };
    let (signed_dst, signed_src) = (dst as i64, src as i64);
    match op {
        CmpOp::Eq => dst == src,
        CmpOp::Ne => dst != src,
        CmpOp::Gt => dst > src,
        CmpOp::Ge => dst >= src,
        CmpOp::Lt => dst < src,
        CmpOp::Le => dst <= src,
        CmpOp::SGt => signed_dst > signed_src,
        CmpOp::SGe => signed_dst >= signed_src,
        CmpOp::SLt => signed_dst < signed_src,
        CmpOp::SLe => signed_dst <= signed_src,
        CmpOp::Set => dst & src != 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn division_never_traps() {
        let least = i64::MIN as u64;
        let minus_one = u64::MAX;
        assert_eq!(alu(AluOp::Div, Width::W64, 7, 0), 0);
        assert_eq!(alu(AluOp::Mod, Width::W64, 7, 0), 7);
        assert_eq!(alu(AluOp::SDiv, Width::W64, least, minus_one), least);
        assert_eq!(alu(AluOp::SMod, Width::W64, least, minus_one), 0);
        assert_eq!(
            alu(AluOp::SDiv, Width::W32, 0xffff_ffff_8000_0000, minus_one),
            0x8000_0000
        );
        assert_eq!(alu(AluOp::Mod, Width::W32, 0x5_0000_0007, 0x9_0000_0000), 7);
    }

    #[test]
    fn shifts_count_modulo_the_width() {
        assert_eq!(alu(AluOp::Lsh, Width::W64, 1, 65), 2);
        assert_eq!(alu(AluOp::Lsh, Width::W32, 1, 33), 2);
        assert_eq!(alu(AluOp::Arsh, Width::W32, 0x8000_0000, 4), 0xf800_0000);
    }

    #[test]
    fn the_set_test_of_halves_ignores_the_upper_half() {
        assert!(!compare(CmpOp::Set, Width::W32, 1 << 40, 1 << 40));
        // Sign extension sets upper bits only where bit 31 is set in both.
        assert!(!compare(CmpOp::Set, Width::W32, 0x8000_0000, 0x7fff_ffff));
        assert!(compare(CmpOp::Set, Width::W32, 0x8000_0000, 0x8000_0000));
    }

    #[test]
    fn swaps_truncate_to_their_size() {
        assert_eq!(swap(Swap::ToBig, Size::B16, 0xaabb_1122), 0x2211);
        assert_eq!(swap(Swap::ToLittle, Size::B32, 0xff_8877_6655), 0x8877_6655);
        assert_eq!(swap(Swap::Always, Size::B64, 1), 1 << 56);
        assert_eq!(sign_extend(0x80, Size::B8, Width::W32), 0xffff_ff80);
        assert_eq!(
            sign_extend(0x80, Size::B8, Width::W64),
            0xffff_ffff_ffff_ff80
        );
    }
}
