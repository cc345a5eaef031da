//! A kernel function's parameters and result, from the kernel's BTF and the suffixes of its parameters' names
//! (Documentation/bpf/kfuncs.rst, kernel/bpf/verifier.c `get_kfunc_ptr_arg_type`, Linux 6.18).

use crate::verify::kernel_types::{KernelTypes, Shape, Target, TypeRef};
use crate::verify::stack_object::IteratorKind;

use super::table::{self, Effect, Row};

/// A kernel function that a program calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KernelFunction {
    /// Its name.
    pub name: String,
    /// How it is called; `None` where it is not modelled.
    pub(in crate::verify) signature: Option<Signature>,
}

/// How a kernel function is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::verify) struct Signature {
    /// What its type does not tell.
    pub row: &'static Row,
    /// What r1 and the following have to be.
    pub parameters: Vec<Parameter>,
    /// What r0 is afterwards.
    pub result: Returned,
}

/// What an argument has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::verify) enum Parameter {
    /// Anything, even nothing (`__ign`).
    Ignored,
    /// A number.
    Number,
    /// A known number (`__k`).
    Constant,
    /// The number of bytes of the argument before, judged with it.
    Size,
    /// The context.
    Context,
    /// A dynptr on the stack.
    Dynptr {
        /// That is made here (`__uninit`).
        made: bool,
        /// Or null (`__nullable`).
        nullable: bool,
    },
    /// An iterator on the stack.
    Iterator(IteratorKind),
    /// Memory of numbers, or a structure of the kernel's.
    Memory(Memory),
    /// Something that is not modelled.
    Other,
}

/// An address of memory or of a structure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::verify) struct Memory {
    /// May be null (`__nullable`).
    pub nullable: bool,
    /// With a size: null whatever the size (`__opt`).
    pub optional: bool,
    /// The kernel's structure that it may be.
    pub structure: Option<TypeRef>,
    /// Bytes, where it may be plain memory and no size follows.
    pub bytes: Option<u32>,
    /// A size follows.
    pub sized: Option<Sized>,
}

/// A size that follows an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::verify) struct Sized {
    /// It has to be known (`__szk`).
    pub constant: bool,
}

/// What r0 is after a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::verify) enum Returned {
    /// Nothing.
    Nothing,
    /// A number.
    Number,
    /// The address of a structure of the kernel's.
    Structure(TypeRef),
    /// The address of memory of so many bytes that can be read.
    Memory(u32),
    /// An address; what of, the function's effect tells.
    Untyped,
}

impl KernelFunction {
    /// The function with this id in a part of the kernel's types; `None` where that is no function.
    pub(in crate::verify) fn new(types: &KernelTypes, part: u8, id: u32) -> Option<Self> {
        let function = types.function(part, id)?;
        Some(Self {
            name: function.name.to_owned(),
            signature: table::of(function.name).and_then(|row| {
                let parameters = parameters(types, part, &function.parameters);
                let result = match types.shape(part, function.returns) {
                    Shape::Void => Returned::Nothing,
                    Shape::Number => Returned::Number,
                    Shape::Pointer(target) => returned(&target)?,
                    Shape::Other => return None,
                };
                let modelled = parameters.len() <= 5
                    && !parameters.contains(&Parameter::Other)
                    && has_what_it_needs(row, &parameters, result);
                modelled.then_some(Signature {
                    row,
                    parameters,
                    result,
                })
            }),
        })
    }

    /// What is particular to it, where it is modelled.
    pub(in crate::verify) fn effect(&self) -> Option<Effect> {
        self.signature
            .as_ref()
            .map(|signature| signature.row.effect)
    }
}

