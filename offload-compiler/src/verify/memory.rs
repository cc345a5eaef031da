//! Loads and stores through pointers.

use crate::isa::{Operand, Reg, Size, Width};

use super::explore::{Step, Walk};
use super::finding::{Code, Finding};
use super::input::Hook;
use super::range::Range;
use super::stack::{fits_in, is_aligned};
use super::state::{State, byte_index};
use super::value::{Link, Object, Pointer, Region, Tracked, Value};

/// Offset of `rx_queue_index` in `struct xdp_md`.
const RX_QUEUE_INDEX: i16 = 16;

/// What is done with memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// Its content is read.
    Read,
    /// Something is put there.
    Write,
}

impl Access {
    /// For sentences.
    pub(super) fn verb(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
        }
    }
}

impl Walk<'_> {
    /// `dst = *(size *)(base + off)`
    pub(super) fn load(
        &mut self,
        state: &mut State,
        slot: usize,
        size: Size,
        signed: bool,
        dst: Reg,
        address: (Reg, i16),
    ) -> Step<()> {
        let (base, off) = address;
        let base_value = self.read(state, base, slot)?;
        let pointer = usable(slot, base, &base_value.value)?;
        let bytes = size.bytes();
        let mut loaded = match pointer.region {
            Region::Stack(_) => {
                let loaded =
                    self.read_stack_at(state, slot, &pointer, off.into(), bytes, base_value.mark)?;
                if signed && loaded.value.pointer().is_some() {
                    return Err(Box::new(Finding::error(
                        Code::SpillSize,
                        slot,
                        "a saved pointer is read back with sign extension",
                    )));
                }
                loaded
            }
            Region::Context => {
                let value = self.load_context(slot, &pointer, off.into(), size, signed)?;
                let mark = self.marks.fresh();
                Tracked { value, mark }
            }
            Region::Kernel(Object::Structure { ty, trust }) => {
                let value = self.load_field(slot, &pointer, (ty, trust), off.into(), size)?;
                let mark = self.marks.fresh();
                Tracked { value, mark }
            }
            Region::Map(map) if self.map_structure(map).is_some() => {
                let value = self.load_map_field(slot, &pointer, map, off.into(), size)?;
                let mark = self.marks.fresh();
                Tracked { value, mark }
            }
            Region::Kernel(object) => {
                check_object_access(slot, object, &pointer, off.into(), size)?;
                let mark = self.marks.fresh();
                Tracked {
                    value: Value::UNKNOWN,
                    mark,
                }
            }
            _ => {
                self.bounds(
                    slot,
                    base,
                    &pointer,
                    off.into(),
                    bytes,
                    Access::Read,
                    base_value.mark,
                )?;
                let constant = self.constant_in_map(&pointer, off.into(), bytes);
                let mark = self.marks.fresh();
                Tracked {
                    value: constant.map_or(Value::UNKNOWN, Value::constant),
                    mark,
                }
            }
        };
        if let Value::Number { range, link } = loaded.value
            && size != Size::B64
        {
            loaded.value = Value::Number {
                range: if signed {
                    range.sign_extend(size, Width::W64)
                } else {
                    range.zero_extend(size)
                },
                link: if !signed && fits_in(&range, size.bytes()) {
                    link
                } else {
                    Link::NONE
                },
            };
        }
        state.set(dst, loaded.value, loaded.mark);
        Ok(())
    }

    /// `*(size *)(base + off) = src`
    pub(super) fn store(
        &mut self,
        state: &mut State,
        slot: usize,
        size: Size,
        address: (Reg, i16),
        src: Operand,
    ) -> Step<()> {
        let (base, off) = address;
        let mut stored = self.operand(state, slot, src, Width::W64)?;
        let base_value = self.read(state, base, slot)?;
        let pointer = usable(slot, base, &base_value.value)?;
        if let Region::Stack(_) = pointer.region {
            if let (Operand::Reg(reg), Value::Number { range, link }) = (src, &mut stored.value) {
                // The register and its saved copy are one number.
                let at_start = byte_index(pointer.off.wrapping_add(off.into())) == 0;
                if at_start
                    && pointer.variable.as_constant().is_some()
                    && fits_in(range, size.bytes())
                {
                    *link = self.link_of_copy(state, reg);
                }
            }
            return self.write_stack_at(
                state,
                slot,
                &pointer,
                off.into(),
                size.bytes(),
                Some(stored),
                base_value.mark,
            );
        }
        if stored.value.pointer().is_some() {
            let refused = match pointer.region {
                Region::Packet | Region::PacketMeta => {
                    Some("an address would leave with the packet")
                }
                _ if !self.input.rules.leaks_allowed => {
                    Some("an address would be seen outside the program")
                }
                _ => None,
            };
            if let Some(what) = refused.filter(|_| !self.input.rules.leaks_allowed) {
                return Err(Box::new(Finding::error(Code::PointerLeak, slot, what)));
            }
        }
        match pointer.region {
            Region::Context
                if self.input.rules.offloaded
                    && pointer.is_start()
                    && off == RX_QUEUE_INDEX
                    && size == Size::B32 =>
            {
                Ok(())
            }
            Region::Context => Err(Box::new(
                Finding::error(
                    Code::ContextAccess,
                    slot,
                    "an XDP program may not write to its context",
                )
                .help("change the packet itself, or move its ends with bpf_xdp_adjust_head or bpf_xdp_adjust_tail"),
            )),
            Region::Kernel(Object::Structure { ty, trust })
                if self.is_writable_field(&pointer, (ty, trust), off.into(), size) =>
            {
                Ok(())
            }
            Region::Kernel(_) => Err(Box::new(Finding::error(
                Code::AccessKind,
                slot,
                "kernel objects may only be read",
            ))),
            _ => self.bounds(slot, base, &pointer, off.into(), size.bytes(), Access::Write, base_value.mark),
        }
    }

    /// An atomic operation reads and writes the same place.
    pub(super) fn atomic(
        &mut self,
        state: &mut State,
        slot: usize,
        size: Size,
        address: (Reg, i16),
        src: Reg,
        result: Option<Reg>,
    ) -> Step<()> {
        let (base, off) = address;
        let operand = self.read(state, src, slot)?;
        let base_value = self.read(state, base, slot)?;
        let pointer = usable(slot, base, &base_value.value)?;
        if operand.value.range().is_none() && !self.input.rules.leaks_allowed {
            return Err(Box::new(Finding::error(
                Code::PointerLeak,
                slot,
                "an address would be mixed into memory",
            )));
        }
        if !matches!(pointer.region, Region::Stack(_))
            && !is_aligned(&pointer, off.into(), size.bytes())
        {
            return Err(Box::new(
                Finding::error(
                    Code::AccessKind,
                    slot,
                    format!(
                        "an atomic operation has to be aligned to its {} bytes",
                        size.bytes()
                    ),
                )
                .knowing(format!("{base} is {pointer}")),
            ));
        }
        match pointer.region {
            Region::Stack(_) if pointer.variable.as_constant().is_none() => {
                return Err(Box::new(Finding::error(
                    Code::StackBounds,
                    slot,
                    "an atomic operation on the stack needs a known place",
                )));
            }
            Region::Context | Region::Packet | Region::PacketMeta | Region::Kernel(_) => {
                return Err(Box::new(
                    Finding::error(
                        Code::AccessKind,
                        slot,
                        format!("atomic operations on {} are not allowed", pointer.region),
                    )
                    .help("load, change and store the value in separate steps"),
                ));
            }
            Region::Stack(_) => {
                let old = self.read_stack_at(
                    state,
                    slot,
                    &pointer,
                    off.into(),
                    size.bytes(),
                    base_value.mark,
                )?;
                if old.value.pointer().is_some() && !self.input.rules.leaks_allowed {
                    return Err(Box::new(Finding::error(
                        Code::PointerLeak,
                        slot,
                        "a saved pointer would be changed as a number",
                    )));
                }
                self.write_stack_at(
                    state,
                    slot,
                    &pointer,
                    off.into(),
                    size.bytes(),
                    None,
                    base_value.mark,
                )?;
            }
            _ => {
                self.bounds(
                    slot,
                    base,
                    &pointer,
                    off.into(),
                    size.bytes(),
                    Access::Read,
                    base_value.mark,
                )?;
                self.bounds(
                    slot,
                    base,
                    &pointer,
                    off.into(),
                    size.bytes(),
                    Access::Write,
                    base_value.mark,
                )?;
            }
        }
        if let Some(result) = result {
            let mark = self.marks.fresh();
            state.set(result, Value::number(Range::of_size(size)), mark);
        }
        Ok(())
    }

    fn load_context(
        &mut self,
        slot: usize,
        pointer: &Pointer,
        off: i32,
        size: Size,
        signed: bool,
    ) -> Step<Value> {
        let refuse = |what: &str| {
            Err(Box::new(
                Finding::error(Code::ContextAccess, slot, what)
                    .help("struct xdp_md has data (0), data_end (4), data_meta (8), ingress_ifindex (12), rx_queue_index (16), and in devmap programs egress_ifindex (20), four bytes each"),
            ))
        };
        if pointer.variable.as_constant() != Some(0) {
            return refuse("the context is read at a place that is not known");
        }
        if pointer.off != 0 {
            return refuse("a moved pointer to the context is used");
        }
        if size != Size::B32 {
            return refuse("fields of the context are read whole, four bytes at once");
        }
        let region = match off {
            0 => Region::Packet,
            4 => Region::PacketEnd,
            8 => Region::PacketMeta,
            12 | 16 => return Ok(Value::number(Range::of_size(Size::B32))),
            20 if self.input.hook == Hook::Devmap => {
                return Ok(Value::number(Range::of_size(Size::B32)));
            }
            20 => return refuse("egress_ifindex is known only to programs of a devmap"),
            _ => return refuse("struct xdp_md has no such field"),
        };
        if signed {
            return refuse("an address is read with sign extension");
        }
        Ok(Value::Pointer(Pointer::to(region)))
    }

    /// What a read-only map holds at a known place, as far as the kernel looks (`bpf_map_direct_read`).
    fn constant_in_map(&self, pointer: &Pointer, off: i32, bytes: u32) -> Option<u64> {
        let Region::MapValue(map) = pointer.region else {
            return None;
        };
        let content = self.input.maps.get(map as usize)?.constant.as_ref()?;
        let start = i64::from(pointer.off)
            .checked_add(pointer.variable.as_constant()? as i64)?
            .checked_add(off.into())?;
        let start = usize::try_from(start).ok()?;
        let bytes = content.get(start..start.checked_add(bytes as usize)?)?;
        let mut word = [0; 8];
        word[..bytes.len()].copy_from_slice(bytes);
        Some(u64::from_le_bytes(word))
    }
}

