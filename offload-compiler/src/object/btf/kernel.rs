//! Writing BTF for `BPF_BTF_LOAD`, without what an older kernel does not know. The replacements are those of libbpf
//! (bpf_object__sanitize_btf, Linux 6.12): each keeps the type's id and length.

use super::edit::word;
use super::{Btf, BtfFeatures, Kind, TypeBody};

impl Btf {
    /// The bytes for `BPF_BTF_LOAD`, with what the kernel does not know replaced by what it does.
    pub fn to_kernel_bytes(&self, features: BtfFeatures) -> Vec<u8> {
        if features == BtfFeatures::default() {
            return self.to_bytes();
        }
        let mut known = self.clone();
        let mut placeholder = None;
        for id in self.own.first_id..self.type_count() {
            known.replace_unknown(id, features, &mut placeholder);
        }
        known.to_bytes()
    }

    fn to_bytes(&self) -> Vec<u8> {
        let (types, strings) = (&self.own.types, &self.own.strings);
        let mut bytes = Vec::with_capacity(24 + types.len() + strings.len());
        bytes.extend_from_slice(&[0x9f, 0xeb, 1, 0]);
        for value in [24, 0, types.len(), types.len(), strings.len()] {
            bytes.extend_from_slice(&(value as u32).to_le_bytes());
        }
        bytes.extend_from_slice(types);
        bytes.extend_from_slice(strings);
        bytes
    }

    fn replace_unknown(&mut self, id: u32, features: BtfFeatures, placeholder: &mut Option<u32>) {
        let entries = self.word(id, word::INFO) & 0xffff;
        let info = |kind: Kind, entries: u32| u32::from(kind as u8) << 24 | entries;
        match self.kind(id) {
            Kind::Var if !features.datasec => self.replace_by_byte(id),
            Kind::DeclTag if !features.decl_tag => self.replace_by_byte(id),
            Kind::Datasec if !features.datasec => {
                self.replace_by_struct(id, info(Kind::Struct, entries));
            }
            Kind::Datasec if !features.odd_datasec_names && self.name(id).starts_with('?') => {
                let name = self.name(id).replacen('?', "_", 1);
                let name = self.add_string(&name);
                self.set_word(id, word::NAME, name);
            }
            Kind::FuncProto if !features.func => {
                self.set_word(id, word::INFO, info(Kind::Enum, entries));
                self.set_word(id, word::SIZE_OR_TYPE, 4);
            }
            Kind::Func if !features.func => self.set_word(id, word::INFO, info(Kind::Typedef, 0)),
            Kind::Func if !features.global_func => {
                self.set_word(id, word::INFO, info(Kind::Func, 0));
            }
            Kind::Float if !features.float => {
                self.set_word(id, word::NAME, 0);
                self.set_word(id, word::INFO, info(Kind::Struct, 0));
            }
            Kind::TypeTag if !features.type_tag => {
                self.set_word(id, word::NAME, 0);
                self.set_word(id, word::INFO, info(Kind::Const, 0));
            }
            Kind::Enum if !features.enum64 => {
                self.set_word(id, word::INFO, info(Kind::Enum, entries));
            }
            Kind::Enum64 if !features.enum64 => {
                let byte = *placeholder.get_or_insert_with(|| {
                    let name = self.add_string("enum64_placeholder");
                    self.add_type(Kind::Int, name, 1, &[8])
                });
                self.set_word(id, word::INFO, info(Kind::Union, entries));
                for entry in 0..entries as usize {
                    self.set_word(id, word::EXTRA + entry * 3 + 1, byte);
                    self.set_word(id, word::EXTRA + entry * 3 + 2, 0);
                }
            }
            _ => {}
        }
    }

    /// One byte is the safest size: a larger one may exceed the variable that it stands for.
    fn replace_by_byte(&mut self, id: u32) {
        self.set_word(id, word::INFO, u32::from(Kind::Int as u8) << 24);
        self.set_word(id, word::SIZE_OR_TYPE, 1);
        self.set_word(id, word::EXTRA, 8);
    }

    fn replace_by_struct(&mut self, id: u32, info: u32) {
        let Some(TypeBody::Datasec { vars, .. }) = self.get(id).map(|ty| ty.body) else {
            return;
        };
        let members: Vec<[u32; 3]> = vars
            .iter()
            .map(|var| {
                let name = self.word(var.type_id, word::NAME);
                [name, var.type_id, var.offset.wrapping_mul(8)]
            })
            .collect();
        let name = self.name(id).replace(['.', '?'], "_");
        let name = self.add_string(&name);
        self.set_word(id, word::NAME, name);
        self.set_word(id, word::INFO, info);
        for (index, value) in members.iter().flatten().enumerate() {
            self.set_word(id, word::EXTRA + index, *value);
        }
    }
}
