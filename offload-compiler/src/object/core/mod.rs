//! CO-RE: making code that was compiled against one kernel's types fit another's
//! (tools/lib/bpf/relo_core.c, Linux 6.12, is the reference for every rule here).

mod compatible;
mod patch;
mod spec;
mod value;

use std::collections::HashMap;

use super::btf::{Btf, Kind, essential};
use super::btf_ext::CoreRelocation;
use super::environment::Environment;

pub(super) use compatible::types_are_compatible;
pub(super) use patch::{POISON, patch};

use compatible::Budget;
use spec::Spec;
use value::Value;

/// What is relocated (`enum bpf_core_relo_kind`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Aspect {
    FieldByteOffset,
    FieldByteSize,
    FieldExists,
    FieldSigned,
    FieldLeftShift,
    FieldRightShift,
    TypeIdLocal,
    TypeIdTarget,
    TypeExists,
    TypeSize,
    EnumeratorExists,
    EnumeratorValue,
    TypeMatches,
}

impl Aspect {
    pub(super) fn from_number(number: u32) -> Option<Self> {
        const ALL: [Aspect; 13] = [
            Aspect::FieldByteOffset,
            Aspect::FieldByteSize,
            Aspect::FieldExists,
            Aspect::FieldSigned,
            Aspect::FieldLeftShift,
            Aspect::FieldRightShift,
            Aspect::TypeIdLocal,
            Aspect::TypeIdTarget,
            Aspect::TypeExists,
            Aspect::TypeSize,
            Aspect::EnumeratorExists,
            Aspect::EnumeratorValue,
            Aspect::TypeMatches,
        ];
        ALL.get(number as usize).copied()
    }

    fn is_of_field(self) -> bool {
        matches!(
            self,
            Self::FieldByteOffset
                | Self::FieldByteSize
                | Self::FieldExists
                | Self::FieldSigned
                | Self::FieldLeftShift
                | Self::FieldRightShift
        )
    }

    fn is_of_type(self) -> bool {
        matches!(
            self,
            Self::TypeIdLocal
                | Self::TypeIdTarget
                | Self::TypeExists
                | Self::TypeSize
                | Self::TypeMatches
        )
    }
}

/// What a relocation comes to on a kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Resolution {
    /// What the compiler wrote, which the instruction must hold...
    pub(super) before: u64,
    /// ... unless compilers may differ about it.
    pub(super) check_before: bool,
    /// What the kernel wants; `None` if the kernel lacks it, and the instruction must not be reached.
    pub(super) after: Option<u64>,
    /// Bytes of the field, in the object and in the kernel, where memory is accessed; 0 otherwise.
    pub(super) size_before: u32,
    pub(super) size_after: u32,
    /// The field's size changed and its type is none that can be read in another size.
    pub(super) size_is_fixed: bool,
}

/// Why a relocation cannot be resolved at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failure {
    /// The kernel's BTF is needed and there is none.
    NoKernelBtf,
    /// The object, or the kernel for this object, is wrong.
    Bad(String),
}

/// Resolves the relocations of one program against one kernel.
pub(super) struct Resolver<'a> {
    local: &'a Btf,
    environment: &'a Environment<'a>,
    /// Kernel types for a type of the object. Shrinks to those that matched, as later relocations of the
    /// same type must agree with earlier ones.
    candidates: HashMap<u32, Vec<(&'a Btf, u32)>>,
    budget: Budget,
}

impl<'a> Resolver<'a> {
    pub(super) fn new(local: &'a Btf, environment: &'a Environment<'a>) -> Self {
        Self {
            local,
            environment,
            candidates: HashMap::new(),
            budget: Budget::new(),
        }
    }

    /// What a relocation is about, for messages: `struct sk_buff.len`.
    pub(super) fn describe(&mut self, relocation: &CoreRelocation) -> String {
        let name = self.local.c_name(relocation.type_id);
        match Aspect::from_number(relocation.kind)
            .map(|aspect| Spec::parse(self.local, relocation, aspect, &mut self.budget))
        {
            Some(Ok(spec)) => format!("{name}{}", spec.path()),
            _ => name,
        }
    }

