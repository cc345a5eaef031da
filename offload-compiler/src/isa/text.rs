//! The kernel's text of instructions: what the verifier's log and `bpftool prog dump xlated` print
//! (`kernel/bpf/disasm.c`, Linux 6.18).
//!
//! It works on raw slots and prints something for any bytes, as the kernel does: code that the
//! verifier has rewritten holds forms that no program may be loaded with.

use std::fmt::Write as _;

use super::opcode::{
    ADDRESS_PERCPU, ADDRESS_SPACE_CAST, OPERATION_MASK, SOURCE_REGISTER, alu, atomic, class, jump,
    mode, size,
};
use super::{CmpOp, Insn, Width, functions};

/// Names for what an instruction refers to by number. The defaults are the numbers themselves.
pub trait Symbols {
    /// What stands after `call ` for this slot, instead of the function's name or distance.
    fn call(&self, _insn: &Insn) -> Option<String> {
        None
    }

    /// What stands for this 64-bit immediate, such as `map[id:5]`.
    fn imm64(&self, _first: &Insn, _second: &Insn) -> Option<String> {
        None
    }
}

/// No names: maps by file descriptor or index, functions by distance.
#[derive(Debug, Clone, Copy, Default)]
pub struct Plain;

impl Symbols for Plain {}

/// A whole program in the layout of `bpftool prog dump xlated`, with the raw bytes beneath each
/// instruction if `opcodes`.
pub fn listing(insns: &[Insn], symbols: &dyn Symbols, opcodes: bool) -> String {
    let mut out = String::new();
    let mut slot = 0;
    while let Some(insn) = insns.get(slot) {
        let second = (insn.code == Insn::LD_IMM64)
            .then(|| insns.get(slot + 1).copied())
            .flatten();
        let text = line(*insn, second, symbols);
        // C's "% 4d": at least one space.
        let _ = writeln!(out, " {slot:3}: ({:02x}) {text}", insn.code);
        if opcodes {
            let bytes = [Some(*insn), second].into_iter().flatten();
            let hex: Vec<String> = bytes
                .flat_map(Insn::to_bytes)
                .map(|byte| format!("{byte:02x}"))
                .collect();
            let _ = writeln!(out, "       {}", hex.join(" "));
        }
        slot += if second.is_some() { 2 } else { 1 };
    }
    out
}

/// One instruction, without slot number and opcode. `second` is the slot after the first one of a
/// 64-bit immediate load, else unused.
pub fn line(insn: Insn, second: Option<Insn>, symbols: &dyn Symbols) -> String {
    match insn.code & class::MASK {
        class::ALU => arithmetic(&insn, 'w'),
        class::ALU64 => arithmetic(&insn, 'r'),
        class::STX => store_register(&insn),
        class::ST => match insn.code & mode::MASK {
            mode::MEM => format!("{} = {}", memory(&insn, insn.dst, false), insn.imm),
            // The kernel's own speculation barrier (BPF_NOSPEC), put in by the verifier.
            mode::ATOMIC => "nospec".to_owned(),
            _ => format!("BUG_st_{:02x}", insn.code),
        },
        class::LDX => match insn.code & mode::MASK {
            access @ (mode::MEM | mode::MEMSX) => format!(
                "r{} = {}",
                insn.dst,
                memory(&insn, insn.src, access == mode::MEMSX)
            ),
            _ => format!("BUG_ldx_{:02x}", insn.code),
        },
        class::LD => load_special(&insn, second, symbols),
        _ => jump(&insn, symbols),
    }
}

