//! Calls of helpers: arguments, what they do to memory, what they return.

mod argument;
mod memory;
mod result;

use crate::isa::{Reg, functions};

use super::explore::{Next, Step, Walk};
use super::finding::{Code, Finding};
use super::input::{MapShape, Rules};
use super::marks::Mark;
use super::prototype::{self, Arg, Prototype};
use super::range::Range;
use super::state::State;
use super::value::{Region, Tracked, Value};

/// What the arguments of a call say together.
#[derive(Default)]
pub(super) struct Arguments {
    pub(super) map: Option<u32>,
    /// The map whose value holds the timer.
    pub(super) timer_of: Option<u32>,
    /// Bounds of the last size argument.
    size: Option<Range>,
    reserve: Option<u32>,
    release: Option<u32>,
    key: Option<u64>,
    pub(super) callback: Option<u32>,
    pub(super) callback_context: Option<Tracked>,
    /// Stack bytes that the helper fills.
    filled: Vec<(u8, i32, i32)>,
}

const ARGUMENTS: [Reg; 5] = [Reg::R1, Reg::R2, Reg::R3, Reg::R4, Reg::R5];

impl Walk<'_> {
    pub(super) fn call_helper(&mut self, state: &mut State, slot: usize, id: i32) -> Step<Next> {
        let Some(prototype) = prototype::of(id) else {
            let name = functions::name(id);
            return Err(Box::new(
                Finding::error(
                    Code::HelperUnknown,
                    slot,
                    match name {
                        Some(name) => format!("{name} is not for XDP programs"),
                        None => format!("there is no helper {id}"),
                    },
                )
                .help("`bpftool feature probe` lists the helpers of each program type"),
            ));
        };
        if prototype.is_gpl_only() && !self.input.rules.gpl {
            return Err(Box::new(
                Finding::error(
                    Code::HelperUnknown,
                    slot,
                    format!("{} is for programs under the GPL only", prototype.name),
                )
                .help(
                    "declare the licence, if it is one: char LICENSE[] SEC(\"license\") = \"GPL\";",
                ),
            ));
        }
        let mut arguments = Arguments::default();
        for (index, &arg) in prototype.args.iter().enumerate() {
            self.argument(state, slot, prototype, index, arg, &mut arguments)?;
        }
        check_lock(state, slot, prototype)?;
        for (depth, low, high) in std::mem::take(&mut arguments.filled) {
            self.fill_stack(state, depth, low, high);
        }
        if prototype.moves_packet {
            forget_packet(state, self.input.rules);
        }
        if let Some(reference) = arguments.release {
            self.give_back(state, reference);
        }
        check_sections(state, slot, prototype)?;
        if prototype.name == "bpf_tail_call"
            && let Some(reference) = state.references.first()
        {
            return Err(Box::new(
                Finding::error(
                    Code::Reference,
                    slot,
                    format!(
                        "a tail call does not return: what the call at {} gave could not be given back",
                        reference.acquired_at
                    ),
                )
                .help("release it before the tail call"),
            ));
        }
        if arguments.callback.is_some() {
            self.call_back(state, slot, prototype, &arguments)?;
        }
        let returned = self.returned(state, slot, prototype, &arguments)?;
        self.after_call(state, returned);
        Ok(Next::At(slot + 1))
    }

    /// r0 is the result, r1 to r5 are spoilt.
    pub(super) fn after_call(&mut self, state: &mut State, returned: Value) {
        for reg in ARGUMENTS {
            state.set(reg, Value::Uninitialised, Mark::NONE);
        }
        let mark = self.marks.fresh();
        state.set(Reg::R0, returned, mark);
    }

    fn map<'b>(&'b self, arguments: &Arguments) -> Option<&'b MapShape> {
        self.input.maps.get(arguments.map? as usize)
    }
}

/// Nothing but the lock itself may be called under it.
fn check_lock(state: &State, slot: usize, prototype: &Prototype) -> Step<()> {
    if state.lock.is_some() && !matches!(prototype.name, "bpf_spin_lock" | "bpf_spin_unlock") {
        return Err(Box::new(
            Finding::error(
                Code::Lock,
                slot,
                format!("{} is called while a spin lock is held", prototype.name),
            )
            .help("unlock first: no function may be called under a lock"),
        ));
    }
    Ok(())
}

/// What may not be done in an RCU section or with preemption off.
fn check_sections(state: &State, slot: usize, prototype: &Prototype) -> Step<()> {
    let inside = state.objects.rcu || state.objects.no_preemption > 0;
    let leaves = prototype.name == "bpf_tail_call"
        || prototype
            .args
            .iter()
            .any(|arg| matches!(arg, Arg::Callback));
    if inside && leaves {
        return Err(Box::new(
            Finding::error(
                Code::Lock,
                slot,
                format!(
                    "{} is called in an RCU section or with preemption disabled",
                    prototype.name
                ),
            )
            .help("end the section first"),
        ));
    }
    Ok(())
}

/// All pointers into the packet are stale.
pub(super) fn forget_packet(state: &mut State, rules: Rules) {
    state.forget_pointers(rules.leaks_allowed, |pointer| {
        matches!(
            pointer.region,
            // All dynptrs are to the packet.
            Region::Packet | Region::PacketMeta | Region::PacketEnd | Region::Slice { .. }
        )
    });
}
