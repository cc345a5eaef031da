//! JSON to bytes.

use super::{DEEPEST, Members, from_hex, write_unsigned};
use offload_compiler::object::btf::{Btf, Member, TypeBody};
use serde_json::Value;

/// Why a JSON value is no value of a type. The text names the member.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{problem}", if path.is_empty() { String::new() } else { format!("{path}: ") })]
pub(crate) struct EncodeError {
    /// Members and indices on the way, such as "key.addr[2]".
    path: String,
    problem: String,
}

impl EncodeError {
    fn new(problem: impl Into<String>) -> Self {
        Self {
            path: String::new(),
            problem: problem.into(),
        }
    }

    fn inside(mut self, step: &str) -> Self {
        let dot = if self.path.is_empty() || self.path.starts_with('[') {
            ""
        } else {
            "."
        };
        self.path = format!("{step}{dot}{}", self.path);
        self
    }
}

/// Writes a value of type `id` over `bytes`, which are zero and as many as the type has.
pub(crate) fn encode(
    btf: &Btf,
    id: u32,
    value: &Value,
    bytes: &mut [u8],
) -> Result<(), EncodeError> {
    encode_at(btf, id, value, bytes, 0)
}

/// A value of an unknown type: a number, or hex.
pub(super) fn plain(value: &Value, bytes: &mut [u8]) -> Result<(), EncodeError> {
    if hex(value, bytes)? {
        return Ok(());
    }
    match (bytes.len(), integer(value)) {
        (1 | 2 | 4 | 8, Some(number)) => put_integer(number, bytes.len() as u32 * 8, bytes),
        (1 | 2 | 4 | 8, None) => Err(EncodeError::new(format!("{value} is no number"))),
        (length, _) => Err(EncodeError::new(format!(
            "its type is unknown: give its {length} bytes as hex:..."
        ))),
    }
}

fn encode_at(
    btf: &Btf,
    id: u32,
    value: &Value,
    bytes: &mut [u8],
    depth: usize,
) -> Result<(), EncodeError> {
    let id = btf.resolve(id);
    let fits = btf.size_of(id) == Some(bytes.len() as u32);
    let found = btf.get(id).filter(|_| depth <= DEEPEST && fits);
    let Some(found) = found else {
        return plain(value, bytes);
    };
    if hex(value, bytes)? {
        return Ok(());
    }
    match found.body {
        TypeBody::Int { bits, .. } => {
            let bits = u32::from(bits).min(bytes.len() as u32 * 8);
            let number = integer(value)
                .ok_or_else(|| EncodeError::new(format!("{value} is no {}", btf.c_name(id))))?;
            put_integer(number, bits, bytes)
        }
        TypeBody::Ptr(_) => {
            let number =
                integer(value).ok_or_else(|| EncodeError::new(format!("{value} is no address")))?;
            put_integer(number, bytes.len() as u32 * 8, bytes)
        }
        TypeBody::Enum { values, .. } => {
            let named = value
                .as_str()
                .and_then(|name| values.iter().find(|known| known.name == name))
                .map(|known| known.value);
            let number = named.or_else(|| integer(value)).ok_or_else(|| {
                let names: Vec<&str> = values.iter().map(|known| known.name).collect();
                EncodeError::new(format!("{value} is none of {}", names.join(", ")))
            })?;
            put_integer(number, bytes.len() as u32 * 8, bytes)
        }
        TypeBody::Float { .. } => {
            let number = value
                .as_f64()
                .ok_or_else(|| EncodeError::new(format!("{value} is no number")))?;
            match bytes.len() {
                4 => bytes.copy_from_slice(&(number as f32).to_ne_bytes()),
                8 => bytes.copy_from_slice(&number.to_ne_bytes()),
                _ => return plain(value, bytes),
            }
            Ok(())
        }
        TypeBody::Array { element, count } => array(btf, element, count, value, bytes, depth),
        TypeBody::Struct { members, .. } | TypeBody::Union { members, .. } => {
            let Value::Object(given) = value else {
                return Err(EncodeError::new(format!(
                    "{value} is no {}: give {{\"MEMBER\": VALUE, ..}}",
                    btf.c_name(id)
                )));
            };
            for (name, value) in given {
                let known = member(btf, members, name, bytes, 0, depth, value);
                known.map_err(|error| error.inside(name))?;
            }
            Ok(())
        }
        TypeBody::Datasec { vars, .. } => {
            let given = value.as_object().ok_or_else(|| {
                EncodeError::new(format!("{value} is not {{\"VARIABLE\": VALUE, ..}}"))
            })?;
            for (name, value) in given {
                let unknown = || EncodeError::new("there is no such variable").inside(name);
                let (place, type_id) = vars
                    .iter()
                    .find_map(|var| match btf.get(var.type_id)? {
                        found if found.name == *name => match found.body {
                            TypeBody::Var { type_id, .. } => {
                                let start = var.offset as usize;
                                Some((start..start.checked_add(var.size as usize)?, type_id))
                            }
                            _ => None,
                        },
                        _ => None,
                    })
                    .ok_or_else(unknown)?;
                let place = bytes.get_mut(place).ok_or_else(unknown)?;
                encode_at(btf, type_id, value, place, depth + 1)
                    .map_err(|error| error.inside(name))?;
            }
            Ok(())
        }
        _ => plain(value, bytes),
    }
}