    pub(super) fn resolve(&mut self, relocation: &CoreRelocation) -> Result<Resolution, Failure> {
        let aspect = Aspect::from_number(relocation.kind)
            .ok_or_else(|| Failure::Bad(format!("its kind {} is not known", relocation.kind)))?;
        let local =
            Spec::parse(self.local, relocation, aspect, &mut self.budget).map_err(Failure::Bad)?;
        if aspect == Aspect::TypeIdLocal {
            let id = u64::from(relocation.type_id);
            return Ok(Resolution {
                before: id,
                check_before: false,
                after: Some(id),
                size_before: 0,
                size_after: 0,
                size_is_fixed: false,
            });
        }
        let before = Value::of(aspect, &local)
            .map_err(Failure::Bad)?
            .ok_or_else(|| Failure::Bad("it has no value even in the object".to_owned()))?;

        let mut matching = Vec::new();
        let mut found: Option<(u64, Value)> = None;
        for (btf, id) in self.candidates_of(relocation.type_id)? {
            let Some(spec) = local
                .find_in(btf, id, &mut self.budget)
                .map_err(Failure::Bad)?
            else {
                continue;
            };
            let Some(value) = Value::of(aspect, &spec).map_err(Failure::Bad)? else {
                continue;
            };
            match &found {
                Some((bits, first)) if *bits != spec.bit_offset || first.number != value.number => {
                    return Err(Failure::Bad(format!(
                        "the kernel has several types '{}' that disagree",
                        btf.c_name(id)
                    )));
                }
                Some(_) => {}
                None => found = Some((spec.bit_offset, value)),
            }
            matching.push((btf, id));
        }
        if !matching.is_empty() {
            self.candidates.insert(relocation.type_id, matching);
        }
        let after = match found {
            Some((_, value)) => Some(value),
            None => Value::of_missing(aspect),
        };
        Ok(Resolution {
            before: before.number,
            check_before: before.certain,
            size_before: before.size,
            size_after: after.map_or(0, |after| after.size),
            size_is_fixed: after
                .is_some_and(|after| after.size != before.size && !before.resizes_to(after)),
            after: after.map(|after| after.number),
        })
    }

    /// The kernel's types of the same name, flavors aside, and the same kind; the modules' if it has none.
    fn candidates_of(&mut self, type_id: u32) -> Result<Vec<(&'a Btf, u32)>, Failure> {
        if let Some(known) = self.candidates.get(&type_id) {
            return Ok(known.clone());
        }
        if self.local.name(type_id).is_empty() {
            return Err(Failure::Bad(
                "its type has no name to look for in the kernel".to_owned(),
            ));
        }
        let search = |btf: &'a Btf| candidates(self.local, type_id, btf).map(move |id| (btf, id));
        let kernel = self.environment.kernel_btf.ok_or(Failure::NoKernelBtf)?;
        let mut found: Vec<(&'a Btf, u32)> = search(kernel).collect();
        if found.is_empty() {
            for module in self.environment.modules {
                found.extend(search(module.btf));
            }
        }
        self.candidates.insert(type_id, found.clone());
        Ok(found)
    }
}

/// The types of a kernel, or of a module without the kernel's, that may stand for a type of the object: those of
/// the same name, flavors aside, and kind.
pub(super) fn candidates<'a>(
    local: &'a Btf,
    type_id: u32,
    kernel: &'a Btf,
) -> impl Iterator<Item = u32> + 'a {
    let kind = local.kind(type_id);
    kernel
        .candidates(essential(local.name(type_id)))
        .filter(move |&id| same_kind(kind, kernel.kind(id)))
}

/// Kinds are compatible if equal, or if both are enumerations of whatever width.
fn same_kind(local: Kind, target: Kind) -> bool {
    local == target || local.is_enum() && target.is_enum()
}

