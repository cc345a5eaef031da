//! What a program does, as a formula: every path is followed, and where two end, the branch's condition chooses.

use std::fmt::Write as _;

use offload_compiler::isa::{
    AluOp, AtomicOp, Callee, Condition, Imm64, Instruction, Reg, Size, Swap, Width,
};

use crate::chain::Side;
use crate::state::{MapState, Place, State, Value};
use crate::term::{alu, byte, comparison, constant, extended, joined, low, number, sum};

/// Instructions on all paths together.
const MOST: usize = 1_000;

const BPF_ANY: u64 = 0;
const BPF_EXIST: u64 = 2;

/// What is left when a program has ended.
pub(crate) struct End {
    /// 32 bits.
    pub(crate) verdict: String,
    pub(crate) packet: String,
    pub(crate) maps: Vec<MapState>,
}

pub(crate) struct Encoder<'a> {
    side: &'a Side,
    out: &'a mut String,
    prefix: char,
    names: usize,
    frames: usize,
    left: usize,
}

/// Follows all paths of a program with these maps and writes its terms to `out`; none where it has something that is not
/// encoded.
pub(crate) fn run(side: &Side, maps: Vec<MapState>, prefix: char, out: &mut String) -> Option<End> {
    let mut encoder = Encoder {
        side,
        out,
        prefix,
        names: 0,
        frames: 1,
        left: MOST,
    };
    let mut registers: [Option<Value>; 11] = [const { None }; 11];
    registers[1] = Some(Value {
        term: constant(0),
        place: Place::Context(0),
    });
    let mut state = State {
        registers,
        stack: std::collections::BTreeMap::new(),
        packet: "packet".to_owned(),
        maps,
        calls: Vec::new(),
        frame: 0,
    };
    state.enter(0);
    encoder.path(0, state)
}

