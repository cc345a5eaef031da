//! A call of a kernel function: its arguments, what it does, what it returns (`check_kfunc_call` and `check_kfunc_args`,
//! kernel/bpf/verifier.c, Linux 6.18).

use crate::isa::Reg;
use crate::verify::call::forget_packet;
use crate::verify::explore::{Next, Step, Walk};
use crate::verify::finding::{Code, Finding};
use crate::verify::kernel_types::CastTarget;
use crate::verify::memory::Access;
use crate::verify::range::Range;
use crate::verify::stack_object::{Found, IteratorKind, StackObject};
use crate::verify::state::{Holding, State};
use crate::verify::value::{Object, Pointer, Region, Tracked, Trust, Value};

use super::signature::{Memory, Parameter, Returned, Signature, Sized};
use super::table::{ACQUIRE, Effect, OR_NULL, RCU, RELEASE, TRUSTED};

const ARGUMENTS: [Reg; 5] = [Reg::R1, Reg::R2, Reg::R3, Reg::R4, Reg::R5];
/// Numbers of bytes from this on are refused (`BPF_MAX_VAR_SIZ`).
const MAX_SIZE: u64 = 1 << 29;
/// Preemption can be disabled more often than any program needs.
const MAX_SECTIONS: u8 = u8::MAX;

/// What the arguments of a call say together.
#[derive(Default)]
struct Given {
    /// Stack bytes that the function fills.
    filled: Vec<(u8, i32, i32)>,
    /// The known number (`__k`, `__szk`).
    constant: Option<u64>,
    /// What is given back.
    released: Option<u32>,
    /// The object on the stack that it works on.
    object: Option<Found>,
}

/// A call that is being judged.
struct Call<'a> {
    slot: usize,
    name: &'a str,
    signature: &'a Signature,
}

impl Call<'_> {
    fn has(&self, flag: u8) -> bool {
        self.signature.row.flags & flag != 0
    }

    /// The arguments have to be there, not null and not stale (`is_kfunc_trusted_args`).
    fn takes_trusted_only(&self) -> bool {
        self.has(TRUSTED | RELEASE)
    }

    #[allow(clippy::unnecessary_box_returns, reason = "what a step returns")]
    fn refusal(&self, reg: Reg, given: &Value, what: &str) -> Box<Finding> {
        Box::new(
            Finding::error(
                Code::HelperArgument,
                self.slot,
                format!("{}: {reg} {what}", self.name),
            )
            .knowing(format!("{reg} is {given}")),
        )
    }
}

