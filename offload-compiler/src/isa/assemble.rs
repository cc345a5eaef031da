//! The kernel's text back to instructions: what [`super::text`] prints, and labels.
//!
//! One instruction a line. A slot number (`12:`), an opcode (`(b7)`), the raw bytes that bpftool prints
//! beneath, and what follows a `;` are skipped, so listings and verifier logs can be pasted. Beyond the
//! kernel's text: `NAME:` on a line of its own is a label, and jumps, `call` and `subprog[..]` take one;
//! `call` takes a helper's name without its number; `ll` after a number makes it a 64-bit immediate,
//! as hexadecimal notation does.

use std::collections::HashMap;

use super::{
    AluOp, AtomicOp, Callee, CmpOp, Code, Condition, Imm64, Instruction, Operand, Reg, Size, Swap,
    Width, functions,
};

/// A line that is no instruction.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}: {text}")]
pub struct AssembleError {
    /// Line number, counted from 1.
    pub line: usize,
    /// The line.
    pub text: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

/// Assembles a program. The result is not checked beyond what the encoding cannot hold.
pub fn assemble(source: &str) -> Result<Code, AssembleError> {
    let mut statements = Vec::new();
    let mut labels = HashMap::new();
    let mut slot = 0;
    for (index, text) in source.lines().enumerate() {
        let statement = strip(text);
        if let Some(label) = statement.strip_suffix(':') {
            labels.insert(label.trim().to_owned(), slot);
            continue;
        }
        if statement.is_empty() || is_hex_dump(statement) {
            continue;
        }
        statements.push((index + 1, text, statement, slot));
        slot += if is_imm64(statement) { 2 } else { 1 };
    }
    let mut instructions = Vec::with_capacity(statements.len());
    for (line, text, statement, slot) in statements {
        let parser = Statement {
            labels: &labels,
            slot,
        };
        let instruction = parser.parse(statement).map_err(|reason| AssembleError {
            line,
            text: text.trim().to_owned(),
            reason,
        })?;
        instructions.push(instruction);
    }
    Ok(Code::from_instructions(instructions))
}

/// Drops the comment, the slot number and the opcode.
fn strip(line: &str) -> &str {
    let mut rest = line.split(';').next().unwrap_or_default().trim();
    if let Some((number, after)) = rest.split_once(':')
        && !number.is_empty()
        && number.bytes().all(|byte| byte.is_ascii_digit())
    {
        rest = after.trim_start();
    }
    if let Some(after) = rest.strip_prefix('(')
        && let Some((opcode, after)) = after.split_once(')')
        && opcode.len() == 2
        && opcode.bytes().all(|byte| byte.is_ascii_hexdigit())
    {
        rest = after.trim_start();
    }
    rest
}

/// Whether the line is the raw bytes of an instruction, as bpftool prints them.
fn is_hex_dump(statement: &str) -> bool {
    let mut words = 0;
    statement.split(' ').all(|word| {
        words += 1;
        word.len() == 2 && word.bytes().all(|byte| byte.is_ascii_hexdigit())
    }) && (words == 8 || words == 16)
}

/// Whether the statement takes two slots; decides the positions of labels before they are known.
fn is_imm64(statement: &str) -> bool {
    let Some((left, right)) = statement.split_once('=') else {
        return false;
    };
    let right = right.trim_start();
    register(left.trim()).is_ok_and(|(_, width)| width == Width::W64)
        && (right.starts_with("0x")
            || right.starts_with("map[")
            || right.starts_with("btf[")
            || right.starts_with("subprog[")
            || right.ends_with("ll"))
}

type Parsed<T> = Result<T, &'static str>;

struct Statement<'a> {
    labels: &'a HashMap<String, usize>,
    slot: usize,
}

