//! Where two machines hold different map contents.

use offload_compiler::interp::{Loaded, Machine};
use offload_compiler::object::Object;

/// The first element that differs after two machines ran the same program, in a line.
pub(crate) fn find(one: &mut Loaded, other: &mut Loaded, object: &Object) -> Option<String> {
    let maps: Vec<(usize, usize)> = one.maps.iter().map(|(&map, &at)| (map, at)).collect();
    for (map, at) in maps {
        let theirs = *other.maps.get(&map)?;
        // Either may have keys that the other has not.
        let key = differing_key(&mut one.machine, at, &mut other.machine, theirs)
            .or_else(|| differing_key(&mut other.machine, theirs, &mut one.machine, at));
        if let Some(key) = key {
            let bytes: Vec<String> = key.iter().map(|byte| format!("{byte:02x}")).collect();
            let name = &object.maps[map].name;
            return Some(format!("{name}, key {}", bytes.join(" ")));
        }
    }
    None
}

/// The first key of one map whose value in another is not the same.
fn differing_key(
    one: &mut Machine,
    map: usize,
    other: &mut Machine,
    theirs: usize,
) -> Option<Vec<u8>> {
    // Kinds without keys or values for user space have nothing that could be compared.
    let mut key = one.next_key(map, None).ok()?;
    while let Some(current) = key {
        let value = one.lookup(map, &current).ok()?;
        if other.lookup(theirs, &current).ok()? != value {
            return Some(current);
        }
        key = one.next_key(map, Some(&current)).ok()?;
    }
    None
}
