//! Which types of the object and of the kernel stand for each other.

use super::super::btf::{Btf, Enumerator, Kind, Member, Records, TypeBody, essential};
use super::same_kind;

/// How deep types are compared.
pub(super) const MAX_DEPTH: usize = 32;

/// Bounds the work of a link: a hostile object can describe types whose comparison never ends.
#[derive(Debug)]
pub(super) struct Budget(u32);

impl Budget {
    pub(super) fn new() -> Self {
        // `struct task_struct` has some 250 members, and real programs have some hundred relocations.
        Self(10_000_000)
    }

    pub(super) fn spend(&mut self) -> Result<(), String> {
        self.0 = self
            .0
            .checked_sub(1)
            .ok_or("comparing its types with the kernel's takes too long")?;
        Ok(())
    }
}

/// As [`types_are_compatible_within`], with a budget of its own; too much work counts as incompatible.
pub(in crate::object) fn types_are_compatible(
    local_btf: &Btf,
    local: u32,
    target_btf: &Btf,
    target: u32,
) -> bool {
    types_are_compatible_within(local_btf, local, target_btf, target, &mut Budget::new())
        .unwrap_or(false)
}

/// Whether types are of the same sort: kinds agree all the way down through pointers, arrays and prototypes;
/// names, sizes and members do not matter.
pub(super) fn types_are_compatible_within(
    local_btf: &Btf,
    local: u32,
    target_btf: &Btf,
    target: u32,
    budget: &mut Budget,
) -> Result<bool, String> {
    if !same_kind(local_btf.kind(local), target_btf.kind(target)) {
        return Ok(false);
    }
    same_sort((local_btf, local), (target_btf, target), 0, budget)
}

type Place<'a> = (&'a Btf, u32);

fn body<'a>(place: &mut Place<'a>) -> Result<TypeBody<'a>, String> {
    place.1 = place.0.resolve(place.1);
    let ty = place.0.get(place.1);
    ty.map(|ty| ty.body)
        .ok_or_else(|| "a type refers to one that does not exist".to_owned())
}

fn same_sort<'a>(
    mut local: Place<'a>,
    mut target: Place<'a>,
    depth: usize,
    budget: &mut Budget,
) -> Result<bool, String> {
    for _ in 0..MAX_DEPTH {
        budget.spend()?;
        let (ours, theirs) = (body(&mut local)?, body(&mut target)?);
        if !same_kind(local.0.kind(local.1), target.0.kind(target.1)) {
            return Ok(false);
        }
        match (ours, theirs) {
            (
                TypeBody::Void
                | TypeBody::Struct { .. }
                | TypeBody::Union { .. }
                | TypeBody::Enum { .. }
                | TypeBody::Fwd { .. },
                _,
            ) => return Ok(true),
            // Integers that start inside of a byte are a form of bit fields that is no longer written.
            (TypeBody::Int { bit_offset: a, .. }, TypeBody::Int { bit_offset: b, .. }) => {
                return Ok(a == 0 && b == 0);
            }
            (TypeBody::Ptr(ours), TypeBody::Ptr(theirs))
            | (
                TypeBody::Array { element: ours, .. },
                TypeBody::Array {
                    element: theirs, ..
                },
            ) => {
                local.1 = ours;
                target.1 = theirs;
            }
            (
                TypeBody::FuncProto { returns, params },
                TypeBody::FuncProto {
                    returns: their_returns,
                    params: their_params,
                },
            ) => {
                if params.len() != their_params.len() {
                    return Ok(false);
                }
                if depth == MAX_DEPTH {
                    return Err("prototypes nest too deep".to_owned());
                }
                for (ours, theirs) in params.iter().zip(their_params.iter()) {
                    let ours = (local.0, local.0.resolve(ours.type_id));
                    let theirs = (target.0, target.0.resolve(theirs.type_id));
                    if !same_sort(ours, theirs, depth + 1, budget)? {
                        return Ok(false);
                    }
                }
                local.1 = returns;
                target.1 = their_returns;
            }
            _ => return Ok(false),
        }
    }
    Err("types nest too deep".to_owned())
}

/// Whether a field of one type can be read as a field of the other.
pub(super) fn fields_are_compatible(
    local_btf: &Btf,
    local: u32,
    target_btf: &Btf,
    target: u32,
) -> bool {
    let (mut local, mut target) = (local, target);
    for _ in 0..MAX_DEPTH {
        local = local_btf.resolve(local);
        target = target_btf.resolve(target);
        let (ours, theirs) = (local_btf.kind(local), target_btf.kind(target));
        if ours.is_composite() && theirs.is_composite() {
            return true;
        }
        if !same_kind(ours, theirs) {
            return false;
        }
        match ours {
            Kind::Ptr | Kind::Float => return true,
            Kind::Fwd | Kind::Enum | Kind::Enum64 => {
                let (ours, theirs) = (local_btf.name(local), target_btf.name(target));
                return ours.is_empty()
                    || theirs.is_empty()
                    || essential(ours) == essential(theirs);
            }
            _ => {}
        }
        let bodies = (
            local_btf.get(local).map(|ty| ty.body),
            target_btf.get(target).map(|ty| ty.body),
        );
        match bodies {
            (
                Some(TypeBody::Int { bit_offset: a, .. }),
                Some(TypeBody::Int { bit_offset: b, .. }),
            ) => {
                return a == 0 && b == 0;
            }
            (
                Some(TypeBody::Array { element: ours, .. }),
                Some(TypeBody::Array {
                    element: theirs, ..
                }),
            ) => {
                local = ours;
                target = theirs;
            }
            _ => return false,
        }
    }
    false
}