impl Statement<'_> {
    fn parse(&self, statement: &str) -> Parsed<Instruction> {
        let (word, rest) = statement.split_once(' ').unwrap_or((statement, ""));
        match word {
            "exit" if rest.is_empty() => return Ok(Instruction::Exit),
            "goto" => {
                return Ok(Instruction::Jump {
                    offset: self.short(rest)?.into(),
                    long: false,
                });
            }
            "gotol" => {
                return Ok(Instruction::Jump {
                    offset: self.distance(rest)?,
                    long: true,
                });
            }
            "may_goto" => {
                return Ok(Instruction::MayGoto {
                    offset: self.short(rest)?,
                });
            }
            "if" => return self.branch(rest),
            "call" => return self.call(rest.trim()),
            "callx" => return Ok(Instruction::Call(Callee::Register(whole(rest.trim())?))),
            "lock" => return atomic(rest),
            _ => {}
        }
        let dense: String = statement.split_whitespace().collect();
        if let Some(rest) = dense.strip_prefix("store_release(") {
            let (size, _, base, off, rest) = access(rest)?;
            let src = rest
                .strip_prefix(',')
                .and_then(|rest| rest.strip_suffix(')'))
                .ok_or("expected `, rN)`")?;
            return Ok(Instruction::StoreRelease {
                size,
                base,
                off,
                src: whole(src)?,
            });
        }
        if let Some(rest) = dense.strip_prefix('*') {
            let (size, signed, base, off, rest) = access(rest)?;
            let src = rest.strip_prefix('=').ok_or("expected `=`")?;
            if signed {
                return Err("a store has no sign");
            }
            return Ok(Instruction::Store {
                size,
                base,
                off,
                src: operand(src, Width::W64)?,
            });
        }
        self.assignment(&dense)
    }

    fn distance(&self, target: &str) -> Parsed<i32> {
        let target = target.trim();
        let number = target.strip_prefix("pc").unwrap_or(target);
        if number.starts_with(['+', '-']) {
            return number.parse().map_err(|_| "bad distance");
        }
        let label = *self.labels.get(target).ok_or("unknown label")?;
        let distance = label as i64 - (self.slot as i64 + 1);
        i32::try_from(distance).map_err(|_| "too far")
    }

    fn short(&self, target: &str) -> Parsed<i16> {
        i16::try_from(self.distance(target)?).map_err(|_| "too far for 16 bits")
    }

    fn branch(&self, rest: &str) -> Parsed<Instruction> {
        let (condition, target) = rest.split_once("goto").ok_or("expected `goto`")?;
        let mut words = condition.split_whitespace();
        let (Some(left), Some(op), Some(right), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err("expected `if LEFT OP RIGHT goto TARGET`");
        };
        let (dst, width) = register(left)?;
        let op = match op {
            "==" => CmpOp::Eq,
            "!=" => CmpOp::Ne,
            ">" => CmpOp::Gt,
            ">=" => CmpOp::Ge,
            "<" => CmpOp::Lt,
            "<=" => CmpOp::Le,
            "s>" => CmpOp::SGt,
            "s>=" => CmpOp::SGe,
            "s<" => CmpOp::SLt,
            "s<=" => CmpOp::SLe,
            "&" => CmpOp::Set,
            _ => return Err("unknown comparison"),
        };
        Ok(Instruction::Branch {
            condition: Condition {
                width,
                op,
                dst,
                src: operand(right, width)?,
            },
            offset: self.short(target)?,
        })
    }

    fn call(&self, target: &str) -> Parsed<Instruction> {
        let callee = if target.starts_with("pc") || self.labels.contains_key(target) {
            Callee::Local(self.distance(target)?)
        } else if let Some((name, id)) = target.split_once('#') {
            let id = id.parse().map_err(|_| "bad function number")?;
            match name.strip_prefix("kernel-function") {
                Some("") => Callee::Kernel {
                    btf_id: id,
                    module: 0,
                },
                Some(module) if module.starts_with('@') => Callee::Kernel {
                    btf_id: id,
                    module: module[1..].parse().map_err(|_| "bad module number")?,
                },
                _ => Callee::Helper(id),
            }
        } else {
            Callee::Helper(
                functions::id(target)
                    .or_else(|| target.parse().ok())
                    .ok_or("unknown function")?,
            )
        };
        Ok(Instruction::Call(callee))
    }

    /// `DST OP VALUE`, without blanks.
    fn assignment(&self, dense: &str) -> Parsed<Instruction> {
        const OPS: [(&str, AluOp); 14] = [
            ("s>>=", AluOp::Arsh),
            ("<<=", AluOp::Lsh),
            (">>=", AluOp::Rsh),
            ("s/=", AluOp::SDiv),
            ("s%=", AluOp::SMod),
            ("+=", AluOp::Add),
            ("-=", AluOp::Sub),
            ("*=", AluOp::Mul),
            ("/=", AluOp::Div),
            ("|=", AluOp::Or),
            ("&=", AluOp::And),
            ("%=", AluOp::Mod),
            ("^=", AluOp::Xor),
            ("=", AluOp::Mov),
        ];
        let digits = dense.bytes().skip(1).take_while(u8::is_ascii_digit).count();
        let (left, rest) = dense
            .split_at_checked(1 + digits)
            .ok_or("no such instruction")?;
        let (dst, width) = register(left)?;
        let (op, value) = OPS
            .iter()
            .find_map(|(sign, op)| Some((*op, rest.strip_prefix(sign)?)))
            .ok_or("unknown operation")?;
        if op == AluOp::Mov
            && let Some(instruction) = self.special(dst, width, value)?
        {
            return Ok(instruction);
        }
        Ok(Instruction::Alu {
            width,
            op,
            dst,
            src: operand(value, width)?,
        })
    }

    /// What can stand right of `=` other than a plain operand.
    fn special(&self, dst: Reg, width: Width, value: &str) -> Parsed<Option<Instruction>> {
        if let Some(rest) = value.strip_prefix('-')
            && rest.starts_with(['r', 'w'])
        {
            return if register(rest)? == (dst, width) {
                Ok(Some(Instruction::Negate { width, dst }))
            } else {
                Err("negates its own register only")
            };
        }
        if let Some(rest) = value.strip_prefix("*(")
            && let Some((ty, rest)) = rest.split_once("*)skb[")
        {
            return packet_load(dst, ty, rest).map(Some);
        }
        if let Some(rest) = value.strip_prefix('*') {
            let (size, signed, base, off, rest) = access(rest)?;
            if !rest.is_empty() || width == Width::W32 {
                return Err("malformed load");
            }
            return Ok(Some(Instruction::Load {
                size,
                signed,
                dst,
                base,
                off,
            }));
        }
        if let Some(rest) = value.strip_prefix("(s") {
            let (bits, src) = rest.split_once(')').ok_or("expected `)`")?;
            let from = size(bits)?;
            let (src, src_width) = register(src)?;
            if src_width != width || from.bits() >= width.bits() {
                return Err("no such sign extension");
            }
            return Ok(Some(Instruction::MoveSigned {
                width,
                from,
                dst,
                src,
            }));
        }
        for (name, swap) in [
            ("le", Swap::ToLittle),
            ("be", Swap::ToBig),
            ("bswap", Swap::Always),
        ] {
            if let Some((bits, src)) = value
                .strip_prefix(name)
                .and_then(|rest| rest.split_once('r'))
                && let Ok(bits) = size(bits)
            {
                if bits == Size::B8 || src.parse() != Ok(dst.number()) {
                    return Err("swaps 16, 32 or 64 bits of its own register only");
                }
                return Ok(Some(Instruction::Swap {
                    swap,
                    size: bits,
                    dst,
                }));
            }
        }
        if value.starts_with("atomic") {
            return fetching(dst, value).map(Some);
        }
        if let Some(rest) = value.strip_prefix("load_acquire(") {
            let (size, _, base, off, rest) = access(rest)?;
            return if rest == ")" {
                Ok(Some(Instruction::LoadAcquire {
                    size,
                    dst,
                    base,
                    off,
                }))
            } else {
                Err("expected `)`")
            };
        }
        if let Some(rest) = value.strip_prefix("addr_space_cast(") {
            let (src, spaces) = rest.split_once(',').ok_or("expected `,`")?;
            let to_arena = match spaces {
                "1,0)" => true,
                "0,1)" => false,
                _ => return Err("casts between address spaces 0 and 1 only"),
            };
            return Ok(Some(Instruction::CastAddress {
                dst,
                src: whole(src)?,
                to_arena,
            }));
        }
        if width == Width::W32 {
            return Ok(None);
        }
        Ok(self
            .imm64(value)?
            .map(|value| Instruction::LoadImm64 { dst, value }))
    }

    fn imm64(&self, value: &str) -> Parsed<Option<Imm64>> {
        let bad = "bad map reference";
        if let Some(rest) = value.strip_prefix("map[fd:") {
            let (fd, rest) = rest.split_once(']').ok_or(bad)?;
            let fd = fd.parse().map_err(|_| bad)?;
            let value = if rest.is_empty() {
                Imm64::MapFd(fd)
            } else {
                let offset = rest.strip_prefix("[0]+").ok_or(bad)?;
                Imm64::MapValueFd {
                    fd,
                    offset: offset.parse().map_err(|_| bad)?,
                }
            };
            return Ok(Some(value));
        }
        if let Some(rest) = value.strip_prefix("map[idx:") {
            let (index, rest) = rest.split_once(']').ok_or(bad)?;
            let index = index.parse().map_err(|_| bad)?;
            let value = if rest.is_empty() {
                Imm64::MapIndex(index)
            } else {
                let offset = rest.strip_prefix('+').ok_or(bad)?;
                Imm64::MapValueIndex {
                    index,
                    offset: offset.parse().map_err(|_| bad)?,
                }
            };
            return Ok(Some(value));
        }
        if let Some(rest) = value.strip_prefix("btf[id:") {
            let (id, fd) = rest
                .strip_suffix(']')
                .and_then(|rest| rest.split_once(",fd:"))
                .ok_or("bad BTF reference")?;
            return Ok(Some(Imm64::BtfVariable {
                btf_id: id.parse().map_err(|_| "bad BTF reference")?,
                btf_fd: fd.parse().map_err(|_| "bad BTF reference")?,
            }));
        }
        if let Some(rest) = value.strip_prefix("subprog[") {
            let target = rest.strip_suffix(']').ok_or("expected `]`")?;
            return Ok(Some(Imm64::Function(self.distance(target)?)));
        }
        let number = value.strip_suffix("ll");
        if number.is_none() && !value.starts_with("0x") {
            return Ok(None);
        }
        let number = number.unwrap_or(value);
        let parsed = match number.strip_prefix("0x") {
            Some(hex) => u64::from_str_radix(hex, 16).ok(),
            None => number
                .parse()
                .ok()
                .or_else(|| number.parse::<i64>().ok().map(|number| number as u64)),
        };
        Ok(Some(Imm64::Number(parsed.ok_or("bad number")?)))
    }
}

