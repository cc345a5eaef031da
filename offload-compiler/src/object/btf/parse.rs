//! Checking BTF bytes once, so that reading them later cannot fail.

use std::sync::{Arc, OnceLock};

use super::records::Words;
use super::{Btf, Kind, Part, Raw};
use crate::object::BtfError;

/// The header's first two bytes, as written by a little-endian machine.
const MAGIC: [u8; 2] = [0x9f, 0xeb];
const HEADER_SIZE: usize = 24;

/// The kernel takes at most this many types (`BTF_MAX_TYPE`, include/uapi/linux/btf.h); the kernel's own BTF
/// has a fifth of it.
const MAX_TYPES: usize = 0x000f_ffff;

pub(super) fn parse(mut bytes: Vec<u8>, base: Option<Box<Btf>>) -> Result<Btf, BtfError> {
    let header = Header::read(&bytes)?;
    let strings = bytes
        .get(header.strings.clone())
        .ok_or_else(|| BtfError::Truncated("the string section".to_owned()))?
        .to_vec();
    if strings.last() != Some(&0) && !(strings.is_empty() && base.is_some()) {
        return Err(BtfError::Header(
            "the string section does not end with a zero".to_owned(),
        ));
    }
    if base.is_none() && strings.first() != Some(&0) {
        return Err(BtfError::Header(
            "the string section does not start with the empty string".to_owned(),
        ));
    }
    if bytes.len() < header.types.end {
        return Err(BtfError::Truncated("the type section".to_owned()));
    }
    bytes.truncate(header.types.end);
    bytes.drain(..header.types.start);
    let first_id = base.as_ref().map_or(1, |base| base.type_count());
    let first_string = base.as_ref().map_or(0, |base| {
        base.own.first_string + base.own.strings.len() as u32
    });
    let offsets = scan(&bytes, first_id)?;
    let btf = Btf {
        base,
        own: Arc::new(Part {
            types: bytes,
            strings,
            offsets,
            first_id,
            first_string,
            index: OnceLock::new(),
        }),
    };
    check(&btf)?;
    Ok(btf)
}

struct Header {
    types: std::ops::Range<usize>,
    strings: std::ops::Range<usize>,
}

impl Header {
    fn read(bytes: &[u8]) -> Result<Self, BtfError> {
        let header = bytes
            .get(..HEADER_SIZE)
            .ok_or_else(|| BtfError::Truncated("the header".to_owned()))?;
        if header[..2] == [MAGIC[1], MAGIC[0]] {
            return Err(BtfError::Header("big endian".to_owned()));
        }
        if header[..2] != MAGIC {
            return Err(BtfError::Header(format!(
                "it starts with {:02x}{:02x}, not with 9feb",
                header[0], header[1]
            )));
        }
        if header[2] != 1 {
            return Err(BtfError::Header(format!(
                "version {}; only 1 is known",
                header[2]
            )));
        }
        let words = Words(header);
        let header_len = words.at(1) as usize;
        if header_len < HEADER_SIZE {
            return Err(BtfError::Header(format!("its length is {header_len}")));
        }
        // usize has 64 bits wherever this runs (eBPF objects are 64-bit), so sums of u32 cannot overflow;
        // saturating keeps it true of 32 bits too.
        let part = |offset: u32, len: u32| {
            let start = header_len.saturating_add(offset as usize);
            start..start.saturating_add(len as usize)
        };
        Ok(Self {
            types: part(words.at(2), words.at(3)),
            strings: part(words.at(4), words.at(5)),
        })
    }
}

/// Finds where each type starts.
fn scan(types: &[u8], first_id: u32) -> Result<Vec<u32>, BtfError> {
    let mut offsets = Vec::with_capacity((types.len() / 24).min(MAX_TYPES));
    let mut start = 0;
    while start < types.len() {
        let id = first_id.saturating_add(offsets.len() as u32);
        if offsets.len() >= MAX_TYPES {
            return Err(BtfError::TooMany("types"));
        }
        let header = types
            .get(start..start + 12)
            .ok_or_else(|| BtfError::Truncated(format!("type {id}")))?;
        let info = Words(header).at(1);
        let number = (info >> 24 & 0x1f) as u8;
        let kind = match Kind::from_number(number) {
            None | Some(Kind::Void) => {
                return Err(BtfError::Type {
                    id,
                    detail: format!("its kind is {number}, which is not known"),
                });
            }
            Some(kind) => kind,
        };
        let end = start + 12 + kind.extra_bytes(info as usize & 0xffff);
        if end > types.len() {
            return Err(BtfError::Truncated(format!("type {id}")));
        }
        offsets.push(start as u32);
        start = end;
    }
    Ok(offsets)
}

/// Checks that every type refers to types and strings that exist.
fn check(btf: &Btf) -> Result<(), BtfError> {
    let types = btf.type_count();
    let strings = btf.own.first_string as usize + btf.own.strings.len();
    for id in btf.own.first_id..types {
        let Some(raw) = btf.raw(id) else { continue };
        let (names, references) = entries(raw);
        let outside = |what: &str, value: u32| BtfError::Type {
            id,
            detail: format!("it refers to {what} {value}, which does not exist"),
        };
        let words = raw.extra();
        let entry_words = entry_words(raw.kind());
        if raw.name as usize >= strings {
            return Err(outside("the name at", raw.name));
        }
        if refers_by_word(raw.kind()) && raw.word >= types {
            return Err(outside("type", raw.word));
        }
        for entry in 0..(raw.extra.len() / 4).checked_div(entry_words).unwrap_or(0) {
            let at = |index: usize| words.at(entry * entry_words + index);
            if names && at(0) as usize >= strings {
                return Err(outside("the name at", at(0)));
            }
            for &index in references {
                if at(index) >= types {
                    return Err(outside("type", at(index)));
                }
            }
        }
    }
    Ok(())
}

/// Whether the type's third word is a type id.
fn refers_by_word(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Ptr | Kind::Func | Kind::FuncProto | Kind::Var | Kind::DeclTag
    ) || kind.is_wrapper()
}

/// Words of an entry; 0 for kinds that have none.
fn entry_words(kind: Kind) -> usize {
    match kind {
        Kind::Array | Kind::Struct | Kind::Union | Kind::Datasec | Kind::Enum64 => 3,
        Kind::Enum | Kind::FuncProto => 2,
        _ => 0,
    }
}

/// Whether entries start with a name, and which of their words are type ids.
fn entries(raw: Raw<'_>) -> (bool, &'static [usize]) {
    match raw.kind() {
        Kind::Array => (false, &[0, 1]),
        Kind::Struct | Kind::Union | Kind::FuncProto => (true, &[1]),
        Kind::Enum | Kind::Enum64 => (true, &[]),
        Kind::Datasec => (false, &[0]),
        _ => (false, &[]),
    }
}
