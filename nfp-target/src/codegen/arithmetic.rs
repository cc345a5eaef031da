//! eBPF arithmetic on 64 bit registers as operations on words.

use offload_compiler::isa::{AluOp, Size, Width};

use super::build::{Builder, Pair};
use super::mir::{Binary, Op, ShiftKind, Test, Value};

/// `left OP right`, as eBPF means it.
pub(super) fn alu(builder: &mut Builder, op: AluOp, width: Width, left: Pair, right: Pair) -> Pair {
    match width {
        Width::W32 => [narrow(builder, op, left[0], right[0]), builder.constant(0)],
        Width::W64 => wide(builder, op, left, right),
    }
}

fn narrow(builder: &mut Builder, op: AluOp, a: Value, b: Value) -> Value {
    let binary = |builder: &mut Builder, operation| builder.binary(operation, a, b);
    match op {
        AluOp::Add => binary(builder, Binary::Add),
        AluOp::Sub => subtract(builder, a, b),
        AluOp::Mul => binary(builder, Binary::Mul),
        AluOp::Or => binary(builder, Binary::Or),
        AluOp::And => binary(builder, Binary::And),
        AluOp::Xor => binary(builder, Binary::Xor),
        AluOp::Mov => b,
        AluOp::Lsh => builder.emit(Op::ShiftBy(ShiftKind::Left, a, b)),
        AluOp::Rsh => builder.emit(Op::ShiftBy(ShiftKind::Right, a, b)),
        AluOp::Arsh => builder.emit(Op::ShiftBy(ShiftKind::Arithmetic, a, b)),
        AluOp::Div => divide(builder, a, b).0,
        AluOp::Mod => divide(builder, a, b).1,
        AluOp::SDiv | AluOp::SMod => {
            let (sign_a, sign_b) = (sign(builder, a), sign(builder, b));
            let (size_a, size_b) = (absolute(builder, a, sign_a), absolute(builder, b, sign_b));
            let (quotient, rest) = divide(builder, size_a, size_b);
            if op == AluOp::SDiv {
                let sign = builder.binary(Binary::Xor, sign_a, sign_b);
                absolute(builder, quotient, sign)
            } else {
                absolute(builder, rest, sign_a)
            }
        }
    }
}

/// A difference; a number to take away is one to add.
fn subtract(builder: &mut Builder, a: Value, b: Value) -> Value {
    match builder.mir.constant(b) {
        Some(number) => {
            let number = builder.constant(number.wrapping_neg());
            builder.binary(Binary::Add, a, number)
        }
        None => builder.binary(Binary::Sub, a, b),
    }
}

fn sign(builder: &mut Builder, a: Value) -> Value {
    builder.shift(ShiftKind::Arithmetic, a, 31)
}

/// `(a ^ sign) - sign`: the opposite where the sign is all ones.
fn absolute(builder: &mut Builder, a: Value, sign: Value) -> Value {
    let flipped = builder.binary(Binary::Xor, a, sign);
    builder.binary(Binary::Sub, flipped, sign)
}

fn absolute_wide(builder: &mut Builder, a: Pair, sign: Value) -> Pair {
    let flipped = a.map(|word| builder.binary(Binary::Xor, word, sign));
    wide(builder, AluOp::Sub, flipped, [sign; 2])
}