/// A kernel whose function of this name has another shape is not modelled.
fn has_what_it_needs(row: &Row, parameters: &[Parameter], result: Returned) -> bool {
    let made = Parameter::Dynptr {
        made: true,
        nullable: false,
    };
    let dynptr = Parameter::Dynptr {
        made: false,
        nullable: false,
    };
    let iterator = matches!(parameters.first(), Some(Parameter::Iterator(_)));
    match row.effect {
        Effect::PacketDynptr => parameters == [Parameter::Context, Parameter::Number, made],
        Effect::CloneDynptr => parameters == [dynptr, made],
        Effect::Slice { .. } => {
            parameters.first() == Some(&dynptr)
                && matches!(
                    parameters.get(2),
                    Some(Parameter::Memory(Memory {
                        sized: Some(Sized { constant: true }),
                        ..
                    }))
                )
        }
        Effect::KernelContext => result == Returned::Untyped && parameters.len() == 1,
        Effect::ReadOnlyCast => {
            result == Returned::Untyped && parameters == [Parameter::Ignored, Parameter::Constant]
        }
        Effect::IteratorNew | Effect::IteratorDestroy => iterator,
        Effect::IteratorNext => {
            iterator && parameters.len() == 1 && matches!(result, Returned::Memory(_))
        }
        _ => result != Returned::Untyped && !parameters.contains(&made) && !iterator,
    }
}

fn returned(target: &Target<'_>) -> Option<Returned> {
    if target.is_void {
        return Some(Returned::Untyped);
    }
    match (target.structure, target.size) {
        (Some(structure), _) => Some(Returned::Structure(structure)),
        (None, Some(size)) => Some(Returned::Memory(size)),
        (None, None) => None,
    }
}

fn parameters(types: &KernelTypes, part: u8, declared: &[(&str, u32)]) -> Vec<Parameter> {
    let mut parameters: Vec<Parameter> = Vec::new();
    for (index, &(name, id)) in declared.iter().enumerate() {
        let sized = declared
            .get(index + 1)
            .and_then(|(next, _)| size_suffix(next));
        let after_address = matches!(
            parameters.last(),
            Some(Parameter::Memory(Memory { sized: Some(_), .. }))
        );
        parameters.push(match types.shape(part, id) {
            _ if name.ends_with("__ign") => Parameter::Ignored,
            Shape::Number if after_address => Parameter::Size,
            Shape::Number if name.ends_with("__k") => Parameter::Constant,
            Shape::Number if name.ends_with("buf_size") => Parameter::Other,
            Shape::Number => Parameter::Number,
            Shape::Pointer(target) => pointer(name, &target, sized),
            Shape::Void | Shape::Other => Parameter::Other,
        });
    }
    parameters
}

fn size_suffix(name: &str) -> Option<Sized> {
    match name.rsplit_once("__")?.1 {
        "sz" => Some(Sized { constant: false }),
        "szk" => Some(Sized { constant: true }),
        _ => None,
    }
}

fn pointer(name: &str, target: &Target<'_>, sized: Option<Sized>) -> Parameter {
    // Suffixes that change what is taken, and that are not modelled.
    const OTHERS: [&str; 10] = [
        "__alloc",
        "__refcounted_kptr",
        "__map",
        "__str",
        "__wq",
        "__irq_flag",
        "__prog",
        "__iter",
        "__const_str",
        "__callback",
    ];
    if OTHERS.iter().any(|suffix| name.ends_with(suffix)) {
        return Parameter::Other;
    }
    match target.name {
        "xdp_md" => return Parameter::Context,
        "bpf_dynptr" | "bpf_dynptr_kern" => {
            return Parameter::Dynptr {
                made: name.ends_with("__uninit"),
                nullable: name.ends_with("__nullable"),
            };
        }
        _ => {}
    }
    if let Some(kind) = IteratorKind::of_structure(target.name) {
        let right_size = target.size == Some(kind.slots() as u32 * 8);
        return if right_size {
            Parameter::Iterator(kind)
        } else {
            Parameter::Other
        };
    }
    let may_be_memory = target.numbers.is_some() || (target.is_void && sized.is_some());
    if target.structure.is_none() && !may_be_memory {
        return if target.is_void && sized.is_none() && name == "obj" {
            // The context of bpf_cast_to_kern_ctx, which the kernel takes as such by the function's name.
            Parameter::Context
        } else {
            Parameter::Other
        };
    }
    Parameter::Memory(Memory {
        nullable: name.ends_with("__nullable"),
        // From Linux 6.19 on, `__nullable` means it too.
        optional: name.ends_with("__opt"),
        structure: target.structure,
        bytes: target.numbers.filter(|_| sized.is_none()),
        sized: sized.filter(|_| may_be_memory),
    })
}
