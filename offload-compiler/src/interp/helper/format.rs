//! The `printf` of BPF (`bpf_bprintf_prepare`, kernel/bpf/helpers.c): `%d %i %u %x %X %c %s %p`, the
//! lengths `l` and `ll`, a width with or without a leading zero, and `%%`.

use super::{EFAULT, EINVAL};
use crate::interp::memory::Memory;

/// Longest string of a `%s`.
const STRING_MAX: u64 = 512;

/// Formats a line. `Err` is the negated errno of the kernel for what it does not know.
pub(super) fn format(memory: &Memory, template: &[u8], arguments: &[u64]) -> Result<Vec<u8>, i64> {
    let end = template
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(template.len());
    let mut rest = &template[..end];
    let mut arguments = arguments.iter().copied();
    let mut out = Vec::new();
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        if *byte != b'%' {
            out.push(*byte);
            continue;
        }
        if let Some(after) = rest.strip_prefix(b"%") {
            out.push(b'%');
            rest = after;
            continue;
        }
        let spec = Spec::parse(&mut rest).ok_or(EINVAL)?;
        let argument = arguments.next().ok_or(EINVAL)?;
        spec.print(memory, argument, &mut out)?;
    }
    Ok(out)
}

struct Spec {
    zeros: bool,
    left: bool,
    width: usize,
    wide: bool,
    kind: u8,
}

impl Spec {
    fn parse(rest: &mut &[u8]) -> Option<Self> {
        let mut spec = Self {
            zeros: false,
            left: false,
            width: 0,
            wide: false,
            kind: 0,
        };
        loop {
            let (byte, after) = rest.split_first()?;
            *rest = after;
            match *byte {
                b'0' if spec.width == 0 => spec.zeros = true,
                b'-' => spec.left = true,
                b'+' | b' ' | b'#' => {}
                digit @ b'0'..=b'9' => {
                    spec.width = (spec.width * 10 + usize::from(digit - b'0')).min(512);
                }
                b'l' => spec.wide = true,
                kind => {
                    spec.kind = kind;
                    return Some(spec);
                }
            }
        }
    }

    fn print(&self, memory: &Memory, argument: u64, out: &mut Vec<u8>) -> Result<(), i64> {
        let unsigned = if self.wide {
            argument
        } else {
            u64::from(argument as u32)
        };
        let text = match self.kind {
            b'd' | b'i' if self.wide => (argument as i64).to_string().into_bytes(),
            b'd' | b'i' => (argument as i32).to_string().into_bytes(),
            b'u' => unsigned.to_string().into_bytes(),
            b'x' => format!("{unsigned:x}").into_bytes(),
            b'X' => format!("{unsigned:X}").into_bytes(),
            b'p' => format!("{argument:016x}").into_bytes(),
            b'c' => vec![argument as u8],
            b's' => string(memory, argument)?,
            _ => return Err(EINVAL),
        };
        let padding = self.width.saturating_sub(text.len());
        let fill = if self.zeros && !self.left { b'0' } else { b' ' };
        if self.left {
            out.extend_from_slice(&text);
        }
        out.extend(std::iter::repeat_n(fill, padding));
        if !self.left {
            out.extend_from_slice(&text);
        }
        Ok(())
    }
}

fn string(memory: &Memory, address: u64) -> Result<Vec<u8>, i64> {
    let mut text = Vec::new();
    for at in 0..STRING_MAX {
        match memory.read(address.wrapping_add(at), 1) {
            Ok([0]) => break,
            Ok(byte) => text.extend_from_slice(byte),
            Err(_) => return Err(EFAULT),
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interp::fault::Region;

    #[test]
    fn prints_as_the_kernel_does() {
        let mut memory = Memory::new(4096, false);
        let cell = memory.add(b"eth0\0".to_vec(), Region::Memory).unwrap();
        let name = Memory::address(cell, 0);
        let line = |template: &str, arguments: &[u64]| {
            format(&memory, template.as_bytes(), arguments)
                .map(|line| String::from_utf8(line).unwrap())
        };
        assert_eq!(
            line("%s: %d\n\0", &[name, u64::MAX]),
            Ok("eth0: -1\n".into())
        );
        assert_eq!(
            line("%08x|%4u|%-4d|%lx", &[0xbeef, 7, 5, 1 << 40]),
            Ok("0000beef|   7|5   |10000000000".into())
        );
        assert_eq!(line("100%%", &[]), Ok("100%".into()));
        assert_eq!(line("%d", &[]), Err(EINVAL));
        assert_eq!(line("%f", &[0]), Err(EINVAL));
        assert_eq!(line("%s", &[1]), Err(EFAULT));
    }
}
