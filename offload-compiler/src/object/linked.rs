//! A program with all it calls in one piece, ready for `BPF_PROG_LOAD` but for file descriptors.

use crate::isa::Insn;

use super::line_info::{Lines, SourceLine};

/// A linked program: subprograms appended, CO-RE and externs resolved.
#[derive(Debug, Clone, Default)]
pub struct Linked {
    /// The code. `ld_imm64` that [`Linked::patches`] names have 0 in place of a file descriptor.
    pub insns: Vec<Insn>,
    /// Where file descriptors go, in instruction order.
    pub patches: Vec<Patch>,
    /// Indices of the maps that the code uses and of the maps in their slots, ascending.
    pub maps: Vec<usize>,
    /// The functions, in the order of `insns`; the program itself is first.
    pub functions: Vec<LinkedFunction>,
    /// `func_info` for the kernel, one record a function, if every function has one. Needs the object's BTF loaded.
    pub func_info: Option<RawInfo>,
    /// `line_info` for the kernel, if every function starts with a line. Needs the object's BTF loaded.
    pub line_info: Option<RawInfo>,
    /// Indices into [`Environment::modules`](super::Environment::modules) whose BTF the code's kernel calls need.
    /// The load's `fd_array` is: 0, then the BTF fd of each of these.
    pub modules: Vec<usize>,
    /// The content for the map of [`MapContent::Kconfig`](super::MapContent::Kconfig), if the code uses it.
    pub kconfig: Option<Vec<u8>>,
    /// Instructions that cannot work on this kernel and were made to fail verification if ever reached.
    pub poisoned: Vec<Poisoned>,
    pub(super) lines: Lines,
}

/// A place for a file descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patch {
    /// The first slot of the `ld_imm64`.
    pub insn: usize,
    /// Whose file descriptor goes there.
    pub target: PatchTarget,
}

/// Whose file descriptor a [`Patch`] wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PatchTarget {
    /// The fd of a map, into this slot's `imm`.
    Map {
        /// Index into [`Object::maps`](super::Object::maps).
        map: usize,
    },
    /// The fd of a map whose first value is addressed, into this slot's `imm`.
    MapValue {
        /// Index into [`Object::maps`](super::Object::maps).
        map: usize,
        /// Offset into the value, already in the second slot's `imm`.
        offset: u32,
    },
    /// The BTF fd of a kernel module, into the second slot's `imm`.
    ModuleBtf {
        /// Index into [`Environment::modules`](super::Environment::modules).
        module: usize,
    },
}

/// A function of a linked program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkedFunction {
    /// Its name.
    pub name: String,
    /// Its first slot.
    pub start: usize,
    /// How many slots it has.
    pub len: usize,
}

/// Records of `func_info` or `line_info` as `BPF_PROG_LOAD` takes them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawInfo {
    /// Bytes of a record.
    pub record_size: u32,
    /// The records.
    pub bytes: Vec<u8>,
}

impl RawInfo {
    /// How many records there are.
    pub fn count(&self) -> u32 {
        (self.bytes.len() / (self.record_size.max(1) as usize)) as u32
    }
}

/// An instruction that was replaced by a call of [`Poisoned::imm`], which no verifier accepts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Poisoned {
    /// The slot.
    pub insn: usize,
    /// The number of the invalid helper, as the verifier log names it ("invalid func unknown#195896080").
    pub imm: i32,
    /// What the kernel lacks, such as `struct sk_buff.new_field`.
    pub what: String,
}

impl Linked {
    /// Instructions that come without an object: no lines, no maps.
    pub fn raw(insns: Vec<Insn>) -> Self {
        Self {
            insns,
            ..Self::default()
        }
    }

    /// The code as bytes, with `fd` called once for each patch.
    pub fn with_fds(&self, mut fd: impl FnMut(PatchTarget) -> i32) -> Vec<u8> {
        let mut insns = self.insns.clone();
        for patch in &self.patches {
            let at = match patch.target {
                PatchTarget::Map { .. } | PatchTarget::MapValue { .. } => patch.insn,
                PatchTarget::ModuleBtf { .. } => patch.insn + 1,
            };
            if let Some(insn) = insns.get_mut(at) {
                insn.imm = fd(patch.target);
            }
        }
        Insn::write_all(&insns)
    }

    /// The source line that a slot was compiled from.
    pub fn source_line(&self, insn: usize) -> Option<SourceLine> {
        self.lines.at(insn, self.function_at(insn)?.start)
    }

    /// The function that a slot is in.
    pub fn function_at(&self, insn: usize) -> Option<&LinkedFunction> {
        let after = self.functions.partition_point(|f| f.start <= insn);
        let function = self.functions.get(after.checked_sub(1)?)?;
        (insn - function.start < function.len).then_some(function)
    }

    /// What the kernel lacks, if a verifier log complains about an instruction that was poisoned.
    pub fn explain_poison(&self, verifier_log: &str) -> Option<&Poisoned> {
        self.poisoned
            .iter()
            .find(|poisoned| verifier_log.contains(&format!("unknown#{}", poisoned.imm)))
    }
}
