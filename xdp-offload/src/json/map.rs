//! `map --json`.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

/// A map and what was read from it.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(title = "xdp-offload/map/v1")]
pub struct Report {
    /// "xdp-offload/map/v1"
    pub schema: &'static str,
    /// The map.
    #[serde(flatten)]
    pub map: Map,
    /// What was asked for: all entries for `dump`, one for `get`, the changed one for `set` and `del`; null where
    /// nothing was asked for.
    pub entries: Option<Vec<Entry>>,
}

/// All maps that were looked at.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(title = "xdp-offload/map-list/v1")]
pub struct ListReport {
    /// "xdp-offload/map-list/v1"
    pub schema: &'static str,
    /// The maps.
    pub maps: Vec<Map>,
}

/// A map.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Map {
    /// The kernel's id.
    pub id: u32,
    /// Its name, at most 15 bytes.
    pub name: String,
    /// Its kind, as bpftool names it.
    pub kind: String,
    /// Bytes of a key.
    pub key_size: u32,
    /// Bytes of a value, of one CPU.
    pub value_size: u32,
    /// The most entries it holds.
    pub max_entries: u32,
    /// The interface that it lives on, by its index.
    pub offloaded_to: Option<u32>,
    /// The attached programs that use it, by their ids; only in lists.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub used_by: Vec<u32>,
}

/// A key and its value, by their types.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Entry {
    /// The key; null for kinds without keys.
    pub key: Value,
    /// The value; absent after `del`, and for per-CPU maps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<Value>,
    /// A value for each possible CPU, from CPU 0, for per-CPU maps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_cpu: Option<Vec<Value>>,
    /// The value on the NIC, where a NIC runs a part of the program, the map does not count, and the two differ.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nic: Option<Value>,
}
