//! Terms of SMT-LIB, as text.

use offload_compiler::isa::{AluOp, CmpOp};

pub(crate) fn constant(value: u64) -> String {
    format!("#x{value:016x}")
}

/// The number that a term is written as.
pub(crate) fn number(term: &str) -> Option<u64> {
    u64::from_str_radix(term.strip_prefix("#x")?, 16).ok()
}

/// The lowest bits of a term.
pub(crate) fn low(term: &str, bits: u32) -> String {
    format!("((_ extract {} 0) {term})", bits - 1)
}

/// Byte `index` of a term.
pub(crate) fn byte(term: &str, index: u32) -> String {
    format!("((_ extract {} {}) {term})", index * 8 + 7, index * 8)
}

/// A term of so many bits in 64.
pub(crate) fn extended(term: &str, bits: u32, signed: bool) -> String {
    if bits == 64 {
        return term.to_owned();
    }
    let how = if signed { "sign" } else { "zero" };
    format!("((_ {how}_extend {}) {term})", 64 - bits)
}

/// Bytes in the order of memory as one number.
pub(crate) fn joined(bytes: &[String]) -> String {
    match bytes {
        [byte] => byte.clone(),
        bytes => {
            let parts: Vec<&str> = bytes.iter().rev().map(String::as_str).collect();
            format!("(concat {})", parts.join(" "))
        }
    }
}

pub(crate) fn sum(term: &str, offset: i64) -> String {
    if offset == 0 {
        return term.to_owned();
    }
    format!("(bvadd {term} {})", constant(offset as u64))
}

/// An operation on terms of so many bits.
pub(crate) fn alu(op: AluOp, bits: u32, a: &str, b: &str) -> String {
    let zero = format!("(_ bv0 {bits})");
    let amount = format!("(bvand {b} (_ bv{} {bits}))", bits - 1);
    match op {
        AluOp::Add => format!("(bvadd {a} {b})"),
        AluOp::Sub => format!("(bvsub {a} {b})"),
        AluOp::Mul => format!("(bvmul {a} {b})"),
        AluOp::Div => format!("(ite (= {b} {zero}) {zero} (bvudiv {a} {b}))"),
        AluOp::SDiv => format!("(ite (= {b} {zero}) {zero} (bvsdiv {a} {b}))"),
        AluOp::Mod => format!("(ite (= {b} {zero}) {a} (bvurem {a} {b}))"),
        AluOp::SMod => format!("(ite (= {b} {zero}) {a} (bvsrem {a} {b}))"),
        AluOp::Or => format!("(bvor {a} {b})"),
        AluOp::And => format!("(bvand {a} {b})"),
        AluOp::Xor => format!("(bvxor {a} {b})"),
        AluOp::Lsh => format!("(bvshl {a} {amount})"),
        AluOp::Rsh => format!("(bvlshr {a} {amount})"),
        AluOp::Arsh => format!("(bvashr {a} {amount})"),
        AluOp::Mov => b.to_owned(),
    }
}

/// A comparison of terms of so many bits.
pub(crate) fn comparison(op: CmpOp, bits: u32, a: &str, b: &str) -> String {
    let name = match op {
        CmpOp::Eq => "=",
        CmpOp::Ne => "distinct",
        CmpOp::Gt => "bvugt",
        CmpOp::Ge => "bvuge",
        CmpOp::Lt => "bvult",
        CmpOp::Le => "bvule",
        CmpOp::SGt => "bvsgt",
        CmpOp::SGe => "bvsge",
        CmpOp::SLt => "bvslt",
        CmpOp::SLe => "bvsle",
        CmpOp::Set => return format!("(distinct (bvand {a} {b}) (_ bv0 {bits}))"),
    };
    format!("({name} {a} {b})")
}
