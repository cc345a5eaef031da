//! Reads of the kernel's structures through typed addresses (`check_ptr_to_btf_access`, `check_ptr_to_map_access`,
//! kernel/bpf/verifier.c, Linux 6.18).

use super::explore::{Step, Walk};
use super::finding::{Code, Finding};
use super::kernel_types::{Field, Reached, Tag, TypeRef};
use super::map_rules;
use super::value::{Object, Pointer, Region, Trust, Value};
use crate::isa::Size;

impl Walk<'_> {
    /// What a field of a structure holds.
    pub(super) fn load_field(
        &mut self,
        slot: usize,
        pointer: &Pointer,
        (ty, trust): (TypeRef, Trust),
        off: i32,
        size: Size,
    ) -> Step<Value> {
        let refuse = |what: String| Err(Box::new(Finding::error(Code::AccessKind, slot, what)));
        let rules = self.input.rules;
        if !rules.leaks_allowed || !rules.gpl {
            return refuse(
                "the kernel's structures are for privileged programs under the GPL only".to_owned(),
            );
        }
        if trust == Trust::Elsewhere {
            return refuse(
                "this address is one of user space or of another CPU's memory".to_owned(),
            );
        }
        if pointer.variable.as_constant() != Some(0) {
            return refuse(
                "a structure of the kernel is read at a place that is not known".to_owned(),
            );
        }
        let Ok(offset) = u32::try_from(i64::from(pointer.off) + i64::from(off)) else {
            return refuse("the read starts before the structure".to_owned());
        };
        let field = self.field(slot, ty, offset, size)?;
        Ok(match field {
            Field::Number => Value::UNKNOWN,
            Field::Untyped => Value::Pointer(Pointer::to(Region::Kernel(Object::Untyped))),
            Field::Structure(reached) => {
                let is_referenced = pointer.reference != 0;
                let holder = if is_referenced && trust != Trust::Untrusted {
                    Trust::Trusted
                } else {
                    trust
                };
                let (trust, nullable) = self.trust_of(ty, holder, &reached);
                self.structure_address(reached.ty, trust, nullable)
            }
        })
    }

    fn field(&self, slot: usize, ty: TypeRef, offset: u32, size: Size) -> Step<Field> {
        let field = match self.input.kernel_types {
            Some(types) => types.field(ty, offset, size.bytes()),
            None => Err("the kernel's structures are not known".to_owned()),
        };
        field.map_err(|what| Box::new(Finding::error(Code::AccessKind, slot, what)))
    }

    /// The address of a structure.
    pub(super) fn structure_address(&mut self, ty: TypeRef, trust: Trust, nullable: bool) -> Value {
        Value::Pointer(Pointer {
            nullable,
            id: if nullable { self.new_id() } else { 0 },
            ..Pointer::to(Region::Kernel(Object::Structure { ty, trust }))
        })
    }

    /// What an address is good for that was read from a structure, and whether it may be null. XDP programs never
    /// sleep, so they are always in an RCU section.
    fn trust_of(&self, holder: TypeRef, trust: Trust, reached: &Reached) -> (Trust, bool) {
        let listed = |suffix| {
            self.input
                .kernel_types
                .is_some_and(|types| types.is_listed(holder, reached, suffix))
        };
        let (found, nullable) = match trust {
            Trust::Untrusted | Trust::Elsewhere => return (Trust::Untrusted, false),
            Trust::Trusted | Trust::Rcu if listed("__safe_trusted") => (Trust::Trusted, false),
            Trust::Trusted | Trust::Rcu if listed("__safe_trusted_or_null") => {
                (Trust::Trusted, true)
            }
            Trust::Trusted | Trust::Rcu if listed("__safe_rcu") => (Trust::Rcu, false),
            Trust::Trusted | Trust::Rcu
                if reached.tag == Tag::Rcu || listed("__safe_rcu_or_null") =>
            {
                (Trust::Rcu, true)
            }
            Trust::Trusted | Trust::Rcu | Trust::Plain => (Trust::Plain, false),
        };
        match (reached.tag, reached.in_union) {
            (Tag::Elsewhere, _) => (Trust::Elsewhere, nullable),
            (_, true) => (Trust::Untrusted, nullable),
            _ => (found, nullable),
        }
    }

    /// The only fields that XDP programs may write: the mark of a connection (`nfct_btf_struct_access`,
    /// net/netfilter/nf_conntrack_bpf.c).
    pub(super) fn is_writable_field(
        &self,
        pointer: &Pointer,
        (ty, trust): (TypeRef, Trust),
        off: i32,
        size: Size,
    ) -> bool {
        let Some(types) = self.input.kernel_types else {
            return false;
        };
        let is_connection = ty.part == 0 && matches!(types.name(ty), "nf_conn" | "nf_conn___init");
        let mark = types
            .structure("nf_conn")
            .and_then(|connection| types.member_span(connection, "mark"));
        let start = i64::from(pointer.off) + i64::from(off);
        let rules = self.input.rules;
        rules.gpl
            && rules.leaks_allowed
            && is_connection
            && (trust == Trust::Trusted || pointer.reference != 0)
            && pointer.variable.as_constant() == Some(0)
            && mark.is_some_and(|(from, to)| {
                start == i64::from(from) && start + i64::from(size.bytes()) <= i64::from(to)
            })
    }

    /// The kernel's structure behind a map (`map_btf_name` of its operations).
    pub(super) fn map_structure(&self, map: u32) -> Option<TypeRef> {
        let name = map_rules::kernel_structure(self.input.maps.get(map as usize)?.kind)?;
        self.input.kernel_types?.structure(name)
    }

    /// What a field of the structure behind a map holds.
    pub(super) fn load_map_field(
        &mut self,
        slot: usize,
        pointer: &Pointer,
        map: u32,
        off: i32,
        size: Size,
    ) -> Step<Value> {
        match self.map_structure(map) {
            Some(ty) => self.load_field(slot, pointer, (ty, Trust::Plain), off, size),
            None => Err(Box::new(Finding::error(
                Code::AccessKind,
                slot,
                "nothing can be read through a pointer to this map",
            ))),
        }
    }
}