fn wide(builder: &mut Builder, op: AluOp, a: Pair, b: Pair) -> Pair {
    let both = |builder: &mut Builder, operation| {
        [
            builder.binary(operation, a[0], b[0]),
            builder.binary(operation, a[1], b[1]),
        ]
    };
    match op {
        AluOp::Mov => b,
        AluOp::Or => both(builder, Binary::Or),
        AluOp::And => both(builder, Binary::And),
        AluOp::Xor => both(builder, Binary::Xor),
        AluOp::Add => {
            // A negative number is taken away, which needs fewer carries.
            if let (Some(low), Some(u32::MAX)) =
                (builder.mir.constant(b[0]), builder.mir.constant(b[1]))
                && low != 0
            {
                let opposite = builder.constant(low.wrapping_neg());
                let zero = builder.constant(0);
                let sum = builder.binary(Binary::Add, a[0], b[0]);
                return [
                    sum,
                    builder.emit(Op::SubHigh([a[0], opposite], [a[1], zero])),
                ];
            }
            [
                builder.binary(Binary::Add, a[0], b[0]),
                builder.emit(Op::AddHigh([a[0], b[0]], [a[1], b[1]])),
            ]
        }
        AluOp::Sub => {
            if let (Some(low), Some(high)) =
                (builder.mir.constant(b[0]), builder.mir.constant(b[1]))
            {
                let number = (u64::from(high) << 32 | u64::from(low)).wrapping_neg();
                let number = [
                    builder.constant(number as u32),
                    builder.constant((number >> 32) as u32),
                ];
                return wide(builder, AluOp::Add, a, number);
            }
            [
                builder.binary(Binary::Sub, a[0], b[0]),
                builder.emit(Op::SubHigh([a[0], b[0]], [a[1], b[1]])),
            ]
        }
        AluOp::Mul => {
            let low = builder.binary(Binary::Mul, a[0], b[0]);
            let carried = builder.binary(Binary::MulHigh, a[0], b[0]);
            let one = builder.binary(Binary::Mul, a[0], b[1]);
            let other = builder.binary(Binary::Mul, a[1], b[0]);
            let high = builder.binary(Binary::Add, carried, one);
            [low, builder.binary(Binary::Add, high, other)]
        }
        AluOp::Lsh | AluOp::Rsh | AluOp::Arsh => match builder.mir.constant(b[0]) {
            Some(amount) => shift_by_number(builder, op, a, (amount & 63) as u8),
            None => shift_by_value(builder, op, a, b[0]),
        },
        AluOp::Div => divide_wide(builder, a, b).0,
        AluOp::Mod => divide_wide(builder, a, b).1,
        AluOp::SDiv | AluOp::SMod => {
            let (sign_a, sign_b) = (sign(builder, a[1]), sign(builder, b[1]));
            let size_a = absolute_wide(builder, a, sign_a);
            let size_b = absolute_wide(builder, b, sign_b);
            let (quotient, rest) = divide_wide(builder, size_a, size_b);
            if op == AluOp::SDiv {
                let sign = builder.binary(Binary::Xor, sign_a, sign_b);
                absolute_wide(builder, quotient, sign)
            } else {
                absolute_wide(builder, rest, sign_a)
            }
        }
    }
}

fn shift_by_number(builder: &mut Builder, op: AluOp, [low, high]: Pair, amount: u8) -> Pair {
    let zero = builder.constant(0);
    let kind = match op {
        AluOp::Lsh => ShiftKind::Left,
        AluOp::Rsh => ShiftKind::Right,
        _ => ShiftKind::Arithmetic,
    };
    if amount == 0 {
        return [low, high];
    }
    let rest = amount % 32;
    match (op, amount < 32) {
        (AluOp::Lsh, true) => [
            builder.shift(kind, low, amount),
            builder.emit(Op::Double(high, low, 32 - amount)),
        ],
        (AluOp::Lsh, false) => [zero, builder.shift(kind, low, rest)],
        (_, true) => [
            builder.emit(Op::Double(high, low, amount)),
            builder.shift(kind, high, amount),
        ],
        (_, false) => {
            let low = builder.shift(kind, high, rest);
            let high = if op == AluOp::Rsh {
                zero
            } else {
                sign(builder, high)
            };
            [low, high]
        }
    }
}

/// Bit 5 of the amount decides which of two forms is executed; each takes the low five bits.
fn shift_by_value(builder: &mut Builder, op: AluOp, a: Pair, amount: Value) -> Pair {
    let bit = builder.constant(32);
    let [far, near, after] = std::array::from_fn(|_| builder.block());
    let ways = builder.branch(Test::Bits(amount, bit), far, near);
    let mut results: Vec<Pair> = Vec::new();
    let zero = builder.constant(0);
    let kind = match op {
        AluOp::Lsh => ShiftKind::Left,
        AluOp::Rsh => ShiftKind::Right,
        _ => ShiftKind::Arithmetic,
    };
    if ways[0] {
        builder.at = far;
        results.push(if op == AluOp::Lsh {
            [zero, builder.emit(Op::ShiftBy(kind, a[0], amount))]
        } else {
            let low = builder.emit(Op::ShiftBy(kind, a[1], amount));
            let high = if op == AluOp::Rsh {
                zero
            } else {
                sign(builder, a[1])
            };
            [low, high]
        });
        builder.jump(after);
    }
    if ways[1] {
        builder.at = near;
        // The bits that cross over are moved by 32 less the amount: by 1, and by 31 less the amount.
        let ones = builder.constant(31);
        let rest = builder.binary(Binary::Xor, amount, ones);
        results.push(if op == AluOp::Lsh {
            let low = builder.emit(Op::ShiftBy(kind, a[0], amount));
            let half = builder.shift(ShiftKind::Right, a[0], 1);
            let crossing = builder.emit(Op::ShiftBy(ShiftKind::Right, half, rest));
            let high = builder.emit(Op::ShiftBy(kind, a[1], amount));
            [low, builder.binary(Binary::Or, high, crossing)]
        } else {
            let high = builder.emit(Op::ShiftBy(kind, a[1], amount));
            let double = builder.shift(ShiftKind::Left, a[1], 1);
            let crossing = builder.emit(Op::ShiftBy(ShiftKind::Left, double, rest));
            let low = builder.emit(Op::ShiftBy(ShiftKind::Right, a[0], amount));
            [builder.binary(Binary::Or, low, crossing), high]
        });
        builder.jump(after);
    }
    builder.at = after;
    join(builder, after, &results)
}

