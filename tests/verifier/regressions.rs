//! Programs that one of us judged wrongly once: most were found by random programs, and are what was left of one.

use std::fmt::Write as _;

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
    Row {
        what: "half a pointer less half a pointer is any number of 64 bits",
        program: "
            r2 = *(u32 *)(r1 +4)
            r1 = *(u32 *)(r1 +0)
            w2 -= w1
            r2 >>= 32
            r3 = r10
            r3 += r2
            *(u8 *)(r3 -1) = 0
            r0 = 2
            exit",
        refused: Some("invalid unbounded variable-offset write to stack R3"),
    },
    Row {
        what: "half a pointer negated is any number of 64 bits",
        program: "
            r1 = *(u32 *)(r1 +0)
            w1 = -w1
            r1 >>= 32
            r3 = r10
            r3 += r1
            *(u8 *)(r3 -1) = 0
            r0 = 2
            exit",
        refused: Some("invalid unbounded variable-offset write to stack R3"),
    },
    Row {
        what: "a byte of a pointer is any number of 64 bits",
        program: "
            r1 = *(u32 *)(r1 +0)
            r1 = (s8)r1
            r0 = 2
            if r1 s>= 0 goto out
            r3 = r10
            r3 += r1
            *(u8 *)(r3 +0) = 0
            out:
            exit",
        refused: Some(
            "math between fp pointer and register with unbounded min value is not allowed",
        ),
    },
    Row {
        what: "the address of a function is moved",
        program: "
            r1 = 1
            r2 = subprog[turn]
            r2 += -56
            r3 = 0
            r4 = 0
            call bpf_loop
            r0 = 1
            exit
            turn:
            r0 = 0
            exit",
        refused: Some("negative offset func ptr R2 off=-56 disallowed"),
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

/// One number is compared with so many others: each comparison leaves a path for later (BPF_COMPLEXITY_LIMIT_JMP_SEQ).
#[test]
fn as_many_paths_wait_as_the_kernel_lets() {
    if !require_root() {
        return;
    }
    let judges = Judges::create();
    for (count, refused) in [
        (8192, None),
        (8193, Some("The sequence of 8193 jumps is too complex.")),
    ] {
        let mut source = String::from("r2 = *(u32 *)(r1 +16)\nr0 = 2\n");
        for number in 0..count {
            let _ = writeln!(source, "if r2 == {number} goto out");
        }
        let code = assemble(&(source + "out:\nexit")).unwrap();
        let kernel = judges.kernel(&code).map_err(|refused| refused.words);
        assert_eq!(kernel.err().as_deref(), refused, "{count} comparisons");
        assert_eq!(judges.ours(&code).is_accepted(), refused.is_none());
    }
}
