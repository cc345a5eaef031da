//! Programs of any length: what filters do, again and again.

use std::fmt::Write as _;

use offload_compiler::isa::assemble;
use offload_compiler::verify::MapShape;
use tests::Random;
use tests::nfp::Unlinked;

/// A program of about so many instructions: loads from the packet, arithmetic, comparisons, words on the stack, lookups.
pub(crate) fn program(instructions: usize) -> Unlinked {
    let mut random = Random::new(instructions as u64);
    let mut out = String::from(
        "r6 = r1\nr7 = *(u32 *)(r1 +0)\nr3 = *(u32 *)(r1 +4)\nr2 = r7\nr2 += 128\nif r2 > r3 goto short\n\
         r8 = 0\nr9 = 0\n*(u64 *)(r10 -8) = r8\n*(u64 *)(r10 -16) = r8\n",
    );
    let mut number = 0;
    while out.lines().count() + 6 < instructions {
        number += 1;
        let (near, far) = (random.below(60) * 2, random.below(31) * 4);
        let value = random.below(1 << 16);
        let _ = match random.below(6) {
            0 => write!(
                out,
                "r2 = *(u16 *)(r7 +{near})\nr2 ^= {value}\nr8 += r2\nr8 <<= 1\nr9 ^= r8\n"
            ),
            1 => write!(
                out,
                "r2 = *(u16 *)(r7 +{near})\nif r2 != {value} goto l{number}\nr8 += {value}\nl{number}:\n"
            ),
            2 => write!(
                out,
                "r3 = *(u32 *)(r7 +{far})\nr4 = r3\nr4 &= 255\nif r4 > 17 goto l{number}\nr9 += r3\nr9 *= 3\nl{number}:\n"
            ),
            3 => write!(
                out,
                "r4 = *(u8 *)(r7 +{near})\n*(u32 *)(r10 -8) = r4\nr5 = *(u64 *)(r10 -16)\nr5 += r4\n*(u64 *)(r10 -16) = r5\n"
            ),
            4 => write!(
                out,
                "r3 = *(u32 *)(r7 +{far})\nr3 = be32 r3\nr9 |= r3\n*(u8 *)(r7 +{near}) = r9\n"
            ),
            _ if random.one_in(4) => write!(
                out,
                "*(u32 *)(r10 -20) = r8\nr2 = r10\nr2 += -20\nr1 = map[fd:0]\ncall bpf_map_lookup_elem\nif r0 == 0 goto l{number}\n\
                 r1 = *(u32 *)(r0 +4)\nr8 += r1\nl{number}:\n"
            ),
            _ => write!(out, "r2 = r8\nr2 >>= 7\nr2 &= 1023\nr9 += r2\n"),
        };
    }
    out.push_str("r0 = r9\nr0 += r8\nr0 &= 3\nexit\nshort:\nr0 = 2\nexit\n");
    let code = assemble(&out).unwrap_or_else(|error| panic!("{error}\n{out}"));
    let map = MapShape {
        kind: 1,
        key_size: 4,
        value_size: 8,
        max_entries: 64,
        ..MapShape::default()
    };
    Unlinked::new(code, vec![map]).expect("it has no calls")
}
