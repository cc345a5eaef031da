//! Random small programs: a bounds check, some arithmetic, stack, packet and branches forward.

use std::fmt::Write as _;

use tests::Random;

const NUMBERS: [u8; 5] = [0, 3, 4, 5, 7];
const CONSTANTS: [i64; 12] = [
    0,
    1,
    2,
    3,
    8,
    28,
    255,
    0x100,
    0xffff,
    -1,
    i32::MAX as i64,
    i32::MIN as i64,
];

/// The program of a number, in the kernel's assembly.
pub(crate) fn program(number: u64) -> String {
    let mut random = Random::new(number ^ 0x7a3);
    let mut out = String::from(
        "r6 = *(u32 *)(r1 +0)\nr2 = *(u32 *)(r1 +4)\nr3 = r6\nr3 += 32\nif r3 > r2 goto short\n",
    );
    for reg in NUMBERS {
        let bits = *random.pick(&[8, 16, 32, 64]);
        let at = random.range(0..=24);
        let _ = writeln!(out, "r{reg} = *(u{bits} *)(r6 +{at})");
    }
    for slot in [8, 16] {
        let value = *random.pick(&CONSTANTS);
        let _ = writeln!(out, "*(u64 *)(r10 -{slot}) = {value}");
    }
    for label in 0..random.range(3..=8) {
        statement(&mut random, &mut out, label);
    }
    out.push_str("exit\nshort:\nr0 = 2\nexit\n");
    out
}

fn statement(random: &mut Random, out: &mut String, label: i64) {
    let (dst, src) = (*random.pick(&NUMBERS), *random.pick(&NUMBERS));
    let value = *random.pick(&CONSTANTS);
    let bits = *random.pick(&[8, 16, 32, 64]);
    let letter = *random.pick(&['r', 'w']);
    let _ = match random.below(11) {
        0 | 1 => {
            let op = *random.pick(&["+=", "-=", "|=", "&=", "^=", "="]);
            writeln!(out, "{letter}{dst} {op} {letter}{src}")
        }
        2 => {
            let op = *random.pick(&["+=", "-=", "|=", "&=", "^=", "="]);
            writeln!(out, "{letter}{dst} {op} {value}")
        }
        3 => {
            let op = *random.pick(&["<<=", ">>=", "s>>="]);
            let most = if letter == 'r' { 63 } else { 31 };
            writeln!(out, "{letter}{dst} {op} {}", random.range(0..=most))
        }
        4 => {
            // Small numbers, or z3 takes long.
            let op = *random.pick(&["*=", "/=", "%="]);
            let by = *random.pick(&[1, 2, 3, 8, 10]);
            writeln!(out, "w{dst} &= 255\nw{dst} {op} {by}")
        }
        5 => writeln!(
            out,
            "*(u{bits} *)(r10 -{}) = {value}",
            random.pick(&[8, 16])
        ),
        6 => writeln!(out, "*(u{bits} *)(r6 +{}) = r{src}", random.range(0..=24)),
        7 => writeln!(out, "r{dst} = *(u{bits} *)(r10 -{})", random.pick(&[8, 16])),
        8 => {
            // Two bytes put together, in either order.
            let (at, other) = *random.pick(&[(8, 9), (9, 8), (8, 10)]);
            writeln!(
                out,
                "r{dst} = *(u8 *)(r6 +{at})\nr{dst} <<= 8\nr{src} = *(u8 *)(r6 +{other})\n{letter}{dst} |= {letter}{src}"
            )
        }
        9 => {
            // Bytes copied one by one.
            let (from, to) = (random.range(0..=10), random.range(0..=10));
            let to_stack = random.one_in(2);
            let mut copy = |index: i64| {
                let to = if to_stack {
                    format!("r10 -{}", 16 - index)
                } else {
                    format!("r6 +{}", to + index)
                };
                writeln!(
                    out,
                    "r{dst} = *(u8 *)(r6 +{})\n*(u8 *)({to}) = r{dst}",
                    from + index
                )
            };
            copy(0).and_then(|()| copy(1))
        }
        _ => {
            let op = *random.pick(&["==", "!=", ">", "<", "s>", "s<=", "&"]);
            writeln!(
                out,
                "if {letter}{dst} {op} {value} goto l{label}\nr{src} = {value}\nl{label}:"
            )
        }
    };
}
