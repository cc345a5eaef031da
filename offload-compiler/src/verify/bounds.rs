//! What an access through a pointer may touch.

use std::fmt;

use crate::isa::Reg;

use super::explore::{Step, Walk};
use super::finding::{Code, Finding};
use super::marks::Mark;
use super::memory::Access;
use super::value::{Pointer, Region};

/// Map flags (include/uapi/linux/bpf.h).
const BPF_F_RDONLY_PROG: u32 = 1 << 7;
const BPF_F_WRONLY_PROG: u32 = 1 << 8;

impl Walk<'_> {
    /// Refuses an access outside of what the pointer may touch. Not for the stack and the context.
    #[allow(clippy::too_many_arguments, reason = "all of it describes one access")]
    pub(super) fn bounds(
        &mut self,
        slot: usize,
        base: Reg,
        pointer: &Pointer,
        off: i32,
        bytes: u32,
        access: Access,
        mark: Mark,
    ) -> Step<()> {
        self.need(mark);
        match pointer.region {
            Region::Packet | Region::PacketMeta => {
                self.packet_bounds(slot, base, pointer, off, bytes, access)
            }
            Region::MapValue(map) => {
                let input = self.input;
                let Some(shape) = input.maps.get(map as usize) else {
                    return Err(Box::new(Finding::error(
                        Code::AccessKind,
                        slot,
                        "the map is not known",
                    )));
                };
                let denied = match access {
                    Access::Read => shape.flags & BPF_F_WRONLY_PROG != 0,
                    Access::Write => shape.flags & BPF_F_RDONLY_PROG != 0,
                };
                if denied {
                    return Err(Box::new(
                        Finding::error(
                            Code::ReadOnlyMemory,
                            slot,
                            format!("programs may not {} values of map {}", access.verb(), shape.name),
                        )
                        .help("constants (`const volatile`) can only be set before loading; use a variable without const, or another map flag"),
                    ));
                }
                let start = region_bounds(
                    slot,
                    base,
                    pointer,
                    off,
                    bytes,
                    shape.value_size,
                    access,
                    format_args!("values of map {}", shape.name),
                )?;
                if let Some(field) = shape.special.iter().find(|field| {
                    start.0 < i64::from(field.offset + field.size)
                        && start.1 + i64::from(bytes) > i64::from(field.offset)
                }) {
                    return Err(Box::new(Finding::error(
                        Code::AccessKind,
                        slot,
                        format!(
                            "bytes {}.. of this map value belong to a {:?}, which only helpers may touch",
                            field.offset, field.kind
                        ),
                    )));
                }
                Ok(())
            }
            Region::Memory { size, writable } | Region::Slice { size, writable } => {
                if access == Access::Write && !writable {
                    return Err(Box::new(Finding::error(
                        Code::ReadOnlyMemory,
                        slot,
                        "this memory may only be read",
                    )));
                }
                region_bounds(
                    slot,
                    base,
                    pointer,
                    off,
                    bytes,
                    size,
                    access,
                    format_args!("this memory"),
                )
                .map(drop)
            }
            Region::PacketEnd
            | Region::Map(_)
            | Region::Function(_)
            | Region::Kernel(_)
            | Region::Context
            | Region::StackObject(_)
            | Region::Stack(_) => Err(Box::new(Finding::error(
                Code::AccessKind,
                slot,
                format!(
                    "nothing can be {} through a pointer to {}",
                    if access == Access::Read {
                        "read"
                    } else {
                        "written"
                    },
                    pointer.region
                ),
            ))),
        }
    }

    fn packet_bounds(
        &self,
        slot: usize,
        base: Reg,
        pointer: &Pointer,
        off: i32,
        bytes: u32,
        access: Access,
    ) -> Step<()> {
        if pointer.variable.s64.0 < 0 {
            return Err(Box::new(
                Finding::error(
                    Code::PacketBounds,
                    slot,
                    format!("{base} may point before the packet"),
                )
                .knowing(format!("{base} is {pointer}"))
                .help("use an unsigned offset, or check that it is not negative"),
            ));
        }
        let start = i64::from(pointer.off) + i64::from(off);
        let end = start + i64::from(bytes);
        let proved = pointer.proved.bytes();
        if start >= 0 && proved.is_some_and(|proved| end <= i64::from(proved)) {
            return Ok(());
        }
        let what = match (start < 0, proved) {
            (true, _) => format!(
                "this {} of {bytes} bytes starts {} bytes before {}",
                access.verb(),
                -start,
                pointer.region
            ),
            (_, None) => format!(
                "this {} is at or after data_end on this path",
                access.verb()
            ),
            (_, Some(0)) => format!(
                "this {} of {bytes} bytes at offset {start} is covered by no comparison with data_end",
                access.verb()
            ),
            (_, Some(proved)) => format!(
                "this {} reaches byte {end}, but the comparison with data_end covers {proved} bytes",
                access.verb()
            ),
        };
        let wanted = if pointer.variable.as_constant() == Some(0) {
            format!("if (data + {end} > data_end) return XDP_PASS; /* before it */")
        } else {
            format!("if (p + {end} > data_end) return XDP_PASS; /* with the same p, before it */")
        };
        let mut finding = Finding::error(Code::PacketBounds, slot, what)
            .knowing(format!("{base} is {pointer}"))
            .help(wanted);
        if let Some(proved) = proved
            // Where several comparisons prove the same, the last one is what a person looks for.
            && let Some(&(.., check)) = self
                .checks
                .iter()
                .rfind(|&&(id, bytes, _)| (id, bytes) == (pointer.id, proved))
        {
            finding = finding.related(check, format!("this comparison covers {proved} bytes"));
        }
        Err(Box::new(finding))
    }
}

/// The lowest and highest start of the access, inside a region of known size.
#[allow(clippy::too_many_arguments, reason = "all of it describes one access")]
fn region_bounds(
    slot: usize,
    base: Reg,
    pointer: &Pointer,
    off: i32,
    bytes: u32,
    size: u32,
    access: Access,
    what: fmt::Arguments<'_>,
) -> Step<(i64, i64)> {
    let code = if matches!(pointer.region, Region::MapValue(_)) {
        Code::MapValueBounds
    } else {
        Code::MemoryBounds
    };
    let fixed = i64::from(pointer.off) + i64::from(off);
    let low = fixed.saturating_add(pointer.variable.s64.0);
    let refuse = |message: String, help: &str| {
        Err(Box::new(
            Finding::error(code, slot, message)
                .knowing(format!("{base} is {pointer}"))
                .help(help),
        ))
    };
    if pointer.variable.s64.0 < 0 && low < 0 {
        return refuse(
            format!("this {} may start before {what}", access.verb()),
            "use an unsigned index, or check that it is not negative",
        );
    }
    if low < 0 {
        return refuse(
            format!("this {} starts {} bytes before {what}", access.verb(), -low),
            "the offset is wrong",
        );
    }
    if pointer.variable.u64.1 >= 1 << 29 {
        return refuse(
            format!(
                "this {} is at an unbounded offset into {what}",
                access.verb()
            ),
            "compare the index with the number of elements first, or mask it",
        );
    }
    let high = fixed + pointer.variable.u64.1 as i64;
    if high + i64::from(bytes) > i64::from(size) {
        return refuse(
            format!(
                "this {} may reach byte {}, but {what} have {size} bytes",
                access.verb(),
                high + i64::from(bytes)
            ),
            "compare the index with the number of elements first, or mask it",
        );
    }
    Ok((low, high))
}
