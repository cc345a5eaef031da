//! Writing a relocation's number into an instruction.

use super::Resolution;
use crate::isa::Insn;

/// The number of the invalid helper that stands where the kernel lacks something. The verifier removes such an
/// instruction where it cannot be reached, else it complains of "invalid func unknown#195896080". libbpf uses the
/// same number (0xbad2310, "bad relo").
pub(in crate::object) const POISON: i32 = 195_896_080;

/// Patches the instruction at the start of `insns`; `Ok(false)` if it was poisoned instead.
pub(in crate::object) fn patch(
    insns: &mut [Insn],
    resolution: &Resolution,
) -> Result<bool, String> {
    let Some(&first) = insns.first() else {
        return Err("it is about no instruction".to_owned());
    };
    let slots = if first.is_ld_imm64() { 2 } else { 1 };
    let Some(insns) = insns.get_mut(..slots) else {
        return Err("its instruction is cut off".to_owned());
    };
    let held = held(insns)?;
    let Some(after) = resolution.after else {
        poison(insns);
        return Ok(false);
    };
    if resolution.check_before && held != resolution.before as i64 {
        return Err(format!(
            "the instruction holds {held}, but by the object's types it should be {}; the object is damaged",
            resolution.before
        ));
    }
    match first.code & 0x07 {
        // Loads and stores: the number is an offset.
        1..=3 => {
            if resolution.size_is_fixed {
                poison(insns);
                return Ok(false);
            }
            insns[0].off = i16::try_from(after).map_err(|_| {
                format!("offset {after} is over 32767, more than an instruction holds")
            })?;
            if resolution.size_after != resolution.size_before {
                insns[0].code = resized(first.code, resolution)?;
            }
        }
        0 => {
            insns[0].imm = after as i32;
            insns[1].imm = (after >> 32) as i32;
        }
        _ => insns[0].imm = after as i32,
    }
    Ok(true)
}

/// The number that an instruction holds now. An error if it is none that CO-RE changes.
fn held(insns: &[Insn]) -> Result<i64, String> {
    let first = insns[0];
    match (first.code & 0x07, insns.get(1)) {
        // BPF_LDX, BPF_ST, BPF_STX
        (1..=3, _) => Ok(first.off.into()),
        // BPF_ALU, BPF_ALU64 with an immediate
        (4 | 7, _) if first.code & 0x08 == 0 => Ok(first.imm.into()),
        // BPF_LD | BPF_IMM | BPF_DW
        (0, Some(second))
            if first.src == 0
                && first.off == 0
                && (Insn { imm: 0, ..*second }) == Insn::default() =>
        {
            Ok(i64::from(second.imm) << 32 | i64::from(first.imm as u32))
        }
        _ => Err(format!(
            "it is about an instruction that holds no number: {first:?}"
        )),
    }
}

/// The opcode for the size that the field has in the kernel.
fn resized(code: u8, resolution: &Resolution) -> Result<u8, String> {
    const SIZES: [(u32, u8); 4] = [(4, 0x00), (2, 0x08), (1, 0x10), (8, 0x18)];
    let accessed = SIZES.iter().find(|&&(_, bits)| bits == code & 0x18);
    if accessed.is_none_or(|&(size, _)| size != resolution.size_before) {
        return Err(format!(
            "the instruction does not access the field's {} bytes",
            resolution.size_before
        ));
    }
    let wanted = SIZES
        .iter()
        .find(|&&(size, _)| size == resolution.size_after);
    match wanted {
        Some(&(_, bits)) => Ok(code & !0x18 | bits),
        None => Err(format!(
            "the kernel's field has {} bytes, which no instruction accesses",
            resolution.size_after
        )),
    }
}

fn poison(insns: &mut [Insn]) {
    for insn in insns {
        *insn = Insn {
            code: Insn::CALL,
            imm: POISON,
            ..Insn::default()
        };
    }
}

#[cfg(test)]
mod tests {
    use super::{POISON, Resolution, patch};
    use crate::isa::Insn;

    fn resolution(before: u64, after: Option<u64>) -> Resolution {
        Resolution {
            before,
            check_before: true,
            after,
            size_before: 0,
            size_after: 0,
            size_is_fixed: false,
        }
    }

    #[test]
    fn every_form_of_instruction_takes_its_number() {
        let load = Insn {
            code: 0x61,
            off: 8,
            ..Insn::default()
        };
        let mut insns = [load];
        assert_eq!(patch(&mut insns, &resolution(8, Some(24))), Ok(true));
        assert_eq!(insns[0].off, 24);

        let mut insns = [Insn {
            code: 0xb7,
            imm: 1,
            ..Insn::default()
        }];
        assert_eq!(patch(&mut insns, &resolution(1, Some(0))), Ok(true));
        assert_eq!(insns[0].imm, 0);

        let mut insns = [
            Insn {
                code: Insn::LD_IMM64,
                imm: -1,
                ..Insn::default()
            },
            Insn {
                imm: -1,
                ..Insn::default()
            },
        ];
        let all_ones = resolution(u64::MAX, Some(1 << 40 | 3));
        assert_eq!(patch(&mut insns, &all_ones), Ok(true));
        assert_eq!((insns[0].imm, insns[1].imm), (3, 1 << 8));
    }

    #[test]
    fn an_access_takes_the_kernels_size_only_if_the_value_stays_the_same() {
        let load = Insn {
            code: 0x61,
            off: 8,
            ..Insn::default()
        };
        let widened = Resolution {
            size_before: 4,
            size_after: 8,
            ..resolution(8, Some(16))
        };
        let mut insns = [load];
        assert_eq!(patch(&mut insns, &widened), Ok(true));
        assert_eq!((insns[0].code, insns[0].off), (0x79, 16));

        let signed = Resolution {
            size_is_fixed: true,
            ..widened
        };
        let mut insns = [load];
        assert_eq!(patch(&mut insns, &signed), Ok(false));
        assert_eq!(insns[0].imm, POISON);
    }

    #[test]
    fn what_the_kernel_lacks_is_poisoned_and_what_does_not_fit_is_refused() {
        let load = Insn {
            code: 0x61,
            off: 8,
            ..Insn::default()
        };
        let mut insns = [load];
        assert_eq!(patch(&mut insns, &resolution(8, None)), Ok(false));
        assert_eq!((insns[0].code, insns[0].imm), (Insn::CALL, POISON));
        assert!(patch(&mut [load], &resolution(9, Some(1))).is_err());
        assert!(patch(&mut [load], &resolution(8, Some(40_000))).is_err());
        assert!(patch(&mut [], &resolution(8, Some(1))).is_err());
        let jump = Insn {
            code: 0x05,
            ..Insn::default()
        };
        assert!(patch(&mut [jump], &resolution(0, Some(1))).is_err());
    }
}