#[cfg(test)]
mod tests {
    use super::super::btf::{Btf, Kind};
    use super::super::btf_ext::CoreRelocation;
    use super::super::environment::Environment;
    use super::{Aspect, Failure, Resolution, Resolver};

    /// BTF without any type.
    fn empty() -> Btf {
        let mut bytes = vec![0x9f, 0xeb, 1, 0];
        for word in [24_u32, 0, 0, 0, 1] {
            bytes.extend(word.to_le_bytes());
        }
        bytes.push(0);
        Btf::parse(bytes).expect("a header and the empty string")
    }

    fn int(btf: &mut Btf, size: u32, signed: bool) -> u32 {
        let name = btf.add_string("int");
        btf.add_type(
            Kind::Int,
            name,
            size,
            &[(u32::from(signed) << 24) | (size * 8)],
        )
    }

    /// A structure or union of (name, type, offset word).
    fn composite(
        btf: &mut Btf,
        kind: Kind,
        name: &str,
        size: u32,
        members: &[(&str, u32, u32)],
    ) -> u32 {
        let words: Vec<u32> = members
            .iter()
            .flat_map(|&(name, type_id, offset)| {
                let name = if name.is_empty() {
                    0
                } else {
                    btf.add_string(name)
                };
                [name, type_id, offset]
            })
            .collect();
        let name = if name.is_empty() {
            0
        } else {
            btf.add_string(name)
        };
        let id = btf.add_type(kind, name, size, &words);
        let has_bit_fields = members.iter().any(|&(_, _, offset)| offset >> 24 != 0);
        let info =
            u32::from(has_bit_fields) << 31 | u32::from(kind as u8) << 24 | members.len() as u32;
        btf.set_word(id, super::super::btf::word::INFO, info);
        id
    }

    fn resolve(
        local: &mut Btf,
        type_id: u32,
        access: &str,
        aspect: Aspect,
        kernel: &Btf,
    ) -> Result<Resolution, Failure> {
        let relocation = CoreRelocation {
            insn: 0,
            type_id,
            access: local.add_string(access),
            kind: aspect as u32,
        };
        let environment = Environment {
            kernel_btf: Some(kernel),
            ..Environment::default()
        };
        Resolver::new(local, &environment).resolve(&relocation)
    }

    #[test]
    fn a_field_is_found_where_the_kernel_moved_it() {
        let mut local = empty();
        let word = int(&mut local, 4, false);
        let ours = composite(
            &mut local,
            Kind::Struct,
            "s___mine",
            8,
            &[("a", word, 0), ("b", word, 32)],
        );

        // The kernel has it in a union without a name, behind another member, and twice as wide.
        let mut kernel = empty();
        let wide = int(&mut kernel, 8, false);
        let inner = composite(
            &mut kernel,
            Kind::Union,
            "",
            8,
            &[("x", wide, 0), ("b", wide, 0)],
        );
        composite(
            &mut kernel,
            Kind::Struct,
            "s",
            16,
            &[("y", wide, 0), ("", inner, 64)],
        );

        let found = resolve(&mut local, ours, "0:1", Aspect::FieldByteOffset, &kernel)
            .expect("it is there");
        assert_eq!((found.before, found.after), (4, Some(8)));
        assert_eq!((found.size_before, found.size_after), (4, 8));
        assert!(
            !found.size_is_fixed,
            "unsigned integers can be read in another size"
        );
        let missing =
            resolve(&mut local, ours, "0:0", Aspect::FieldByteOffset, &kernel).expect("poison");
        assert_eq!(missing.after, None);
        let exists =
            resolve(&mut local, ours, "0:0", Aspect::FieldExists, &kernel).expect("a number");
        assert_eq!(exists.after, Some(0));
        let size = resolve(&mut local, ours, "0", Aspect::TypeSize, &kernel).expect("a number");
        assert_eq!((size.before, size.after), (8, Some(16)));
    }

