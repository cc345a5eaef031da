//! What a helper returns.

use crate::isa::Reg;
use crate::verify::explore::{Step, Walk};
use crate::verify::finding::{Code, Finding};
use crate::verify::map_rules;
use crate::verify::prototype::{Prototype, Ret};
use crate::verify::range::Range;
use crate::verify::state::{Holding, State};
use crate::verify::value::{Object, Pointer, Region, Trust, Value};

use super::Arguments;

impl Walk<'_> {
    /// What a helper returns.
    pub(super) fn returned(
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