pub(super) fn join(builder: &mut Builder, block: usize, results: &[Pair]) -> Pair {
    std::array::from_fn(|half| {
        let operands = results.iter().map(|pair| pair[half]).collect();
        join_values(builder, block, operands)
    })
}

/// What each way to a block brings along, as one value.
pub(super) fn join_values(builder: &mut Builder, block: usize, operands: Vec<Value>) -> Value {
    if operands.iter().all(|&operand| operand == operands[0]) {
        return operands[0];
    }
    let zeros = operands.iter().fold(u32::MAX, |zeros, &operand| {
        zeros & builder.mir.zeros(operand)
    });
    builder.phi(block, operands, zeros)
}

/// Quotient and remainder, unsigned; by 0 they are 0 and the dividend.
fn divide(builder: &mut Builder, a: Value, b: Value) -> (Value, Value) {
    match builder.mir.constant(b) {
        Some(0) => (builder.constant(0), a),
        Some(number) => {
            let quotient = quotient(builder, a, number);
            let product = builder.binary(Binary::Mul, quotient, b);
            let rest = if number.is_power_of_two() {
                let mask = builder.constant(number - 1);
                builder.binary(Binary::And, a, mask)
            } else {
                builder.binary(Binary::Sub, a, product)
            };
            (quotient, rest)
        }
        None => {
            let zero = builder.constant(0);
            let (quotient, rest) = long_division(builder, [a, zero], [b, zero], 32);
            (quotient[0], rest[0])
        }
    }
}

/// Division by a number that is not 0: by a multiplication, exact for every dividend (Granlund, Montgomery 1994).
fn quotient(builder: &mut Builder, a: Value, by: u32) -> Value {
    if by.is_power_of_two() {
        return builder.shift(ShiftKind::Right, a, by.trailing_zeros() as u8);
    }
    let bits = 32 - (by - 1).leading_zeros();
    for amount in 0..=bits {
        let power = 1u128 << (32 + amount);
        let factor = power.div_ceil(u128::from(by));
        if factor <= u128::from(u32::MAX) && factor * u128::from(by) - power <= 1u128 << amount {
            let factor = builder.constant(factor as u32);
            let high = builder.binary(Binary::MulHigh, a, factor);
            return builder.shift(ShiftKind::Right, high, amount as u8);
        }
    }
    // The factor has 33 bits: its upper one is added by hand.
    let factor = (1u128 << (32 + bits)) / u128::from(by) + 1 - (1u128 << 32);
    let factor = builder.constant(factor as u32);
    let high = builder.binary(Binary::MulHigh, a, factor);
    let difference = builder.binary(Binary::Sub, a, high);
    let half = builder.shift(ShiftKind::Right, difference, 1);
    let sum = builder.binary(Binary::Add, half, high);
    builder.shift(ShiftKind::Right, sum, (bits - 1) as u8)
}

fn divide_wide(builder: &mut Builder, a: Pair, b: Pair) -> (Pair, Pair) {
    let zero = builder.constant(0);
    let number = builder.mir.constant(b[0]).zip(builder.mir.constant(b[1]));
    match number {
        Some((0, 0)) => return ([zero; 2], a),
        Some((low, high)) => {
            let number = u64::from(high) << 32 | u64::from(low);
            if number.is_power_of_two() {
                let quotient =
                    shift_by_number(builder, AluOp::Rsh, a, number.trailing_zeros() as u8);
                let mask = number - 1;
                let mask = [
                    builder.constant(mask as u32),
                    builder.constant((mask >> 32) as u32),
                ];
                return (quotient, wide(builder, AluOp::And, a, mask));
            }
        }
        None => {}
    }
    if builder.mir.constant(a[1]) == Some(0) && builder.mir.constant(b[1]) == Some(0) {
        let (quotient, rest) = divide(builder, a[0], b[0]);
        return ([quotient, zero], [rest, zero]);
    }
    long_division(builder, a, b, 64)
}

