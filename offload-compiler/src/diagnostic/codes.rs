//! A page for each code, for `xdp-offload explain`.

use crate::verify::Code;

/// Markdown, from `docs/codes`.
const PAGES: &[(Code, &str)] = &[
    (
        Code::InvalidInstruction,
        include_str!("../../../docs/codes/invalid-instruction.md"),
    ),
    (
        Code::ControlFlow,
        include_str!("../../../docs/codes/control-flow.md"),
    ),
    (
        Code::Unreachable,
        include_str!("../../../docs/codes/unreachable-code.md"),
    ),
    (
        Code::EndlessLoop,
        include_str!("../../../docs/codes/endless-loop.md"),
    ),
    (
        Code::TooComplex,
        include_str!("../../../docs/codes/too-complex.md"),
    ),
    (
        Code::UninitialisedRegister,
        include_str!("../../../docs/codes/uninitialised-register.md"),
    ),
    (
        Code::UninitialisedStack,
        include_str!("../../../docs/codes/uninitialised-stack.md"),
    ),
    (
        Code::ReadOnlyRegister,
        include_str!("../../../docs/codes/read-only-register.md"),
    ),
    (
        Code::PacketBounds,
        include_str!("../../../docs/codes/packet-bounds.md"),
    ),
    (
        Code::StackBounds,
        include_str!("../../../docs/codes/stack-bounds.md"),
    ),
    (
        Code::StackAlignment,
        include_str!("../../../docs/codes/stack-alignment.md"),
    ),
    (
        Code::MapValueBounds,
        include_str!("../../../docs/codes/map-value-bounds.md"),
    ),
    (
        Code::MemoryBounds,
        include_str!("../../../docs/codes/memory-bounds.md"),
    ),
    (
        Code::ContextAccess,
        include_str!("../../../docs/codes/context-access.md"),
    ),
    (
        Code::NullPointer,
        include_str!("../../../docs/codes/null-pointer.md"),
    ),
    (
        Code::PointerArithmetic,
        include_str!("../../../docs/codes/pointer-arithmetic.md"),
    ),
    (
        Code::PointerRange,
        include_str!("../../../docs/codes/pointer-range.md"),
    ),
    (
        Code::NotAPointer,
        include_str!("../../../docs/codes/not-a-pointer.md"),
    ),
    (
        Code::PointerLeak,
        include_str!("../../../docs/codes/pointer-leak.md"),
    ),
    (
        Code::ReadOnlyMemory,
        include_str!("../../../docs/codes/read-only-memory.md"),
    ),
    (
        Code::AccessKind,
        include_str!("../../../docs/codes/access-kind.md"),
    ),
    (
        Code::SpillSize,
        include_str!("../../../docs/codes/spill-size.md"),
    ),
    (
        Code::HelperUnknown,
        include_str!("../../../docs/codes/helper-unknown.md"),
    ),
    (
        Code::HelperArgument,
        include_str!("../../../docs/codes/helper-argument.md"),
    ),
    (
        Code::MapKind,
        include_str!("../../../docs/codes/map-kind.md"),
    ),
    (
        Code::ReturnValue,
        include_str!("../../../docs/codes/return-value.md"),
    ),
    (
        Code::Reference,
        include_str!("../../../docs/codes/unreleased-reference.md"),
    ),
    (Code::Lock, include_str!("../../../docs/codes/spin-lock.md")),
    (
        Code::CallDepth,
        include_str!("../../../docs/codes/call-depth.md"),
    ),
    (
        Code::StackSize,
        include_str!("../../../docs/codes/stack-size.md"),
    ),
    (
        Code::Unsupported,
        include_str!("../../../docs/codes/unsupported.md"),
    ),
    (
        Code::MapDefinition,
        include_str!("../../../docs/codes/map-definition.md"),
    ),
    (
        Code::TargetLacks,
        include_str!("../../../docs/codes/target-lacks.md"),
    ),
    (
        Code::OffloadInstruction,
        include_str!("../../../docs/codes/offload-instruction.md"),
    ),
    (
        Code::OffloadHelper,
        include_str!("../../../docs/codes/offload-helper.md"),
    ),
    (
        Code::OffloadHelperArgument,
        include_str!("../../../docs/codes/offload-helper-argument.md"),
    ),
    (
        Code::OffloadMap,
        include_str!("../../../docs/codes/offload-map.md"),
    ),
    (
        Code::OffloadMapAccess,
        include_str!("../../../docs/codes/offload-map-access.md"),
    ),
    (
        Code::OffloadPointer,
        include_str!("../../../docs/codes/offload-pointer.md"),
    ),
    (
        Code::OffloadStack,
        include_str!("../../../docs/codes/offload-stack.md"),
    ),
    (
        Code::OffloadArithmetic,
        include_str!("../../../docs/codes/offload-arithmetic.md"),
    ),
    (
        Code::OffloadContext,
        include_str!("../../../docs/codes/offload-context.md"),
    ),
    (
        Code::OffloadCodeSize,
        include_str!("../../../docs/codes/offload-code-size.md"),
    ),
    (
        Code::OffloadPacketReach,
        include_str!("../../../docs/codes/offload-packet-reach.md"),
    ),
    (
        Code::OffloadWrongCode,
        include_str!("../../../docs/codes/offload-wrong-code.md"),
    ),
];

/// What the code means, an example, and what to do: Markdown.
pub fn page(code: Code) -> &'static str {
    PAGES
        .iter()
        .find(|(of, _)| *of == code)
        .map_or(code.title(), |(_, page)| page)
}

/// The code of a name.
pub fn find(name: &str) -> Option<Code> {
    Code::ALL.iter().copied().find(|code| code.name() == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_code_has_a_page_that_says_what_to_do() {
        for &code in Code::ALL {
            let page = page(code);
            let title = format!("# {}: ", code.name());
            assert!(page.starts_with(&title), "docs/codes/{code}.md");
            for part in ["\n## Example\n", "\n## What to do\n"] {
                assert!(page.contains(part), "docs/codes/{code}.md: no{part}");
            }
            assert_eq!(find(code.name()), Some(code));
        }
        assert_eq!(find("no-such-code"), None);
        assert_eq!(PAGES.len(), Code::ALL.len());
    }
}
