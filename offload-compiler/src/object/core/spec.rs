//! Access strings: `0:1:2` says how to walk from a type to a field. Parsed against the object's types, and
//! found again, by names, in the kernel's.

use super::super::btf::{Btf, Member, Records, Type, TypeBody, essential};
use super::super::btf_ext::CoreRelocation;
use super::Aspect;
use super::compatible::{self, Budget};

/// Deepest access that is read (`BPF_CORE_SPEC_MAX_LEN`).
const MAX_STEPS: usize = 64;

/// A walk to a field, an enumerator, or just a type.
#[derive(Debug, Clone)]
pub(super) struct Spec<'a> {
    pub(super) btf: &'a Btf,
    pub(super) root: u32,
    aspect: Aspect,
    /// The steps that mean something: named members and array elements. Anonymous structures are passed
    /// through silently.
    pub(super) steps: Vec<Step<'a>>,
    /// Where the walk ends, in bits from the start of the root.
    pub(super) bit_offset: u64,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Step<'a> {
    /// The type that is stepped into; for an element, the element's type.
    pub(super) type_id: u32,
    /// Which member, element or enumerator.
    pub(super) index: u32,
    /// Name of the member or enumerator; `None` for an element.
    pub(super) name: Option<&'a str>,
}

impl<'a> Spec<'a> {
    /// Reads a relocation of the object.
    pub(super) fn parse(
        btf: &'a Btf,
        relocation: &CoreRelocation,
        aspect: Aspect,
        budget: &mut Budget,
    ) -> Result<Self, String> {
        if btf.get(relocation.type_id).is_none() {
            return Err(format!("type {} does not exist", relocation.type_id));
        }
        let text = btf
            .string(relocation.access)
            .filter(|text| !text.is_empty())
            .ok_or("its access string does not exist")?;
        let bad = |detail: &str| format!("access string '{text}': {detail}");
        let mut spec = Self {
            btf,
            root: relocation.type_id,
            aspect,
            steps: Vec::new(),
            bit_offset: 0,
        };
        if aspect.is_of_type() {
            return match text {
                "0" => Ok(spec),
                _ => Err(bad("a whole type is accessed by '0'")),
            };
        }
        let mut indices = Vec::new();
        for index in text.split(':') {
            if indices.len() == MAX_STEPS {
                return Err(bad("too many steps"));
            }
            let index: u32 = index
                .parse()
                .map_err(|_| bad("not numbers between colons"))?;
            indices.push(index);
        }
        let (first, rest) = indices.split_first().ok_or_else(|| bad("empty"))?;
        let mut id = btf.resolve(relocation.type_id);
        if !aspect.is_of_field() {
            let Some(TypeBody::Enum { values, .. }) = btf.get(id).map(|ty| ty.body) else {
                return Err(bad("the type is no enumeration"));
            };
            let value = values
                .get(*first as usize)
                .filter(|_| rest.is_empty())
                .ok_or_else(|| bad("the enumeration has no such value"))?;
            spec.steps.push(Step {
                type_id: id,
                index: *first,
                name: Some(value.name),
            });
            return Ok(spec);
        }
        spec.element(id, *first)?;
        for &index in rest {
            budget.spend()?;
            id = btf.resolve(id);
            let Some(Type { body, .. }) = btf.get(id) else {
                return Err(bad("it leads to a type that does not exist"));
            };
            match body {
                TypeBody::Struct { members, .. } | TypeBody::Union { members, .. } => {
                    let member = members
                        .get(index as usize)
                        .ok_or_else(|| bad("the structure has no such member"))?;
                    spec.member(id, index, &member);
                    id = member.type_id;
                }
                TypeBody::Array { element, count } => {
                    let open = count == 0 && spec.ends_its_structure();
                    if !open && index >= count {
                        return Err(bad("the array has no such element"));
                    }
                    id = btf.resolve(element);
                    spec.element(id, index)?;
                }
                _ => return Err(bad("it walks into what is neither structure nor array")),
            }
        }
        Ok(spec)
    }

