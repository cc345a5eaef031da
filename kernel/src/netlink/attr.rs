//! Netlink attributes: type-length-value records, 4-byte aligned (include/uapi/linux/netlink.h).
//!
//! A reader of our own: neli's typed one loses what it does not expect. Bytes from outside never panic
//! here; what breaks the format is told by name.

/// What is wrong with an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Malformed(pub(crate) String);

pub(crate) type Parsed<T> = std::result::Result<T, Malformed>;

/// Length of `struct nlattr`.
const HEADER: usize = 4;

/// NLA_F_NESTED: the payload is attributes.
const NESTED: u16 = 1 << 15;

/// NLA_TYPE_MASK: the type without NLA_F_NESTED and NLA_F_NET_BYTEORDER.
const TYPE_MASK: u16 = 0x3fff;

/// The next multiple of 4, to which messages and attributes are padded.
pub(crate) fn aligned(len: usize) -> usize {
    len.saturating_add(3) & !3
}

/// One attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Attribute<'a> {
    /// The type, without flags.
    pub(crate) kind: u16,
    /// The value, without padding.
    pub(crate) payload: &'a [u8],
}

impl<'a> Attribute<'a> {
    pub(crate) fn u8(&self) -> Parsed<u8> {
        Ok(u8::from_ne_bytes(self.array()?))
    }

    pub(crate) fn u16(&self) -> Parsed<u16> {
        Ok(u16::from_ne_bytes(self.array()?))
    }

    pub(crate) fn u32(&self) -> Parsed<u32> {
        Ok(u32::from_ne_bytes(self.array()?))
    }

    pub(crate) fn i32(&self) -> Parsed<i32> {
        Ok(i32::from_ne_bytes(self.array()?))
    }

    /// The specs' types `uint` and `u64`: 4 or 8 bytes, whichever the kernel found long enough.
    pub(crate) fn uint(&self) -> Parsed<u64> {
        match self.payload.len() {
            4 => self.u32().map(u64::from),
            _ => Ok(u64::from_ne_bytes(self.array()?)),
        }
    }

    /// The text up to the first NUL; the kernel ends strings with one. Other than UTF-8 is replaced.
    pub(crate) fn text(&self) -> String {
        let end = self.payload.iter().position(|&byte| byte == 0);
        let text = &self.payload[..end.unwrap_or(self.payload.len())];
        String::from_utf8_lossy(text).into_owned()
    }

    /// The attributes inside this one.
    pub(crate) fn nested(&self) -> Attributes<'a> {
        Attributes(self.payload)
    }

    fn array<const N: usize>(&self) -> Parsed<[u8; N]> {
        self.payload.try_into().map_err(|_| {
            Malformed(format!(
                "attribute {} has {} bytes instead of {N}",
                self.kind,
                self.payload.len()
            ))
        })
    }
}

/// Reads attributes one by one; ends after the first broken one.
#[derive(Debug, Clone)]
pub(crate) struct Attributes<'a>(pub(crate) &'a [u8]);

impl<'a> Iterator for Attributes<'a> {
    type Item = Parsed<Attribute<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        // Fewer bytes than a header are padding, as the kernel's nla_ok() has it.
        let (header, _) = self.0.split_first_chunk::<HEADER>()?;
        let len = usize::from(u16::from_ne_bytes([header[0], header[1]]));
        let kind = u16::from_ne_bytes([header[2], header[3]]) & TYPE_MASK;
        let Some(payload) = self.0.get(HEADER..len) else {
            let left = std::mem::take(&mut self.0).len();
            return Some(Err(Malformed(format!(
                "attribute {kind} says it has {len} bytes where {left} are left"
            ))));
        };
        self.0 = self.0.get(aligned(len)..).unwrap_or_default();
        Some(Ok(Attribute { kind, payload }))
    }
}

/// Writes attributes.
#[derive(Debug, Default)]
pub(crate) struct Writer(Vec<u8>);

impl Writer {
    /// Begins after a fixed header, such as `struct ifinfomsg`; its length is a multiple of 4.
    pub(crate) fn after(header: &[u8]) -> Self {
        Self(header.to_vec())
    }

    /// Appends one attribute. The value is shorter than 64 KiB, as all requests of this crate are.
    pub(crate) fn put(mut self, kind: u16, value: &[u8]) -> Self {
        let len = (HEADER + value.len()) as u16;
        self.0.extend_from_slice(&len.to_ne_bytes());
        self.0.extend_from_slice(&kind.to_ne_bytes());
        self.0.extend_from_slice(value);
        self.0.resize(aligned(self.0.len()), 0);
        self
    }

    /// Appends one attribute that ends with NUL.
    pub(crate) fn put_text(self, kind: u16, text: &str) -> Self {
        let mut value = text.as_bytes().to_vec();
        value.push(0);
        self.put(kind, &value)
    }

    /// Appends attributes in an attribute.
    pub(crate) fn put_nested(self, kind: u16, inner: &Self) -> Self {
        self.put(kind | NESTED, &inner.0)
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_written_is_read() {
        let bytes = Writer::default()
            .put(1, &7_u32.to_ne_bytes())
            .put_text(2, "veth0")
            .put_nested(3, &Writer::default().put(4, &[9]))
            .into_bytes();
        let read: Vec<_> = Attributes(&bytes).map(Result::unwrap).collect();
        assert_eq!(read.len(), 3);
        assert_eq!((read[0].kind, read[0].u32()), (1, Ok(7)));
        assert_eq!((read[1].kind, read[1].text()), (2, "veth0".to_owned()));
        assert_eq!(read[2].kind, 3, "without NLA_F_NESTED");
        let inner: Vec<_> = read[2].nested().map(Result::unwrap).collect();
        assert_eq!((inner[0].kind, inner[0].u8()), (4, Ok(9)));
    }

    #[test]
    fn a_uint_has_four_or_eight_bytes() {
        let read = |payload: &[u8]| Attribute { kind: 3, payload }.uint();
        assert_eq!(read(&0x23_u32.to_ne_bytes()), Ok(0x23));
        assert_eq!(read(&0x23_u64.to_ne_bytes()), Ok(0x23));
        assert_eq!(
            read(&[1, 2]),
            Err(Malformed("attribute 3 has 2 bytes instead of 8".to_owned()))
        );
    }

    #[test]
    fn broken_lengths_end_the_reading() {
        let mut too_long = Writer::default().put(1, &[0; 4]).into_bytes();
        too_long[0] = 200;
        let read: Vec<_> = Attributes(&too_long).collect();
        assert_eq!(
            read,
            [Err(Malformed(
                "attribute 1 says it has 200 bytes where 8 are left".to_owned()
            ))]
        );
        // Shorter than its own header: an endless loop, if it were taken for granted.
        let read: Vec<_> = Attributes(&[0, 0, 5, 0, 1, 2, 3, 4]).collect();
        assert_eq!(read.len(), 1);
        assert!(read[0].is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_panic_or_hang(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut count = 0;
            for attribute in Attributes(&bytes).flatten() {
                count += 1;
                let _ = (attribute.u8(), attribute.u16(), attribute.u32(), attribute.i32());
                let _ = (attribute.uint(), attribute.text(), attribute.nested().count());
            }
            prop_assert!(count <= bytes.len() / HEADER);
        }
    }
}
