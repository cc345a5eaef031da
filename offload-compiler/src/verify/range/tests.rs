use proptest::prelude::*;

use super::*;
use crate::isa::{AluOp, CmpOp};

const WIDTHS: [Width; 2] = [Width::W32, Width::W64];
const OPS: [AluOp; 14] = [
    AluOp::Add,
    AluOp::Sub,
    AluOp::Mul,
    AluOp::Div,
    AluOp::SDiv,
    AluOp::Or,
    AluOp::And,
    AluOp::Lsh,
    AluOp::Rsh,
    AluOp::Mod,
    AluOp::SMod,
    AluOp::Xor,
    AluOp::Mov,
    AluOp::Arsh,
];
const COMPARISONS: [CmpOp; 11] = [
    CmpOp::Eq,
    CmpOp::Ne,
    CmpOp::Gt,
    CmpOp::Ge,
    CmpOp::Lt,
    CmpOp::Le,
    CmpOp::SGt,
    CmpOp::SGe,
    CmpOp::SLt,
    CmpOp::SLe,
    CmpOp::Set,
];

/// What the machine computes; shifts only with amounts that the kernel lets through.
fn concrete(op: AluOp, width: Width, x: u64, y: u64) -> u64 {
    if width == Width::W32 {
        let (a, b) = (x as u32, y as u32);
        return u64::from(match op {
            AluOp::Add => a.wrapping_add(b),
            AluOp::Sub => a.wrapping_sub(b),
            AluOp::Mul => a.wrapping_mul(b),
            AluOp::Div => a.checked_div(b).unwrap_or(0),
            AluOp::Mod => a.checked_rem(b).unwrap_or(a),
            AluOp::SDiv if b == 0 => 0,
            AluOp::SDiv => (a as i32).wrapping_div(b as i32) as u32,
            AluOp::SMod if b == 0 => a,
            AluOp::SMod => (a as i32).wrapping_rem(b as i32) as u32,
            AluOp::Or => a | b,
            AluOp::And => a & b,
            AluOp::Xor => a ^ b,
            AluOp::Mov => b,
            AluOp::Lsh => a << (b & 31),
            AluOp::Rsh => a >> (b & 31),
            AluOp::Arsh => ((a as i32) >> (b & 31)) as u32,
        });
    }
    match op {
        AluOp::Add => x.wrapping_add(y),
        AluOp::Sub => x.wrapping_sub(y),
        AluOp::Mul => x.wrapping_mul(y),
        AluOp::Div => x.checked_div(y).unwrap_or(0),
        AluOp::Mod => x.checked_rem(y).unwrap_or(x),
        AluOp::SDiv if y == 0 => 0,
        AluOp::SDiv => (x as i64).wrapping_div(y as i64) as u64,
        AluOp::SMod if y == 0 => x,
        AluOp::SMod => (x as i64).wrapping_rem(y as i64) as u64,
        AluOp::Or => x | y,
        AluOp::And => x & y,
        AluOp::Xor => x ^ y,
        AluOp::Mov => y,
        AluOp::Lsh => x << (y & 63),
        AluOp::Rsh => x >> (y & 63),
        AluOp::Arsh => ((x as i64) >> (y & 63)) as u64,
    }
}

fn compare(op: CmpOp, width: Width, x: u64, y: u64) -> bool {
    let (a, b, sa, sb) = match width {
        Width::W64 => (x, y, x as i64, y as i64),
        Width::W32 => (
            u64::from(x as u32),
            u64::from(y as u32),
            i64::from(x as i32),
            i64::from(y as i32),
        ),
    };
    match op {
        CmpOp::Eq => a == b,
        CmpOp::Ne => a != b,
        CmpOp::Gt => a > b,
        CmpOp::Ge => a >= b,
        CmpOp::Lt => a < b,
        CmpOp::Le => a <= b,
        CmpOp::SGt => sa > sb,
        CmpOp::SGe => sa >= sb,
        CmpOp::SLt => sa < sb,
        CmpOp::SLe => sa <= sb,
        CmpOp::Set => a & b != 0,
    }
}

