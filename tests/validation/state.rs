//! What a program has at a place of a path: registers, stack, packet, maps, as terms.

use std::collections::BTreeMap;

use offload_compiler::isa::{Operand, Reg, Size};

use crate::term::{byte, constant, extended, joined, low, sum};

/// What a term points to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    Number,
    Packet,
    Context(i64),
    /// Of a frame, from its upper end.
    Stack(usize, i64),
    Map(usize),
    /// The value of a key: bytes from its start, and a term for more of them that are not known.
    MapValue(usize, String, i64, Option<String>),
}

/// A register's value, or eight bytes of the stack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Value {
    pub(crate) term: String,
    pub(crate) place: Place,
}

impl Value {
    pub(crate) fn number(term: String) -> Self {
        Self {
            term,
            place: Place::Number,
        }
    }
}

/// What a map holds.
#[derive(Debug, Clone)]
pub(crate) struct MapState {
    /// An array from keys to whole values.
    pub(crate) values: String,
    /// An array from keys to whether they are there; of a hash map.
    pub(crate) present: String,
    pub(crate) key_bytes: u32,
    pub(crate) value_bytes: u32,
    /// The number of elements of an array map; all are always there.
    pub(crate) elements: Option<u32>,
}

impl MapState {
    /// Whether a key is there.
    pub(crate) fn has(&self, key: &str) -> String {
        match self.elements {
            Some(elements) => format!("(bvult {key} #x{elements:08x})"),
            None => format!("(select {} {key})", self.present),
        }
    }

    pub(crate) fn value(&self, key: &str) -> String {
        format!("(select {} {key})", self.values)
    }

    /// The value with other bytes from an offset on.
    pub(crate) fn with(&self, key: &str, offset: u32, bytes: &[String]) -> String {
        let old = self.value(key);
        let all: Vec<String> = (0..self.value_bytes)
            .map(|index| {
                let new = index
                    .checked_sub(offset)
                    .and_then(|at| bytes.get(at as usize));
                new.cloned().unwrap_or_else(|| byte(&old, index))
            })
            .collect();
        joined(&all)
    }
}

/// A value from a byte on that a term says.
fn shifted(value: &str, bytes: u32, by: &str) -> String {
    let bits = bytes * 8;
    let by = match bits {
        0..=64 => low(by, bits),
        _ => format!("((_ zero_extend {}) {by})", bits - 64),
    };
    format!("(bvlshr {value} (bvmul {by} (_ bv8 {bits})))")
}

#[derive(Clone)]
pub(crate) struct State {
    pub(crate) registers: [Option<Value>; 11],
    /// Bytes of stack by frame and offset: which byte of which value.
    pub(crate) stack: BTreeMap<(usize, i64), (Value, u32)>,
    pub(crate) packet: String,
    pub(crate) maps: Vec<MapState>,
    /// Where to return, with r6 to r9 and the frame.
    pub(crate) calls: Vec<(usize, [Option<Value>; 4], usize)>,
    pub(crate) frame: usize,
}

impl State {
    pub(crate) fn enter(&mut self, frame: usize) {
        self.frame = frame;
        self.registers[10] = Some(Value {
            term: constant(0),
            place: Place::Stack(frame, 0),
        });
    }

    pub(crate) fn get(&self, reg: Reg) -> Option<Value> {
        self.registers[reg.index()].clone()
    }

    pub(crate) fn set(&mut self, reg: Reg, value: Value) {
        self.registers[reg.index()] = Some(value);
    }

    pub(crate) fn operand(&self, operand: Operand) -> Option<Value> {
        match operand {
            Operand::Reg(reg) => self.get(reg),
            Operand::Imm(imm) => Some(Value::number(constant(i64::from(imm) as u64))),
        }
    }

    /// Bytes of memory, terms of 8 bits; none where they are not known as such.
    pub(crate) fn bytes(&self, base: &Value, off: i64, count: u32) -> Option<Vec<String>> {
        let each = (0..count).map(|index| {
            let off = off + i64::from(index);
            match &base.place {
                Place::Packet => Some(format!("(select {} {})", self.packet, sum(&base.term, off))),
                Place::Stack(frame, at) => {
                    let (value, index) = self.stack.get(&(*frame, at + off))?;
                    (value.place == Place::Number).then(|| byte(&value.term, *index))
                }
                Place::MapValue(map, key, at, more) => {
                    let map = &self.maps[*map];
                    let value = match more {
                        Some(more) => shifted(&map.value(key), map.value_bytes, more),
                        None => map.value(key),
                    };
                    let index = u32::try_from(at + off).ok()?;
                    (index < map.value_bytes).then(|| byte(&value, index))
                }
                Place::Number | Place::Context(_) | Place::Map(_) => None,
            }
        });
        each.collect()
    }

    /// What a load gives.
    pub(crate) fn load(&self, base: &Value, off: i64, size: Size, signed: bool) -> Option<Value> {
        let pointer = |term: &str| {
            Some(Value {
                term: term.to_owned(),
                place: Place::Packet,
            })
        };
        match &base.place {
            Place::Context(at) => match (at + off, size) {
                // `data_meta` is `data`: no metadata was put before the packet.
                (0 | 8, Size::B32) => pointer("base"),
                (4, Size::B32) => pointer("limit"),
                (at @ (12 | 16), Size::B32) => {
                    let field = format!("(select context {})", constant(at as u64));
                    Some(Value::number(extended(&field, 32, false)))
                }
                _ => None,
            },
            Place::Stack(frame, at) if size == Size::B64 => {
                let (value, _) = self.stack.get(&(*frame, at + off))?;
                let whole = (0..8).all(|index| {
                    let there = self.stack.get(&(*frame, at + off + i64::from(index)));
                    there.is_some_and(|(other, part)| other == value && *part == index)
                });
                if whole {
                    return Some(value.clone());
                }
                Some(Value::number(joined(&self.bytes(base, off, 8)?)))
            }
            _ => {
                let bytes = self.bytes(base, off, size.bytes())?;
                Some(Value::number(extended(
                    &joined(&bytes),
                    size.bits(),
                    signed,
                )))
            }
        }
    }
}