impl Encoder<'_> {
    fn name(&mut self) -> String {
        self.names += 1;
        format!("{}{}", self.prefix, self.names)
    }

    /// A name for a term, so that it stands in the text once.
    fn named(&mut self, sort: &str, term: &str) -> String {
        let name = self.name();
        let _ = writeln!(self.out, "(define-fun {name} () {sort} {term})");
        name
    }

    fn named_bits(&mut self, bits: u32, term: &str) -> String {
        self.named(&format!("(_ BitVec {bits})"), term)
    }

    fn named_packet(&mut self, term: &str) -> String {
        self.named("(Array (_ BitVec 64) (_ BitVec 8))", term)
    }

    fn named_map(&mut self, map: &MapState, values: &str, present: &str) -> MapState {
        let (key, value) = (map.key_bytes * 8, map.value_bytes * 8);
        let sort = format!("(Array (_ BitVec {key}) (_ BitVec {value}))");
        MapState {
            values: self.named(&sort, values),
            present: self.named(&format!("(Array (_ BitVec {key}) Bool)"), present),
            ..map.clone()
        }
    }

    fn number(&mut self, term: &str) -> Value {
        if number(term).is_some() {
            return Value::number(term.to_owned());
        }
        Value::number(self.named_bits(64, term))
    }

    fn narrowed(&mut self, term: &str) -> Value {
        let term = extended(term, 32, false);
        self.number(&term)
    }

    /// Follows all paths from a slot on.
    fn path(&mut self, mut slot: usize, mut state: State) -> Option<End> {
        loop {
            self.left = self.left.checked_sub(1)?;
            let instruction = *self.side.code.at(slot)?;
            let next = slot + instruction.slots();
            let to = |offset: i32| next.checked_add_signed(offset as isize);
            match instruction {
                Instruction::Exit => {
                    let Some((back, saved, frame)) = state.calls.pop() else {
                        let r0 = state.get(Reg::R0)?;
                        return Some(End {
                            verdict: self.named_bits(32, &low(&r0.term, 32)),
                            packet: state.packet,
                            maps: state.maps,
                        });
                    };
                    for (register, value) in state.registers[6..10].iter_mut().zip(saved) {
                        *register = value;
                    }
                    state.enter(frame);
                    slot = back;
                }
                Instruction::Jump { offset, .. } => slot = to(offset)?,
                Instruction::Branch { condition, offset } => {
                    let test = test(&state, condition)?;
                    let taken = self.path(to(offset.into())?, state.clone())?;
                    let other = self.path(next, state)?;
                    return Some(self.either(&test, &taken, &other));
                }
                Instruction::Call(Callee::Local(offset)) => {
                    let saved = [6, 7, 8, 9].map(|register| state.registers[register].clone());
                    state.calls.push((next, saved, state.frame));
                    let frame = self.frames;
                    self.frames += 1;
                    state.enter(frame);
                    slot = to(offset)?;
                }
                Instruction::Call(Callee::Helper(helper)) => {
                    let answer = self.helper(&mut state, helper)?;
                    for register in &mut state.registers[1..6] {
                        *register = None;
                    }
                    state.set(Reg::R0, answer);
                    slot = next;
                }
                Instruction::LoadImm64 { dst, value } => {
                    let value = self.address(slot, value)?;
                    state.set(dst, value);
                    slot = next;
                }
                _ => {
                    self.step(&mut state, instruction)?;
                    slot = next;
                }
            }
        }
    }

    fn either(&mut self, test: &str, taken: &End, other: &End) -> End {
        let choice = |one: &str, other: &str| {
            if one == other {
                one.to_owned()
            } else {
                format!("(ite {test} {one} {other})")
            }
        };
        let maps = taken.maps.iter().zip(&other.maps).map(|(one, other)| {
            let values = choice(&one.values, &other.values);
            let present = choice(&one.present, &other.present);
            self.named_map(one, &values, &present)
        });
        let maps = maps.collect();
        End {
            verdict: self.named_bits(32, &choice(&taken.verdict, &other.verdict)),
            packet: self.named_packet(&choice(&taken.packet, &other.packet)),
            maps,
        }
    }

    fn address(&mut self, slot: usize, value: Imm64) -> Option<Value> {
        if let Some(reference) = self.side.map_at.get(&slot) {
            let map = reference.map as usize;
            let place = match reference.value_offset {
                None => Place::Map(map),
                Some(offset) => Place::MapValue(map, "#x00000000".to_owned(), offset.into(), None),
            };
            return Some(Value {
                term: constant(1 << 40),
                place,
            });
        }
        match value {
            Imm64::Number(value) => Some(Value::number(constant(value))),
            _ => None,
        }
    }

    /// What a call of a helper does, and its answer.
    fn helper(&mut self, state: &mut State, helper: i32) -> Option<Value> {
        match helper {
            1..=3 => {}
            // The same answer each time: lowering may leave out a question whose answer is not used.
            5 => return Some(Value::number("time".to_owned())),
            7 => return Some(self.narrowed("random")),
            8 => return Some(self.narrowed("cpu")),
            188 => return Some(Value::number("length".to_owned())),
            189 => return self.load_bytes(state),
            _ => return None,
        }
        let Place::Map(index) = state.get(Reg::R1)?.place else {
            return None;
        };
        let map = state.maps[index].clone();
        let key = joined(&state.bytes(&state.get(Reg::R2)?, 0, map.key_bytes)?);
        let key = self.named_bits(map.key_bytes * 8, &key);
        let there = map.has(&key);
        match helper {
            1 => {
                let term = format!("(ite {there} {} {})", constant(1 << 40), constant(0));
                Some(Value {
                    term: self.named_bits(64, &term),
                    place: Place::MapValue(index, key, 0, None),
                })
            }
            2 => {
                let flags = number(&state.get(Reg::R4)?.term)?;
                let bytes = state.bytes(&state.get(Reg::R3)?, 0, map.value_bytes)?;
                // Whether a hash map has room for one more.
                let done = match (flags, map.elements) {
                    (BPF_ANY, None) => format!("(or {there} room)"),
                    (BPF_EXIST, _) | (BPF_ANY, Some(_)) => there,
                    _ => return None,
                };
                let values = format!("(store {} {key} {})", map.values, map.with(&key, 0, &bytes));
                let values = format!("(ite {done} {values} {})", map.values);
                let present = format!("(ite {done} (store {0} {key} true) {0})", map.present);
                state.maps[index] = self.named_map(&map, &values, &present);
                let answer = format!("(ite {done} {} {})", constant(0), constant(-7_i64 as u64));
                Some(self.number(&answer))
            }
            _ if map.elements.is_some() => Some(Value::number(constant(-22_i64 as u64))),
            _ => {
                let present = format!("(store {} {key} false)", map.present);
                state.maps[index] = self.named_map(&map, &map.values, &present);
                let answer = format!("(ite {there} {} {})", constant(0), constant(-2_i64 as u64));
                Some(self.number(&answer))
            }
        }
    }

    /// `bpf_xdp_load_bytes` to the stack.
    fn load_bytes(&mut self, state: &mut State) -> Option<Value> {
        let (from, to) = (state.get(Reg::R2)?, state.get(Reg::R3)?);
        let bytes = i64::try_from(number(&state.get(Reg::R4)?.term)?).ok()?;
        let Place::Stack(frame, at) = to.place else {
            return None;
        };
        // The offset has 32 bits.
        let offset = self.narrowed(&low(&from.term, 32));
        let end = sum(&offset.term, bytes);
        let fits = format!("(bvule {end} length)");
        for index in 0..bytes {
            let place = (frame, at + index);
            let address = format!("(bvadd base {})", sum(&offset.term, index));
            let (old, part) = state.stack.get(&place)?;
            let old = byte(&old.term, *part);
            let new = format!("(ite {fits} (select {} {address}) {old})", state.packet);
            let new = self.number(&extended(&new, 8, false));
            state.stack.insert(place, (new, 0));
        }
        let answer = format!("(ite {fits} {} {})", constant(0), constant(-22_i64 as u64));
        Some(self.number(&answer))
    }

    fn step(&mut self, state: &mut State, instruction: Instruction) -> Option<()> {
        match instruction {
            Instruction::Alu {
                width,
                op,
                dst,
                src,
            } => {
                let src = state.operand(src)?;
                let value = match (op, width) {
                    (AluOp::Mov, Width::W64) => src,
                    (AluOp::Mov, Width::W32) => match number(&src.term) {
                        Some(number) => Value::number(constant(number & u64::from(u32::MAX))),
                        None => self.narrowed(&low(&src.term, 32)),
                    },
                    _ => self.alu(op, width, &state.get(dst)?, &src)?,
                };
                state.set(dst, value);
            }
            Instruction::MoveSigned {
                width,
                from,
                dst,
                src,
            } => {
                let src = state.get(src)?;
                let part = extended(&low(&src.term, from.bits()), from.bits(), true);
                let value = match width {
                    Width::W64 => self.number(&part),
                    Width::W32 => self.narrowed(&low(&part, 32)),
                };
                state.set(dst, value);
            }
            Instruction::Negate { width, dst } => {
                let old = state.get(dst)?;
                let value = match width {
                    Width::W64 => self.number(&format!("(bvneg {})", old.term)),
                    Width::W32 => self.narrowed(&format!("(bvneg {})", low(&old.term, 32))),
                };
                state.set(dst, value);
            }
            Instruction::Swap { swap, size, dst } => {
                let old = state.get(dst)?;
                let bits = size.bits();
                let term = if swap == Swap::ToLittle {
                    low(&old.term, bits)
                } else {
                    let bytes = (0..size.bytes()).rev().map(|at| byte(&old.term, at));
                    joined(&bytes.collect::<Vec<_>>())
                };
                let value = self.number(&extended(&term, bits, false));
                state.set(dst, value);
            }
            Instruction::Load {
                size,
                signed,
                dst,
                base,
                off,
            } => {
                let loaded = state.load(&state.get(base)?, off.into(), size, signed)?;
                let value = match loaded.place {
                    Place::Number => self.number(&loaded.term),
                    _ => loaded,
                };
                state.set(dst, value);
            }
            Instruction::Store {
                size,
                base,
                off,
                src,
            } => {
                let (base, value) = (state.get(base)?, state.operand(src)?);
                self.store(state, &base, off.into(), size, &value)?;
            }
            Instruction::Atomic {
                op: AtomicOp::Add,
                size,
                base,
                off,
                src,
                fetch: false,
            } => {
                let (base, src) = (state.get(base)?, state.get(src)?);
                let old = state.load(&base, off.into(), size, false)?;
                let sum = self.number(&format!("(bvadd {} {})", old.term, src.term));
                self.store(state, &base, off.into(), size, &sum)?;
            }
            _ => return None,
        }
        Some(())
    }

    fn alu(&mut self, op: AluOp, width: Width, dst: &Value, src: &Value) -> Option<Value> {
        let numbers = dst.place == Place::Number && src.place == Place::Number;
        match width {
            Width::W64 if !numbers => self.pointer(op, dst, src),
            Width::W64 => Some(self.number(&alu(op, 64, &dst.term, &src.term))),
            Width::W32 => {
                let (a, b) = (low(&dst.term, 32), low(&src.term, 32));
                Some(self.narrowed(&alu(op, 32, &a, &b)))
            }
        }
    }

    /// Addition to an address, and the difference of two.
    fn pointer(&mut self, op: AluOp, dst: &Value, src: &Value) -> Option<Value> {
        if op != AluOp::Add && op != AluOp::Sub {
            return None;
        }
        let (pointer, by) = match (&dst.place, &src.place) {
            (_, Place::Number) => (dst, src),
            (Place::Number, _) if op == AluOp::Add => (src, dst),
            (Place::Packet, Place::Packet) if op == AluOp::Sub => {
                return Some(self.number(&alu(op, 64, &dst.term, &src.term)));
            }
            _ => return None,
        };
        let moved = |at: i64| {
            let by = number(&by.term)? as i64;
            Some(if op == AluOp::Add { at + by } else { at - by })
        };
        let place = match &pointer.place {
            Place::Packet => Place::Packet,
            Place::Stack(frame, at) => Place::Stack(*frame, moved(*at)?),
            Place::MapValue(map, key, at, more) => match (moved(*at), more) {
                (Some(at), more) => Place::MapValue(*map, key.clone(), at, more.clone()),
                (None, None) if op == AluOp::Add => {
                    Place::MapValue(*map, key.clone(), *at, Some(by.term.clone()))
                }
                _ => return None,
            },
            Place::Context(at) => Place::Context(moved(*at)?),
            Place::Number | Place::Map(_) => return None,
        };
        let term = match (&place, number(&by.term)) {
            (Place::Packet, Some(by)) => {
                let by = by as i64;
                sum(&pointer.term, if op == AluOp::Add { by } else { -by })
            }
            (Place::Packet, None) => alu(op, 64, &dst.term, &src.term),
            _ => pointer.term.clone(),
        };
        Some(Value {
            term: self.named_bits(64, &term),
            place,
        })
    }

    fn store(
        &mut self,
        state: &mut State,
        base: &Value,
        off: i64,
        size: Size,
        value: &Value,
    ) -> Option<()> {
        match &base.place {
            Place::Packet => {
                for index in 0..size.bytes() {
                    let address = sum(&base.term, off + i64::from(index));
                    let part = byte(&value.term, index);
                    let stored = format!("(store {} {address} {part})", state.packet);
                    state.packet = self.named_packet(&stored);
                }
            }
            Place::Stack(frame, at) => {
                for index in 0..size.bytes() {
                    let place = (*frame, at + off + i64::from(index));
                    state.stack.insert(place, (value.clone(), index));
                }
            }
            Place::MapValue(index, key, at, None) => {
                let map = state.maps[*index].clone();
                let offset = u32::try_from(at + off).ok()?;
                if offset + size.bytes() > map.value_bytes || value.place != Place::Number {
                    return None;
                }
                let bytes: Vec<String> = (0..size.bytes())
                    .map(|index| byte(&value.term, index))
                    .collect();
                let new = map.with(key, offset, &bytes);
                let values = format!("(store {} {key} {new})", map.values);
                state.maps[*index] = self.named_map(&map, &values, &map.present);
            }
            Place::Number | Place::Context(_) | Place::Map(_) | Place::MapValue(..) => return None,
        }
        Some(())
    }
}

fn test(state: &State, condition: Condition) -> Option<String> {
    let left = state.get(condition.dst)?;
    let right = state.operand(condition.src)?;
    let (a, b) = match condition.width {
        Width::W64 => (left.term, right.term),
        Width::W32 => (low(&left.term, 32), low(&right.term, 32)),
    };
    Some(comparison(condition.op, condition.width.bits(), &a, &b))
}