impl Walk<'_> {
    /// Calls the kernel function with this BTF id.
    pub(in crate::verify) fn call_kernel(
        &mut self,
        state: &mut State,
        slot: usize,
        btf_id: i32,
        module: i16,
    ) -> Step<Next> {
        let unsupported =
            |what: String| Err(Box::new(Finding::error(Code::Unsupported, slot, what)));
        let input = self.input;
        let Some(function) = input.kernel_functions.get(&(btf_id, module)) else {
            return unsupported(
                "this kernel function is not known here: its kernel's BTF is needed".to_owned(),
            );
        };
        let Some(signature) = &function.signature else {
            return unsupported(format!(
                "the kernel function {} is not modelled",
                function.name
            ));
        };
        let call = Call {
            slot,
            name: &function.name,
            signature,
        };
        self.check_allowed(state, &call)?;
        let mut given = Given::default();
        for (index, &parameter) in signature.parameters.iter().enumerate() {
            self.kernel_argument(state, &call, index, parameter, &mut given)?;
        }
        for (depth, low, high) in std::mem::take(&mut given.filled) {
            self.fill_stack(state, depth, low, high);
        }
        if call.has(RELEASE) {
            let Some(reference) = given.released else {
                return Err(Box::new(Finding::error(
                    Code::HelperArgument,
                    slot,
                    format!("{} has to be given what was acquired before", call.name),
                )));
            };
            self.give_back(state, reference);
        }
        self.take_effect(state, &call, &given)?;
        if signature.row.effect == Effect::IteratorNext {
            return self.iterate(state, &call, &given);
        }
        let returned = self.kernel_result(state, &call, &given)?;
        self.after_call(state, returned);
        Ok(Next::At(slot + 1))
    }

    fn check_allowed(&self, state: &State, call: &Call<'_>) -> Step<()> {
        let refuse = |code, what: String, help: &str| {
            Err(Box::new(Finding::error(code, call.slot, what).help(help)))
        };
        if !self.input.rules.gpl {
            return refuse(
                Code::HelperUnknown,
                format!("{} is for programs under the GPL only", call.name),
                "declare the licence, if it is one: char LICENSE[] SEC(\"license\") = \"GPL\";",
            );
        }
        if call.signature.row.effect == Effect::DeviceBound {
            // Not a fault of the program: its loader binds it, and then the device's driver says.
            return refuse(
                Code::Unsupported,
                format!(
                    "whether there is {} depends on the driver of the device that the program is bound to",
                    call.name
                ),
                "load the program for one interface (BPF_F_XDP_DEV_BOUND_ONLY), as `xdp-offload attach` does",
            );
        }
        if state.lock.is_some() {
            return refuse(
                Code::Lock,
                format!("{} is called while a spin lock is held", call.name),
                "unlock first: no function may be called under a lock",
            );
        }
        Ok(())
    }

    fn kernel_argument(
        &mut self,
        state: &mut State,
        call: &Call<'_>,
        index: usize,
        parameter: Parameter,
        given: &mut Given,
    ) -> Step<()> {
        let reg = ARGUMENTS[index];
        if parameter == Parameter::Ignored {
            return Ok(());
        }
        let value = self.read(state, reg, call.slot)?;
        let refuse = |what: &str| Err(call.refusal(reg, &value.value, what));
        let pointer = value.value.pointer().copied();
        match parameter {
            // A size is judged with the address before it.
            Parameter::Ignored | Parameter::Size => Ok(()),
            Parameter::Number if pointer.is_none() => Ok(()),
            Parameter::Number => refuse("has to be a number"),
            Parameter::Constant => match value.value.range().and_then(Range::as_constant) {
                Some(number) => {
                    self.need(value.mark);
                    given.constant = Some(number);
                    Ok(())
                }
                None => refuse("has to be a number that is known"),
            },
            Parameter::Context => match pointer {
                Some(p) if p.region == Region::Context && !p.nullable && p.is_start() => Ok(()),
                _ => refuse("has to be the context, unchanged"),
            },
            Parameter::Dynptr { nullable: true, .. } if is_null(&value.value) => Ok(()),
            Parameter::Dynptr { made, .. } => match pointer {
                Some(p) => self.dynptr_argument(state, call, (reg, &value, &p), made, given),
                None => refuse("has to be the address of a dynptr"),
            },
            Parameter::Iterator(kind) => match pointer {
                Some(p) => self.iterator_argument(state, call, (reg, &value, &p), kind, given),
                None => refuse("has to be the address of an iterator"),
            },
            Parameter::Memory(memory) => {
                self.address_argument(state, call, index, &memory, &value, given)
            }
            Parameter::Other => refuse("is of a kind that is not modelled"),
        }
    }

    /// A dynptr that is used, or one that is made over anything but a dynptr in use (`process_dynptr_func`).
    fn dynptr_argument(
        &mut self,
        state: &mut State,
        call: &Call<'_>,
        (reg, value, pointer): (Reg, &Tracked, &Pointer),
        made: bool,
        given: &mut Given,
    ) -> Step<()> {
        let object = StackObject::PacketDynptr { part: 0 };
        let what = format!("{}: {reg}, the address of a dynptr,", call.name);
        let place = self.object_place(state, call.slot, pointer, 2, value.mark, &what)?;
        if made {
            self.make_object(state, call.slot, place, object, 0)?;
            return Ok(());
        }
        match self.object_at(state, place) {
            Some(found) if found.object == object => {
                given.object = Some(found);
                Ok(())
            }
            _ => Err(call.refusal(
                reg,
                &value.value,
                "has to be the address of a dynptr that was made",
            )),
        }
    }

    fn iterator_argument(
        &mut self,
        state: &mut State,
        call: &Call<'_>,
        (reg, value, pointer): (Reg, &Tracked, &Pointer),
        kind: IteratorKind,
        given: &mut Given,
    ) -> Step<()> {
        let what = format!("{}: {reg}, the address of an iterator,", call.name);
        let place =
            self.object_place(state, call.slot, pointer, kind.slots(), value.mark, &what)?;
        if call.signature.row.effect == Effect::IteratorNew {
            let reference = self.new_reference(state, call.slot, Holding::Iterator);
            let object = StackObject::Iterator {
                kind,
                drained: false,
                part: 0,
            };
            self.make_object(state, call.slot, place, object, reference)?;
            return Ok(());
        }
        match self.object_at(state, place) {
            Some(found) if matches!(found.object, StackObject::Iterator { kind: other, .. } if other == kind) =>
            {
                given.object = Some(found);
                Ok(())
            }
            _ => Err(call.refusal(
                reg,
                &value.value,
                "has to be the address of an iterator in use",
            )),
        }
    }

    /// An address of a structure of the kernel's, or of memory.
    fn address_argument(
        &mut self,
        state: &mut State,
        call: &Call<'_>,
        index: usize,
        memory: &Memory,
        value: &Tracked,
        given: &mut Given,
    ) -> Step<()> {
        let reg = ARGUMENTS[index];
        let refuse = |what: &str| Err(call.refusal(reg, &value.value, what));
        let picky = call.takes_trusted_only() || call.has(RCU);
        let null = is_null(&value.value);
        if null && picky && !memory.nullable {
            return refuse("may not be null");
        }
        let pointer = match value.value {
            Value::Pointer(pointer) => Some(pointer),
            _ if null => None,
            _ => return refuse("has to be an address"),
        };
        if pointer.is_some_and(|p| p.nullable) && !(memory.nullable && memory.structure.is_none()) {
            return refuse("may be null here: check it first");
        }
        if let Some(p) = pointer
            && let Region::Kernel(object) = p.region
        {
            return structure_argument(state, call, reg, memory, (value, &p, object), given);
        }
        if call.has(RELEASE) {
            return refuse("has to be what was acquired before");
        }
        let bytes = match memory.sized {
            Some(sized) => {
                let skips = null && memory.optional;
                match self.size_argument(state, call, index + 1, sized, skips, given)? {
                    Some(bytes) => bytes,
                    None => return Ok(()),
                }
            }
            None => match memory.bytes {
                Some(_) if null => return Ok(()),
                Some(bytes) => bytes,
                None => return refuse("has to be the address of a structure of the kernel's"),
            },
        };
        let Some(p) = pointer else {
            return if bytes == 0 {
                Ok(())
            } else {
                refuse("is null, but the size after it is not 0")
            };
        };
        let p = Pointer {
            nullable: false,
            ..p
        };
        self.need(value.mark);
        if let Region::Stack(_) = p.region {
            let (depth, low, high) =
                self.helper_stack_span(state, call.slot, &p, bytes, value.mark)?;
            self.read_stack_bytes(state, call.slot, depth, low, high, call.name)?;
            given.filled.push((depth, low, high));
            return Ok(());
        }
        // What is a number for the kernel's type information is read and written for all that is known.
        self.bounds(call.slot, reg, &p, 0, bytes, Access::Read, value.mark)?;
        self.bounds(call.slot, reg, &p, 0, bytes, Access::Write, value.mark)
    }

    /// The most bytes that a size stands for; `None` where the address before it may be null whatever it is.
    fn size_argument(
        &mut self,
        state: &State,
        call: &Call<'_>,
        index: usize,
        sized: Sized,
        skips: bool,
        given: &mut Given,
    ) -> Step<Option<u32>> {
        let Some(&reg) = ARGUMENTS.get(index) else {
            return Ok(Some(u32::MAX));
        };
        let value = self.read(state, reg, call.slot)?;
        let Some(range) = value.value.range().copied() else {
            return Err(call.refusal(reg, &value.value, "has to be a number of bytes"));
        };
        self.need(value.mark);
        if range.s64.0 < 0 || range.u64.1 >= MAX_SIZE {
            return Err(call.refusal(reg, &value.value, "is not bounded"));
        }
        if sized.constant {
            let Some(constant) = range.as_constant() else {
                return Err(call.refusal(reg, &value.value, "has to be a number that is known"));
            };
            given.constant = Some(constant);
        }
        Ok((!skips).then_some(range.u64.1 as u32))
    }

    /// What the function does besides returning something.
    fn take_effect(&mut self, state: &mut State, call: &Call<'_>, given: &Given) -> Step<()> {
        let refuse = |what: &str| {
            Err(Box::new(Finding::error(
                Code::Lock,
                call.slot,
                what.to_owned(),
            )))
        };
        match call.signature.row.effect {
            Effect::MovesPacket => forget_packet(state, self.input.rules),
            Effect::IteratorDestroy => {
                if let Some(found) = given.object {
                    self.remove_object(state, &found);
                }
            }
            Effect::RcuLock if state.objects.rcu => {
                return refuse("an RCU section begins in an RCU section");
            }
            Effect::RcuLock => state.objects.rcu = true,
            Effect::RcuUnlock if !state.objects.rcu => {
                return refuse("an RCU section ends that did not begin");
            }
            Effect::RcuUnlock => {
                state.objects.rcu = false;
                state.for_each_pointer(|pointer| {
                    if let Region::Kernel(Object::Structure { trust, .. }) = &mut pointer.region
                        && *trust == Trust::Rcu
                    {
                        *trust = Trust::Untrusted;
                        pointer.nullable = false;
                    }
                });
            }
            Effect::PreemptDisable if state.objects.no_preemption == MAX_SECTIONS => {
                return refuse("preemption is disabled too often");
            }
            Effect::PreemptDisable => state.objects.no_preemption += 1,
            Effect::PreemptEnable if state.objects.no_preemption == 0 => {
                return refuse("preemption is enabled that was not disabled");
            }
            Effect::PreemptEnable => state.objects.no_preemption -= 1,
            _ => {}
        }
        Ok(())
    }

    fn kernel_result(&mut self, state: &mut State, call: &Call<'_>, given: &Given) -> Step<Value> {
        let unsupported = |what: &str| {
            Err(Box::new(Finding::error(
                Code::Unsupported,
                call.slot,
                what.to_owned(),
            )))
        };
        let nullable = call.has(OR_NULL);
        match (call.signature.row.effect, call.signature.result) {
            (Effect::Slice { writable }, _) => {
                let (Some(size), Some(dynptr)) = (given.constant, given.object) else {
                    return unsupported("this dynptr is not modelled");
                };
                Ok(Value::Pointer(Pointer {
                    nullable,
                    id: self.new_id(),
                    reference: dynptr.id,
                    ..Pointer::to(Region::Slice {
                        size: size as u32,
                        writable,
                    })
                }))
            }
            (Effect::KernelContext, _) => {
                match self
                    .input
                    .kernel_types
                    .and_then(|types| types.structure("xdp_buff"))
                {
                    Some(ty) => Ok(self.structure_address(ty, Trust::Trusted, false)),
                    None => unsupported("struct xdp_buff is not known"),
                }
            }
            (Effect::ReadOnlyCast, _) => {
                let target = given
                    .constant
                    .and_then(|id| u32::try_from(id).ok())
                    .and_then(|id| self.input.kernel_types?.cast_target(id));
                match target {
                    Some(CastTarget::Structure(ty)) => {
                        Ok(self.structure_address(ty, Trust::Untrusted, false))
                    }
                    Some(CastTarget::Memory) => {
                        Ok(Value::Pointer(Pointer::to(Region::Kernel(Object::Untyped))))
                    }
                    None => Err(Box::new(Finding::error(
                        Code::HelperArgument,
                        call.slot,
                        format!(
                            "{}: r2 has to be the id of a structure or of void",
                            call.name
                        ),
                    ))),
                }
            }
            (_, Returned::Nothing) => Ok(Value::Uninitialised),
            (_, Returned::Number) => Ok(Value::UNKNOWN),
            (_, Returned::Structure(ty)) if call.has(ACQUIRE) => {
                let id = self.new_reference(state, call.slot, Holding::Object);
                Ok(Value::Pointer(Pointer {
                    nullable,
                    id,
                    reference: id,
                    ..Pointer::to(Region::Kernel(Object::Structure {
                        ty,
                        trust: Trust::Trusted,
                    }))
                }))
            }
            (_, Returned::Structure(ty)) => Ok(self.structure_address(ty, Trust::Plain, nullable)),
            (_, Returned::Memory(_) | Returned::Untyped) => {
                unsupported("what this kernel function returns is not modelled")
            }
        }
    }

    /// An iterator gives an element on one path and none on the other (`process_iter_next_call`).
    fn iterate(&mut self, state: &mut State, call: &Call<'_>, given: &Given) -> Step<Next> {
        let next = call.slot + 1;
        let (Some(found), Returned::Memory(size)) = (given.object, call.signature.result) else {
            return Err(Box::new(Finding::error(
                Code::Unsupported,
                call.slot,
                "this iterator is not modelled",
            )));
        };
        if !matches!(found.object, StackObject::Iterator { drained: true, .. }) {
            let mut another_round = state.clone();
            another_round.objects.iterator_rounds += 1;
            let element = Value::Pointer(Pointer {
                reference: found.id,
                ..Pointer::to(Region::Memory {
                    size,
                    writable: false,
                })
            });
            self.after_call(&mut another_round, element);
            // The newest state of this slot is the one that this round started with.
            self.widen(&mut another_round, call.slot, self.parent);
            self.postpone(another_round, next, None);
        }
        self.drain(state, &found);
        self.after_call(state, Value::constant(0));
        Ok(Next::At(next))
    }
}

