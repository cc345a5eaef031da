//! What people are told of an instruction that the driver takes and translates wrongly.

use offload_compiler::verify::{Code, Finding};

use super::WrongCode;

impl WrongCode {
    /// A warning at an instruction.
    pub fn finding(self, slot: usize) -> Finding {
        let message = format!("the driver takes this and runs it wrongly: {}", self.text());
        Finding::warning(Code::OffloadWrongCode, slot, message)
            .knowing(format!("{} (Linux 6.12)", self.name()))
            .help(self.remedy())
    }

    /// How the same can be written so that the driver's words do it.
    pub fn remedy(self) -> &'static str {
        match self {
            WrongCode::LeastConstant => {
                "use another constant, such as x > -0x80000001LL for x >= -0x80000000LL"
            }
            WrongCode::SignIgnored => {
                "build with -mcpu=v3, which has neither signed division nor sign extension"
            }
            WrongCode::DivisionShift => {
                "divide by a power of two with >>, or compute (x * (__u64)reciprocal) >> 32"
            }
            WrongCode::DivisionUpper | WrongCode::MultiplicationUpper => "compute it in __u64",
            WrongCode::ShiftSign => "mask the amount: x >> (n & 31), or n & 63",
            WrongCode::ShiftBySelf => "copy the amount to another variable first",
            WrongCode::ShiftRange => "mask the amount: n & 63",
            WrongCode::CopyRegister => {
                "do not use the last loaded value after the copy: load it again"
            }
            WrongCode::CopyMerged => "copy in one direction only",
            WrongCode::WalkedRange => "give the amount or factor as a constant",
            WrongCode::MapBefore => "keep the pointer at the value's start and add to it",
            WrongCode::CallerStack => {
                "use 4 byte fields at multiples of 4, or make the function __always_inline"
            }
            WrongCode::HeadUnchecked => "compare the packet's length before bpf_xdp_adjust_head()",
            WrongCode::AdjustLimits => {
                "move the head by a constant that the card can always do; do not rely on where the call fails"
            }
        }
    }
}
