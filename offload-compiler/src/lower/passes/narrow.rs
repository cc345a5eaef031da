//! 64-bit operations on numbers that fit 32 bits, in 32 bits: half the work on a 32-bit card.

use super::replace_steps;
use crate::isa::{AluOp, CmpOp, Condition, Instruction, Operand, Reg, Width};
use crate::lower::facts::Content;
use crate::lower::program::{BlockId, End, Op, Position, Program, Step};
use crate::lower::run::{Context, Pass};

pub(super) const PASS: Pass = Pass {
    name: "narrow",
    allow: None,
    optimises: true,
    run,
};

const MOST: u64 = u32::MAX as u64;

fn run(program: &mut Program, context: &mut Context<'_>) {
    replace_steps(program, context, |_, context, position, step| {
        let Op::Plain(Instruction::Alu {
            width: Width::W64,
            op,
            dst,
            src,
        }) = step.op
        else {
            return None;
        };
        let left = bounds(context, position, dst)?;
        let right = match src {
            Operand::Imm(imm) => (i64::from(imm) as u64, i64::from(imm) as u64),
            Operand::Reg(src) => bounds(context, position, src)?,
        };
        same_in_32_bits(op, src, left, right).then(|| {
            let narrow = Instruction::Alu {
                width: Width::W32,
                op,
                dst,
                src,
            };
            vec![Step::new(narrow, step.origin)]
        })
    });
    for block in program.block_ids() {
        branch(program, context, block);
    }
}

fn bounds(context: &Context<'_>, at: Position, reg: Reg) -> Option<(u64, u64)> {
    match context.facts.register(at, reg) {
        Content::Number(range) if range.u64.1 <= MOST => Some(range.u64),
        _ => None,
    }
}

/// Whether the whole result is that of the lower halves. An immediate in 64 bits is sign-extended.
fn same_in_32_bits(op: AluOp, src: Operand, left: (u64, u64), right: (u64, u64)) -> bool {
    let constant = matches!(src, Operand::Imm(_));
    match op {
        AluOp::Add if constant && right.0 > MOST => {
            // A negative constant.
            left.0 >= right.0.wrapping_neg()
        }
        AluOp::Add => left.1 + right.1 <= MOST,
        AluOp::Sub => right.1 <= left.0,
        AluOp::And => right.1 <= MOST,
        // A constant leaves the upper half alone as it is.
        AluOp::Or | AluOp::Xor => !constant,
        AluOp::Lsh => constant && right.1 < 32 && left.1 << right.1 <= MOST,
        AluOp::Rsh => constant && right.1 < 32,
        _ => false,
    }
}

fn branch(program: &mut Program, context: &mut Context<'_>, block: BlockId) {
    let at = Position {
        block,
        index: program[block].steps.len(),
    };
    let End::Branch {
        condition,
        taken,
        next,
    } = program[block].end
    else {
        return;
    };
    let right = match condition.src {
        Operand::Imm(imm) => imm >= 0,
        Operand::Reg(src) => bounds(context, at, src).is_some(),
    };
    if condition.width == Width::W32
        || !right
        || bounds(context, at, condition.dst).is_none()
        || !context.permits(0)
    {
        return;
    }
    let new = Condition {
        width: Width::W32,
        op: unsigned(condition.op),
        ..condition
    };
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

/// Numbers of 32 bits are not negative in 64.
fn unsigned(op: CmpOp) -> CmpOp {
    match op {
        CmpOp::SGt => CmpOp::Gt,
        CmpOp::SGe => CmpOp::Ge,
        CmpOp::SLt => CmpOp::Lt,
        CmpOp::SLe => CmpOp::Le,
        op => op,
    }
}
