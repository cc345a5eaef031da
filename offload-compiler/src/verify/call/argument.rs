//! The arguments of a helper.

use crate::isa::Reg;
use crate::verify::explore::{Step, Walk};
use crate::verify::finding::{Code, Finding};
use crate::verify::input::SpecialKind;
use crate::verify::map_rules;
use crate::verify::memory::{Access, usable};
use crate::verify::prototype::{Arg, Prototype};
use crate::verify::range::Range;
use crate::verify::stack::is_aligned;
use crate::verify::stack_object::StackObject;
use crate::verify::state::{Byte, Holding, State, byte_index};
use crate::verify::value::{Object, Pointer, Region, Tracked, Trust, Value};

use super::{ARGUMENTS, Arguments};

impl Walk<'_> {
    /// Judges an argument of a call, and notes what it says.
    pub(super) fn argument(
        &mut self,
        state: &mut State,
        slot: usize,
        prototype: &Prototype,
        index: usize,
        arg: Arg,
        arguments: &mut Arguments,
    ) -> Step<()> {
        let reg = ARGUMENTS[index];
        let given = self.read(state, reg, slot)?;
        let refuse = |what: &str| {
            Err(Box::new(
                Finding::error(
                    Code::HelperArgument,
                    slot,
                    format!("{}: argument {} ({reg}) {what}", prototype.name, index + 1),
                )
                .knowing(format!("{reg} is {}", given.value)),
            ))
        };
        let pointer = given.value.pointer().copied();
        match arg {
            Arg::Anything => {
                if pointer.is_some() && !self.input.rules.leaks_allowed {
                    return Err(Box::new(Finding::error(
                        Code::PointerLeak,
                        slot,
                        format!("{} would be given an address as a number", prototype.name),
                    )));
                }
                Ok(())
            }
            Arg::Context => match pointer {
                Some(p) if p.region == Region::Context && !p.nullable && p.is_start() => Ok(()),
                _ => refuse("has to be the context, unchanged"),
            },
            Arg::Map => match pointer {
                Some(p) if matches!(p.region, Region::Map(_)) && !p.nullable => {
                    let Region::Map(map) = p.region else {
                        return Ok(());
                    };
                    arguments.map = Some(map);
                    let Some(shape) = self.input.maps.get(map as usize) else {
                        return refuse("is a map that is not known");
                    };
                    map_rules::check(slot, prototype, shape)
                }
                _ => refuse("has to be a map"),
            },
            Arg::MapKey => {
                let Some(size) = self.map(arguments).map(|shape| shape.key_size) else {
                    return refuse("is a key, but of which map?");
                };
                let pointer = usable_argument(slot, prototype, reg, &given)?;
                arguments.key = constant_key(state, &pointer, size);
                self.given_memory(
                    state,
                    slot,
                    reg,
                    &pointer,
                    size,
                    Access::Read,
                    given.mark,
                    arguments,
                    prototype,
                )
            }
            Arg::MapValue | Arg::MapValueOut => {
                let Some(shape) = self.map(arguments) else {
                    return refuse("is a value, but of which map?");
                };
                if map_rules::holds_sockets(shape.kind) {
                    return self.argument(state, slot, prototype, index, Arg::Socket, arguments);
                }
                let size = shape.value_size;
                let pointer = usable_argument(slot, prototype, reg, &given)?;
                let access = if arg == Arg::MapValue {
                    Access::Read
                } else {
                    Access::Write
                };
                self.given_memory(
                    state, slot, reg, &pointer, size, access, given.mark, arguments, prototype,
                )
            }
            Arg::ReadFixed(size) => {
                let pointer = usable_argument(slot, prototype, reg, &given)?;
                self.given_memory(
                    state,
                    slot,
                    reg,
                    &pointer,
                    size,
                    Access::Read,
                    given.mark,
                    arguments,
                    prototype,
                )
            }
            Arg::Number(size) => {
                let pointer = usable_argument(slot, prototype, reg, &given)?;
                // NET_IP_ALIGN: with strict alignment packets count as two bytes off (`check_pkt_ptr_alignment`).
                let skew = match pointer.region {
                    Region::Packet | Region::PacketMeta => 2,
                    _ => 0,
                };
                if !is_aligned(&pointer, skew, size) {
                    return refuse("has to be aligned to the number's size");
                }
                self.given_memory(
                    state,
                    slot,
                    reg,
                    &pointer,
                    size,
                    Access::Write,
                    given.mark,
                    arguments,
                    prototype,
                )
            }
            Arg::Read | Arg::ReadOrNull | Arg::Write => Ok(()), // judged with the size that follows
            Arg::Size | Arg::SizeOrZero => {
                self.sized(state, slot, prototype, index, arg, &given, arguments)
            }
            Arg::ReserveSize => match given.value.range().and_then(Range::as_constant) {
                Some(size) if size < 1 << 30 => {
                    self.need(given.mark);
                    arguments.reserve = Some(size as u32);
                    Ok(())
                }
                _ => refuse("has to be a known number of bytes"),
            },
            Arg::Record | Arg::ReleasedSocket => match pointer {
                Some(p)
                    if p.reference != 0
                        && matches!(p.region, Region::Memory { .. }) == (arg == Arg::Record)
                        && !p.nullable
                        && p.off == 0
                        && p.variable.as_constant() == Some(0) =>
                {
                    let wanted = if arg == Arg::Record {
                        Holding::Record
                    } else {
                        Holding::Socket
                    };
                    if !state
                        .references
                        .iter()
                        .any(|known| known.id == p.reference && known.holding == wanted)
                    {
                        return refuse("was given back already");
                    }
                    arguments.release = Some(p.reference);
                    Ok(())
                }
                Some(p) if p.nullable => refuse("may be null here: check it first"),
                _ => refuse("has to be what an earlier call gave, unmoved"),
            },
            Arg::Socket => match pointer {
                Some(p) if p.nullable => refuse("may be null here: check it first"),
                Some(p) if matches!(p.region, Region::Kernel(object) if object.is_socket()) => {
                    Ok(())
                }
                _ => refuse("has to be a socket"),
            },
            Arg::Task => match pointer {
                Some(p) if p.region == Region::Kernel(Object::Task) => Ok(()),
                Some(p) if self.is_trusted_task(&p) => Ok(()),
                _ => refuse("has to be a task"),
            },
            Arg::PerCpu => Err(Box::new(Finding::error(
                Code::Unsupported,
                slot,
                "per-CPU variables of the kernel are not modelled",
            ))),
            Arg::Callback => match pointer {
                // Not moved (`__check_ptr_off_reg`).
                Some(Pointer {
                    region: Region::Function(start),
                    off: 0,
                    variable,
                    ..
                }) if variable.as_constant() == Some(0) => {
                    arguments.callback = Some(start);
                    Ok(())
                }
                _ => refuse("has to be the address of a function"),
            },
            Arg::CallbackContext => match given.value {
                Value::Pointer(p) if matches!(p.region, Region::Stack(_)) => {
                    arguments.callback_context = Some(given);
                    Ok(())
                }
                Value::Number { range, .. } if range.as_constant() == Some(0) => {
                    arguments.callback_context = Some(given);
                    Ok(())
                }
                _ => refuse("has to be an address in the stack, or null"),
            },
            Arg::ConstantText => match pointer {
                Some(p) => {
                    let constant = matches!(p.region, Region::MapValue(map)
                        if self.input.maps.get(map as usize).is_some_and(|shape| shape.constant.is_some()))
                        && p.variable.as_constant().is_some();
                    if constant {
                        Ok(())
                    } else {
                        refuse("has to be a text in read-only data")
                    }
                }
                None => refuse("has to be a text in read-only data"),
            },
            Arg::Dynptr => {
                let Some(p) = pointer else {
                    return refuse("has to be the address of a dynptr");
                };
                let what = format!("{}: {reg}, the address of a dynptr,", prototype.name);
                let place = self.object_place(state, slot, &p, 2, given.mark, &what)?;
                match self.object_at(state, place).map(|found| found.object) {
                    Some(StackObject::PacketDynptr { .. }) => Ok(()),
                    _ => refuse("has to be the address of a dynptr that was made"),
                }
            }
            Arg::SpinLock => self.lock_argument(state, slot, prototype, reg, &given),
            Arg::Timer => match pointer.map(|p| (p.region, p.nullable)) {
                Some((Region::MapValue(map), false))
                    if self.special_at(map, pointer, SpecialKind::Timer) =>
                {
                    arguments.timer_of = Some(map);
                    Ok(())
                }
                _ => refuse("has to be a struct bpf_timer in a map value"),
            },
        }
    }

    /// Whether it is the address of a task that a helper can use.
    fn is_trusted_task(&self, pointer: &Pointer) -> bool {
        let task = self
            .input
            .kernel_types
            .and_then(|types| types.structure("task_struct"));
        matches!(pointer.region, Region::Kernel(Object::Structure { ty, trust: Trust::Trusted })
            if Some(ty) == task && !pointer.nullable && pointer.is_start())
    }

    /// Whether the map has something special at this place of its values.
    fn special_at(&self, map: u32, pointer: Option<Pointer>, kind: SpecialKind) -> bool {
        let (Some(shape), Some(pointer)) = (self.input.maps.get(map as usize), pointer) else {
            return false;
        };
        pointer.variable.as_constant() == Some(0)
            && shape.special.iter().any(|field| {
                field.kind == kind && i64::from(field.offset) == i64::from(pointer.off)
            })
    }

    fn lock_argument(
        &mut self,
        state: &mut State,
        slot: usize,
        prototype: &Prototype,
        reg: Reg,
        given: &Tracked,
    ) -> Step<()> {
        let pointer = usable_argument(slot, prototype, reg, given)?;
        let refuse = |what: &str| Err(Box::new(Finding::error(Code::Lock, slot, what)));
        let Region::MapValue(map) = pointer.region else {
            return refuse("a spin lock has to be in a map value");
        };
        if !self.special_at(map, Some(pointer), SpecialKind::SpinLock) {
            return refuse("there is no struct bpf_spin_lock at this place of the map value");
        }
        let this = (pointer.region, pointer.id);
        match (prototype.name == "bpf_spin_lock", state.lock) {
            (true, None) => state.lock = Some(this),
            (true, Some(_)) => return refuse("a second lock is taken while one is held"),
            (false, Some(held)) if held == this => state.lock = None,
            (false, Some(_)) => {
                return refuse("another lock is released than the one that is held");
            }
            (false, None) => return refuse("a lock is released that is not held"),
        }
        Ok(())
    }
}

/// An argument that is an address which can be used.
pub(super) fn usable_argument(
    slot: usize,
    prototype: &Prototype,
    reg: Reg,
    given: &Tracked,
) -> Step<Pointer> {
    usable(slot, reg, &given.value).map_err(|mut finding| {
        if finding.code == Code::NotAPointer {
            finding.code = Code::HelperArgument;
        }
        finding.message = format!("{}: {}", prototype.name, finding.message);
        finding
    })
}

/// A key of at most eight bytes that is known, for arrays: it proves that a lookup succeeds.
fn constant_key(state: &State, pointer: &Pointer, size: u32) -> Option<u64> {
    let Region::Stack(depth) = pointer.region else {
        return None;
    };
    if size != 4 || pointer.variable.as_constant() != Some(0) {
        return None;
    }
    let slot = state.frames.get(depth as usize)?.slot(pointer.off);
    let start = byte_index(pointer.off);
    if slot.held_bytes() == 4 && start == 0 {
        return slot.held.range()?.as_constant();
    }
    let zero = slot
        .bytes
        .get(start..start + 4)?
        .iter()
        .all(|&byte| byte == Byte::Zero);
    zero.then_some(0)
}
