//! Calls of helpers: arguments, what they do to memory, what they return.

use crate::isa::{Reg, functions};

use super::explore::{Next, Step, Walk};
use super::finding::{Code, Finding};
use super::input::{MapShape, Rules, SpecialKind};
use super::map_rules;
use super::marks::Mark;
use super::memory::Access;
use super::prototype::{self, Arg, Prototype, Ret};
use super::range::Range;
use super::stack::is_aligned;
use super::stack_object::StackObject;
use super::state::{Holding, State};
use super::value::{Object, Pointer, Region, Tracked, Trust, Value};

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
        self.check_lock(state, slot, prototype)?;
        for (depth, low, high) in std::mem::take(&mut arguments.filled) {
            self.fill_stack(state, depth, low, high);
        }
        if prototype.moves_packet {
            forget_packet(state, self.input.rules);
        }
        if let Some(reference) = arguments.release {
            self.give_back(state, reference);
        }
        self.check_sections(state, slot, prototype)?;
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

    fn argument(
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
                let pointer = self.usable_argument(slot, prototype, reg, &given)?;
                arguments.key = self.constant_key(state, &pointer, size);
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
                let pointer = self.usable_argument(slot, prototype, reg, &given)?;
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
                let pointer = self.usable_argument(slot, prototype, reg, &given)?;
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
                let pointer = self.usable_argument(slot, prototype, reg, &given)?;
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

    fn special_at(&self, map: u32, pointer: Option<Pointer>, kind: SpecialKind) -> bool {
        let (Some(shape), Some(pointer)) = (self.input.maps.get(map as usize), pointer) else {
            return false;
        };
        pointer.variable.as_constant() == Some(0)
            && shape.special.iter().any(|field| {
                field.kind == kind && i64::from(field.offset) == i64::from(pointer.off)
            })
    }

    fn usable_argument(
        &self,
        slot: usize,
        prototype: &Prototype,
        reg: Reg,
        given: &Tracked,
    ) -> Step<Pointer> {
        self.usable(slot, reg, &given.value).map_err(|mut finding| {
            if finding.code == Code::NotAPointer {
                finding.code = Code::HelperArgument;
            }
            finding.message = format!("{}: {}", prototype.name, finding.message);
            finding
        })
    }

    /// A key of at most eight bytes that is known, for arrays: it proves that a lookup succeeds.
    fn constant_key(&self, state: &State, pointer: &Pointer, size: u32) -> Option<u64> {
        let Region::Stack(depth) = pointer.region else {
            return None;
        };
        let _ = self;
        if size != 4 || pointer.variable.as_constant() != Some(0) {
            return None;
        }
        let slot = state.frames.get(depth as usize)?.slot(pointer.off);
        let start = super::state::byte_index(pointer.off);
        if slot.held_bytes() == 4 && start == 0 {
            return slot.held.range()?.as_constant();
        }
        let zero = slot
            .bytes
            .get(start..start + 4)?
            .iter()
            .all(|&byte| byte == super::state::Byte::Zero);
        zero.then_some(0)
    }

    /// A size, together with the memory argument before it.
    #[allow(
        clippy::too_many_arguments,
        reason = "all of it describes one argument"
    )]
    fn sized(
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
        let pointer = self.usable_argument(slot, prototype, *memory_reg, &memory)?;
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

    /// Memory that a helper reads or fills.
    #[allow(
        clippy::too_many_arguments,
        reason = "all of it describes one argument"
    )]
    fn given_memory(
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
                self.refuse_objects(state, slot, depth, low, high)?;
                arguments.filled.push((depth, low, high));
            }
            return Ok(());
        }
        if matches!(pointer.region, Region::Packet | Region::PacketMeta)
            && !takes_packet(prototype, reg)
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

    fn check_lock(&mut self, state: &State, slot: usize, prototype: &Prototype) -> Step<()> {
        let _ = &self.marks;
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
    fn check_sections(&self, state: &State, slot: usize, prototype: &Prototype) -> Step<()> {
        let _ = self.input;
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

    fn lock_argument(
        &mut self,
        state: &mut State,
        slot: usize,
        prototype: &Prototype,
        reg: Reg,
        given: &Tracked,
    ) -> Step<()> {
        let pointer = self.usable_argument(slot, prototype, reg, given)?;
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

    fn returned(
        &mut self,
        state: &mut State,
        slot: usize,
        prototype: &Prototype,
        arguments: &Arguments,
    ) -> Step<Value> {
        Ok(match prototype.ret {
            Ret::Number | Ret::Void if prototype.name == "bpf_get_smp_processor_id" => {
                // nr_cpu_ids is not known here; the kernel bounds it by it.
                Value::number(Range::of_size(crate::isa::Size::B32))
            }
            Ret::Number => Value::UNKNOWN,
            Ret::Void => Value::Uninitialised,
            Ret::Error => {
                let most = arguments.size.map_or(i64::MAX, |size| size.u64.1 as i64);
                Value::number(Range::between_signed(-4095, most))
            }
            Ret::MapValueOrNull => {
                let Some(map) = arguments.map else {
                    return Ok(Value::UNKNOWN);
                };
                let shape = self.input.maps.get(map as usize);
                if let Some(inner) = shape.and_then(|shape| shape.inner.as_ref()) {
                    // The inner map stands for all that may be found there; its shape is appended to the input's maps.
                    let index = self
                        .input
                        .maps
                        .iter()
                        .position(|candidate| candidate == inner.as_ref());
                    let Some(index) = index else {
                        return Err(Box::new(Finding::error(
                            Code::Unsupported,
                            slot,
                            "the maps in this map of maps are not known",
                        )));
                    };
                    return Ok(Value::Pointer(Pointer {
                        nullable: true,
                        id: self.new_id(),
                        ..Pointer::to(Region::Map(index as u32))
                    }));
                }
                if let Some(object) = shape.and_then(|shape| map_rules::object_found(shape.kind)) {
                    return Ok(self.found_object(state, slot, object));
                }
                let certain = self.input.rules.known_lookups
                    && prototype.name == "bpf_map_lookup_elem"
                    && shape.is_some_and(|shape| {
                        map_rules::always_found(shape.kind)
                            && arguments
                                .key
                                .is_some_and(|key| key < u64::from(shape.max_entries))
                    });
                if certain {
                    // The key decided: it has to be the same where states are compared.
                    self.need_key(state);
                }
                Value::Pointer(Pointer {
                    nullable: !certain,
                    id: self.new_id(),
                    ..Pointer::to(Region::MapValue(map))
                })
            }
            Ret::RecordOrNull => self.acquired(
                state,
                slot,
                Region::Memory {
                    size: arguments.reserve.unwrap_or(0),
                    writable: true,
                },
            ),
            Ret::SocketOrNull => self.found_object(state, slot, Object::Socket),
            Ret::SocketCommonOrNull => self.found_object(state, slot, Object::SocketCommon),
            Ret::Task => {
                let structure = self
                    .input
                    .kernel_types
                    .and_then(|types| types.structure("task_struct"));
                let object = structure.map_or(Object::Task, |ty| Object::Structure {
                    ty,
                    trust: Trust::Trusted,
                });
                Value::Pointer(Pointer::to(Region::Kernel(object)))
            }
            Ret::Kernel => Value::Pointer(Pointer::to(Region::Kernel(Object::Other))),
            Ret::KernelOrNull => Value::Pointer(Pointer {
                nullable: true,
                id: self.new_id(),
                ..Pointer::to(Region::Kernel(Object::Other))
            }),
        })
    }

    /// The address of an object, or null; a socket has to be given back.
    fn found_object(&mut self, state: &mut State, slot: usize, object: Object) -> Value {
        let region = Region::Kernel(object);
        if object.is_socket() {
            return self.acquired(state, slot, region);
        }
        Value::Pointer(Pointer {
            nullable: true,
            id: self.new_id(),
            ..Pointer::to(region)
        })
    }

    /// The address of something that has to be given back, or null.
    fn acquired(&mut self, state: &mut State, slot: usize, region: Region) -> Value {
        let holding = if matches!(region, Region::Memory { .. }) {
            Holding::Record
        } else {
            Holding::Socket
        };
        let id = self.new_reference(state, slot, holding);
        Value::Pointer(Pointer {
            nullable: true,
            id,
            reference: id,
            ..Pointer::to(region)
        })
    }

    /// The key on the stack decided about the result of a lookup.
    fn need_key(&mut self, state: &State) {
        if let Some(pointer) = state.register(Reg::R2).value.pointer()
            && let Region::Stack(depth) = pointer.region
        {
            let mark = state.frames[depth as usize].slot(pointer.off).mark;
            self.need(mark);
        }
    }
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

/// Helpers that read or write packet memory directly (`pkt_access` of their prototype).
fn takes_packet(prototype: &Prototype, _reg: Reg) -> bool {
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
