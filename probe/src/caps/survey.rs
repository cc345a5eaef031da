//! Asks a device everything: which trials, in which order, how large. What answers is a [`Device`]; nothing is judged.

use super::answers::{AdjustHead, Alike, Answer, Answers, Asked, Limit, ProgramLimits};
use super::catalogue::{self, Shape, Trial, TrialMap};
use super::code::{Insn, call, call_local, copy, insn, on_packet, passing, set, size, store};
use super::maps;
use super::registers::Registers;
use crate::Result;

/// What trials are made on.
pub(super) trait Device {
    /// Loads a program for the device, with new maps, and drops it.
    fn load(&mut self, code: &[Insn], maps: &[TrialMap]) -> Result<Loaded>;
    /// Loads it for the host; the errno where the kernel refuses.
    fn load_on_host(&mut self, code: &[Insn], maps: &[TrialMap]) -> Result<Option<i32>>;
    /// Makes a map on the device and keeps it; the errno where it is refused.
    fn keep_map(&mut self, shape: Shape) -> Result<Option<i32>>;
    /// Makes a map on the host and drops it; the errno where the kernel refuses.
    fn host_map(&mut self, shape: Shape) -> Result<Option<i32>>;
    /// Drops the maps that were kept. The device frees them some time later.
    fn drop_maps(&mut self);
    /// Lets the device free what was dropped.
    fn pause(&mut self);
    /// How many maps this process can keep.
    fn most_maps(&self) -> u32;
    /// Maps of others on the device, and their elements.
    fn others(&mut self) -> Result<(u32, u32)>;
    /// The kind of map that trials use from now on.
    fn use_kind(&mut self, kind: u32);
    /// Registers that the device shows.
    fn registers(&mut self) -> Result<Option<Vec<u8>>>;
    /// Fails unless the device still takes what it took at the start.
    fn check(&mut self) -> Result<()>;
}

/// How the load of a program for the device ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Loaded {
    /// It was taken; with its machine code, where the device shows it.
    Taken(Vec<u64>),
    /// It was not.
    Refused {
        /// The kernel's errno.
        errno: i32,
        /// The driver's words.
        words: String,
    },
}

impl Loaded {
    fn code(self) -> Option<Vec<u64>> {
        match self {
            Self::Taken(code) => Some(code),
            Self::Refused { .. } => None,
        }
    }
}

/// eBPF instructions of the longest program that is tried: a card's code store has 65,535 words at most (the register
/// has 16 bits), and an instruction takes one at least.
const LONGEST: u32 = 1 << 16;
/// The largest constant for `bpf_xdp_adjust_head`: more than any packet's buffer.
const FARTHEST: u32 = u16::MAX as u32;
const ADJUST_HEAD: i32 = 44;

/// Asks everything.
pub(super) fn survey(device: &mut dyn Device) -> Result<Answers> {
    let registers = device.registers()?;
    tracing::debug!("asking for maps");
    let (map_kinds, map_flags, maps) = maps::survey(device)?;
    device.check()?;
    tracing::debug!("asking for helpers");
    let mut words = String::new();
    let helpers = ask_all(device, catalogue::helpers(), &mut |trial, loaded| {
        if let Loaded::Refused { words: said, .. } = loaded
            && trial.what == catalogue::FOREIGN_HELPER
        {
            words.clone_from(said);
        }
    })?;
    tracing::debug!("asking for instructions");
    let instructions = ask_all(device, catalogue::instructions(), &mut |_, _| {})?;
    device.check()?;
    let alike = alike(device)?;
    tracing::debug!("asking for long programs and deep stacks");
    let program = program_limits(device, registers.as_deref())?;
    tracing::debug!("asking for adjust_head");
    let adjust_head = adjust_head(device)?;
    tracing::debug!("asked");
    device.check()?;
    Ok(Answers {
        words,
        registers,
        helpers,
        instructions,
        map_kinds,
        map_flags,
        maps,
        program,
        adjust_head,
        alike,
    })
}