fn arithmetic(insn: &Insn, letter: char) -> String {
    let Insn {
        code,
        dst,
        src,
        off,
        imm,
    } = *insn;
    let by_register = code & SOURCE_REGISTER != 0;
    let wide = letter == 'r';
    match code & OPERATION_MASK {
        alu::END => {
            let name = match (wide, by_register) {
                (true, _) => "bswap",
                (false, true) => "be",
                (false, false) => "le",
            };
            format!("r{dst} = {name}{imm} r{dst}")
        }
        alu::NEG => format!("{letter}{dst} = -{letter}{dst}"),
        alu::MOV if wide && by_register && off == ADDRESS_SPACE_CAST => {
            let imm = imm as u32;
            format!(
                "r{dst} = addr_space_cast(r{src}, {}, {})",
                imm >> 16,
                imm & 0xffff
            )
        }
        alu::MOV if wide && by_register && off == ADDRESS_PERCPU => {
            format!("r{dst} = &(void __percpu *)(r{src})")
        }
        operation => {
            let signed = off == 1;
            let op = match operation {
                alu::ADD => "+=",
                alu::SUB => "-=",
                alu::MUL => "*=",
                alu::DIV if signed => "s/=",
                alu::DIV => "/=",
                alu::OR => "|=",
                alu::AND => "&=",
                alu::LSH => "<<=",
                alu::RSH => ">>=",
                alu::MOD if signed => "s%=",
                alu::MOD => "%=",
                alu::XOR => "^=",
                alu::MOV => "=",
                alu::ARSH => "s>>=",
                _ => "(null)",
            };
            if by_register {
                let cast = match (operation, off) {
                    (alu::MOV, 8) => "(s8)",
                    (alu::MOV, 16) => "(s16)",
                    (alu::MOV, 32) => "(s32)",
                    _ => "",
                };
                format!("{letter}{dst} {op} {cast}{letter}{src}")
            } else {
                format!("{letter}{dst} {op} {imm}")
            }
        }
    }
}

fn type_name(code: u8, signed: bool) -> &'static str {
    match (code & size::MASK, signed) {
        (size::B, false) => "u8",
        (size::H, false) => "u16",
        (size::W, false) => "u32",
        (size::DW, false) => "u64",
        (size::B, true) => "s8",
        (size::H, true) => "s16",
        (size::W, true) => "s32",
        _ => "(null)",
    }
}

fn pointer(insn: &Insn, base: u8, signed: bool) -> String {
    format!(
        "({} *)(r{base} {:+})",
        type_name(insn.code, signed),
        insn.off
    )
}

fn memory(insn: &Insn, base: u8, signed: bool) -> String {
    format!("*{}", pointer(insn, base, signed))
}

fn store_register(insn: &Insn) -> String {
    let Insn { dst, src, imm, .. } = *insn;
    match insn.code & mode::MASK {
        mode::MEM => return format!("{} = r{src}", memory(insn, dst, false)),
        mode::ATOMIC => {}
        _ => return format!("BUG_{:02x}", insn.code),
    }
    let wide = if insn.code & size::MASK == size::DW {
        "64"
    } else {
        ""
    };
    let at = pointer(insn, dst, false);
    match imm {
        atomic::CMPXCHG => format!("r0 = atomic{wide}_cmpxchg({at}, r0, r{src})"),
        atomic::XCHG => format!("r{src} = atomic{wide}_xchg({at}, r{src})"),
        atomic::LOAD_ACQUIRE => format!("r{dst} = load_acquire({})", pointer(insn, src, false)),
        atomic::STORE_RELEASE => format!("store_release({at}, r{src})"),
        _ => {
            let (sign, name) = match u8::try_from(imm & !atomic::FETCH) {
                Ok(alu::ADD) => ("+=", "add"),
                Ok(alu::AND) => ("&=", "and"),
                Ok(alu::OR) => ("|=", "or"),
                Ok(alu::XOR) => ("^=", "xor"),
                _ => return format!("BUG_{:02x}", insn.code),
            };
            if imm & atomic::FETCH == 0 {
                format!("lock *{at} {sign} r{src}")
            } else {
                format!("r{src} = atomic{wide}_fetch_{name}({at}, r{src})")
            }
        }
    }
}

fn load_special(insn: &Insn, second: Option<Insn>, symbols: &dyn Symbols) -> String {
    let ty = type_name(insn.code, false);
    match insn.code & mode::MASK {
        mode::ABS => format!("r0 = *({ty} *)skb[{}]", insn.imm),
        mode::IND => format!("r0 = *({ty} *)skb[r{} + {}]", insn.src, insn.imm),
        mode::IMM if insn.code & size::MASK == size::DW => {
            let second = second.unwrap_or_default();
            let value = symbols
                .imm64(insn, &second)
                .unwrap_or_else(|| plain_imm64(insn, &second));
            format!("r{} = {value}", insn.dst)
        }
        _ => format!("BUG_ld_{:02x}", insn.code),
    }
}