fn register(text: &str) -> Parsed<(Reg, Width)> {
    let bad = "no such register";
    let width = match text.as_bytes().first() {
        Some(b'r') => Width::W64,
        Some(b'w') => Width::W32,
        _ => return Err("no such instruction"),
    };
    let number = text[1..].parse().map_err(|_| bad)?;
    Ok((Reg::new(number).ok_or(bad)?, width))
}

fn whole(text: &str) -> Parsed<Reg> {
    match register(text)? {
        (reg, Width::W64) => Ok(reg),
        (_, Width::W32) => Err("expected a whole register"),
    }
}

fn operand(text: &str, width: Width) -> Parsed<Operand> {
    if text.starts_with(['r', 'w']) {
        let (reg, its_width) = register(text)?;
        return if its_width == width {
            Ok(Operand::Reg(reg))
        } else {
            Err("mixes whole registers and halves")
        };
    }
    immediate(text).map(Operand::Imm)
}

fn immediate(text: &str) -> Parsed<i32> {
    let bad = "bad number";
    if let Some(hex) = text.strip_prefix("0x") {
        return u32::from_str_radix(hex, 16)
            .map(|value| value as i32)
            .map_err(|_| bad);
    }
    text.parse().map_err(|_| bad)
}

fn size(bits: &str) -> Parsed<Size> {
    bits.parse()
        .ok()
        .and_then(Size::from_bits)
        .ok_or("no such size")
}