fn ask_all(
    device: &mut dyn Device,
    trials: Vec<Trial>,
    heard: &mut dyn FnMut(&Trial, &Loaded),
) -> Result<Vec<Asked>> {
    let ask = |trial: Trial| {
        let loaded = device.load(&trial.code, &trial.maps)?;
        heard(&trial, &loaded);
        let answer = match loaded {
            Loaded::Taken(_) => Answer::Taken,
            Loaded::Refused { errno, words } => {
                match device.load_on_host(&trial.code, &trial.maps)? {
                    // Only the device knows a store to the context.
                    Some(host) if words.is_empty() => Answer::Kernel { errno: host },
                    _ => Answer::Refused { errno, words },
                }
            }
        };
        Ok(Asked {
            what: trial.what,
            answer,
        })
    };
    trials.into_iter().map(ask).collect()
}

fn alike(device: &mut dyn Device) -> Result<Vec<Alike>> {
    let mut alike = Vec::new();
    for [right, wrong] in catalogue::twins() {
        let mut code = |trial: &Trial| -> Result<Option<Vec<u64>>> {
            Ok(device.load(&trial.code, &trial.maps)?.code())
        };
        if let (Some(one), Some(other)) = (code(&right)?, code(&wrong)?)
            && !one.is_empty()
            && one == other
        {
            alike.push(Alike {
                right: right.what,
                wrong: wrong.what,
            });
        }
    }
    Ok(alike)
}

/// Finds the largest number in `0..=end` that is taken, where 0 is and all below it are: first beside the `guess`, then
/// by doubling, then by halving.
pub(super) fn largest(
    guess: Option<u32>,
    end: u32,
    mut takes: impl FnMut(u32) -> Result<bool>,
) -> Result<Limit> {
    if let Some(guess) = guess.filter(|&guess| guess < end)
        && takes(guess)?
        && !takes(guess + 1)?
    {
        return Ok(Limit {
            most: guess,
            open: false,
        });
    }
    let (mut taken, mut next) = (0, 1);
    let mut refused = loop {
        let number = next.min(end);
        if !takes(number)? {
            break number;
        }
        if number == end {
            return Ok(Limit {
                most: end,
                open: true,
            });
        }
        taken = number;
        next = number.saturating_mul(2);
    };
    while refused - taken > 1 {
        let middle = taken + (refused - taken) / 2;
        if takes(middle)? {
            taken = middle;
        } else {
            refused = middle;
        }
    }
    Ok(Limit {
        most: taken,
        open: false,
    })
}

/// `r0 ^= 1`, so many times: the upper half of a constant that is 0 changes nothing, so it is one word on the NFP.
fn long(instructions: u32) -> Vec<Insn> {
    let xor = insn(0xa7, 0, 0, 0, 1);
    let body = std::iter::repeat_n(xor, instructions as usize);
    passing(std::iter::once(set(0, 2)).chain(body))
}

fn program_limits(device: &mut dyn Device, registers: Option<&[u8]>) -> Result<ProgramLimits> {
    let mut words = 0;
    let frame = device.load(&long(0), &[])?.code().unwrap_or_default().len();
    let told = registers.and_then(Registers::read);
    let guess = told.and_then(|told| u32::from(told.code_words).checked_sub(frame as u32));
    let limit = largest(guess, LONGEST, |number| {
        let code = device.load(&long(number), &[])?.code();
        if let Some(code) = &code {
            words = words.max(code.len() as u32);
        }
        Ok(code.is_some())
    })?;
    let fixed = long(0).len() as u32;
    let instructions = Limit {
        most: limit.most + fixed,
        ..limit
    };
    let stack = largest(None, MOST_STACK / STACK_STEP, |steps| {
        let code = deep(steps * STACK_STEP);
        Ok(device.load(&code, &[])?.code().is_some())
    })?;
    Ok(ProgramLimits {
        instructions,
        words,
        stack: Limit {
            most: stack.most * STACK_STEP,
            ..stack
        },
    })
}

/// The NFP's driver rounds every frame up to this.
const STACK_STEP: u32 = 64;
/// The most that the NFP's driver can count in a program that the kernel takes: see [`deep`].
const MOST_STACK: u32 = 1152;
/// The most that the kernel lets the frames of a chain of calls have (`MAX_BPF_STACK`).
const KERNEL_STACK: u32 = 512;
/// Stack of each subprogram, as the kernel counts it and as the NFP's driver does, which adds the return address and
/// four saved registers, and rounds up.
const SUBPROGRAM: (u32, u32) = (32, 128);

