//! Loads from data that never change, such as `.rodata` with `const volatile` variables: the constant takes their place.

use super::replace_steps;
use crate::isa::{AluOp, Imm64, Instruction, Operand, Reg, Width};
use crate::lower::facts::Content;
use crate::lower::program::{Op, Program, Step};
use crate::lower::run::{Context, Pass};
use crate::verify::Place;

pub(super) const PASS: Pass = Pass {
    name: "constants",
    allow: None,
    optimises: false,
    run,
};

fn run(program: &mut Program, context: &mut Context<'_>) {
    replace_steps(program, context, |program, context, position, step| {
        let Op::Plain(Instruction::Load {
            size,
            signed,
            dst,
            base,
            off,
        }) = step.op
        else {
            return None;
        };
        let fact = context.facts.register(position, base);
        let Content::Address {
            place: Place::MapValue(map),
            nullable: false,
            ..
        } = fact
        else {
            return None;
        };
        // A lookup with an unknown key gives any element; only a map of one has one value.
        let shape = &program.maps.get(map as usize)?.shape;
        let constant = shape
            .constant
            .as_deref()
            .filter(|_| shape.max_entries == 1)?;
        let start = usize::try_from(fact.distance()? + i64::from(off)).ok()?;
        let bytes = constant.get(start..start.checked_add(size.bytes() as usize)?)?;
        let mut number = [0; 8];
        number[..bytes.len()].copy_from_slice(bytes);
        let number = u64::from_le_bytes(number);
        let unused = 64 - size.bits();
        let number = if signed {
            ((number << unused) as i64 >> unused) as u64
        } else {
            number
        };
        Some(vec![Step::new(load_number(dst, number), step.origin)])
    });
}

/// The shortest instruction that puts a number into a register.
pub(in crate::lower) fn load_number(dst: Reg, number: u64) -> Instruction {
    let mov = |width, imm| Instruction::Alu {
        width,
        op: AluOp::Mov,
        dst,
        src: Operand::Imm(imm),
    };
    if let Ok(low) = u32::try_from(number) {
        return mov(Width::W32, low as i32);
    }
    match i32::try_from(number as i64) {
        Ok(imm) => mov(Width::W64, imm),
        Err(_) => Instruction::LoadImm64 {
            dst,
            value: Imm64::Number(number),
        },
    }
}
