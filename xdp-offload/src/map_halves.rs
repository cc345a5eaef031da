//! The two maps of one name that a program has which runs on a NIC in part: one there, one on the host.

use kernel::bpf::map::{Map, MapInfo};
use offload_compiler::lower::additions;
use offload_compiler::object::Object;
use offload_compiler::verify::Prepared;
use serde_json::Value;

/// The end of the kernel's name of a NIC's map that only counts: its values are read as what is missing in the host's map.
/// The kernel has no other place for such a note that outlives the process that attached.
const COUNTS: &str = ".sum";
/// Bytes of a map's name in the kernel (`BPF_OBJ_NAME_LEN`, less its end).
const LONGEST_NAME: usize = 15;

/// What the map that counts on a NIC is called, of a map of this name.
fn counting_name(name: &str) -> String {
    let kept = name.len().min(LONGEST_NAME - COUNTS.len());
    let kept = (0..=kept).rev().find(|&end| name.is_char_boundary(end));
    format!("{}{COUNTS}", &name[..kept.unwrap_or_default()])
}

/// Whether a map of the kernel's is the one that was asked for, or the one on a NIC beside it.
pub(crate) fn is_named(info: &MapInfo, name: &str) -> bool {
    info.name == kernel::bpf::kernel_name(name)
        || info.ifindex.is_some() && info.name == counting_name(name)
}

/// Names the maps of a NIC's part so that what it counts can be told from what it is told: a map whose values the part
/// only adds to, in all of their bytes.
pub(crate) fn name_counters(object: &mut Object, prepared: &Prepared) {
    let Some(additions) = additions(&prepared.input()) else {
        return;
    };
    for (map, parts) in additions {
        let Some(shape) = prepared.maps.get(map as usize) else {
            continue;
        };
        let mut end = 0;
        for (from, to) in parts {
            if from <= end {
                end = end.max(to);
            }
        }
        let found = object.maps.iter_mut().find(|made| made.name == shape.name);
        if let Some(made) = found.filter(|_| end == shape.value_size) {
            made.name = counting_name(&made.name);
        }
    }
}

/// The map on the host and the one on the NIC beside it, where two maps of one name are such a pair: both are of
/// programs on that NIC's interface. `is_on` tells whether a program on an interface uses a map.
pub(crate) fn pair(
    mut maps: Vec<(MapInfo, Map)>,
    is_on: impl Fn(u32, u32) -> bool,
) -> Result<(Map, Nic), Vec<(MapInfo, Map)>> {
    let [one, other] = maps.as_slice() else {
        return Err(maps);
    };
    let (one, other) = (&one.0, &other.0);
    let same = one.key_size == other.key_size && one.value_size == other.value_size;
    let nic = match (one.ifindex, other.ifindex) {
        (Some(ifindex), None) if same && is_on(other.id, ifindex) => 0,
        (None, Some(ifindex)) if same && is_on(one.id, ifindex) => 1,
        _ => return Err(maps),
    };
    let (info, map) = maps.swap_remove(nic);
    let counts = info.name.ends_with(COUNTS);
    let Some((_, host)) = maps.pop() else {
        return Err(vec![(info, map)]);
    };
    Ok((host, Nic { map, counts }))
}

/// The half on the NIC. Device maps have no types; those of the host's map hold for it.
pub(crate) struct Nic {
    pub(crate) map: Map,
    /// It holds what the NIC has counted, beside what the host has.
    pub(crate) counts: bool,
}

/// The sum of all numbers in two values of one shape; a number that is too large for JSON's begins again.
pub(crate) fn sum(one: &Value, other: &Value) -> Value {
    match (one, other) {
        (Value::Array(ones), Value::Array(others)) => {
            ones.iter().zip(others).map(|(a, b)| sum(a, b)).collect()
        }
        (Value::Object(ones), Value::Object(others)) => {
            let members = ones.iter().map(|(name, a)| {
                let b = others.get(name).unwrap_or(&Value::Null);
                (name.clone(), sum(a, b))
            });
            Value::Object(members.collect())
        }
        (Value::Number(a), Value::Number(b)) => match (a.as_u64(), b.as_u64()) {
            (Some(a), Some(b)) => a.wrapping_add(b).into(),
            _ => match (a.as_i64(), b.as_i64()) {
                (Some(a), Some(b)) => a.wrapping_add(b).into(),
                _ => one.clone(),
            },
        },
        _ => one.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn numbers_are_added_wherever_they_are() {
        let one = json!({"packets": 3, "by_port": [1, 2], "drift": -1, "name": "x"});
        let other = json!({"packets": 4, "by_port": [10, 20], "drift": -2, "name": "x"});
        assert_eq!(
            sum(&one, &other),
            json!({"packets": 7, "by_port": [11, 22], "drift": -3, "name": "x"})
        );
        assert_eq!(sum(&json!(u64::MAX), &json!(2)), json!(1));
    }

    #[test]
    fn names_of_counting_maps_fit_the_kernel() {
        assert_eq!(counting_name("dropped"), "dropped.sum");
        assert_eq!(counting_name("packets_by_protocol"), "packets_by_.sum");
    }
}
