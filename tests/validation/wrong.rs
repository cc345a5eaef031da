//! Passes that are wrong, each in a way that is easily made: z3 has to find every one.

use offload_compiler::isa::{AluOp, Code, Instruction, Operand, Size, Width, assemble};
use offload_compiler::lower::{Context, End, Op, Options, Pass, Program};
use offload_compiler::verify::MapShape;
use tests::nfp::Unlinked;

use crate::chain::change;
use crate::question::question;
use crate::solver::{Answer, Solver};

/// What a pass does.
type Run = fn(&mut Program, &mut Context<'_>);

/// A pass that makes of each instruction what `with` says.
fn each(
    program: &mut Program,
    context: &mut Context<'_>,
    with: impl Fn(Instruction) -> Option<Instruction>,
) {
    for block in program.block_ids() {
        for index in 0..program[block].steps.len() {
            let step = program[block].steps[index];
            if let Op::Plain(instruction) = step.op
                && let Some(new) = with(instruction)
                && context.permits(0)
            {
                program[block].steps[index].op = Op::Plain(new);
                let new = program[block].steps[index];
                context.note(program, step.origin, &[step], &[new]);
            }
        }
    }
}

/// 32 bits where the upper half may count.
fn narrow(program: &mut Program, context: &mut Context<'_>) {
    each(program, context, |instruction| match instruction {
        Instruction::Alu {
            width: Width::W64,
            op: AluOp::Add,
            dst,
            src: Operand::Imm(7),
        } => Some(Instruction::Alu {
            width: Width::W32,
            op: AluOp::Add,
            dst,
            src: Operand::Imm(7),
        }),
        _ => None,
    });
}

/// A store of one byte less.
fn short_store(program: &mut Program, context: &mut Context<'_>) {
    each(program, context, |instruction| match instruction {
        Instruction::Store {
            size: Size::B16,
            base,
            off,
            src,
        } => Some(Instruction::Store {
            size: Size::B8,
            base,
            off,
            src,
        }),
        _ => None,
    });
}

/// A branch that is left out.
fn no_branch(program: &mut Program, context: &mut Context<'_>) {
    for block in program.block_ids() {
        if let End::Branch {
            condition, next, ..
        } = program[block].end
            && condition.src == Operand::Imm(9)
            && context.permits(0)
        {
            program[block].end = End::Jump(next);
            context.note_text(None, vec![format!("if {condition}")], Vec::new());
        }
    }
}

/// One more in a counter.
fn count_twice(program: &mut Program, context: &mut Context<'_>) {
    each(program, context, |instruction| match instruction {
        Instruction::Alu {
            width,
            op: AluOp::Mov,
            dst,
            src: Operand::Imm(1),
        } => Some(Instruction::Alu {
            width,
            op: AluOp::Mov,
            dst,
            src: Operand::Imm(2),
        }),
        _ => None,
    });
}

const PACKET: &str = "r6 = *(u32 *)(r1 +0)\nr2 = *(u32 *)(r1 +4)\nr3 = r6\nr3 += 32\nif r3 > r2 goto short\n\
    r4 = *(u64 *)(r6 +0)\nr4 += 7\nr5 = *(u8 *)(r6 +12)\nif r5 == 9 goto short\n*(u16 *)(r6 +4) = r5\nr4 >>= 32\nr0 = r4\n\
    exit\nshort:\nr0 = 4\nexit";
const COUNTER: &str = "r3 = 0\n*(u32 *)(r10 -4) = r3\nr2 = r10\nr2 += -4\nr1 = map[fd:0]\ncall bpf_map_lookup_elem#1\n\
    if r0 == 0 goto out\nr1 = 1\nlock *(u64 *)(r0 +0) += r1\nout:\nr0 = 2\nexit";

#[test]
fn a_wrong_pass_is_found() {
    if !tests::require_command("z3") {
        return;
    }
    let mut solver = Solver::start();
    let map = MapShape {
        name: "m0".to_owned(),
        kind: 2,
        key_size: 4,
        value_size: 8,
        max_entries: 1,
        ..MapShape::default()
    };
    let wrong: [(&str, Run, &str); 4] = [
        ("narrow", narrow, PACKET),
        ("short store", short_store, PACKET),
        ("no branch", no_branch, PACKET),
        ("count twice", count_twice, COUNTER),
    ];
    for (name, run, text) in wrong {
        let code: Code = assemble(text).unwrap_or_else(|error| panic!("{error}"));
        let program = Unlinked::new(code, vec![map.clone()]).expect("it calls nothing of its own");
        let pass = Pass {
            name,
            allow: None,
            optimises: false,
            run,
        };
        let (change, _) =
            change(&pass, &program, &Options::default()).expect("the pass does something");
        let question = question(&change).expect("all of it is encoded");
        assert_eq!(solver.ask(&question), Answer::Yes, "{name}");
    }
}
