//! Global variables where a target has no addresses in maps: the map becomes a plain array of one element, looked up once
//! when the program starts. Its address is kept on the stack, and each use takes it from there.
//!
//! Read-only data that is read at places that are not known moves without being asked for, as nobody sees it; variables
//! that the program writes only with `--allow globals`, since user space can no longer map them into its memory.

use crate::isa::{AluOp, Callee, CmpOp, Condition, Instruction, Operand, Reg, Size, Width};
use crate::lower::liveness::Liveness;
use crate::lower::program::{
    Block, BlockId, End, FunctionId, MapChange, Op, Position, Program, Step,
};
use crate::lower::rewrite::Allow;
use crate::lower::run::{Context, Pass};

pub(super) const READ_ONLY: Pass = Pass {
    name: "read-only-data",
    allow: None,
    optimises: false,
    run: |program, context| run(program, context, true),
};

pub(super) const WRITABLE: Pass = Pass {
    name: "global-variables",
    allow: Some(Allow::Globals),
    optimises: false,
    run: |program, context| run(program, context, false),
};

const MAP_LOOKUP: i32 = 1;
const XDP_PASS: i32 = 2;
/// Bytes of stack that a program may use.
const STACK: i32 = 512;

fn run(program: &mut Program, context: &mut Context<'_>, read_only: bool) {
    if context.forms.value_addresses {
        return;
    }
    let entry = program.functions[0].blocks[0];
    // An entry that is also the start of a loop would look up again and again.
    if program.predecessors().contains_key(&entry) {
        return;
    }
    let bottom = context.facts.stack.get(&entry).copied().unwrap_or(0);
    let bottom = -(bottom.next_multiple_of(8) as i32);
    let slots = Slots {
        context: (bottom - 8) as i16,
        key: (bottom - 16) as i16,
    };
    let mut moved = Vec::new();
    for map in 0..program.maps.len() as u32 {
        let uses = uses(program, map);
        let constant = program.maps[map as usize].shape.constant.is_some();
        let own = |at: &Position| program.function_of(at.block) == Some(FunctionId(0));
        let address = bottom - 24 - 8 * moved.len() as i32;
        if uses.is_empty()
            || constant != read_only
            || !uses.iter().all(own)
            || address < -STACK
            || !context.permits(12 + uses.len())
        {
            continue;
        }
        for &position in uses.iter().rev() {
            replace(program, context, position, address as i16);
        }
        let entry = &mut program.maps[map as usize];
        if entry.shape.flags != 0 {
            entry.changes.push(MapChange::Flags {
                was: entry.shape.flags,
            });
            entry.shape.flags = 0;
        }
        // What the array holds is the loader's to fill in; the verifier takes it for any number.
        entry.shape.constant = None;
        moved.push((map, address as i16));
    }
    if !moved.is_empty() {
        look_up_first(program, entry, &moved, &slots);
    }
}

/// Places on the stack, from its top, in bytes.
struct Slots {
    context: i16,
    key: i16,
}

/// Where the address of a value of the map is taken.
fn uses(program: &Program, map: u32) -> Vec<Position> {
    let mut found = Vec::new();
    for block in program.block_ids() {
        for (index, step) in program[block].steps.iter().enumerate() {
            if matches!(step.op, Op::LoadMap { map: other, value_offset: Some(_), .. } if other == map)
            {
                found.push(Position { block, index });
            }
        }
    }
    found
}

/// Takes the address from the stack.
fn replace(program: &mut Program, context: &mut Context<'_>, at: Position, address: i16) {
    let step = program[at.block].steps[at.index];
    let Op::LoadMap {
        dst,
        value_offset: Some(offset),
        ..
    } = step.op
    else {
        return;
    };
    let mut after = vec![Step::new(load(dst, address), step.origin)];
    if let Ok(offset @ 1..) = i32::try_from(offset) {
        after.push(Step::new(
            alu(AluOp::Add, dst, Operand::Imm(offset)),
            step.origin,
        ));
    }
    context.note(program, step.origin, &[step], &after);
    program[at.block].steps.splice(at.index..=at.index, after);
}

/// Looks the maps up before anything else, and keeps what was found on the stack. An array of one element always has
/// it; where the verifier does not know that, the packet would be passed on with nothing done.
fn look_up_first(program: &mut Program, entry: BlockId, maps: &[(u32, i16)], slots: &Slots) {
    let context_is_read = Liveness::of(program)
        .before(Position {
            block: entry,
            index: 0,
        })
        .contains(Reg::R1);
    let rest = program.split(entry, 0);
    let missing = program.add_block(
        rest,
        Block {
            steps: vec![Step::new(mov32(Reg::R0, XDP_PASS), None)],
            end: End::Exit,
            end_origin: None,
        },
    );
    let mut block = entry;
    let mut steps = Vec::new();
    if context_is_read {
        steps.push(store(Size::B64, slots.context, Reg::R1));
    }
    for &(map, address) in maps {
        steps.extend([
            mov32(Reg::R2, 0),
            store(Size::B32, slots.key, Reg::R2),
            alu(AluOp::Mov, Reg::R2, Operand::Reg(Reg::R10)),
            alu(AluOp::Add, Reg::R2, Operand::Imm(slots.key.into())),
        ]);
        let mut plain: Vec<Step> = steps.drain(..).map(|one| Step::new(one, None)).collect();
        plain.push(Step {
            op: Op::LoadMap {
                dst: Reg::R1,
                map,
                value_offset: None,
            },
            origin: None,
        });
        plain.push(Step::new(
            Instruction::Call(Callee::Helper(MAP_LOOKUP)),
            None,
        ));
        let next = program.add_block(
            block,
            Block {
                steps: Vec::new(),
                end: End::Jump(rest),
                end_origin: None,
            },
        );
        program[block].steps.extend(plain);
        program[block].end = End::Branch {
            condition: Condition {
                width: Width::W64,
                op: CmpOp::Eq,
                dst: Reg::R0,
                src: Operand::Imm(0),
            },
            taken: missing,
            next,
        };
        program[next]
            .steps
            .push(Step::new(store(Size::B64, address, Reg::R0), None));
        block = next;
    }
    if context_is_read {
        program[block]
            .steps
            .push(Step::new(load(Reg::R1, slots.context), None));
    }
}

fn load(dst: Reg, off: i16) -> Instruction {
    Instruction::Load {
        size: Size::B64,
        signed: false,
        dst,
        base: Reg::R10,
        off,
    }
}

fn store(size: Size, off: i16, src: Reg) -> Instruction {
    Instruction::Store {
        size,
        base: Reg::R10,
        off,
        src: Operand::Reg(src),
    }
}

fn alu(op: AluOp, dst: Reg, src: Operand) -> Instruction {
    Instruction::Alu {
        width: Width::W64,
        op,
        dst,
        src,
    }
}

fn mov32(dst: Reg, imm: i32) -> Instruction {
    Instruction::Alu {
        width: Width::W32,
        op: AluOp::Mov,
        dst,
        src: Operand::Imm(imm),
    }
}
