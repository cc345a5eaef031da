//! Operands and results that are always the same number: constants take their place.

use super::constant::load_number;
use super::replace_steps;
use crate::isa::{AluOp, CmpOp, Condition, Imm64, Instruction, Operand, Width};
use crate::lower::facts::Content;
use crate::lower::program::{BlockId, End, Op, Position, Program, Step};
use crate::lower::run::{Context, Pass};

pub(super) const PASS: Pass = Pass {
    name: "known-numbers",
    allow: None,
    optimises: true,
    run,
};

fn run(program: &mut Program, context: &mut Context<'_>) {
    replace_steps(program, context, |_, context, position, step| {
        let Op::Plain(instruction) = step.op else {
            return None;
        };
        let new = result(context, position, instruction)
            .or_else(|| operand(context, position, instruction))?;
        (new != instruction).then(|| vec![Step::new(new, step.origin)])
    });
    for block in program.block_ids() {
        branch(program, context, block);
    }
}

/// The result, where it is known.
fn result(context: &Context<'_>, at: Position, instruction: Instruction) -> Option<Instruction> {
    let dst = match instruction {
        // A number may need no more than one slot.
        Instruction::LoadImm64 {
            dst,
            value: Imm64::Number(number),
        } => {
            let new = load_number(dst, number);
            return (new.slots() == 1).then_some(new);
        }
        Instruction::Alu {
            op: AluOp::Mov,
            src: Operand::Imm(_),
            ..
        }
        | Instruction::LoadImm64 { .. } => return None,
        Instruction::Alu { dst, .. }
        | Instruction::Swap { dst, .. }
        | Instruction::Negate { dst, .. }
        | Instruction::Load { dst, .. } => dst,
        _ => return None,
    };
    let after = Position {
        index: at.index + 1,
        ..at
    };
    let number = context.facts.register(after, dst).constant()?;
    let new = load_number(dst, number);
    (new.slots() == 1).then_some(new)
}

/// A register's number as an immediate of an operation of this width.
fn immediate(content: &Content, width: Width) -> Option<i32> {
    let imm = match (width, content) {
        (Width::W32, Content::Number(range)) => range.as_constant32()? as i32,
        (Width::W64, content) => i32::try_from(content.constant()? as i64).ok()?,
        _ => return None,
    };
    // Cards' drivers change the sign of constants.
    (imm != i32::MIN).then_some(imm)
}

fn operand(context: &Context<'_>, at: Position, instruction: Instruction) -> Option<Instruction> {
    let Instruction::Alu {
        width,
        op,
        dst,
        src: Operand::Reg(src),
    } = instruction
    else {
        return None;
    };
    let imm = immediate(&context.facts.register(at, src), width)?;
    if matches!(op, AluOp::Mul | AluOp::Div | AluOp::Mod) && imm < 0 {
        return None;
    }
    let most = width.bits() as i32 - 1;
    if matches!(op, AluOp::Lsh | AluOp::Rsh | AluOp::Arsh) && !(0..=most).contains(&imm) {
        return None;
    }
    Some(Instruction::Alu {
        width,
        op,
        dst,
        src: Operand::Imm(imm),
    })
}

fn branch(program: &mut Program, context: &mut Context<'_>, block: BlockId) {
    let End::Branch {
        condition,
        taken,
        next,
    } = program[block].end
    else {
        return;
    };
    let Operand::Reg(src) = condition.src else {
        return;
    };
    let at = Position {
        block,
        index: program[block].steps.len(),
    };
    let number = |reg| immediate(&context.facts.register(at, reg), condition.width);
    let new = if let Some(imm) = number(src) {
        Condition {
            src: Operand::Imm(imm),
            ..condition
        }
    } else if let Some(imm) = number(condition.dst) {
        Condition {
            op: mirrored(condition.op),
            dst: src,
            src: Operand::Imm(imm),
            ..condition
        }
    } else {
        return;
    };
    if context.permits(0) {
        context.note_text(
            program[block].end_origin,
            vec![format!("if {condition}")],
            vec![format!("if {new}")],
        );
        program[block].end = End::Branch {
            condition: new,
            taken,
            next,
        };
    }
}

/// The comparison with its sides exchanged.
fn mirrored(op: CmpOp) -> CmpOp {
    match op {
        CmpOp::Eq | CmpOp::Ne | CmpOp::Set => op,
        CmpOp::Gt => CmpOp::Lt,
        CmpOp::Ge => CmpOp::Le,
        CmpOp::Lt => CmpOp::Gt,
        CmpOp::Le => CmpOp::Ge,
        CmpOp::SGt => CmpOp::SLt,
        CmpOp::SGe => CmpOp::SLe,
        CmpOp::SLt => CmpOp::SGt,
        CmpOp::SLe => CmpOp::SGe,
    }
}
