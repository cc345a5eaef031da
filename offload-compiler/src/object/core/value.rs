//! The number that a relocation stands for, in the object's types or in the kernel's.

use super::super::btf::{Kind, TypeBody};
use super::Aspect;
use super::spec::Spec;

/// A number with what is needed to judge a change of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Value {
    pub(super) number: u64,
    /// Whether every compiler must have come to the same number: not so for bit fields.
    pub(super) certain: bool,
    /// Bytes of the field, where the number is its offset; else 0.
    pub(super) size: u32,
    /// What the field is, where the number is its offset.
    content: Content,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Content {
    Pointer,
    Unsigned,
    Other,
}

impl Value {
    fn plain(number: u64) -> Self {
        Self {
            number,
            certain: true,
            size: 0,
            content: Content::Other,
        }
    }

    /// What the relocation is where the kernel lacks what it asks for; `None` if that is an error once reached.
    pub(super) fn of_missing(aspect: Aspect) -> Option<Self> {
        match aspect {
            Aspect::FieldExists
            | Aspect::EnumeratorExists
            | Aspect::TypeIdTarget
            | Aspect::TypeExists
            | Aspect::TypeSize
            | Aspect::TypeMatches => Some(Self::plain(0)),
            _ => None,
        }
    }

    /// The number for a walk. `None` where there can be none.
    pub(super) fn of(aspect: Aspect, spec: &Spec<'_>) -> Result<Option<Self>, String> {
        Ok(Some(match aspect {
            Aspect::FieldExists
            | Aspect::EnumeratorExists
            | Aspect::TypeExists
            | Aspect::TypeMatches => Self::plain(1),
            Aspect::TypeIdTarget => Self {
                certain: false,
                ..Self::plain(spec.root.into())
            },
            Aspect::TypeSize => Self::plain(u64::from(size_of(spec, spec.root)?)),
            Aspect::EnumeratorValue => return Ok(enumerator(spec).map(Self::plain)),
            Aspect::TypeIdLocal => return Ok(None),
            Aspect::FieldByteOffset
            | Aspect::FieldByteSize
            | Aspect::FieldSigned
            | Aspect::FieldLeftShift
            | Aspect::FieldRightShift => return Self::of_field(aspect, spec).map(Some),
        }))
    }

    /// Whether memory accesses of one size may become accesses of the other: where zero extension keeps the
    /// value.
    pub(super) fn resizes_to(self, after: Self) -> bool {
        self.content == after.content && self.content != Content::Other
    }

    fn of_field(aspect: Aspect, spec: &Spec<'_>) -> Result<Self, String> {
        let step = spec.steps.last().ok_or("it walks nowhere")?;
        if step.name.is_none() {
            let size = size_of(spec, step.type_id)?;
            return match aspect {
                Aspect::FieldByteOffset => Ok(Self {
                    size,
                    content: content(spec, step.type_id),
                    ..Self::plain(spec.bit_offset / 8)
                }),
                Aspect::FieldByteSize => Ok(Self::plain(size.into())),
                _ => Err("an array element has neither sign nor shift".to_owned()),
            };
        }
        let member = spec.member_of(step).ok_or("its member does not exist")?;
        let type_id = spec.btf.resolve(member.type_id);
        let is_bit_field = member.bit_size > 0;
        let (byte_offset, byte_size, bit_size) = if is_bit_field {
            let unit = size_of(spec, type_id)?;
            let (offset, size) =
                bit_field_unit(spec.bit_offset, member.bit_size.into(), unit.into())?;
            (offset, size, u64::from(member.bit_size))
        } else {
            let size = u64::from(size_of(spec, type_id)?);
            (spec.bit_offset / 8, size, size * 8)
        };
        let number = match aspect {
            Aspect::FieldByteOffset => byte_offset,
            Aspect::FieldByteSize => byte_size,
            Aspect::FieldSigned => u64::from(is_signed(spec, type_id)),
            Aspect::FieldLeftShift => {
                64_u64.wrapping_sub(spec.bit_offset + bit_size - byte_offset * 8)
            }
            _ => 64_u64.wrapping_sub(bit_size),
        };
        let is_offset = aspect == Aspect::FieldByteOffset && !is_bit_field;
        Ok(Self {
            number,
            certain: !is_bit_field
                || matches!(aspect, Aspect::FieldSigned | Aspect::FieldRightShift),
            size: if is_offset { byte_size as u32 } else { 0 },
            content: content(spec, type_id),
        })
    }
}

/// The aligned memory that a bit field is read from: its offset and size in bytes.
fn bit_field_unit(bit_offset: u64, bit_size: u64, unit: u64) -> Result<(u64, u64), String> {
    let mut size = unit;
    if !matches!(size, 1 | 2 | 4 | 8) {
        return Err(format!("a bit field lies in {size} bytes"));
    }
    loop {
        let offset = bit_offset / 8 / size * size;
        if bit_offset + bit_size - offset * 8 <= size * 8 {
            return Ok((offset, size));
        }
        if size == 8 {
            return Err("a bit field crosses 64 bits".to_owned());
        }
        size *= 2;
    }
}

fn size_of(spec: &Spec<'_>, type_id: u32) -> Result<u32, String> {
    spec.btf
        .size_of(type_id)
        .ok_or_else(|| format!("'{}' has no size", spec.btf.c_name(type_id)))
}

fn is_signed(spec: &Spec<'_>, type_id: u32) -> bool {
    matches!(
        spec.btf.get(type_id).map(|ty| ty.body),
        Some(TypeBody::Int { signed: true, .. } | TypeBody::Enum { signed: true, .. })
    )
}

fn content(spec: &Spec<'_>, type_id: u32) -> Content {
    match spec.btf.kind(type_id) {
        Kind::Ptr => Content::Pointer,
        Kind::Int if !is_signed(spec, type_id) => Content::Unsigned,
        _ => Content::Other,
    }
}

/// The value of an enumerator. One of 32 bits is taken as signed whatever its type says, as libbpf does:
/// compilers before LLVM 15 did not say.
fn enumerator(spec: &Spec<'_>) -> Option<u64> {
    let step = spec.steps.first()?;
    let TypeBody::Enum { values, .. } = spec.btf.get(step.type_id)?.body else {
        return None;
    };
    let value = values.get(step.index as usize)?.value;
    Some(match spec.btf.kind(step.type_id) {
        Kind::Enum => value as i32 as u64,
        _ => value as u64,
    })
}

#[cfg(test)]
mod tests {
    use super::bit_field_unit;

    #[test]
    fn a_bit_field_is_read_from_the_smallest_aligned_unit_that_holds_it() {
        assert_eq!(bit_field_unit(3, 4, 1), Ok((0, 1)));
        assert_eq!(bit_field_unit(6, 4, 1), Ok((0, 2)));
        assert_eq!(bit_field_unit(40, 8, 4), Ok((4, 4)));
        assert_eq!(bit_field_unit(30, 4, 4), Ok((0, 8)));
        assert!(bit_field_unit(62, 4, 4).is_err());
        assert!(bit_field_unit(0, 1, 0).is_err());
    }
}