    #[test]
    fn a_signed_field_of_another_size_cannot_be_read() {
        let mut local = empty();
        let word = int(&mut local, 4, true);
        let ours = composite(&mut local, Kind::Struct, "s", 4, &[("a", word, 0)]);
        let mut kernel = empty();
        let wide = int(&mut kernel, 8, true);
        composite(&mut kernel, Kind::Struct, "s", 8, &[("a", wide, 0)]);
        let found = resolve(&mut local, ours, "0:0", Aspect::FieldByteOffset, &kernel)
            .expect("it is there");
        assert!(found.size_is_fixed);
    }

    #[test]
    fn bit_fields_are_shifted_by_the_kernels_layout() {
        let bits = |offset: u32, size: u32| size << 24 | offset;
        let mut local = empty();
        let word = int(&mut local, 4, false);
        let ours = composite(&mut local, Kind::Struct, "s", 4, &[("f", word, bits(0, 3))]);
        let mut kernel = empty();
        let word = int(&mut kernel, 4, false);
        composite(
            &mut kernel,
            Kind::Struct,
            "s",
            8,
            &[("f", word, bits(37, 5))],
        );
        let mut number = |aspect| {
            let found = resolve(&mut local, ours, "0:0", aspect, &kernel).expect("it is there");
            found.after
        };
        assert_eq!(number(Aspect::FieldByteOffset), Some(4));
        assert_eq!(number(Aspect::FieldByteSize), Some(4));
        assert_eq!(number(Aspect::FieldLeftShift), Some(64 - (37 + 5 - 32)));
        assert_eq!(number(Aspect::FieldRightShift), Some(64 - 5));
    }

    #[test]
    fn types_of_one_name_must_agree() {
        let mut local = empty();
        let word = int(&mut local, 4, false);
        let ours = composite(&mut local, Kind::Struct, "s", 4, &[("a", word, 0)]);
        let mut kernel = empty();
        let word = int(&mut kernel, 4, false);
        composite(&mut kernel, Kind::Struct, "s", 4, &[("a", word, 0)]);
        composite(
            &mut kernel,
            Kind::Struct,
            "s___2",
            8,
            &[("b", word, 0), ("a", word, 32)],
        );
        let found = resolve(&mut local, ours, "0:0", Aspect::FieldByteOffset, &kernel);
        assert!(matches!(found, Err(Failure::Bad(_))), "{found:?}");
    }

    #[test]
    fn access_strings_that_lead_nowhere_are_refused() {
        let mut local = empty();
        let word = int(&mut local, 4, false);
        let ours = composite(&mut local, Kind::Struct, "s", 4, &[("a", word, 0)]);
        let kernel = empty();
        for access in [
            "",
            ":",
            "0:",
            "0:1",
            "0:0:0",
            "a",
            "-1",
            "0:4294967296",
            "4294967295",
        ] {
            let found = resolve(&mut local, ours, access, Aspect::FieldByteOffset, &kernel);
            assert!(matches!(found, Err(Failure::Bad(_))), "{access}: {found:?}");
        }
        let too_deep = vec!["0"; 65].join(":");
        let found = resolve(
            &mut local,
            ours,
            &too_deep,
            Aspect::FieldByteOffset,
            &kernel,
        );
        assert!(matches!(found, Err(Failure::Bad(_))));
    }

    #[test]
    fn types_that_contain_themselves_come_to_an_end() {
        // struct s { struct s a, a, a, ...; } compared with itself would take 3^32 steps.
        let nested = || {
            let mut btf = empty();
            let members: Vec<(&str, u32, u32)> = (0..40).map(|_| ("a", 1, 0)).collect();
            composite(&mut btf, Kind::Struct, "s", 4, &members);
            btf
        };
        let mut local = nested();
        let found = resolve(&mut local, 1, "0", Aspect::TypeMatches, &nested());
        assert!(matches!(found, Err(Failure::Bad(_))), "{found:?}");
    }
}
