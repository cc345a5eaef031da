//! Which branches of a path are worth telling.

use std::collections::{HashMap, HashSet};

use super::Step;
use crate::isa::{self, Callee, Imm64, Instruction};
use crate::object::Linked;
use crate::verify::{Code, Finding};

/// So many are told at most: the last ones, which are nearest to the finding.
const MOST: usize = 6;

/// The branches that matter, and how many before them are left out.
///
/// A branch that only leaves early does not matter to a finding about something that was not done before: all paths to
/// it pass that branch. Rounds of a loop are told once.
pub(super) fn steps(finding: &Finding, linked: &Linked, code: &isa::Code) -> (Vec<Step>, usize) {
    let reaching = reaching(code, finding.insn);
    let passed_by_all = |slot: usize, taken: bool| {
        let other = successor(code, slot, !taken);
        other.is_none_or(|other| !reaching.get(other).copied().unwrap_or(false))
    };
    let mut times: HashMap<usize, usize> = HashMap::new();
    for &(slot, _) in &finding.path {
        *times.entry(slot).or_default() += 1;
    }
    let mut steps: Vec<Step> = Vec::new();
    let mut omitted = 0;
    // From the finding backwards: of the rounds of a loop the last one counts, and of a condition of several parts, which is
    // one line. A path may have a million branches, and few different ones.
    let mut slots: HashSet<usize> = HashSet::new();
    let mut lines: HashSet<(String, u32)> = HashSet::new();
    for &(slot, taken) in finding.path.iter().rev() {
        let Some(to) = successor(code, slot, taken) else {
            continue;
        };
        if depends_on_path(finding.code) && passed_by_all(slot, taken) || !slots.insert(slot) {
            continue;
        }
        let line = linked.source_line(slot);
        if let Some(line) = &line
            && !lines.insert((line.file.clone(), line.line))
        {
            continue;
        }
        if steps.len() == MOST {
            omitted += 1;
            continue;
        }
        steps.push(Step {
            insn: slot,
            to,
            to_line: linked.source_line(to),
            line,
            times: times.get(&slot).copied().unwrap_or(1),
        });
    }
    steps.reverse();
    (steps, omitted)
}

/// Findings about something that another path would have done.
fn depends_on_path(code: Code) -> bool {
    matches!(
        code,
        Code::UninitialisedRegister
            | Code::UninitialisedStack
            | Code::NullPointer
            | Code::Reference
            | Code::Lock
            | Code::NotAPointer
    )
}

/// The slot after a branch.
fn successor(code: &isa::Code, slot: usize, taken: bool) -> Option<usize> {
    let instruction = code.at(slot)?;
    if taken {
        (slot + 1).checked_add_signed(instruction.jump_offset()? as isize)
    } else {
        Some(slot + instruction.slots())
    }
}

/// From which slots some path leads to `target`.
fn reaching(code: &isa::Code, target: usize) -> Vec<bool> {
    let mut before: HashMap<usize, Vec<usize>> = HashMap::new();
    for (slot, instruction) in code.iter() {
        let mut edge = |to: Option<usize>| {
            if let Some(to) = to {
                before.entry(to).or_default().push(slot);
            }
        };
        if instruction.falls_through() {
            edge(Some(slot + instruction.slots()));
        }
        edge(
            instruction
                .jump_offset()
                .and_then(|offset| (slot + 1).checked_add_signed(offset as isize)),
        );
        if let Instruction::Call(Callee::Local(distance))
        | Instruction::LoadImm64 {
            value: Imm64::Function(distance),
            ..
        } = instruction
        {
            edge((slot + 1).checked_add_signed(*distance as isize));
        }
    }
    let mut reaching = vec![false; code.len()];
    let mut work = vec![target];
    while let Some(slot) = work.pop() {
        match reaching.get_mut(slot) {
            Some(seen) if !*seen => *seen = true,
            _ => continue,
        }
        work.extend(before.get(&slot).into_iter().flatten());
    }
    reaching
}