/// `(u32*)(r1+4)` and what follows, without blanks.
fn access(text: &str) -> Parsed<(Size, bool, Reg, i16, &str)> {
    let bad = "malformed memory access";
    let text = text.strip_prefix('(').ok_or(bad)?;
    let (ty, rest) = text.split_once("*)(").ok_or(bad)?;
    let (sign, bits) = ty.split_at_checked(1).ok_or(bad)?;
    let signed = match sign {
        "u" => false,
        "s" if bits != "64" => true,
        _ => return Err(bad),
    };
    let (address, rest) = rest.split_once(')').ok_or(bad)?;
    let at = address.find(['+', '-']).ok_or(bad)?;
    let (base, off) = address.split_at(at);
    let off = off.parse().map_err(|_| bad)?;
    Ok((size(bits)?, signed, whole(base)?, off, rest))
}

fn packet_load(dst: Reg, ty: &str, rest: &str) -> Parsed<Instruction> {
    let bad = "malformed packet load";
    let size = size(ty.strip_prefix('u').ok_or(bad)?)?;
    let position = rest.strip_suffix(']').ok_or(bad)?;
    let (index, offset) = match position.strip_prefix('r') {
        Some(rest) => {
            let (index, offset) = rest.split_once('+').ok_or(bad)?;
            let index = index.parse().ok().and_then(Reg::new).ok_or(bad)?;
            (Some(index), offset)
        }
        None => (None, position),
    };
    if dst != Reg::R0 || size == Size::B64 {
        return Err(bad);
    }
    Ok(Instruction::LoadPacket {
        size,
        index,
        offset: offset.parse().map_err(|_| bad)?,
    })
}

