//! Which helpers work on which kinds of maps (`check_map_func_compatibility`, Linux 6.18).

use super::explore::Step;
use super::finding::{Code, Finding};
use super::input::MapShape;
use super::prototype::Prototype;
use super::value::Object;

// enum bpf_map_type, include/uapi/linux/bpf.h
const HASH: u32 = 1;
const ARRAY: u32 = 2;
const PROG_ARRAY: u32 = 3;
const PERF_EVENT_ARRAY: u32 = 4;
const PERCPU_HASH: u32 = 5;
const PERCPU_ARRAY: u32 = 6;
const STACK_TRACE: u32 = 7;
const CGROUP_ARRAY: u32 = 8;
const LRU_HASH: u32 = 9;
const LRU_PERCPU_HASH: u32 = 10;
const ARRAY_OF_MAPS: u32 = 12;
const HASH_OF_MAPS: u32 = 13;
const DEVMAP: u32 = 14;
const SOCKMAP: u32 = 15;
const CPUMAP: u32 = 16;
const XSKMAP: u32 = 17;
const SOCKHASH: u32 = 18;
const CGROUP_STORAGE: u32 = 19;
const REUSEPORT_SOCKARRAY: u32 = 20;
const PERCPU_CGROUP_STORAGE: u32 = 21;
const QUEUE: u32 = 22;
const STACK: u32 = 23;
const SK_STORAGE: u32 = 24;
const DEVMAP_HASH: u32 = 25;
const STRUCT_OPS: u32 = 26;
const RINGBUF: u32 = 27;
const INODE_STORAGE: u32 = 28;
const TASK_STORAGE: u32 = 29;
const BLOOM_FILTER: u32 = 30;
const USER_RINGBUF: u32 = 31;
const CGRP_STORAGE: u32 = 32;
const ARENA: u32 = 33;
const INSN_ARRAY: u32 = 34;

/// Whether the helper takes this kind of map.
pub(super) fn check(slot: usize, prototype: &Prototype, shape: &MapShape) -> Step<()> {
    let kind = shape.kind;
    let name = prototype.name;
    let by_map = match kind {
        PROG_ARRAY => name == "bpf_tail_call",
        PERF_EVENT_ARRAY => matches!(
            name,
            "bpf_perf_event_read" | "bpf_perf_event_output" | "bpf_perf_event_read_value"
        ),
        RINGBUF => name.starts_with("bpf_ringbuf_"),
        USER_RINGBUF => name == "bpf_user_ringbuf_drain",
        STACK_TRACE => name == "bpf_get_stackid",
        CGROUP_ARRAY => name == "bpf_current_task_under_cgroup",
        CGROUP_STORAGE | PERCPU_CGROUP_STORAGE => name == "bpf_get_local_storage",
        DEVMAP | DEVMAP_HASH => matches!(name, "bpf_redirect_map" | "bpf_map_lookup_elem"),
        CPUMAP => name == "bpf_redirect_map",
        XSKMAP => matches!(name, "bpf_redirect_map" | "bpf_map_lookup_elem"),
        SOCKMAP | SOCKHASH => matches!(
            name,
            "bpf_map_lookup_elem" | "bpf_map_update_elem" | "bpf_map_delete_elem"
        ),
        ARRAY_OF_MAPS | HASH_OF_MAPS | REUSEPORT_SOCKARRAY => name == "bpf_map_lookup_elem",
        QUEUE | STACK => matches!(
            name,
            "bpf_map_peek_elem" | "bpf_map_pop_elem" | "bpf_map_push_elem"
        ),
        BLOOM_FILTER => matches!(name, "bpf_map_peek_elem" | "bpf_map_push_elem"),
        SK_STORAGE | INODE_STORAGE | TASK_STORAGE | CGRP_STORAGE | STRUCT_OPS | ARENA
        | INSN_ARRAY => false,
        _ => true,
    };
    let by_helper = match name {
        "bpf_tail_call" => kind == PROG_ARRAY,
        "bpf_perf_event_output" | "bpf_perf_event_read_value" => kind == PERF_EVENT_ARRAY,
        "bpf_ringbuf_output" | "bpf_ringbuf_reserve" | "bpf_ringbuf_query" => kind == RINGBUF,
        "bpf_redirect_map" => matches!(kind, DEVMAP | DEVMAP_HASH | CPUMAP | XSKMAP),
        "bpf_map_push_elem" | "bpf_map_peek_elem" => matches!(kind, QUEUE | STACK | BLOOM_FILTER),
        "bpf_map_pop_elem" => matches!(kind, QUEUE | STACK),
        "bpf_map_lookup_percpu_elem" => {
            matches!(kind, PERCPU_ARRAY | PERCPU_HASH | LRU_PERCPU_HASH)
        }
        "bpf_for_each_map_elem" => {
            (HASH..=ARRAY).contains(&kind)
                || matches!(
                    kind,
                    PERCPU_HASH | PERCPU_ARRAY | LRU_HASH | LRU_PERCPU_HASH
                )
        }
        _ => true,
    };
    if by_map && by_helper {
        return Ok(());
    }
    Err(Box::new(Finding::error(
        Code::MapKind,
        slot,
        format!(
            "{name} does not work on map {}, which is of kind {kind}",
            shape.name
        ),
    )))
}

/// The kernel's structure behind a map, where programs may read it (`map_btf_id` of the kind's operations).
pub(super) fn kernel_structure(kind: u32) -> Option<&'static str> {
    match kind {
        HASH | PERCPU_HASH | LRU_HASH | LRU_PERCPU_HASH | HASH_OF_MAPS => Some("bpf_htab"),
        ARRAY | PERCPU_ARRAY | PROG_ARRAY | PERF_EVENT_ARRAY | CGROUP_ARRAY | ARRAY_OF_MAPS => {
            Some("bpf_array")
        }
        _ => None,
    }
}

/// Kinds whose values are sockets for programs.
pub(super) fn holds_sockets(kind: u32) -> bool {
    matches!(kind, SOCKMAP | SOCKHASH)
}

/// What a lookup in this kind of map finds, where that is no value.
pub(super) fn object_found(kind: u32) -> Option<Object> {
    match kind {
        SOCKMAP | SOCKHASH => Some(Object::Socket),
        XSKMAP => Some(Object::XdpSocket),
        _ => None,
    }
}

/// Kinds whose lookup finds every index below the capacity.
pub(super) fn always_found(kind: u32) -> bool {
    matches!(kind, ARRAY | PERCPU_ARRAY)
}