/// The pointer in a register that is used as an address.
pub(super) fn usable(slot: usize, reg: Reg, value: &Value) -> Step<Pointer> {
    let Some(pointer) = value.pointer() else {
        return Err(Box::new(
            Finding::error(
                Code::NotAPointer,
                slot,
                format!("{reg} is used as an address, but it is a number"),
            )
            .knowing(format!("{reg} is {value}"))
            .help("addresses come from the context, from map lookups and from the stack; arithmetic on a half of them, or a store and load in parts, makes plain numbers of them"),
        ));
    };
    if pointer.nullable {
        return Err(Box::new(
            Finding::error(Code::NullPointer, slot, format!("{reg} may be null here"))
                .knowing(format!("{reg} is {pointer}"))
                .help("compare it with null before it is used, and leave if it is"),
        ));
    }
    Ok(*pointer)
}

/// What can be read of the kernel's objects (net/core/filter.c: `bpf_sock_is_valid_access`,
/// `bpf_sock_common_is_valid_access`, `bpf_xdp_sock_is_valid_access`).
fn check_object_access(
    slot: usize,
    object: Object,
    pointer: &Pointer,
    off: i32,
    size: Size,
) -> Step<()> {
    let off = i64::from(pointer.off) + i64::from(off);
    let bytes = i64::from(size.bytes());
    let known_place = pointer.variable.as_constant() == Some(0);
    // struct bpf_sock: up to `priority` four bytes each, then addresses and ports, 80 bytes in all.
    let field = match off {
        4..=15 | 24..=47 | 52..=79 => Some(4),
        48..=49 => Some(2),
        0..=3 | 16..=23 => None,
        _ => Some(0),
    };
    let socket = match field {
        None => bytes == 4,
        Some(field) => bytes <= field,
    };
    let allowed = match object {
        Object::Socket => socket,
        Object::SocketCommon => socket && !(8..24).contains(&off),
        Object::XdpSocket => off == 0 && bytes == 4,
        Object::Untyped => return Ok(()),
        Object::Task | Object::Other | Object::Structure { .. } => {
            return Err(Box::new(Finding::error(
                Code::Unsupported,
                slot,
                "reads of the kernel's own structures are not modelled",
            )));
        }
    };
    if known_place && allowed && off >= 0 && off % bytes == 0 {
        return Ok(());
    }
    Err(Box::new(
        Finding::error(
            Code::AccessKind,
            slot,
            format!("{bytes} bytes at offset {off} are no field of this socket that can be read"),
        )
        .knowing(format!("the pointer is {pointer}")),
    ))
}