/// A program that needs so many bytes of stack, a multiple of 64 up to [`MOST_STACK`], as the NFP's driver counts:
/// beyond the 512 bytes that the kernel allows, by subprograms.
fn deep(bytes: u32) -> Vec<Insn> {
    let (kernel, driver) = SUBPROGRAM;
    let fits = |&calls: &u32| {
        let main = bytes.checked_sub(calls * driver);
        main.is_some_and(|main| main + calls * kernel <= KERNEL_STACK)
    };
    let calls = (0..8).find(fits).unwrap_or(0);
    let main = bytes - calls * driver;
    let mut code = vec![set(6, 0)];
    if main > 0 {
        code.push(store(size::DW, 10, -(main as i16), 6));
    }
    // Each function calls the next, which lies behind it: r0 = 2; exit are in between.
    for _ in 0..calls {
        code.extend([call_local(2), set(0, 2), super::code::EXIT]);
        code.extend([set(6, 0), store(size::DW, 10, -(kernel as i16), 6)]);
    }
    passing(code)
}

fn adjust_head(device: &mut dyn Device) -> Result<Option<AdjustHead>> {
    let unknown = on_packet([copy(2, 0), call(ADJUST_HEAD)]);
    let Some(code) = device.load(&unknown, &[])?.code() else {
        return Ok(None);
    };
    if code.is_empty() {
        let open = Limit::default();
        return Ok(Some(AdjustHead {
            code,
            unchecked_front: open,
            unchecked_back: open,
        }));
    }
    let mut length = |body: &[Insn]| -> Result<usize> {
        let code = device.load(&on_packet(body.iter().copied()), &[])?.code();
        Ok(code.map_or(0, |code| code.len()))
    };
    let checked = code.len().saturating_sub(length(&[copy(2, 0)])?);
    let mut is_short = |bytes: i32| {
        let with = length(&[set(2, bytes), call(ADJUST_HEAD)])?;
        let without = length(&[set(2, bytes)])?;
        Ok(with.saturating_sub(without) < checked)
    };
    let unchecked_front = largest(None, FARTHEST, |bytes| is_short(-(bytes as i32)))?;
    let unchecked_back = largest(None, FARTHEST, |bytes| is_short(bytes as i32))?;
    Ok(Some(AdjustHead {
        code,
        unchecked_front,
        unchecked_back,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_is_found_with_and_without_a_guess() {
        for limit in [0, 1, 2, 3, 7, 8, 8167, 65535] {
            for guess in [None, Some(limit), Some(limit + 1), Some(3)] {
                let mut trials = 0;
                let found = largest(guess, 65536, |number| {
                    trials += 1;
                    Ok(number <= limit)
                })
                .unwrap();
                let expected = Limit {
                    most: limit,
                    open: false,
                };
                assert_eq!(found, expected, "{guess:?}");
                assert!(trials <= 36, "{trials} trials for {limit}");
                if guess == Some(limit) {
                    assert_eq!(trials, 2);
                }
            }
        }
        let open = largest(None, 100, |_| Ok(true)).unwrap();
        assert_eq!(
            open,
            Limit {
                most: 100,
                open: true
            }
        );
    }

    #[test]
    fn every_depth_of_the_stack_stays_in_what_the_kernel_allows() {
        for steps in 0..=MOST_STACK / STACK_STEP {
            let code = deep(steps * STACK_STEP);
            let stores = code.iter().filter(|insn| insn[0] == 0x7b);
            let depths: Vec<u32> = stores
                .map(|insn| u32::from(i16::from_ne_bytes([insn[2], insn[3]]).unsigned_abs()))
                .collect();
            assert!(depths.iter().sum::<u32>() <= KERNEL_STACK, "{steps}");
            let calls = code.iter().filter(|insn| insn[0] == 0x85).count();
            let main = if depths.len() > calls { depths[0] } else { 0 };
            assert_eq!(main + calls as u32 * SUBPROGRAM.1, steps * STACK_STEP);
        }
    }
}
