//! Map keys and values between bytes and JSON, by their BTF types; without BTF numbers or hex.

mod decode;
mod encode;

pub(crate) use decode::decode;
pub(crate) use encode::{EncodeError, encode};

use offload_compiler::object::btf::{Btf, Member, Records};
use serde_json::Value;
use std::fmt::Write;

/// Types refer to each other no deeper than this; hostile BTF may.
const DEEPEST: usize = 32;

/// The members of a structure or union.
type Members<'a> = Records<'a, Member<'a>>;

/// What is known about some bytes.
#[derive(Clone, Copy)]
pub(crate) struct Shape<'a> {
    /// How many there are.
    pub(crate) size: usize,
    /// Their type.
    pub(crate) btf: Option<(&'a Btf, u32)>,
}

impl Shape<'_> {
    /// The bytes as JSON.
    pub(crate) fn decode(&self, bytes: &[u8]) -> Value {
        match self.btf {
            Some((btf, id)) => decode(btf, id, bytes),
            None => decode::plain(bytes),
        }
    }

    /// The bytes of what a person typed: JSON, a bare number or word, or `hex:` and bytes.
    pub(crate) fn parse(&self, text: &str) -> Result<Vec<u8>, EncodeError> {
        let value = serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()));
        self.encode(&value)
    }

    /// The bytes of a JSON value.
    pub(crate) fn encode(&self, value: &Value) -> Result<Vec<u8>, EncodeError> {
        let mut bytes = vec![0; self.size];
        match self.btf {
            Some((btf, id)) => encode(btf, id, value, &mut bytes)?,
            None => encode::plain(value, &mut bytes)?,
        }
        Ok(bytes)
    }
}

/// `0a1b` as bytes.
fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = text
        .chars()
        .filter(|c| !c.is_whitespace() && *c != ':')
        .map(|c| c.to_digit(16).map(|digit| digit as u8))
        .collect::<Option<_>>()?;
    let (pairs, rest) = digits.as_chunks::<2>();
    rest.is_empty()
        .then(|| pairs.iter().map(|[high, low]| high << 4 | low).collect())
}

/// Bytes as `hex:0a1b`, which [`Shape::parse`] takes back.
fn to_hex(bytes: &[u8]) -> Value {
    let mut text = "hex:".to_owned();
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    Value::String(text)
}

/// A little-endian or big-endian machine's number of up to 16 bytes.
fn read_unsigned(bytes: &[u8]) -> u128 {
    let mut wide = [0; 16];
    if cfg!(target_endian = "little") {
        wide[..bytes.len()].copy_from_slice(bytes);
        u128::from_le_bytes(wide)
    } else {
        wide[16 - bytes.len()..].copy_from_slice(bytes);
        u128::from_be_bytes(wide)
    }
}

/// The lowest bytes of a number, in the machine's order.
fn write_unsigned(value: u128, bytes: &mut [u8]) {
    let length = bytes.len();
    if cfg!(target_endian = "little") {
        bytes.copy_from_slice(&value.to_le_bytes()[..length]);
    } else {
        bytes.copy_from_slice(&value.to_be_bytes()[16 - length..]);
    }
}
