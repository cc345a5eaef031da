//! Memory that a helper is given.

use crate::isa::Reg;
use crate::verify::explore::{Step, Walk};
use crate::verify::finding::{Code, Finding};
use crate::verify::marks::Mark;
use crate::verify::memory::Access;
use crate::verify::prototype::{Arg, Prototype};
use crate::verify::range::Range;
use crate::verify::stack_object::refuse_objects;
use crate::verify::state::State;
use crate::verify::value::{Pointer, Region, Tracked, Value};

use super::argument::usable_argument;
use super::{ARGUMENTS, Arguments};

impl Walk<'_> {
    /// Memory that a helper reads or fills.
    #[allow(
        clippy::too_many_arguments,
        reason = "all of it describes one argument"
    )]
    pub(super) fn given_memory(
        &mut self,
        state: &mut State,
        slot: usize,
        reg: Reg,
        pointer: &Pointer,
        bytes: u32,
        access: Access,
        mark: Mark,
        arguments: &mut Arguments,
        prototype: &Prototype,
    ) -> Step<()> {
        if let Region::Stack(_) = pointer.region {
            let (depth, low, high) = self.helper_stack_span(state, slot, pointer, bytes, mark)?;
            if access == Access::Read {
                self.read_stack_bytes(state, slot, depth, low, high, prototype.name)?;
            } else {
                if !self.input.rules.uninitialised_stack_allowed
                    && pointer.variable.as_constant().is_none()
                {
                    self.read_stack_bytes(state, slot, depth, low, high, prototype.name)?;
                }
                refuse_objects(state, slot, depth, low, high)?;
                arguments.filled.push((depth, low, high));
            }
            return Ok(());
        }
        if matches!(pointer.region, Region::Packet | Region::PacketMeta) && !takes_packet(prototype)
        {
            return Err(Box::new(
                Finding::error(
                    Code::HelperArgument,
                    slot,
                    format!("{} takes no address in the packet ({reg})", prototype.name),
                )
                .help("copy the bytes to the stack first"),
            ));
        }
        self.bounds(slot, reg, pointer, 0, bytes, access, mark)
    }

    /// A size, together with the memory argument before it.
    #[allow(
        clippy::too_many_arguments,
        reason = "all of it describes one argument"
    )]
    pub(super) fn sized(
        &mut self,
        state: &mut State,
        slot: usize,
        prototype: &Prototype,
        index: usize,
        arg: Arg,
        given: &Tracked,
        arguments: &mut Arguments,
    ) -> Step<()> {
        let reg = ARGUMENTS[index];
        let (Some(memory_arg), Some(memory_reg)) = (
            index.checked_sub(1).and_then(|i| prototype.args.get(i)),
            index.checked_sub(1).and_then(|i| ARGUMENTS.get(i)),
        ) else {
            return Ok(());
        };
        let refuse = |what: String, help: &str| {
            Err(Box::new(
                Finding::error(
                    Code::HelperArgument,
                    slot,
                    format!("{}: argument {} ({reg}) {what}", prototype.name, index + 1),
                )
                .knowing(format!("{reg} is {}", given.value))
                .help(help),
            ))
        };
        let Some(size) = given.value.range().copied() else {
            return refuse(
                "has to be a number of bytes".to_owned(),
                "give the size of the memory",
            );
        };
        self.need(given.mark);
        arguments.size = Some(size);
        if size.s64.0 < 0 {
            return refuse(
                "may be negative".to_owned(),
                "use an unsigned size, or check that it is not negative; mask it with `& MASK`",
            );
        }
        if size.u64.0 == 0 && arg == Arg::Size {
            return refuse("may be 0".to_owned(), "check that it is at least 1");
        }
        if size.u64.1 >= 1 << 29 {
            return refuse(
                "is not bounded".to_owned(),
                "compare it with the size of the memory first",
            );
        }
        let memory = self.read(state, *memory_reg, slot)?;
        if *memory_arg == Arg::ReadOrNull
            && memory.value.range().and_then(Range::as_constant) == Some(0)
        {
            if size.u64.1 == 0 && arg == Arg::SizeOrZero {
                return Ok(());
            }
            return refuse(
                "may be more than 0, but the address before it is null".to_owned(),
                "give 0 as the size of null",
            );
        }
        let mut pointer_value = memory.value;
        if *memory_arg == Arg::ReadOrNull
            && let Value::Pointer(pointer) = &mut pointer_value
        {
            pointer.nullable = false;
        }
        // A size of 0 touches nothing, but the address has to be one.
        let memory = Tracked {
            value: pointer_value,
            mark: memory.mark,
        };
        let pointer = usable_argument(slot, prototype, *memory_reg, &memory)?;
        let access = if *memory_arg == Arg::Write {
            Access::Write
        } else {
            Access::Read
        };
        let most = size.u64.1 as u32;
        if size.as_constant().is_none() && access == Access::Write {
            // Fewer bytes than the most may be written: those it must not have been before.
            return self.given_memory(
                state,
                slot,
                *memory_reg,
                &pointer,
                most,
                Access::Write,
                memory.mark,
                arguments,
                prototype,
            );
        }
        self.given_memory(
            state,
            slot,
            *memory_reg,
            &pointer,
            most,
            access,
            memory.mark,
            arguments,
            prototype,
        )
    }
}

/// Helpers that read or write packet memory directly (`pkt_access` of their prototype).
fn takes_packet(prototype: &Prototype) -> bool {
    matches!(
        prototype.name,
        "bpf_map_lookup_elem"
            | "bpf_map_update_elem"
            | "bpf_map_delete_elem"
            | "bpf_map_push_elem"
            | "bpf_map_pop_elem"
            | "bpf_map_peek_elem"
            | "bpf_map_lookup_percpu_elem"
            | "bpf_csum_diff"
            | "bpf_sk_lookup_tcp"
            | "bpf_sk_lookup_udp"
            | "bpf_skc_lookup_tcp"
            | "bpf_tcp_check_syncookie"
            | "bpf_tcp_gen_syncookie"
            | "bpf_tcp_raw_gen_syncookie_ipv4"
            | "bpf_tcp_raw_gen_syncookie_ipv6"
            | "bpf_tcp_raw_check_syncookie_ipv4"
            | "bpf_tcp_raw_check_syncookie_ipv6"
    )
}
