//! What every image has: the driver's entry, its exits, and the empty words after them.

use super::{
    Alu, AluOperation, Bank, Condition, Destination, EMPTY_WORDS, Emission, FIXED, Instruction,
    LoadField, Operand, PLACEHOLDER, Relocation, Shift, ShiftLogic, alu, branch, local, shift,
};

impl Emission<'_> {
    /// The driver's entry: the packet's length into B22.
    pub(super) fn entry(&mut self) {
        let length = Destination::Gpr(Bank::B, FIXED);
        self.load(length, false, 0x3fff);
        self.push(Instruction::Alu(Alu {
            destination: length,
            operation: AluOperation::And,
            left: Operand::Gpr(Bank::B, FIXED),
            right: Operand::Local(local(1, 0)),
            write_both: false,
        }));
    }

    /// The driver's two exits, and the empty words. Gives the index of the second.
    pub(super) fn end(&mut self) -> usize {
        let abort = self.pieces.len();
        let a0 = Destination::Gpr(Bank::A, 0);
        let b0 = Operand::Gpr(Bank::B, 0);
        let b2 = Destination::Gpr(Bank::B, 2);
        let move_flags = |emission: &mut Self, source| {
            emission.relocated(
                branch(Condition::Always, PLACEHOLDER, 2),
                Relocation::NextPacket,
            );
            emission.push(alu(
                a0,
                AluOperation::B,
                Operand::None,
                Operand::Immediate(0),
            ));
            emission.push(Instruction::LoadField(LoadField {
                destination: a0,
                mask: 0b1100,
                clear: false,
                source,
                shift: Shift::Left(16),
                write_both: false,
            }));
        };
        move_flags(self, Operand::Immediate(0x82));
        let out = self.pieces.len();
        self.push(alu(
            Destination::None,
            AluOperation::Subtract,
            Operand::Immediate(3),
            b0,
        ));
        self.relocated(
            branch(Condition::CarryClear, abort as u16, 0),
            Relocation::Branch,
        );
        self.load(b2, false, 0x4411_2282);
        self.push(shift(
            Destination::Gpr(Bank::A, 1),
            ShiftLogic::B,
            Operand::None,
            b0,
            Shift::Left(3),
        ));
        self.push(alu(
            Destination::None,
            AluOperation::Or,
            Operand::Gpr(Bank::A, 1),
            Operand::Immediate(0),
        ));
        self.push(shift(
            b2,
            ShiftLogic::And,
            Operand::Immediate(0xff),
            b2.into(),
            Shift::RightIndirect,
        ));
        move_flags(self, b2.into());
        for _ in 0..EMPTY_WORDS {
            self.push(Instruction::NOP);
        }
        out
    }
}
