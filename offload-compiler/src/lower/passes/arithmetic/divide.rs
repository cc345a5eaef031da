//! Divisions and remainders by what is not constant, or of more than 32 bits: a loop that shifts and subtracts, a round a
//! bit, without branches inside, so that a verifier walks one path.

use super::{Operation, truncate};
use crate::isa::{AluOp, CmpOp, Condition, Instruction, Operand, Reg, Width};
use crate::lower::passes::row::{Row, Scratch};
use crate::lower::program::{Block, End, Position, Program};
use crate::lower::run::Context;

/// Registers of the loop.
struct Registers {
    /// The divisor, and what is left of the dividend.
    divisor: Reg,
    left: Reg,
    mask: Reg,
    rounds: Reg,
    sign: Option<Reg>,
}

pub(super) fn rewrite(
    program: &mut Program,
    context: &mut Context<'_>,
    scratch: &Scratch,
    at: Position,
    operation: &Operation,
) {
    let step = program[at.block].steps[at.index];
    let Operation { width, op, dst, .. } = *operation;
    let signed = matches!(op, AluOp::SDiv | AluOp::SMod);
    let remainder = matches!(op, AluOp::Mod | AluOp::SMod);
    // What is left is doubled in 64 bits, and compared by the sign of a difference.
    let small = |(_, most): (u64, u64)| i64::try_from(most).is_ok();
    if width == Width::W64 && (signed || !small(operation.right)) {
        return;
    }
    let count = if signed { 5 } else { 4 };
    let Some(loan) = scratch.registers(at, &step.op, count) else {
        return;
    };
    if !context.permits(48) {
        return;
    }
    let registers = Registers {
        divisor: loan.registers[0],
        left: loan.registers[1],
        mask: loan.registers[2],
        rounds: loan.registers[3],
        sign: loan.registers.get(4).copied(),
    };
    let bits = if u32::try_from(operation.left.1).is_ok() || width == Width::W32 {
        32
    } else {
        64
    };
    let mut before = Row::new(step.origin);
    loan.save(&mut before);
    prepare(&mut before, operation, &registers, bits);
    let mut round = Row::new(step.origin);
    one_round(&mut round, dst, &registers, bits);
    let mut after = Row::new(step.origin);
    finish(&mut after, operation, &registers, remainder);
    loan.restore(&mut after);

    let rest = program.split(at.block, at.index);
    program[rest].steps.remove(0);
    let noted: Vec<_> = [&before, &round, &after]
        .into_iter()
        .flat_map(|row| row.steps.iter().copied())
        .collect();
    context.note(program, step.origin, &[step], &noted);
    program[at.block].steps.extend(before.steps);
    let body = program.add_block(
        at.block,
        Block {
            steps: round.steps,
            end: End::Exit,
            end_origin: step.origin,
        },
    );
    program[at.block].end = End::Jump(body);
    program[body].end = End::Branch {
        condition: Condition {
            width: Width::W64,
            op: CmpOp::Ne,
            dst: registers.rounds,
            src: Operand::Imm(0),
        },
        taken: body,
        next: rest,
    };
    program[rest].steps.splice(0..0, after.steps);
}

/// Operands as unsigned numbers, and the loop's registers.
fn prepare(row: &mut Row, operation: &Operation, registers: &Registers, bits: i32) {
    let Operation {
        width, dst, src, ..
    } = *operation;
    let Registers { divisor, mask, .. } = *registers;
    row.alu(width, AluOp::Mov, divisor, src);
    truncate(row, width, dst);
    if let Some(sign) = registers.sign {
        let shift = width.bits() as i32 - 1;
        let absolute = |row: &mut Row, number: Reg, sign: Reg| {
            row.alu(width, AluOp::Mov, sign, number)
                .alu(width, AluOp::Arsh, sign, shift)
                .alu(width, AluOp::Xor, number, sign)
                .alu(width, AluOp::Sub, number, sign);
        };
        absolute(row, divisor, mask);
        absolute(row, dst, sign);
        if operation.op == AluOp::SDiv {
            row.alu(width, AluOp::Xor, sign, mask);
        }
    }
    row.copy(registers.left, 0).copy(registers.rounds, bits);
}

/// The highest bit of the dividend goes to what is left; where the divisor fits there, it is subtracted and the quotient,
/// which takes the dividend's place, gets a 1.
fn one_round(row: &mut Row, dst: Reg, registers: &Registers, bits: i32) {
    let Registers {
        divisor,
        left,
        mask,
        rounds,
        ..
    } = *registers;
    let width = if bits == 32 { Width::W32 } else { Width::W64 };
    row.copy(mask, dst)
        .op(AluOp::Rsh, mask, bits - 1)
        .alu(width, AluOp::Lsh, dst, 1)
        .op(AluOp::Lsh, left, 1)
        .op(AluOp::Or, left, mask)
        .op(AluOp::Sub, left, divisor)
        // All ones where it did not fit.
        .copy(mask, left)
        .op(AluOp::Arsh, mask, 63)
        .op(AluOp::Add, dst, 1)
        .op(AluOp::Add, dst, mask)
        .op(AluOp::And, mask, divisor)
        .op(AluOp::Add, left, mask)
        .op(AluOp::Add, rounds, -1);
}

/// The result, with its sign; a division by 0 has the quotient 0.
fn finish(row: &mut Row, operation: &Operation, registers: &Registers, remainder: bool) {
    let Operation { width, dst, .. } = *operation;
    let Registers {
        divisor,
        left,
        mask,
        ..
    } = *registers;
    if remainder {
        row.copy(dst, left);
    } else if operation.right.0 == 0 || registers.sign.is_some() {
        row.copy(mask, divisor)
            .push(Instruction::Negate {
                width: Width::W64,
                dst: mask,
            })
            .op(AluOp::Arsh, mask, 63)
            .op(AluOp::And, dst, mask);
    }
    if let Some(sign) = registers.sign {
        row.alu(width, AluOp::Xor, dst, sign)
            .alu(width, AluOp::Sub, dst, sign);
    }
    truncate(row, width, dst);
}
