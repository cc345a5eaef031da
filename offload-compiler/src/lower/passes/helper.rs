//! Helpers whose result follows from the packet and memory alone, computed in place: `bpf_xdp_get_buff_len`,
//! `bpf_csum_diff` of known sizes, `bpf_xdp_load_bytes` and `bpf_xdp_store_bytes` of a known length.
//!
//! A card has a packet in one piece: what the helpers of multi-buffer programs reach is what lies between `data` and
//! `data_end`.

use super::row::Row;
use crate::isa::{
    AluOp, Callee, CmpOp, Condition, Instruction, Operand, Reg, Size, Width, functions,
};
use crate::lower::facts::Content;
use crate::lower::program::{Block, BlockId, End, Op, Position, Program, Step};
use crate::lower::run::{Context, Pass};
use crate::verify::Place;

pub(super) const PASS: Pass = Pass {
    name: "pure-helpers",
    allow: None,
    optimises: false,
    run,
};

/// Bytes that are copied or summed at most.
const MOST: u64 = 128;
const EINVAL: i32 = -22;
const EFAULT: i32 = -14;
/// Highest offset that `bpf_xdp_load_bytes` takes.
const FAR: u64 = 0xffff;

fn run(program: &mut Program, context: &mut Context<'_>) {
    for block in program.block_ids() {
        // From the end: what is before keeps its position where the block is divided.
        for index in (0..program[block].steps.len()).rev() {
            let position = Position { block, index };
            let step = program[block].steps[index];
            let Op::Plain(Instruction::Call(Callee::Helper(id))) = step.op else {
                continue;
            };
            match functions::name(id).unwrap_or_default() {
                name if (context.forms.helper)(id) && !name.is_empty() => {}
                "bpf_xdp_get_buff_len" => {
                    let mut row = Row::new(step.origin);
                    row.load(Size::B32, Reg::R0, Reg::R1, 4)
                        .load(Size::B32, Reg::R1, Reg::R1, 0)
                        .op(AluOp::Sub, Reg::R0, Reg::R1);
                    replace(program, context, position, row.steps);
                }
                "bpf_csum_diff" => {
                    if let Some(row) = checksum(context, position, &step) {
                        replace(program, context, position, row);
                    }
                }
                "bpf_xdp_load_bytes" => transfer(program, context, position, true),
                "bpf_xdp_store_bytes" => transfer(program, context, position, false),
                _ => {}
            }
        }
    }
}

fn replace(program: &mut Program, context: &mut Context<'_>, at: Position, row: Vec<Step>) {
    if context.permits(row.len()) {
        let step = program[at.block].steps[at.index];
        context.note(program, step.origin, &[step], &row);
        program[at.block].steps.splice(at.index..=at.index, row);
    }
}

/// The number that a register always holds, as an unsigned one of 32 bits.
fn size(context: &Context<'_>, at: Position, reg: Reg) -> Option<u64> {
    let size = context.facts.register(at, reg).range().as_constant32()?;
    (u64::from(size) <= MOST).then_some(size.into())
}

/// In what sizes memory can be accessed from where a register points to: on the stack, only aligned.
fn unit(context: &Context<'_>, at: Position, reg: Reg) -> Option<u64> {
    let content = context.facts.register(at, reg);
    match content {
        Content::Address {
            place: Place::Packet | Place::MapValue(_),
            nullable: false,
            ..
        } => Some(4),
        Content::Address {
            place: Place::Stack(_),
            ..
        } => {
            let distance = content.distance()?;
            Some(1 << distance.trailing_zeros().min(2))
        }
        _ => None,
    }
}

/// Adds the little-endian words of memory to r0, by way of r2.
fn sum(row: &mut Row, base: Reg, bytes: u64) {
    for at in (0..bytes).step_by(4) {
        row.load(Size::B32, Reg::R2, base, at as i16)
            .op(AluOp::Add, Reg::R0, Reg::R2);
    }
}

/// Adds what is above the low bits of r0 to them, by way of r2.
fn fold(row: &mut Row, bits: i32) {
    row.copy(Reg::R2, Reg::R0).op(AluOp::Rsh, Reg::R2, bits);
    if bits == 32 {
        row.copy32(Reg::R0, Reg::R0);
    } else {
        row.op(AluOp::And, Reg::R0, (1 << bits) - 1);
    }
    row.op(AluOp::Add, Reg::R0, Reg::R2);
}