/// Numbers near the places where bounds break.
fn number() -> impl Strategy<Value = u64> {
    prop_oneof![
        any::<u64>(),
        any::<u64>().prop_map(|x| x >> (x & 63)),
        (0usize..8, 0u64..5).prop_map(|(i, d)| {
            [
                0,
                0x7fff_ffff,
                0x8000_0000,
                0xffff_ffff,
                1 << 32,
                i64::MAX as u64,
                1 << 63,
                u64::MAX,
            ][i]
                .wrapping_add(d)
                .wrapping_sub(2)
        }),
    ]
}

/// A range with a member of it.
fn range_with_member() -> impl Strategy<Value = (Range, u64)> {
    let kind = 0..5usize;
    (number(), number(), number(), kind).prop_map(|(member, a, b, kind)| {
        let range = match kind {
            0 => Range::constant(member),
            1 => Range::between(member.min(a), member.max(b).max(member)),
            2 => {
                Range::between_signed((member as i64).min(a as i64), (member as i64).max(b as i64))
            }
            3 => Range {
                bits: Tnum {
                    value: member & !a,
                    mask: a,
                },
                ..Range::UNKNOWN
            }
            .synchronised(),
            _ => Range {
                u32: ((member as u32).min(a as u32), (member as u32).max(b as u32)),
                ..Range::UNKNOWN
            }
            .synchronised(),
        };
        (range, member)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn alu_contains_every_result((a, x) in range_with_member(), (b, y) in range_with_member(), op in 0..OPS.len(), w in 0..2usize) {
        let (op, width) = (OPS[op], WIDTHS[w]);
        prop_assert!(a.may_be(x) && b.may_be(y));
        let result = a.alu(op, width, &b);
        let exact = concrete(op, width, x, y);
        prop_assert!(result.may_be(exact), "{op:?} {width:?}\n{a:?} {x:#x}\n{b:?} {y:#x}\ngives {exact:#x}, not in\n{result:?}");
    }

    #[test]
    fn refinement_keeps_members_on_their_side((a, x) in range_with_member(), (b, y) in range_with_member(), op in 0..COMPARISONS.len(), w in 0..2usize) {
        let (op, width) = (COMPARISONS[op], WIDTHS[w]);
        let holds = compare(op, width, x, y);
        prop_assert_ne!(decide(op, width, &a, &b), Some(!holds));
        let (left, right) = refine(op, holds, width, a, b);
        prop_assert!(left.may_be(x) && right.may_be(y), "{op:?} {width:?} {holds}\n{a:?} {x:#x} -> {left:?}\n{b:?} {y:#x} -> {right:?}");
    }

    #[test]
    fn extension_contains_every_result((a, x) in range_with_member()) {
        prop_assert!(a.low_half().may_be(u64::from(x as u32)));
        prop_assert!(a.zero_extend(Size::B8).may_be(u64::from(x as u8)));
        prop_assert!(a.zero_extend(Size::B16).may_be(u64::from(x as u16)));
        prop_assert!(a.sign_extend(Size::B8, Width::W64).may_be(i64::from(x as i8) as u64));
        prop_assert!(a.sign_extend(Size::B32, Width::W64).may_be(i64::from(x as i32) as u64));
        prop_assert!(a.sign_extend(Size::B16, Width::W32).may_be(u64::from(i32::from(x as i16) as u32)));
        prop_assert!(a.negated(Width::W64).may_be(x.wrapping_neg()));
    }
}

#[test]
fn a_masked_byte_is_bounded() {
    let byte = Range::UNKNOWN.alu(AluOp::And, Width::W64, &Range::constant(0xff));
    assert_eq!(byte.u64, (0, 255));
    assert_eq!(byte.s64, (0, 255));
}

#[test]
fn a_comparison_bounds_both_sides() {
    let length = Range::between(0, 1500);
    let (left, right) = refine(CmpOp::Lt, true, Width::W64, Range::UNKNOWN, length);
    assert_eq!(left.u64, (0, 1499));
    assert_eq!(right.u64, (1, 1500));
}
