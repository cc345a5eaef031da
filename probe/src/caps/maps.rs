//! Asks for maps: kinds, flags, how many, how large.
//!
//! The kernel frees a map some time after its last user is gone, and counts it on the device until then. So totals are
//! measured with maps that are kept, and a refusal counts only if it comes again when what was dropped has been freed.

use super::answers::{Answer, Asked, Limit, MapLimits};
use super::catalogue::{ARRAY, FLAGS, HASH, KINDS, Shape};
use super::survey::{Device, largest};
use crate::Result;

/// The most maps that are made to find how many the device keeps.
const MOST_MAPS: u32 = 4096;
/// The largest key and value that are tried: the kernel allows little more.
const LARGEST: u32 = 1 << 20;
/// How often a map that must be taken is asked for again, with a pause of some milliseconds in between.
const PATIENCE: u32 = 200;
/// Pauses after which the device has freed many maps.
const LONG: u32 = 20;

type Found = (Vec<Asked>, Vec<Asked>, Option<MapLimits>);

/// Kinds, flags and sizes.
pub(super) fn survey(device: &mut dyn Device) -> Result<Found> {
    let mut kinds = Vec::new();
    let mut usable = None;
    for (what, shape) in KINDS {
        let answer = ask(device, shape)?;
        if answer.is_taken() && usable.is_none() && [HASH, ARRAY].contains(&shape.kind) {
            usable = Some(shape);
        }
        kinds.push(Asked {
            what: what.to_owned(),
            answer,
        });
    }
    let Some(smallest) = usable else {
        device.drop_maps();
        return Ok((kinds, Vec::new(), None));
    };
    device.use_kind(smallest.kind);
    let kept = kinds.iter().filter(|asked| asked.answer.is_taken()).count() as u32;
    let (elements, elements_a_map) = elements(device, smallest, kept)?;
    start_over(device, smallest)?;
    let count = count(device, smallest)?;
    start_over(device, smallest)?;
    device.drop_maps();
    let mut flags = Vec::new();
    for (what, bits, kind) in FLAGS {
        let has_kind = KINDS
            .iter()
            .zip(&kinds)
            .any(|((_, shape), asked)| shape.kind == kind && asked.answer.is_taken());
        if !has_kind {
            continue;
        }
        let shape = Shape {
            kind,
            flags: bits,
            ..smallest
        };
        flags.push(Asked {
            what: what.to_owned(),
            answer: ask(device, shape)?,
        });
        device.drop_maps();
    }
    let (key, value, element) = sizes(device, smallest)?;
    let (others, others_elements) = device.others()?;
    let with_others = |limit: Limit, others: u32| Limit {
        most: limit.most.saturating_add(others),
        ..limit
    };
    let limits = MapLimits {
        count: with_others(count, others),
        elements: with_others(elements, if elements_a_map { 0 } else { others_elements }),
        elements_a_map,
        key,
        value,
        element,
        others,
        others_elements,
    };
    Ok((kinds, flags, Some(limits)))
}

/// Makes a map of this shape, which is kept.
fn ask(device: &mut dyn Device, shape: Shape) -> Result<Answer> {
    let Some(errno) = device.keep_map(shape)? else {
        return Ok(Answer::Taken);
    };
    Ok(match device.host_map(shape)? {
        Some(errno) => Answer::Kernel { errno },
        None => Answer::Refused {
            errno,
            words: String::new(),
        },
    })
}

/// How many elements fit into all maps together, `kept` of which are there: as many as a sum of powers of two, whose
/// maps are kept. Where one more is taken afterwards, the limit is one of each map.
fn elements(device: &mut dyn Device, smallest: Shape, kept: u32) -> Result<(Limit, bool)> {
    let mut takes = |entries: u32| {
        let shape = Shape {
            entries,
            ..smallest
        };
        Ok::<bool, crate::Error>(device.keep_map(shape)?.is_none())
    };
    let mut sum = 0u32;
    for bit in (0..u32::BITS).rev() {
        if takes(1 << bit)? {
            sum |= 1 << bit;
        }
    }
    let open = sum == u32::MAX;
    if open || !takes(1)? {
        let most = sum.saturating_add(kept);
        return Ok((Limit { most, open }, false));
    }
    let one = largest(None, u32::MAX, takes)?;
    Ok((one, true))
}

/// How many maps there can be at a time.
fn count(device: &mut dyn Device, smallest: Shape) -> Result<Limit> {
    // Starting over has kept one.
    let mut kept = 1;
    let mut pauses = 0;
    let most = device.most_maps().min(MOST_MAPS);
    while kept < most {
        if device.keep_map(smallest)?.is_none() {
            kept += 1;
            pauses = 0;
        } else if pauses < LONG {
            device.pause();
            pauses += 1;
        } else {
            return Ok(Limit {
                most: kept,
                open: false,
            });
        }
    }
    Ok(Limit {
        most: kept,
        open: true,
    })
}

/// Drops all maps, waits until they are freed, and keeps a smallest one.
fn start_over(device: &mut dyn Device, smallest: Shape) -> Result<()> {
    device.drop_maps();
    for _ in 0..LONG {
        device.pause();
    }
    settle(device, smallest)
}

/// Waits until a smallest map can be made, and keeps it.
fn settle(device: &mut dyn Device, smallest: Shape) -> Result<()> {
    for _ in 0..PATIENCE {
        if device.keep_map(smallest)?.is_none() {
            return Ok(());
        }
        device.pause();
    }
    device.check()
}

/// Whether a map of one element is taken, with nothing else there.
fn takes(device: &mut dyn Device, shape: Shape, smallest: Shape) -> Result<bool> {
    let mut taken = device.keep_map(shape)?.is_none();
    if !taken {
        // Was there room?
        settle(device, smallest)?;
        device.drop_maps();
        device.pause();
        taken = device.keep_map(shape)?.is_none();
    }
    device.drop_maps();
    Ok(taken)
}

/// The largest key, value, and key with value.
fn sizes(device: &mut dyn Device, smallest: Shape) -> Result<(Limit, Limit, Limit)> {
    let mut most = |end: u32, shape: &dyn Fn(u32) -> Shape| {
        largest(None, end, |size| {
            Ok(size == 0 || takes(device, shape(size), smallest)?)
        })
    };
    // An array's key is always four bytes.
    let key = if smallest.kind == HASH {
        most(LARGEST, &|key| Shape { key, ..smallest })?
    } else {
        Limit {
            most: 4,
            open: true,
        }
    };
    let value = most(LARGEST, &|value| Shape { value, ..smallest })?;
    let beside = most(value.most, &|value| Shape {
        key: key.most,
        value,
        ..smallest
    })?;
    let rounded = |size: u32| size.next_multiple_of(8);
    let element = Limit {
        most: rounded(key.most) + rounded(beside.most),
        open: beside.most == value.most,
    };
    Ok((key, value, element))
}
