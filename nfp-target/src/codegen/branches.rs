//! Fewer branches: those whose outcome is known, and those that only lead to an end.

use super::dominance::Dominance;
use super::fold::test;
use super::mir::{Block, End, Mir, Op, Test, Value};

/// How many blocks upwards a branch is looked for that decides another.
const FAR: usize = 64;

/// Removes the way from one block to another, with its operands.
fn cut(mir: &mut Mir, from: usize, to: usize) {
    let Some(index) = mir.blocks[to]
        .before
        .iter()
        .position(|&before| before == from)
    else {
        return;
    };
    mir.blocks[to].before.remove(index);
    for at in 0..mir.blocks[to].body.len() {
        let value = mir.blocks[to].body[at];
        if let Op::Phi(operands) = &mut mir.ops[value.index()]
            && index < operands.len()
        {
            operands.remove(index);
        }
    }
}

/// What the branches that lead to a block say about a test there.
fn decided(mir: &Mir, above: &[usize], block: usize, asked: Test) -> Option<bool> {
    let mut at = block;
    let (mut least, mut most) = (0u32, u32::MAX);
    let number = |value| mir.constant(value);
    // The value that is compared with a number.
    let subject = match asked {
        Test::Below(a, b) | Test::Equal(a, b) => {
            if number(a).is_some() {
                b
            } else {
                a
            }
        }
        _ => Value(u32::MAX),
    };
    for _ in 0..FAR {
        if at == 0 {
            break;
        }
        let from = above[at];
        if let (End::Branch(known, yes, no), [_]) =
            (mir.blocks[from].end, &mir.blocks[at].before[..])
            && yes != no
            && (yes == at || no == at)
        {
            let outcome = yes == at;
            if known == asked {
                return Some(outcome);
            }
            match (known, outcome) {
                (Test::Below(a, b), _) if a == subject => match (number(b), outcome) {
                    (Some(limit), true) => most = most.min(limit.saturating_sub(1)),
                    (Some(limit), false) => least = least.max(limit),
                    _ => {}
                },
                (Test::Below(a, b), _) if b == subject => match (number(a), outcome) {
                    (Some(limit), true) => least = least.max(limit.saturating_add(1)),
                    (Some(limit), false) => most = most.min(limit),
                    _ => {}
                },
                (Test::Equal(a, b), true) if a == subject => {
                    if let Some(is) = number(b) {
                        (least, most) = (is, is);
                    }
                }
                _ => {}
            }
        }
        at = from;
    }
    match asked {
        Test::Below(a, b) if a == subject => {
            let limit = number(b)?;
            if most < limit {
                Some(true)
            } else {
                (least >= limit).then_some(false)
            }
        }
        Test::Below(a, b) if b == subject => {
            let limit = number(a)?;
            if least > limit {
                Some(true)
            } else {
                (most <= limit).then_some(false)
            }
        }
        Test::Equal(a, b) if a == subject => {
            let is = number(b)?;
            if is < least || is > most {
                return Some(false);
            }
            (least == most).then_some(true)
        }
        _ => None,
    }
}

/// Branches whose outcome is known become jumps; ways from where nothing leads are removed.
pub(super) fn branches(mir: &mut Mir) {
    let order = mir.order();
    let above = Dominance::new(mir, &order).above;
    for block in order {
        if let End::Branch(condition, yes, no) = mir.blocks[block].end {
            let outcome = match test(mir, condition) {
                Err(condition) => decided(mir, &above, block, condition).ok_or(condition),
                known => known,
            };
            match outcome {
                Ok(outcome) => {
                    let (to, other) = if outcome { (yes, no) } else { (no, yes) };
                    mir.blocks[block].end = End::Jump(to);
                    cut(mir, block, other);
                }
                Err(condition) => mir.blocks[block].end = End::Branch(condition, yes, no),
            }
        }
    }
    let mut reached = vec![false; mir.blocks.len()];
    for block in mir.order() {
        reached[block] = true;
    }
    for (block, is_reached) in reached.into_iter().enumerate() {
        if !is_reached {
            for to in mir.blocks[block].end.targets() {
                cut(mir, block, to);
            }
            mir.blocks[block].body.clear();
            mir.blocks[block].end = End::Open;
            mir.blocks[block].before.clear();
        }
    }
}

/// Where blocks meet only to end the program with a number that each brings along, each ends it itself.
pub(super) fn exits(mir: &mut Mir) {
    let mut uses = vec![0u32; mir.ops.len()];
    for block in mir.order() {
        for &value in &mir.blocks[block].body {
            mir.op(value)
                .each_operand(|operand| uses[operand.index()] += 1);
        }
        (mir.blocks[block].end).each_operand(|operand| uses[operand.index()] += 1);
    }
    let mut work = mir.order();
    while let Some(block) = work.pop() {
        let [phi] = mir.blocks[block].body[..] else {
            continue;
        };
        let (End::Exit(verdict), Op::Phi(operands)) = (mir.blocks[block].end, mir.op(phi)) else {
            continue;
        };
        if verdict != phi || uses[phi.index()] != 1 {
            continue;
        }
        let ways: Vec<(usize, Value)> = mir.blocks[block]
            .before
            .iter()
            .copied()
            .zip(operands.iter().copied())
            .collect();
        for (from, operand) in ways {
            let is_phi = matches!(mir.op(operand), Op::Phi(_));
            match mir.blocks[from].end {
                End::Jump(_) if mir.constant(operand).is_some() || is_phi => {
                    cut(mir, from, block);
                    mir.blocks[from].end = End::Exit(operand);
                    work.push(from);
                }
                End::Branch(condition, yes, no) if mir.constant(operand).is_some() => {
                    cut(mir, from, block);
                    mir.blocks.push(Block {
                        body: Vec::new(),
                        end: End::Exit(operand),
                        before: vec![from],
                    });
                    let new = mir.blocks.len() - 1;
                    let redirect = |to| if to == block { new } else { to };
                    mir.blocks[from].end = End::Branch(condition, redirect(yes), redirect(no));
                }
                _ => {}
            }
        }
        if mir.blocks[block].before.is_empty() {
            mir.blocks[block].body.clear();
            mir.blocks[block].end = End::Open;
        }
    }
}