fn plain_imm64(first: &Insn, second: &Insn) -> String {
    let (imm, upper) = (first.imm, second.imm as u32);
    match first.src {
        Insn::PSEUDO_MAP_FD => format!("map[fd:{imm}]"),
        Insn::PSEUDO_MAP_VALUE => format!("map[fd:{imm}][0]+{upper}"),
        Insn::PSEUDO_MAP_IDX => format!("map[idx:{imm}]"),
        Insn::PSEUDO_MAP_IDX_VALUE => format!("map[idx:{imm}]+{upper}"),
        Insn::PSEUDO_BTF_ID => format!("btf[id:{imm},fd:{}]", second.imm),
        Insn::PSEUDO_FUNC => format!("subprog[{imm:+}]"),
        _ => {
            let value = u64::from(imm as u32) | (u64::from(upper) << 32);
            format!("0x{value:x}")
        }
    }
}

fn jump(insn: &Insn, symbols: &dyn Symbols) -> String {
    let Insn {
        code,
        dst,
        src,
        off,
        imm,
    } = *insn;
    let wide = code & class::MASK == class::JMP;
    let by_register = code & SOURCE_REGISTER != 0;
    let op = match code & OPERATION_MASK {
        // The kernel refuses `callx` and has no text for it; this is LLVM's.
        jump::CALL if by_register && wide => return format!("callx r{dst}"),
        jump::CALL => return call(insn, symbols),
        jump::JA if !by_register && wide => return format!("goto pc{off:+}"),
        jump::JA if !by_register => return format!("gotol pc{imm:+}"),
        jump::JCOND if !by_register && wide && src == 0 => return format!("may_goto pc{off:+}"),
        jump::EXIT if !by_register && wide => return "exit".to_owned(),
        jump::JA => "jmp",
        jump::JEQ => comparison(CmpOp::Eq),
        jump::JGT => comparison(CmpOp::Gt),
        jump::JLT => comparison(CmpOp::Lt),
        jump::JGE => comparison(CmpOp::Ge),
        jump::JLE => comparison(CmpOp::Le),
        jump::JSET => comparison(CmpOp::Set),
        jump::JNE => comparison(CmpOp::Ne),
        jump::JSGT => comparison(CmpOp::SGt),
        jump::JSLT => comparison(CmpOp::SLt),
        jump::JSGE => comparison(CmpOp::SGe),
        jump::JSLE => comparison(CmpOp::SLe),
        jump::EXIT => "exit",
        _ => "(null)",
    };
    let letter = if wide { 'r' } else { 'w' };
    if by_register {
        format!("if {letter}{dst} {op} {letter}{src} goto pc{off:+}")
    } else {
        format!("if {letter}{dst} {op} 0x{imm:x} goto pc{off:+}")
    }
}

fn call(insn: &Insn, symbols: &dyn Symbols) -> String {
    let named = symbols.call(insn);
    if insn.src == Insn::PSEUDO_CALL {
        let distance = named.unwrap_or_else(|| format!("{:+}", insn.imm));
        return format!("call pc{distance}");
    }
    let known = if insn.src == 0 {
        functions::name(insn.imm).map(str::to_owned)
    } else {
        None
    };
    let name = known.or(named).unwrap_or_else(|| {
        match (insn.src, insn.off) {
            (Insn::PSEUDO_KFUNC_CALL, 0) => "kernel-function".to_owned(),
            // The function is a module's, whose BTF is this entry of the load's `fd_array`.
            (Insn::PSEUDO_KFUNC_CALL, module) => format!("kernel-function@{module}"),
            _ => "unknown".to_owned(),
        }
    });
    format!("call {name}#{}", insn.imm)
}

/// The register letter of a width: `w` for lower halves, `r` for whole registers.
pub(super) const fn letter(width: Width) -> char {
    match width {
        Width::W32 => 'w',
        Width::W64 => 'r',
    }
}

/// The kernel's sign for a comparison.
pub(super) const fn comparison(op: CmpOp) -> &'static str {
    match op {
        CmpOp::Eq => "==",
        CmpOp::Ne => "!=",
        CmpOp::Gt => ">",
        CmpOp::Ge => ">=",
        CmpOp::Lt => "<",
        CmpOp::Le => "<=",
        CmpOp::SGt => "s>",
        CmpOp::SGe => "s>=",
        CmpOp::SLt => "s<",
        CmpOp::SLe => "s<=",
        CmpOp::Set => "&",
    }
}
