//! Where the kernel driver's translation does something else than the program, and what it does (Linux 6.12,
//! drivers/net/ethernet/netronome/nfp/bpf/jit.c).
//!
//! [`DriverModel`] is the interpreter with these rules and no others: its runs agree with runs of the driver's words in
//! `sim` (`tests/simulator.rs`). [`detect`] names the instructions of a program that the rules may touch.

mod copies;
mod detect;
mod divide;
mod facts;
mod model;
mod shift;
mod stack;
mod upper;
mod warning;

use offload_compiler::isa::{CmpOp, Condition, Operand, Width};

pub use detect::{detect, doubts};
pub use model::DriverModel;

/// A way in which the driver's words differ from the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WrongCode {
    /// An addition, subtraction or comparison (>=, <, signed or not) of 64 bits, or a signed one of 32, with the
    /// constant -0x80000000: its sign is changed, which it cannot be, and the constant becomes +0x80000000.
    LeastConstant,
    /// A move with sign extension is a plain move, a signed division an unsigned one: the driver looks at the opcode
    /// only.
    SignIgnored,
    /// A division (by 1, 28, 56, 641, ...) whose last word would shift by 0: that shifts by the word before.
    DivisionShift,
    /// A 32 bit division leaves the upper half as it was.
    DivisionUpper,
    /// A 32 bit multiplication of numbers below 65536 leaves the upper half as it was.
    MultiplicationUpper,
    /// An arithmetic shift by a register takes its sign from amount or value: wrong where the amount has bit 31.
    ShiftSign,
    /// A 64 bit right shift of a register by itself: the amount is overwritten half way.
    ShiftBySelf,
    /// A 64 bit shift by a register that is never below 32: 64 to 95 count as 32 to 63.
    ShiftRange,
    /// Loads and stores that became one copy leave the wrong part of it in the register.
    CopyRegister,
    /// Loads and stores up and down that became one copy: it is longer than they are.
    CopyMerged,
    /// A shift by what is constant on the paths that the verifier walked, an addition or multiplication of what is
    /// below 65536 on them: other paths, which the verifier found covered, have other numbers.
    WalkedRange,
    /// A load from before the place that a map value's pointer points to: the address is 4 GiB too high.
    MapBefore,
    /// One or two bytes through a pointer to a caller's stack: from the wrong place, or not written at all.
    CallerStack,
    /// `bpf_xdp_adjust_head` by a small constant does not check the packet's length.
    HeadUnchecked,
    /// `bpf_xdp_adjust_head` and `_tail` have the card's limits, not the kernel's; a tail cannot grow.
    AdjustLimits,
}

impl WrongCode {
    /// All of them.
    pub const ALL: [WrongCode; 15] = [
        WrongCode::LeastConstant,
        WrongCode::SignIgnored,
        WrongCode::DivisionShift,
        WrongCode::DivisionUpper,
        WrongCode::MultiplicationUpper,
        WrongCode::ShiftSign,
        WrongCode::ShiftBySelf,
        WrongCode::ShiftRange,
        WrongCode::CopyRegister,
        WrongCode::CopyMerged,
        WrongCode::WalkedRange,
        WrongCode::MapBefore,
        WrongCode::CallerStack,
        WrongCode::HeadUnchecked,
        WrongCode::AdjustLimits,
    ];
}

impl WrongCode {
    /// A word for it: of messages and files.
    pub fn name(self) -> &'static str {
        match self {
            WrongCode::LeastConstant => "least-constant",
            WrongCode::SignIgnored => "sign-ignored",
            WrongCode::DivisionShift => "division-shift",
            WrongCode::DivisionUpper => "division-upper",
            WrongCode::MultiplicationUpper => "multiplication-upper",
            WrongCode::ShiftSign => "shift-sign",
            WrongCode::ShiftBySelf => "shift-by-self",
            WrongCode::ShiftRange => "shift-range",
            WrongCode::CopyRegister => "copy-register",
            WrongCode::CopyMerged => "copy-merged",
            WrongCode::WalkedRange => "walked-range",
            WrongCode::MapBefore => "map-before",
            WrongCode::CallerStack => "caller-stack",
            WrongCode::HeadUnchecked => "head-unchecked",
            WrongCode::AdjustLimits => "adjust-limits",
        }
    }

    /// What the driver's words do there.
    pub fn text(self) -> &'static str {
        match self {
            WrongCode::LeastConstant => "the constant -0x80000000 becomes +0x80000000",
            WrongCode::SignIgnored => "the sign is ignored",
            WrongCode::DivisionShift => "the quotient is shifted by what another word left",
            WrongCode::DivisionUpper | WrongCode::MultiplicationUpper => {
                "the upper half of the register is not cleared"
            }
            WrongCode::ShiftSign => "an amount with bit 31 counts as the value's sign",
            WrongCode::ShiftBySelf => "the upper half is shifted by the lower half's result",
            WrongCode::ShiftRange => "amounts from 64 to 95 count as 32 to 63",
            WrongCode::CopyRegister => "the register is left with another part of the copy",
            WrongCode::CopyMerged => "the copy is longer than its loads and stores",
            WrongCode::WalkedRange => "a path that the verifier did not walk has other numbers",
            WrongCode::MapBefore => "the address is 4 GiB too high",
            WrongCode::CallerStack => "other bytes are read, or none are written",
            WrongCode::HeadUnchecked => "the packet's length is not checked",
            WrongCode::AdjustLimits => "the card's limits hold, not the kernel's",
        }
    }

    /// Whether the driver changes the sign of a comparison's constant that has no opposite.
    fn negates(condition: &Condition) -> bool {
        let signed = matches!(condition.op, CmpOp::SGe | CmpOp::SLt);
        let unsigned = matches!(condition.op, CmpOp::Ge | CmpOp::Lt);
        condition.src == Operand::Imm(i32::MIN)
            && (signed || unsigned && condition.width == Width::W64)
    }
}