/// Whether all that the object's type says is true of the kernel's: members and enumerators exist there, sizes
/// and signs of integers agree; structures behind pointers are compared by name only.
pub(super) fn types_match(
    local_btf: &Btf,
    local: u32,
    target_btf: &Btf,
    target: u32,
    budget: &mut Budget,
) -> Result<bool, String> {
    matches((local_btf, local), (target_btf, target), false, 0, budget)
}

fn matches<'a>(
    mut local: Place<'a>,
    mut target: Place<'a>,
    mut behind_pointer: bool,
    depth: usize,
    budget: &mut Budget,
) -> Result<bool, String> {
    if depth == MAX_DEPTH {
        return Err("types nest too deep".to_owned());
    }
    for _ in 0..MAX_DEPTH {
        budget.spend()?;
        let (ours, theirs) = (body(&mut local)?, body(&mut target)?);
        if essential(local.0.name(local.1)) != essential(target.0.name(target.1)) {
            return Ok(false);
        }
        match (ours, theirs) {
            (TypeBody::Void, TypeBody::Void) => return Ok(true),
            (TypeBody::Fwd { union: ours }, TypeBody::Fwd { union: theirs }) => {
                return Ok(ours == theirs);
            }
            (TypeBody::Fwd { union }, TypeBody::Struct { .. })
            | (TypeBody::Struct { .. }, TypeBody::Fwd { union }) => {
                return Ok(behind_pointer && !union);
            }
            (TypeBody::Fwd { union }, TypeBody::Union { .. })
            | (TypeBody::Union { .. }, TypeBody::Fwd { union }) => {
                return Ok(behind_pointer && union);
            }
            (
                TypeBody::Enum { size, values, .. },
                TypeBody::Enum {
                    size: their_size,
                    values: their_values,
                    ..
                },
            ) => return Ok(size == their_size && all_values_in(values, their_values, budget)?),
            (
                TypeBody::Struct { members, .. },
                TypeBody::Struct {
                    members: theirs, ..
                },
            )
            | (
                TypeBody::Union { members, .. },
                TypeBody::Union {
                    members: theirs, ..
                },
            ) => {
                return if behind_pointer {
                    Ok(true)
                } else {
                    all_members_in((local.0, members), (target.0, theirs), depth, budget)
                };
            }
            (
                TypeBody::Int { size, signed, .. },
                TypeBody::Int {
                    size: their_size,
                    signed: their_signed,
                    ..
                },
            ) => return Ok(size == their_size && signed == their_signed),
            (TypeBody::Ptr(ours), TypeBody::Ptr(theirs)) => {
                behind_pointer = true;
                local.1 = ours;
                target.1 = theirs;
            }
            (
                TypeBody::Array { element, count },
                TypeBody::Array {
                    element: their_element,
                    count: their_count,
                },
            ) => {
                if count != their_count {
                    return Ok(false);
                }
                local.1 = element;
                target.1 = their_element;
            }
            (
                TypeBody::FuncProto { returns, params },
                TypeBody::FuncProto {
                    returns: their_returns,
                    params: their_params,
                },
            ) => {
                if params.len() != their_params.len() {
                    return Ok(false);
                }
                for (ours, theirs) in params.iter().zip(their_params.iter()) {
                    let ours = (local.0, ours.type_id);
                    let theirs = (target.0, theirs.type_id);
                    if !matches(ours, theirs, behind_pointer, depth + 1, budget)? {
                        return Ok(false);
                    }
                }
                local.1 = returns;
                target.1 = their_returns;
            }
            _ => return Ok(false),
        }
    }
    Err("types nest too deep".to_owned())
}

fn all_values_in(
    ours: Records<'_, Enumerator<'_>>,
    theirs: Records<'_, Enumerator<'_>>,
    budget: &mut Budget,
) -> Result<bool, String> {
    if ours.len() > theirs.len() {
        return Ok(false);
    }
    'ours: for value in ours.iter() {
        for candidate in theirs.iter() {
            budget.spend()?;
            if essential(value.name) == essential(candidate.name) {
                continue 'ours;
            }
        }
        return Ok(false);
    }
    Ok(true)
}

fn all_members_in<'a>(
    (local_btf, ours): (&'a Btf, Records<'a, Member<'a>>),
    (target_btf, theirs): (&'a Btf, Records<'a, Member<'a>>),
    depth: usize,
    budget: &mut Budget,
) -> Result<bool, String> {
    if ours.len() > theirs.len() {
        return Ok(false);
    }
    'ours: for member in ours.iter() {
        for candidate in theirs.iter() {
            budget.spend()?;
            if essential(member.name) == essential(candidate.name) {
                let ours = (local_btf, member.type_id);
                let theirs = (target_btf, candidate.type_id);
                if matches(ours, theirs, false, depth + 1, budget)? {
                    continue 'ours;
                }
            }
        }
        return Ok(false);
    }
    Ok(true)
}
