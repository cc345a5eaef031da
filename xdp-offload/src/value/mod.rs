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

impl<'a> Shape<'a> {
    /// Bytes of a type; its number is 0, or there are no types: nothing is known but how many they are.
    pub(crate) fn of(size: u32, btf: Option<&'a Btf>, type_id: u32) -> Self {
        Self {
            size: size as usize,
            btf: btf.filter(|_| type_id != 0).map(|btf| (btf, type_id)),
        }
    }

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

#[cfg(test)]
mod tests {
    use super::Shape;
    use offload_compiler::object::Object;
    use offload_compiler::object::btf::{Btf, TypeBody};

    /// The types of a corpus object.
    fn with_btf(object: &str, test: impl FnOnce(&Object, &Btf)) {
        let path = format!(
            "{}/../tests/corpus/{object}.bpf.o",
            env!("CARGO_MANIFEST_DIR")
        );
        let bytes = std::fs::read(path).expect("the corpus is committed");
        let object = Object::parse(&bytes).expect("it is an object");
        test(&object, object.btf().expect("it has types"));
    }

    /// `text` becomes `bytes`, and those become `json`.
    fn check(shape: Shape<'_>, text: &str, bytes: &[u8], json: &str) {
        let parsed = shape.parse(text).expect("it is a value");
        assert_eq!(parsed, bytes, "{text}");
        assert_eq!(shape.decode(&parsed).to_string(), json, "{text}");
    }

    fn refused(shape: Shape<'_>, text: &str, complaint: &str) {
        let error = shape.parse(text).expect_err("it is no value").to_string();
        assert_eq!(error, complaint, "{text}");
    }

    fn plain(size: usize) -> Shape<'static> {
        Shape { size, btf: None }
    }

    #[test]
    fn bytes_of_unknown_type_are_numbers_or_hex() {
        check(plain(4), "7", &[7, 0, 0, 0], "7");
        check(plain(2), "0x1ff", &[0xff, 1], "511");
        check(plain(1), "-1", &[255], "255");
        check(plain(3), "hex:0a:0b 0C", &[10, 11, 12], "\"hex:0a0b0c\"");
        check(plain(4), "hex:01000000", &[1, 0, 0, 0], "1");
        refused(plain(1), "256", "256 does not fit in 8 bits");
        refused(
            plain(3),
            "1",
            "its type is unknown: give its 3 bytes as hex:...",
        );
        refused(plain(4), "hex:01", "4 bytes are wanted, 1 were given");
        refused(plain(4), "hex:0g", "'0g' is not hexadecimal");
        refused(plain(4), "seven", "\"seven\" is no number");
    }

    #[test]
    fn structures_are_objects_and_what_is_left_out_is_zero() {
        with_btf("firewall", |object, btf| {
            let map = &object.maps[object.map_named("rules").expect("rules")];
            let key = Shape {
                size: map.key_size as usize,
                btf: Some((btf, map.key_type_id)),
            };
            let empty = key.decode(&[0; 4]).to_string();
            check(key, "{}", &[0; 4], &empty);
            check(
                key,
                r#"{"port": 53, "protocol": 17}"#,
                &[53, 0, 17, 0],
                &empty.replacen("\"port\":0", "\"port\":53", 1).replacen(
                    "\"protocol\":0",
                    "\"protocol\":17",
                    1,
                ),
            );
            refused(
                key,
                r#"{"port": 65536}"#,
                "port: 65536 does not fit in 16 bits",
            );
            let error = key.parse(r#"{"prot": 1}"#).expect_err("no such member");
            assert!(
                error
                    .to_string()
                    .starts_with("prot: there is no such member; there are port"),
                "{error}"
            );
        });
    }

    #[test]
    fn every_type_of_the_corpus_survives_the_way_to_json_and_back() {
        for name in [
            "firewall",
            "ddos_filter",
            "load_balancer",
            "core",
            "configured",
        ] {
            with_btf(name, |_, btf| {
                for id in 1..btf.type_count() {
                    let Some(size) = btf.size_of(id).filter(|&size| size > 0 && size < 4096) else {
                        continue;
                    };
                    // Unions say the same bytes several times; padding is not said at all.
                    if matches!(
                        btf.get(id).map(|found| found.body),
                        Some(TypeBody::Union { .. })
                    ) {
                        continue;
                    }
                    let shape = Shape {
                        size: size as usize,
                        btf: Some((btf, id)),
                    };
                    let bytes: Vec<u8> = (0..size).map(|at| at as u8 & 1).collect();
                    let json = shape.decode(&bytes);
                    let back = shape.encode(&json).expect("its own JSON");
                    assert_eq!(shape.decode(&back), json, "{}", btf.c_name(id));
                }
            });
        }
    }
}
