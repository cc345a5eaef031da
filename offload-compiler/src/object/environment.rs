//! What a program is linked against: the facts about a kernel that its externs and CO-RE ask for.

use super::btf::Btf;

/// A kernel, as far as programs depend on it. [`Object::requirements`](super::Object::requirements) tells which
/// parts a program asks for, so that the others need not be collected. The default knows nothing.
#[derive(Default, Clone, Copy)]
pub struct Environment<'a> {
    /// The kernel's own BTF (`/sys/kernel/btf/vmlinux`).
    pub kernel_btf: Option<&'a Btf>,
    /// Loaded modules with their split BTF (`/sys/kernel/btf/NAME`), searched after the kernel's own. Worth reading
    /// only where [`Object::needs_modules`](super::Object::needs_modules) says so.
    pub modules: &'a [ModuleBtf<'a>],
    /// `KERNEL_VERSION(major, minor, patch)`: `major << 16 | minor << 8 | min(patch, 255)`.
    pub kernel_version: Option<u32>,
    /// The text of the kernel's configuration (`/proc/config.gz` unpacked, or `/boot/config-RELEASE`).
    pub kconfig: Option<&'a str>,
    /// Looks up the address of a kernel symbol (`/proc/kallsyms`).
    pub kernel_symbols: Option<&'a SymbolLookup<'a>>,
}

/// Gives the address of a kernel symbol.
pub type SymbolLookup<'a> = dyn Fn(&str) -> Option<u64> + 'a;

/// A kernel module's BTF, parsed with [`Btf::parse_split`].
#[derive(Clone, Copy)]
pub struct ModuleBtf<'a> {
    /// The module's name.
    pub name: &'a str,
    /// Its types, on top of the kernel's.
    pub btf: &'a Btf,
}

/// Which parts of an [`Environment`] a program's link asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Requirements {
    /// CO-RE relocations, kernel functions or typed kernel variables.
    pub kernel_btf: bool,
    /// `__kconfig` variables other than the virtual `LINUX_*`.
    pub kconfig: bool,
    /// `LINUX_KERNEL_VERSION` or another virtual `LINUX_*` variable.
    pub kernel_version: bool,
    /// Typeless `__ksym` variables.
    pub kernel_symbols: bool,
}
