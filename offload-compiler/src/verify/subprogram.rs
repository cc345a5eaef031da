//! Calls of the program's own functions, callbacks, and returns.

use crate::isa::Reg;

use super::call::Arguments;
use super::explore::{Alone, Next, Step, Walk};
use super::finding::{Code, Finding};
use super::input::GlobalArg;
use super::marks::Mark;
use super::memory::Access;
use super::prototype::Prototype;
use super::stack_object::refuse_objects;
use super::state::{Frame, MAX_FRAMES, Purpose, State};
use super::structure;
use super::value::{Pointer, Region, Tracked, Value};

const ARGUMENTS: [Reg; 5] = [Reg::R1, Reg::R2, Reg::R3, Reg::R4, Reg::R5];

impl Walk<'_> {
    pub(super) fn call_local(&mut self, state: &mut State, slot: usize) -> Step<Next> {
        let start = self
            .input
            .code
            .at(slot)
            .and_then(|instruction| structure::callee(slot, instruction));
        let Some((start, function)) =
            start.and_then(|start| Some((start, self.input.function_at(start)?)))
        else {
            return Err(Box::new(Finding::error(
                Code::ControlFlow,
                slot,
                "this call leads to no function",
            )));
        };
        if let Some(args) = &function.global {
            self.verify_alone(Alone::Global(start));
            for (index, arg) in args.iter().enumerate().take(5) {
                self.global_argument(state, slot, ARGUMENTS[index], *arg, &function.name)?;
            }
            if state.lock.is_some() {
                return Err(Box::new(Finding::error(
                    Code::Lock,
                    slot,
                    "a global function is called while a spin lock is held",
                )));
            }
            if self.moves_packet(start) {
                super::call::forget_packet(state, self.input.rules);
            }
            self.after_call(state, Value::UNKNOWN);
            return Ok(Next::At(slot + 1));
        }
        let mut frame = self.enter(state, slot, start, Purpose::Call)?;
        for reg in ARGUMENTS {
            // Passing on is no use: the callee's reads count.
            let given = *state.register(reg);
            if given.value != Value::Uninitialised {
                frame.registers[reg.index()] = Tracked {
                    value: given.value,
                    mark: self.marks.same(given.mark),
                };
            }
            state.set(reg, Value::Uninitialised, Mark::NONE);
        }
        state.set(Reg::R0, Value::Uninitialised, Mark::NONE);
        state.frames.push(frame);
        Ok(Next::At(start))
    }

    fn enter(&mut self, state: &State, slot: usize, start: usize, purpose: Purpose) -> Step<Frame> {
        if state.frames.len() >= MAX_FRAMES {
            return Err(Box::new(Finding::error(
                Code::CallDepth,
                slot,
                format!("functions call each other more than {MAX_FRAMES} deep"),
            )));
        }
        let mut frame = Frame::new(start, slot, purpose);
        frame.entered_after = self.ids;
        let mark = self.marks.fresh();
        frame.registers[10] = Tracked {
            value: Value::Pointer(Pointer::to(Region::Stack(state.frames.len() as u8))),
            mark,
        };
        Ok(frame)
    }

    fn global_argument(
        &mut self,
        state: &mut State,
        slot: usize,
        reg: Reg,
        arg: GlobalArg,
        name: &str,
    ) -> Step<()> {
        let given = self.read(state, reg, slot)?;
        let refuse = |what: &str| {
            Err(Box::new(
                Finding::error(Code::HelperArgument, slot, format!("{name}: {reg} {what}"))
                    .knowing(format!("{reg} is {}", given.value)),
            ))
        };
        match (arg, given.value) {
            (GlobalArg::Number, Value::Number { .. }) => Ok(()),
            (GlobalArg::Context, Value::Pointer(p))
                if p.region == Region::Context && p.is_start() =>
            {
                Ok(())
            }
            (GlobalArg::Memory { nullable: true, .. }, Value::Number { range, .. })
                if range.as_constant() == Some(0) =>
            {
                Ok(())
            }
            (GlobalArg::Memory { size, nullable }, Value::Pointer(pointer)) => {
                if pointer.nullable && !nullable {
                    return refuse("may be null");
                }
                let pointer = Pointer {
                    nullable: false,
                    ..pointer
                };
                if let Region::Stack(_) = pointer.region {
                    let (depth, low, high) =
                        self.helper_stack_span(state, slot, &pointer, size, given.mark)?;
                    self.read_stack_bytes(state, slot, depth, low, high, name)?;
                    refuse_objects(state, slot, depth, low, high)?;
                    self.fill_stack(state, depth, low, high);
                    return Ok(());
                }
                self.bounds(slot, reg, &pointer, 0, size, Access::Read, given.mark)?;
                self.bounds(slot, reg, &pointer, 0, size, Access::Write, given.mark)
            }
            (GlobalArg::Number, _) => refuse("has to be a number"),
            (GlobalArg::Context, _) => refuse("has to be the context, unchanged"),
            (GlobalArg::Memory { .. }, _) => refuse("has to point to memory"),
            (GlobalArg::Other, _) => refuse("is of a kind that is not modelled"),
        }
    }

    /// A helper that calls one of the program's functions any number of times. The state goes on behind the call, one
    /// that enters the callback is left for later (`push_callback_call`).
    pub(super) fn call_back(
        &mut self,
        state: &mut State,
        slot: usize,
        prototype: &Prototype,
        arguments: &Arguments,
    ) -> Step<()> {
        let Some(start) = arguments.callback.map(|start| start as usize) else {
            return Ok(());
        };
        if prototype.name == "bpf_timer_set_callback" {
            if let Some(map) = arguments.timer_of {
                self.verify_alone(Alone::Later { start, map });
            }
            return Ok(());
        }
        let context = arguments.callback_context.unwrap_or(Tracked::UNINITIALISED);
        let mut frame = self.enter(state, slot, start, Purpose::Callback)?;
        match prototype.name {
            "bpf_loop" => {
                let rounds = *state.register(Reg::R1);
                self.need(rounds.mark);
                let most = rounds.value.range().map_or(u64::MAX, |range| range.u64.1);
                if u64::from(state.frame().callback_rounds) >= most {
                    state.frame_mut().callback_rounds = 0;
                    return Ok(());
                }
                frame.registers[1] = Tracked {
                    value: Value::UNKNOWN,
                    mark: self.marks.fresh(),
                };
                frame.registers[2] = context;
            }
            "bpf_for_each_map_elem" => {
                let Some(map) = arguments.map else {
                    return Ok(());
                };
                frame.registers[1..4].copy_from_slice(&self.map_callback_parameters(map));
                frame.registers[4] = context;
            }
            other => {
                return Err(Box::new(Finding::error(
                    Code::Unsupported,
                    slot,
                    format!("callbacks of {other} are not modelled"),
                )));
            }
        }
        let mut inside = state.clone();
        inside.frame_mut().callback_rounds += 1;
        inside.callback_entries += 1;
        inside.frames.push(frame);
        self.postpone(inside, start, None);
        state.frame_mut().callback_rounds = 0;
        Ok(())
    }

    pub(super) fn exit(&mut self, state: &mut State, slot: usize) -> Step<Next> {
        if state.frames.len() > 1 {
            return self.return_to_caller(state, slot);
        }
        let returned = self.read(state, Reg::R0, slot)?;
        if let Some(reference) = state.references.first() {
            return Err(Box::new(
                Finding::error(
                    Code::Reference,
                    slot,
                    "something acquired is not given back on this path",
                )
                .related(reference.acquired_at, "acquired here")
                .help(
                    "submit or discard ring buffer records, release sockets, before every return",
                ),
            ));
        }
        if state.lock.is_some() {
            return Err(Box::new(Finding::error(
                Code::Lock,
                slot,
                "the program ends with a spin lock held",
            )));
        }
        if state.objects.rcu || state.objects.no_preemption > 0 {
            return Err(Box::new(
                Finding::error(
                    Code::Lock,
                    slot,
                    "the program ends in an RCU section or with preemption disabled",
                )
                .help("call bpf_rcu_read_unlock or bpf_preempt_enable on every path"),
            ));
        }
        if returned.value.pointer().is_some() && !self.input.rules.leaks_allowed {
            return Err(Box::new(Finding::error(
                Code::PointerLeak,
                slot,
                "an address would be the program's return value",
            )));
        }
        if state.frame().purpose == Purpose::Later {
            self.check_callback_result(slot, &returned, 0)?;
            return Ok(Next::End);
        }
        let is_global = state.frame().function != 0;
        if is_global && returned.value.range().is_none() {
            return Err(Box::new(Finding::error(
                Code::ReturnValue,
                slot,
                "a global function has to return a number",
            )));
        }
        Ok(Next::End)
    }

    fn return_to_caller(&mut self, state: &mut State, slot: usize) -> Step<Next> {
        let returned = *state.register(Reg::R0);
        self.marks.read(returned.mark);
        if let Value::Pointer(pointer) = returned.value
            && matches!(pointer.region, Region::Stack(_))
        {
            return Err(Box::new(Finding::error(
                Code::PointerLeak,
                slot,
                "a function returns an address in the stack",
            )));
        }
        let Some(frame) = state.frames.pop() else {
            return Ok(Next::End);
        };
        if frame.purpose == Purpose::Callback {
            // What a callback acquires it has to give back itself: it may run any number of times.
            if let Some(reference) = state
                .references
                .iter()
                .find(|reference| reference.id > frame.entered_after)
            {
                return Err(Box::new(
                    Finding::error(
                        Code::Reference,
                        slot,
                        "something acquired in a callback is not given back in it",
                    )
                    .related(reference.acquired_at, "acquired here"),
                ));
            }
            self.check_callback_result(slot, &returned, 1)?;
            // Back to the call: the helper may call again or return.
            self.widen(state, frame.call_site, None);
            return Ok(Next::At(frame.call_site));
        }
        let mark = self.marks.same(returned.mark);
        for reg in ARGUMENTS {
            state.set(reg, Value::Uninitialised, Mark::NONE);
        }
        state.set(Reg::R0, returned.value, mark);
        Ok(Next::At(frame.call_site + 1))
    }

    /// What a callback returns tells the kernel what to do next.
    fn check_callback_result(&mut self, slot: usize, returned: &Tracked, most: i64) -> Step<()> {
        self.need(returned.mark);
        if returned
            .value
            .range()
            .is_some_and(|range| range.s64.0 >= 0 && range.s64.1 <= most)
        {
            return Ok(());
        }
        Err(Box::new(
            Finding::error(
                Code::ReturnValue,
                slot,
                if most == 0 {
                    "this callback has to return 0"
                } else {
                    "a callback has to return 0 (go on) or 1 (stop)"
                },
            )
            .knowing(format!("r0 is {}", returned.value)),
        ))
    }
}
