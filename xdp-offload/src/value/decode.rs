//! Bytes to JSON.

use super::{DEEPEST, Members, read_unsigned, to_hex};
use offload_compiler::object::btf::{Btf, Member, TypeBody};
use serde_json::{Map, Number, Value};

/// A value of type `id`. What has no better form, or does not fit the bytes, is hex.
pub(crate) fn decode(btf: &Btf, id: u32, bytes: &[u8]) -> Value {
    decode_at(btf, id, bytes, 0).unwrap_or_else(|| to_hex(bytes))
}

/// Bytes of an unknown type: a number where their count is that of one.
pub(super) fn plain(bytes: &[u8]) -> Value {
    match bytes.len() {
        1 | 2 | 4 | 8 => number(read_unsigned(bytes) as i128),
        _ => to_hex(bytes),
    }
}

fn decode_at(btf: &Btf, id: u32, bytes: &[u8], depth: usize) -> Option<Value> {
    if depth > DEEPEST {
        return None;
    }
    let id = btf.resolve(id);
    let size = btf.size_of(id)? as usize;
    let bytes = bytes.get(..size)?;
    match btf.get(id)?.body {
        TypeBody::Int {
            signed, bool, bits, ..
        } => {
            if size > 16 {
                return None;
            }
            Some(integer(
                read_unsigned(bytes),
                u32::from(bits).min(size as u32 * 8),
                signed,
                bool,
            ))
        }
        TypeBody::Enum { signed, values, .. } => {
            let value = signed_value(read_unsigned(bytes), size as u32 * 8, signed);
            let name = values.iter().find(|known| known.value == value);
            Some(name.map_or_else(|| number(value), |known| Value::from(known.name)))
        }
        TypeBody::Ptr(_) => Some(Value::String(format!("{:#x}", read_unsigned(bytes)))),
        TypeBody::Float { size: 4 } => {
            let float = f32::from_ne_bytes(bytes.try_into().ok()?);
            Some(Number::from_f64(float.into()).map_or(Value::Null, Value::Number))
        }
        TypeBody::Float { size: 8 } => {
            let float = f64::from_ne_bytes(bytes.try_into().ok()?);
            Some(Number::from_f64(float).map_or(Value::Null, Value::Number))
        }
        TypeBody::Array { element, count } => array(btf, element, count, bytes, depth),
        TypeBody::Struct { members, .. } | TypeBody::Union { members, .. } => {
            let mut object = Map::new();
            fill(btf, members, bytes, depth, &mut object)?;
            Some(Value::Object(object))
        }
        TypeBody::Datasec { vars, .. } => {
            let mut object = Map::new();
            for var in vars.iter() {
                let start = var.offset as usize;
                let bytes = bytes.get(start..start.checked_add(var.size as usize)?)?;
                let found = btf.get(var.type_id)?;
                let TypeBody::Var { type_id, .. } = found.body else {
                    return None;
                };
                let value = decode_at(btf, type_id, bytes, depth + 1);
                object.insert(
                    found.name.to_owned(),
                    value.unwrap_or_else(|| to_hex(bytes)),
                );
            }
            Some(Value::Object(object))
        }
        _ => None,
    }
}

fn array(btf: &Btf, element: u32, count: u32, bytes: &[u8], depth: usize) -> Option<Value> {
    let element = btf.resolve(element);
    if let TypeBody::Int { size: 1, char, .. } = btf.get(element)?.body
        && let Some(text) = printable(bytes, char)
    {
        return Some(Value::String(text));
    }
    let size = btf.size_of(element)? as usize;
    if size == 0 {
        return Some(Value::Array(Vec::new()));
    }
    bytes
        .chunks_exact(size)
        .take(count as usize)
        .map(|bytes| decode_at(btf, element, bytes, depth + 1))
        .collect::<Option<_>>()
        .map(Value::Array)
}

/// `char` arrays that hold text and nothing behind it. clang gives `char` no encoding of its own, so
/// the type says it only sometimes; then the empty text is no text.
fn printable(bytes: &[u8], is_char: bool) -> Option<String> {
    let end = bytes.iter().position(|&b| b == 0)?;
    let (text, rest) = bytes.split_at(end);
    let readable = text.iter().all(|b| (b' '..=b'~').contains(b)) && rest.iter().all(|&b| b == 0);
    (is_char && readable).then(|| String::from_utf8_lossy(text).into_owned())
}

/// Members of anonymous structures and unions belong to what is around them.
fn fill(
    btf: &Btf,
    members: Members<'_>,
    bytes: &[u8],
    depth: usize,
    object: &mut Map<String, Value>,
) -> Option<()> {
    if depth > DEEPEST {
        return None;
    }
    for member in members {
        let start = member.bit_offset as usize / 8;
        if member.bit_size != 0 {
            object.insert(member.name.to_owned(), bit_field(btf, &member, bytes)?);
            continue;
        }
        let id = btf.resolve(member.type_id);
        let size = btf.size_of(id)? as usize;
        let bytes = bytes.get(start..start.checked_add(size)?)?;
        if member.name.is_empty() {
            if let TypeBody::Struct { members, .. } | TypeBody::Union { members, .. } =
                btf.get(id)?.body
            {
                fill(btf, members, bytes, depth + 1, object)?;
            }
        } else {
            object.insert(
                member.name.to_owned(),
                decode_at(btf, id, bytes, depth + 1)?,
            );
        }
    }
    Some(())
}

/// A bit field of a little-endian machine.
fn bit_field(btf: &Btf, member: &Member<'_>, bytes: &[u8]) -> Option<Value> {
    let bits = u32::from(member.bit_size);
    let first = member.bit_offset as usize / 8;
    let shift = member.bit_offset % 8;
    let length = (shift + bits).div_ceil(8) as usize;
    let raw = read_unsigned(bytes.get(first..first + length).filter(|b| b.len() <= 16)?) >> shift;
    let (signed, bool) = match btf.get(btf.resolve(member.type_id))?.body {
        TypeBody::Int { signed, bool, .. } => (signed, bool),
        _ => (false, false),
    };
    Some(integer(raw, bits, signed, bool))
}

fn integer(raw: u128, bits: u32, signed: bool, bool: bool) -> Value {
    let value = signed_value(raw, bits, signed);
    match (bool, value) {
        (true, 0) => Value::Bool(false),
        (true, 1) => Value::Bool(true),
        _ => number(value),
    }
}

fn signed_value(raw: u128, bits: u32, signed: bool) -> i128 {
    let unused = 128 - bits.clamp(1, 128);
    if signed {
        ((raw << unused) as i128) >> unused
    } else {
        ((raw << unused) >> unused) as i128
    }
}

/// JSON has no wider numbers than 64 bits that everybody reads.
fn number(value: i128) -> Value {
    if let Ok(value) = u64::try_from(value) {
        Value::from(value)
    } else if let Ok(value) = i64::try_from(value) {
        Value::from(value)
    } else {
        Value::String(format!("{:#x}", value as u128))
    }
}
