//! What the bytes of a type mean.

use super::records::Words;
use super::{
    Btf, Enumerator, FuncLinkage, Kind, Member, Param, Raw, Records, TypeBody, VarLinkage,
    VarSecinfo,
};

impl Btf {
    pub(super) fn body<'a>(&'a self, raw: Raw<'a>) -> TypeBody<'a> {
        let word = raw.word;
        let extra = raw.extra();
        match raw.kind() {
            Kind::Void => TypeBody::Void,
            Kind::Int => {
                let encoding = extra.at(0);
                TypeBody::Int {
                    size: word,
                    signed: encoding & 1 << 24 != 0,
                    char: encoding & 1 << 25 != 0,
                    bool: encoding & 1 << 26 != 0,
                    bit_offset: (encoding >> 16) as u8,
                    bits: encoding as u8,
                }
            }
            Kind::Ptr => TypeBody::Ptr(word),
            Kind::Array => TypeBody::Array {
                element: extra.at(0),
                count: extra.at(2),
            },
            Kind::Struct => TypeBody::Struct {
                size: word,
                members: self.members(raw),
            },
            Kind::Union => TypeBody::Union {
                size: word,
                members: self.members(raw),
            },
            Kind::Enum | Kind::Enum64 => TypeBody::Enum {
                size: word,
                signed: raw.flag(),
                values: self.values(raw),
            },
            Kind::Fwd => TypeBody::Fwd { union: raw.flag() },
            Kind::Typedef => TypeBody::Typedef(word),
            Kind::Volatile => TypeBody::Volatile(word),
            Kind::Const => TypeBody::Const(word),
            Kind::Restrict => TypeBody::Restrict(word),
            Kind::TypeTag => TypeBody::TypeTag(word),
            Kind::Func => TypeBody::Func {
                proto: word,
                linkage: match raw.info & 0xffff {
                    0 => FuncLinkage::Static,
                    1 => FuncLinkage::Global,
                    _ => FuncLinkage::Extern,
                },
            },
            Kind::FuncProto => TypeBody::FuncProto {
                returns: word,
                params: Records::new(self, raw.extra, 8, |btf, words| Param {
                    name: btf.string(words.at(0)).unwrap_or_default(),
                    type_id: words.at(1),
                }),
            },
            Kind::Var => TypeBody::Var {
                type_id: word,
                linkage: match extra.at(0) {
                    0 => VarLinkage::Static,
                    1 => VarLinkage::Global,
                    _ => VarLinkage::Extern,
                },
            },
            Kind::Datasec => TypeBody::Datasec {
                size: word,
                vars: Records::new(self, raw.extra, 12, |_, words| VarSecinfo {
                    type_id: words.at(0),
                    offset: words.at(1),
                    size: words.at(2),
                }),
            },
            Kind::Float => TypeBody::Float { size: word },
            Kind::DeclTag => TypeBody::DeclTag {
                type_id: word,
                component: extra.at(0) as i32,
            },
        }
    }

    fn members<'a>(&'a self, raw: Raw<'a>) -> Records<'a, Member<'a>> {
        fn plain<'a>(btf: &'a Btf, words: Words<'a>) -> Member<'a> {
            Member {
                name: btf.string(words.at(0)).unwrap_or_default(),
                type_id: words.at(1),
                bit_offset: words.at(2),
                bit_size: 0,
            }
        }
        fn with_bit_fields<'a>(btf: &'a Btf, words: Words<'a>) -> Member<'a> {
            Member {
                bit_offset: words.at(2) & 0x00ff_ffff,
                bit_size: (words.at(2) >> 24) as u8,
                ..plain(btf, words)
            }
        }
        let read = if raw.flag() { with_bit_fields } else { plain };
        Records::new(self, raw.extra, 12, read)
    }

    fn values<'a>(&'a self, raw: Raw<'a>) -> Records<'a, Enumerator<'a>> {
        fn narrow<'a>(btf: &'a Btf, words: Words<'a>) -> Enumerator<'a> {
            Enumerator {
                name: btf.string(words.at(0)).unwrap_or_default(),
                value: i128::from(words.at(1)),
            }
        }
        fn narrow_signed<'a>(btf: &'a Btf, words: Words<'a>) -> Enumerator<'a> {
            Enumerator {
                value: i128::from(words.at(1) as i32),
                ..narrow(btf, words)
            }
        }
        fn wide<'a>(btf: &'a Btf, words: Words<'a>) -> Enumerator<'a> {
            Enumerator {
                name: btf.string(words.at(0)).unwrap_or_default(),
                value: i128::from(u64::from(words.at(2)) << 32 | u64::from(words.at(1))),
            }
        }
        fn wide_signed<'a>(btf: &'a Btf, words: Words<'a>) -> Enumerator<'a> {
            let unsigned = wide(btf, words);
            Enumerator {
                value: i128::from(unsigned.value as i64),
                ..unsigned
            }
        }
        match (raw.kind(), raw.flag()) {
            (Kind::Enum64, false) => Records::new(self, raw.extra, 12, wide),
            (Kind::Enum64, true) => Records::new(self, raw.extra, 12, wide_signed),
            (_, false) => Records::new(self, raw.extra, 8, narrow),
            (_, true) => Records::new(self, raw.extra, 8, narrow_signed),
        }
    }
}