fn atomic(rest: &str) -> Parsed<Instruction> {
    let dense: String = rest.split_whitespace().collect();
    let dense = dense.strip_prefix('*').ok_or("expected `*`")?;
    let (size, _, base, off, rest) = access(dense)?;
    let (op, src) = rest.split_once('=').ok_or("expected an operation")?;
    let op = match op {
        "+" => AtomicOp::Add,
        "|" => AtomicOp::Or,
        "&" => AtomicOp::And,
        "^" => AtomicOp::Xor,
        _ => return Err("unknown atomic operation"),
    };
    if matches!(size, Size::B8 | Size::B16) {
        return Err("atomic operations have 32 or 64 bits");
    }
    Ok(Instruction::Atomic {
        op,
        size,
        base,
        off,
        src: whole(src)?,
        fetch: false,
    })
}

/// `atomic64_fetch_add((u64*)(r1+0),r2)` and its like.
fn fetching(dst: Reg, value: &str) -> Parsed<Instruction> {
    let (name, rest) = value.split_once('(').ok_or("expected `(`")?;
    let (size, _, base, off, rest) = access(rest)?;
    let wide = size == Size::B64;
    let name = name
        .strip_prefix(if wide { "atomic64_" } else { "atomic_" })
        .ok_or("name and size differ")?;
    let src = rest
        .strip_prefix(',')
        .and_then(|rest| rest.strip_suffix(')'))
        .ok_or("expected `, rN)`")?;
    if matches!(size, Size::B8 | Size::B16) {
        return Err("atomic operations have 32 or 64 bits");
    }
    if name == "cmpxchg" {
        let src = src.strip_prefix("r0,").ok_or("compares with r0")?;
        return if dst == Reg::R0 {
            Ok(Instruction::CompareExchange {
                size,
                base,
                off,
                src: whole(src)?,
            })
        } else {
            Err("the old value goes to r0")
        };
    }
    let src = whole(src)?;
    if src != dst {
        return Err("the old value goes to the source register");
    }
    if name == "xchg" {
        return Ok(Instruction::Exchange {
            size,
            base,
            off,
            src,
        });
    }
    let op = match name {
        "fetch_add" => AtomicOp::Add,
        "fetch_or" => AtomicOp::Or,
        "fetch_and" => AtomicOp::And,
        "fetch_xor" => AtomicOp::Xor,
        _ => return Err("unknown atomic operation"),
    };
    Ok(Instruction::Atomic {
        op,
        size,
        base,
        off,
        src,
        fetch: true,
    })
}