/// Bit by bit: the remainder takes up a bit of the dividend, and gives the divisor away where it is there.
fn long_division(builder: &mut Builder, a: Pair, b: Pair, bits: u32) -> (Pair, Pair) {
    let narrow = bits == 32;
    let zero = builder.constant(0);
    let [start, head, less, more, next, after] = std::array::from_fn(|_| builder.block());
    let by_zero = if narrow {
        Test::Equal(b[0], zero)
    } else {
        Test::EqualWide(b, [zero; 2])
    };
    let before = builder.branch(by_zero, after, start);
    let mut quotients: Vec<Pair> = Vec::new();
    let mut rests: Vec<Pair> = Vec::new();
    if before[0] {
        quotients.push([zero; 2]);
        rests.push(a);
    }
    if before[1] {
        builder.at = start;
        builder.jump(head);
        let phi = |builder: &mut Builder, value: Value| builder.phi(head, vec![value], 0);
        let count = builder.constant(bits);
        let count = phi(builder, count);
        let high = |builder: &mut Builder, value: Value| {
            if narrow { value } else { phi(builder, value) }
        };
        let quotient = [phi(builder, a[0]), high(builder, a[1])];
        let rest = [phi(builder, zero), high(builder, zero)];
        builder.at = head;
        let top = |pair: Pair| if narrow { pair[0] } else { pair[1] };
        let taken = builder.shift(ShiftKind::Right, top(quotient), 31);
        let twice = shift_by_number(builder, AluOp::Lsh, quotient, 1);
        let doubled = shift_by_number(builder, AluOp::Lsh, rest, 1);
        let grown = [builder.binary(Binary::Or, doubled[0], taken), doubled[1]];
        let (twice, grown) = if narrow {
            ([twice[0], zero], [grown[0], zero])
        } else {
            (twice, grown)
        };
        // A bit that falls out of the remainder makes it larger than any divisor.
        let full = builder.constant(1 << 31);
        let compare = builder.block();
        builder.branch(Test::Bits(top(rest), full), more, compare);
        builder.at = compare;
        let below = if narrow {
            Test::Below(grown[0], b[0])
        } else {
            Test::BelowWide(grown, b)
        };
        builder.branch(below, less, more);
        builder.at = more;
        let width = if narrow { Width::W32 } else { Width::W64 };
        let reduced = alu(builder, AluOp::Sub, width, grown, b);
        let one = builder.constant(1);
        let counted = [builder.binary(Binary::Or, twice[0], one), twice[1]];
        builder.jump(next);
        builder.at = less;
        builder.jump(next);
        builder.at = next;
        let new_quotient = join(builder, next, &[counted, twice]);
        let new_rest = join(builder, next, &[reduced, grown]);
        let minus = builder.constant(u32::MAX);
        let left = builder.binary(Binary::Add, count, minus);
        // The order of the ways to `after` is that of the lists of results.
        builder.branch(Test::Equal(left, zero), after, head);
        builder.add_operand(count, left);
        for half in 0..2 {
            if half == 0 || !narrow {
                builder.add_operand(quotient[half], new_quotient[half]);
                builder.add_operand(rest[half], new_rest[half]);
            }
        }
        quotients.push(new_quotient);
        rests.push(new_rest);
    }
    builder.at = after;
    (
        join(builder, after, &quotients),
        join(builder, after, &rests),
    )
}

/// The value of the lowest bits, with its sign.
pub(super) fn sign_extend(builder: &mut Builder, low: Value, from: Size, width: Width) -> Pair {
    let amount = (32 - from.bits().min(32)) as u8;
    let up = builder.shift(ShiftKind::Left, low, amount);
    let low = builder.shift(ShiftKind::Arithmetic, up, amount);
    let high = match width {
        Width::W32 => builder.constant(0),
        Width::W64 => sign(builder, low),
    };
    [low, high]
}

/// The lowest bytes, in the opposite order if `reverse`; the upper ones become 0.
pub(super) fn swap(builder: &mut Builder, reverse: bool, size: Size, [low, high]: Pair) -> Pair {
    let zero = builder.constant(0);
    let whole = |builder: &mut Builder, value: Value| {
        let rotated = builder.shift(ShiftKind::Rotate, value, 8);
        builder.emit(Op::Insert {
            old: rotated,
            source: rotated,
            rotate: 16,
            mask: 0b0101,
        })
    };
    match (size, reverse) {
        (Size::B64, false) | (Size::B8, _) => [low, high],
        (Size::B32, false) => [low, zero],
        (Size::B16, false) => [
            builder.emit(Op::Field {
                source: low,
                rotate: 0,
                mask: 0b0011,
            }),
            zero,
        ],
        (Size::B64, true) => [whole(builder, high), whole(builder, low)],
        (Size::B32, true) => [whole(builder, low), zero],
        (Size::B16, true) => {
            let upper = builder.emit(Op::Field {
                source: low,
                rotate: 24,
                mask: 0b0010,
            });
            let swapped = builder.emit(Op::Insert {
                old: upper,
                source: low,
                rotate: 8,
                mask: 0b0001,
            });
            [swapped, zero]
        }
    }
}