/// An address of one of the kernel's structures (`process_kf_arg_ptr_to_btf_id`).
fn structure_argument(
    state: &State,
    call: &Call<'_>,
    reg: Reg,
    memory: &Memory,
    (value, pointer, object): (&Tracked, &Pointer, Object),
    given: &mut Given,
) -> Step<()> {
    let refuse = |what: &str| Err(call.refusal(reg, &value.value, what));
    let Object::Structure { ty, trust } = object else {
        return refuse("is of a kind that is not modelled");
    };
    if memory.structure != Some(ty) {
        return refuse("is the address of another structure");
    }
    if pointer.off != 0 || pointer.variable.as_constant() != Some(0) {
        return refuse("has to be the structure's start");
    }
    let is_trusted =
        trust == Trust::Trusted || (pointer.reference != 0 && trust != Trust::Untrusted);
    if !(is_trusted || (call.has(RCU) && trust == Trust::Rcu)) {
        return refuse("has to be acquired or trusted");
    }
    if call.has(RELEASE) {
        let held = state
            .references
            .iter()
            .any(|known| known.id == pointer.reference && known.holding == Holding::Object);
        if !held || given.released.is_some() {
            return refuse("has to be what was acquired before");
        }
        given.released = Some(pointer.reference);
    }
    Ok(())
}

fn is_null(value: &Value) -> bool {
    value.range().and_then(Range::as_constant) == Some(0)
}