    /// Finds the same walk from a type of the kernel; `None` if the kernel lacks it.
    pub(super) fn find_in<'b>(
        &self,
        btf: &'b Btf,
        root: u32,
        budget: &mut Budget,
    ) -> Result<Option<Spec<'b>>, String> {
        let mut found = Spec {
            btf,
            root,
            aspect: self.aspect,
            steps: Vec::new(),
            bit_offset: 0,
        };
        if self.aspect.is_of_type() {
            let fits = if self.aspect == Aspect::TypeMatches {
                compatible::types_match(self.btf, self.root, btf, root, budget)?
            } else {
                compatible::types_are_compatible_within(self.btf, self.root, btf, root, budget)?
            };
            return Ok(fits.then_some(found));
        }
        if !self.aspect.is_of_field() {
            return self.find_enumerator(found, budget);
        }
        let mut id = root;
        for (position, step) in self.steps.iter().enumerate() {
            id = btf.resolve(id);
            if step.name.is_some() {
                let Some(local) = self.member_of(step) else {
                    return Ok(None);
                };
                let depth = 0;
                match found.find_member(self.btf, &local, id, depth, budget)? {
                    Some(next) => id = next,
                    None => return Ok(None),
                }
                continue;
            }
            // The first step is an index into an imagined array of the root type itself.
            if position > 0 {
                let Some(TypeBody::Array { element, count }) = btf.get(id).map(|ty| ty.body) else {
                    return Ok(None);
                };
                let open = count == 0 && found.ends_its_structure();
                if !open && step.index >= count {
                    return Ok(None);
                }
                id = btf.resolve(element);
            }
            found.element(id, step.index)?;
        }
        Ok(Some(found))
    }

    /// The walk in C, such as `.a[3].b`; the leading index is left out where it is 0.
    pub(super) fn path(&self) -> String {
        let steps = self.steps.iter().enumerate();
        steps
            .map(|(position, step)| match step.name {
                Some(name) if self.aspect.is_of_field() => format!(".{name}"),
                Some(name) => format!("::{name}"),
                None if position > 0 || step.index > 0 => format!("[{}]", step.index),
                None => String::new(),
            })
            .collect()
    }

    /// The member that a step goes through.
    pub(super) fn member_of(&self, step: &Step<'_>) -> Option<Member<'a>> {
        members(self.btf, step.type_id)?.get(step.index as usize)
    }

    fn find_enumerator<'b>(
        &self,
        mut found: Spec<'b>,
        budget: &mut Budget,
    ) -> Result<Option<Spec<'b>>, String> {
        let btf = found.btf;
        let id = btf.resolve(found.root);
        let wanted = self
            .steps
            .first()
            .and_then(|step| step.name)
            .unwrap_or_default();
        let Some(TypeBody::Enum { values, .. }) = btf.get(id).map(|ty| ty.body) else {
            return Ok(None);
        };
        for (index, value) in values.iter().enumerate() {
            budget.spend()?;
            if essential(value.name) == essential(wanted) {
                found.steps.push(Step {
                    type_id: id,
                    index: index as u32,
                    name: Some(value.name),
                });
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// Walks to the member of the same name, through anonymous structures, and gives its type.
    fn find_member(
        &mut self,
        local_btf: &Btf,
        local: &Member<'_>,
        id: u32,
        depth: usize,
        budget: &mut Budget,
    ) -> Result<Option<u32>, String> {
        if depth > compatible::MAX_DEPTH {
            return Err("structures nest too deep".to_owned());
        }
        let Some(members) = members(self.btf, id) else {
            return Ok(None);
        };
        for (index, member) in members.iter().enumerate() {
            budget.spend()?;
            if member.name.is_empty() {
                self.bit_offset += u64::from(member.bit_offset);
                let inner = self.btf.resolve(member.type_id);
                let found = self.find_member(local_btf, local, inner, depth + 1, budget)?;
                if found.is_some() {
                    return Ok(found);
                }
                self.bit_offset -= u64::from(member.bit_offset);
            } else if member.name == local.name {
                if !compatible::fields_are_compatible(
                    local_btf,
                    local.type_id,
                    self.btf,
                    member.type_id,
                ) {
                    return Ok(None);
                }
                self.member(id, index as u32, &member);
                return Ok(Some(member.type_id));
            }
        }
        Ok(None)
    }

    fn member(&mut self, type_id: u32, index: u32, member: &Member<'a>) {
        self.bit_offset += u64::from(member.bit_offset);
        if !member.name.is_empty() {
            self.steps.push(Step {
                type_id,
                index,
                name: Some(member.name),
            });
        }
    }

    fn element(&mut self, type_id: u32, index: u32) -> Result<(), String> {
        let size = self
            .btf
            .size_of(type_id)
            .ok_or_else(|| format!("'{}' has no size", self.btf.c_name(type_id)))?;
        self.bit_offset += u64::from(index) * u64::from(size) * 8;
        if self.bit_offset > u64::from(u32::MAX) * 8 {
            return Err("the field lies 4 GiB into its type".to_owned());
        }
        self.steps.push(Step {
            type_id,
            index,
            name: None,
        });
        Ok(())
    }

    /// Whether the last step went to the last member of a structure, where an array without a length may be
    /// of any.
    fn ends_its_structure(&self) -> bool {
        self.steps.last().is_some_and(|step| {
            step.name.is_some()
                && members(self.btf, step.type_id)
                    .is_some_and(|members| step.index as usize + 1 == members.len())
        })
    }
}

fn members(btf: &Btf, id: u32) -> Option<Records<'_, Member<'_>>> {
    if !btf.kind(id).is_composite() {
        return None;
    }
    match btf.get(id)?.body {
        TypeBody::Struct { members, .. } | TypeBody::Union { members, .. } => Some(members),
        _ => None,
    }
}
