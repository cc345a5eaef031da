//! Maps and their entries.

use crate::json::map::{Entry, Map};

/// A table of maps.
pub(crate) fn list(maps: &[Map], width: usize) -> String {
    if maps.is_empty() {
        return "no maps\n".to_owned();
    }
    let rows = maps.iter().map(|map| {
        let used_by: Vec<String> = map.used_by.iter().map(ToString::to_string).collect();
        vec![
            map.id.to_string(),
            map.name.clone(),
            map.kind.clone(),
            format!("{} B", map.key_size),
            format!("{} B", map.value_size),
            map.max_entries.to_string(),
            used_by.join(", "),
        ]
    });
    let header = ["ID", "NAME", "KIND", "KEY", "VALUE", "ENTRIES", "USED BY"];
    super::table(&header, rows, width)
}

/// One entry a line: `KEY: VALUE`, for per-CPU maps a line a CPU.
pub(crate) fn entries(entries: &[Entry]) -> String {
    let mut out = String::new();
    for entry in entries {
        match (&entry.value, &entry.per_cpu) {
            (Some(value), _) => out += &format!("{}: {value}\n", entry.key),
            (None, Some(values)) => {
                for (cpu, value) in values.iter().enumerate() {
                    out += &format!("{} cpu {cpu}: {value}\n", entry.key);
                }
            }
            (None, None) => out += &format!("{}\n", entry.key),
        }
        if let Some(value) = &entry.nic {
            out += &format!("{} on the NIC: {value}\n", entry.key);
        }
    }
    out
}