/// `bpf_csum_diff`, as it is since Linux 6.13: folded to 16 bits. Sums are 0 only where all summands are, as theirs.
fn checksum(context: &Context<'_>, at: Position, step: &Step) -> Option<Vec<Step>> {
    let (from, to) = (size(context, at, Reg::R2)?, size(context, at, Reg::R4)?);
    if from % 4 != 0 || to % 4 != 0 {
        return None;
    }
    for (reg, bytes) in [(Reg::R1, from), (Reg::R3, to)] {
        if bytes != 0 && unit(context, at, reg)? != 4 {
            return None;
        }
    }
    let mut row = Row::new(step.origin);
    if from == 0 {
        row.copy32(Reg::R0, Reg::R5);
    } else {
        row.copy32(Reg::R0, 0);
        if to == 0 {
            row.copy32(Reg::R0, Reg::R5)
                .alu(Width::W32, AluOp::Xor, Reg::R0, -1);
        }
        sum(&mut row, Reg::R1, from);
        fold(&mut row, 32);
        fold(&mut row, 32);
        row.alu(Width::W32, AluOp::Xor, Reg::R0, -1);
        if to != 0 {
            row.copy32(Reg::R5, Reg::R5)
                .op(AluOp::Add, Reg::R0, Reg::R5);
        }
    }
    sum(&mut row, Reg::R3, to);
    fold(&mut row, 32);
    for _ in 0..3 {
        fold(&mut row, 16);
    }
    Some(row.steps)
}

/// `bpf_xdp_load_bytes(ctx, offset, buffer, length)` and its opposite: a comparison with the packet's end, and a copy.
fn transfer(program: &mut Program, context: &mut Context<'_>, at: Position, load: bool) {
    let plan = || {
        let length = size(context, at, Reg::R4).filter(|&length| length > 0)?;
        Some((length, unit(context, at, Reg::R3)?))
    };
    let Some((length, unit)) = plan() else {
        return;
    };
    // The verifier follows no farther offset; the helper has another error for it.
    let offset = context.facts.register(at, Reg::R2).range();
    let near = (offset.u64.1.checked_add(length)).is_some_and(|reach| reach <= FAR / 2);
    if !context.permits(2 * length as usize + 16) {
        return;
    }
    let step = program[at.block].steps[at.index];
    let rest = program.split(at.block, at.index);
    program[rest].steps.remove(0);
    let mut check = Row::new(step.origin);
    if !near {
        check.copy32(Reg::R2, Reg::R2);
    }
    let until_far = check.steps.len();
    check
        .load(Size::B32, Reg::R5, Reg::R1, 4)
        .load(Size::B32, Reg::R1, Reg::R1, 0)
        .op(AluOp::Add, Reg::R1, Reg::R2)
        .copy(Reg::R0, Reg::R1)
        .op(AluOp::Add, Reg::R0, length as i32);
    let (from, to) = if load {
        (Reg::R1, Reg::R3)
    } else {
        (Reg::R3, Reg::R1)
    };
    let mut copy = Row::new(step.origin);
    let mut done = 0;
    while done < length {
        let mut part = unit;
        while part > length - done {
            part /= 2;
        }
        let size = Size::from_bits(8 * part as i32).unwrap_or(Size::B8);
        copy.load(size, Reg::R2, from, done as i16)
            .store(size, to, done as i16, Reg::R2);
        done += part;
    }
    copy.copy(Reg::R0, 0);
    let mut fail = Row::new(step.origin);
    fail.copy(Reg::R0, EINVAL);
    let mut after = check.steps.clone();
    after.extend(&copy.steps);
    context.note(program, step.origin, &[step], &after);
    let bounds = check.steps.split_off(until_far);
    program[at.block].steps.extend(check.steps);
    let inside = program.add_block(at.block, block(bounds, rest, step));
    let copy = program.add_block(inside, block(copy.steps, rest, step));
    let fail = program.add_block(copy, block(fail.steps, rest, step));
    let greater = |dst, src| Condition {
        width: Width::W64,
        op: CmpOp::Gt,
        dst,
        src,
    };
    program[inside].end = End::Branch {
        condition: greater(Reg::R0, Operand::Reg(Reg::R5)),
        taken: fail,
        next: copy,
    };
    program[at.block].end = End::Jump(inside);
    if !near {
        let mut far = Row::new(step.origin);
        far.copy(Reg::R0, EFAULT);
        let far = program.add_block(fail, block(far.steps, rest, step));
        // Between the two, it is only longer than a packet on a card can be.
        program[far].end = End::Branch {
            condition: greater(Reg::R2, Operand::Imm(FAR as i32)),
            taken: rest,
            next: fail,
        };
        program[at.block].end = End::Branch {
            condition: greater(Reg::R2, Operand::Imm((FAR - length) as i32)),
            taken: far,
            next: inside,
        };
    }
    program[at.block].end_origin = step.origin;
}

fn block(steps: Vec<Step>, next: BlockId, step: Step) -> Block {
    Block {
        steps,
        end: End::Jump(next),
        end_origin: step.origin,
    }
}
