//! Programs that one of us judged wrongly once, found by random programs. Each is what was left of one of them.

use offload_compiler::isa::assemble;
use tests::require_root;

use crate::judges::Judges;

/// A program, and what the kernel says last if it refuses it.
struct Row {
    what: &'static str,
    program: &'static str,
    refused: Option<&'static str>,
}

const ROWS: &[Row] = &[
    Row {
        what: "a register that holds 0 is no check for null",
        program: "
            *(u64 *)(r10 -8) = 0
            r1 = map[fd:1]
            r2 = r10
            r2 += -8
            call bpf_map_lookup_elem
            r3 = 0
            if r0 == r3 goto out
            r1 = *(u32 *)(r0 +0)
            out:
            r0 = 1
            exit",
        refused: Some("R0 invalid mem access 'map_value_or_null'"),
    },
    Row {
        what: "a bound of 32 bits replaces a better one of 64 bits",
        program: "
            r7 = *(u32 *)(r1 +0)
            r8 = *(u32 *)(r1 +4)
            call bpf_ktime_get_ns
            if r0 s>= 255 goto out
            if r0 >= 131072 goto out
            r7 += r0
            r1 = r7
            r1 += 2
            if r1 > r8 goto out
            r1 = *(u8 *)(r7 +0)
            out:
            r0 = 1
            exit",
        refused: Some("R7 offset is outside of the packet"),
    },
    Row {
        what: "bpf_xdp_store_bytes moves nothing",
        program: "
            r6 = r1
            r7 = *(u32 *)(r6 +0)
            r8 = *(u32 *)(r6 +4)
            r1 = r7
            r1 += 8
            if r1 > r8 goto out
            *(u64 *)(r10 -8) = 0
            r1 = r6
            r2 = 0
            r3 = r10
            r3 += -8
            r4 = 8
            call bpf_xdp_store_bytes
            r1 = *(u64 *)(r7 +0)
            out:
            r0 = 1
            exit",
        refused: None,
    },
];

#[test]
fn what_was_judged_wrongly_once_is_judged_as_the_kernel_does() {
    if !require_root() {
        return;
    }
    let judges = Judges::create();
    for row in ROWS {
        let code = assemble(row.program).unwrap_or_else(|error| panic!("{}: {error}", row.what));
        let kernel = judges.kernel(&code).map_err(|refused| refused.words);
        assert_eq!(kernel.err().as_deref(), row.refused, "{}", row.what);
        let ours = judges.ours(&code);
        assert_eq!(
            ours.is_accepted(),
            row.refused.is_none(),
            "{}: {:?}",
            row.what,
            ours.error()
        );
    }
}
