//! `bpf_check_mtu` where the program is bound to one interface whose MTU is known: a comparison of lengths.

use super::row::Row;
use crate::isa::{
    AluOp, Callee, CmpOp, Condition, Instruction, Operand, Reg, Size, Width, functions,
};
use crate::lower::program::{Block, End, Op, Position, Program};
use crate::lower::run::{Context, Pass};
use crate::verify::{Hook, Place};

pub(super) const PASS: Pass = Pass {
    name: "interface-mtu",
    allow: None,
    optimises: false,
    run,
};

/// `ETH_HLEN`, the `hard_header_len` of Ethernet interfaces.
const HEADER: i32 = 14;
/// The longest that an interface may have (`ETH_MAX_MTU`).
const MOST: u32 = 0xffff;
/// `BPF_MTU_CHK_RET_FRAG_NEEDED`
const TOO_LONG: i32 = 1;

fn run(program: &mut Program, context: &mut Context<'_>) {
    let Some(mtu) = context.options.mtu.filter(|mtu| *mtu <= MOST) else {
        return;
    };
    if program.hook != Hook::Interface {
        return;
    }
    for block in program.block_ids() {
        // From the end: what is before keeps its position where the block is divided.
        for index in (0..program[block].steps.len()).rev() {
            let at = Position { block, index };
            let Op::Plain(Instruction::Call(Callee::Helper(id))) = program[block].steps[index].op
            else {
                continue;
            };
            if functions::name(id) == Some("bpf_check_mtu")
                && !(context.forms.helper)(id)
                && is_of_the_interface(context, at)
                && context.permits(16)
            {
                check(program, context, at, mtu as i32);
            }
        }
    }
}

/// `bpf_check_mtu(ctx, 0 or its interface, &length, difference, 0)` with a length on the stack.
fn is_of_the_interface(context: &Context<'_>, at: Position) -> bool {
    let number = |reg| context.facts.register(at, reg).range().as_constant32();
    let length = context.facts.register(at, Reg::R3);
    let own = number(Reg::R2).is_some_and(|of| of == 0 || Some(of) == context.options.ifindex);
    let aligned = length.distance().is_some_and(|start| start % 4 == 0);
    own && context.facts.register(at, Reg::R5).constant() == Some(0)
        && matches!(length.place(), Some(Place::Stack(_)))
        && aligned
}

/// As `bpf_xdp_check_mtu` has it (net/core/filter.c, Linux 6.12): all lengths are `int`.
fn check(program: &mut Program, context: &mut Context<'_>, at: Position, mtu: i32) {
    let step = program[at.block].steps[at.index];
    let rest = program.split(at.block, at.index);
    program[rest].steps.remove(0);
    let row = || Row::new(step.origin);
    let mut given = row();
    given.load(Size::B32, Reg::R0, Reg::R3, 0);
    let mut packet = row();
    packet
        .load(Size::B32, Reg::R0, Reg::R1, 4)
        .load(Size::B32, Reg::R1, Reg::R1, 0)
        .op(AluOp::Sub, Reg::R0, Reg::R1);
    let mut length = row();
    length.alu(Width::W32, AluOp::Add, Reg::R0, HEADER);
    let mut compared = row();
    compared
        .alu(Width::W32, AluOp::Add, Reg::R0, Reg::R4)
        .copy32(Reg::R2, mtu)
        .store(Size::B32, Reg::R3, 0, Reg::R2);
    let (mut fits, mut too_long) = (row(), row());
    fits.copy(Reg::R0, 0);
    too_long.copy(Reg::R0, TOO_LONG);

    let mut after = given.steps.clone();
    for part in [&packet, &length, &compared] {
        after.extend(&part.steps);
    }
    context.note(program, step.origin, &[step], &after);
    let block = |row: Row, end| Block {
        steps: row.steps,
        end,
        end_origin: step.origin,
    };
    let fits = program.add_block(at.block, block(fits, End::Jump(rest)));
    let too_long = program.add_block(at.block, block(too_long, End::Jump(rest)));
    let compared = program.add_block(
        at.block,
        block(
            compared,
            End::Branch {
                condition: Condition {
                    width: Width::W32,
                    op: CmpOp::SGt,
                    dst: Reg::R0,
                    src: Operand::Imm(mtu + HEADER),
                },
                taken: too_long,
                next: fits,
            },
        ),
    );
    let length = program.add_block(at.block, block(length, End::Jump(compared)));
    let packet = program.add_block(at.block, block(packet, End::Jump(compared)));
    program[at.block].steps.extend(given.steps);
    program[at.block].end = End::Branch {
        condition: Condition {
            width: Width::W32,
            op: CmpOp::Eq,
            dst: Reg::R0,
            src: Operand::Imm(0),
        },
        taken: packet,
        next: length,
    };
    program[at.block].end_origin = step.origin;
}