fn array(
    btf: &Btf,
    element: u32,
    count: u32,
    value: &Value,
    bytes: &mut [u8],
    depth: usize,
) -> Result<(), EncodeError> {
    if let Value::String(text) = value {
        if text.len() > bytes.len() || btf.size_of(btf.resolve(element)) != Some(1) {
            return Err(EncodeError::new(format!(
                "{value} does not fit an array of {count}"
            )));
        }
        bytes[..text.len()].copy_from_slice(text.as_bytes());
        return Ok(());
    }
    let size = btf.size_of(element).unwrap_or(0) as usize;
    let Value::Array(given) = value else {
        return Err(EncodeError::new(format!("{value} is no list of {count}")));
    };
    if given.len() != count as usize || size == 0 {
        return Err(EncodeError::new(format!(
            "a list of {count} is wanted, {} were given",
            given.len()
        )));
    }
    for (index, (value, bytes)) in given.iter().zip(bytes.chunks_exact_mut(size)).enumerate() {
        encode_at(btf, element, value, bytes, depth + 1)
            .map_err(|error| error.inside(&format!("[{index}]")))?;
    }
    Ok(())
}

/// Writes the member `name`, found in anonymous members too. `base` is where `members` start.
fn member(
    btf: &Btf,
    members: Members<'_>,
    name: &str,
    bytes: &mut [u8],
    base: usize,
    depth: usize,
    value: &Value,
) -> Result<(), EncodeError> {
    let unknown = || {
        let names: Vec<&str> = members
            .iter()
            .map(|m| m.name)
            .filter(|n| !n.is_empty())
            .collect();
        EncodeError::new(format!(
            "there is no such member; there are {}",
            names.join(", ")
        ))
    };
    if depth > DEEPEST {
        return Err(unknown());
    }
    for candidate in members {
        let start = base + candidate.bit_offset as usize / 8;
        let id = btf.resolve(candidate.type_id);
        if candidate.name == name && candidate.bit_size != 0 {
            return put_bits(&candidate, value, base, bytes);
        }
        if candidate.name == name {
            let size = btf.size_of(id).unwrap_or(0) as usize;
            let place = start
                .checked_add(size)
                .and_then(|end| bytes.get_mut(start..end))
                .ok_or_else(unknown)?;
            return encode_at(btf, id, value, place, depth + 1);
        }
        if candidate.name.is_empty()
            && let Some(TypeBody::Struct { members, .. } | TypeBody::Union { members, .. }) =
                btf.get(id).map(|found| found.body)
            && has_member(btf, members, name, depth + 1)
        {
            return member(btf, members, name, bytes, start, depth + 1, value);
        }
    }
    Err(unknown())
}

fn has_member(btf: &Btf, members: Members<'_>, name: &str, depth: usize) -> bool {
    depth <= DEEPEST
        && members.iter().any(|member| {
            member.name == name
                || member.name.is_empty()
                    && matches!(
                        btf.get(btf.resolve(member.type_id)).map(|found| found.body),
                        Some(TypeBody::Struct { members, .. } | TypeBody::Union { members, .. })
                            if has_member(btf, members, name, depth + 1)
                    )
        })
}

/// A bit field of a little-endian machine.
fn put_bits(
    member: &Member<'_>,
    value: &Value,
    base: usize,
    bytes: &mut [u8],
) -> Result<(), EncodeError> {
    let bits = u32::from(member.bit_size);
    let number = integer(value).ok_or_else(|| EncodeError::new(format!("{value} is no number")))?;
    let mut wide = [0; 16];
    put_integer(number, bits, &mut wide)?;
    let value = u128::from_le_bytes(wide) & (u128::MAX >> (128 - bits));
    for bit in 0..bits {
        let at = member.bit_offset + bit;
        let Some(byte) = bytes.get_mut(base + at as usize / 8) else {
            return Err(EncodeError::new(
                "the bit field lies outside of its structure",
            ));
        };
        let mask = 1 << (at % 8);
        *byte = if value >> bit & 1 == 1 {
            *byte | mask
        } else {
            *byte & !mask
        };
    }
    Ok(())
}

/// A number: JSON's, `true` and `false`, or text such as "0x1f".
fn integer(value: &Value) -> Option<i128> {
    match value {
        Value::Bool(value) => Some(i128::from(*value)),
        Value::Number(number) => number
            .as_u64()
            .map(i128::from)
            .or_else(|| number.as_i64().map(i128::from)),
        Value::String(text) => {
            let (sign, digits) = match text.strip_prefix('-') {
                Some(digits) => (-1, digits),
                None => (1, text.as_str()),
            };
            let number = match digits.strip_prefix("0x") {
                Some(hex) => i128::from_str_radix(hex, 16).ok()?,
                None => digits.parse().ok()?,
            };
            Some(sign * number)
        }
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Takes what fits as signed or as unsigned number.
fn put_integer(number: i128, bits: u32, bytes: &mut [u8]) -> Result<(), EncodeError> {
    let fits = bits >= 127 || (number >= -(1_i128 << (bits.max(1) - 1)) && number < 1_i128 << bits);
    if !fits {
        return Err(EncodeError::new(format!(
            "{number} does not fit in {bits} bits"
        )));
    }
    write_unsigned(number as u128, bytes);
    Ok(())
}

/// `hex:` and as many bytes as there are; whether it was that.
fn hex(value: &Value, bytes: &mut [u8]) -> Result<bool, EncodeError> {
    let Some(text) = value.as_str().and_then(|text| text.strip_prefix("hex:")) else {
        return Ok(false);
    };
    let given =
        from_hex(text).ok_or_else(|| EncodeError::new(format!("'{text}' is not hexadecimal")))?;
    if given.len() != bytes.len() {
        return Err(EncodeError::new(format!(
            "{} bytes are wanted, {} were given",
            bytes.len(),
            given.len()
        )));
    }
    bytes.copy_from_slice(&given);
    Ok(true)
}
