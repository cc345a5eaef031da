//! What the helpers that an XDP program may call take and give (net/core/filter.c `xdp_func_proto` and
//! kernel/bpf/helpers.c `bpf_base_func_proto`, Linux 6.18).

use crate::isa::functions;

/// A helper's signature.
#[derive(Debug, Clone, Copy)]
pub(super) struct Prototype {
    /// Its name, as the kernel's enum has it with `bpf_` before it.
    pub name: &'static str,
    /// Up to five arguments, r1 first.
    pub args: &'static [Arg],
    /// What r0 holds after the call.
    pub ret: Ret,
    /// Afterwards all packet pointers are stale.
    pub moves_packet: bool,
}

/// What an argument has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arg {
    /// Anything that was initialised.
    Anything,
    /// The unchanged context.
    Context,
    /// A map.
    Map,
    /// Initialised memory of the map's key size.
    MapKey,
    /// Initialised memory of the map's value size.
    MapValue,
    /// Memory of the map's value size that the helper fills.
    MapValueOut,
    /// Initialised memory, as many bytes as the next argument says.
    Read,
    /// The same, or null.
    ReadOrNull,
    /// Memory that the helper fills, as many bytes as the next argument says.
    Write,
    /// Number of bytes, at least 1.
    Size,
    /// Number of bytes, 0 allowed.
    SizeOrZero,
    /// A known number of bytes to reserve.
    ReserveSize,
    /// Initialised memory of this many bytes.
    ReadFixed(u32),
    /// A record reserved before, given back here.
    Record,
    /// A socket found before, given back here.
    ReleasedSocket,
    /// A socket of any kind.
    Socket,
    /// A task.
    Task,
    /// A per-CPU variable of the kernel.
    PerCpu,
    /// The address of a number of this many bytes that the helper fills, aligned.
    Number(u32),
    /// A subprogram.
    Callback,
    /// What a callback gets: an address in the stack, or null.
    CallbackContext,
    /// A text known when the program is loaded.
    ConstantText,
    /// A spin lock in a map value.
    SpinLock,
    /// A timer in a map value.
    Timer,
    /// A dynptr on the stack.
    Dynptr,
}

/// What r0 holds after a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ret {
    /// A number.
    Number,
    /// A number that is negative for errors and at most the size argument.
    Error,
    /// Nothing.
    Void,
    /// A value of the map, or null.
    MapValueOrNull,
    /// A reserved record of the size argument, or null; must be given back.
    RecordOrNull,
    /// A socket, or null; must be given back.
    SocketOrNull,
    /// A socket that may not be a full one, or null; must be given back.
    SocketCommonOrNull,
    /// The running task.
    Task,
    /// Something of the kernel's.
    Kernel,
    /// Something of the kernel's, or null.
    KernelOrNull,
}

const fn helper(name: &'static str, args: &'static [Arg], ret: Ret) -> Prototype {
    Prototype {
        name,
        args,
        ret,
        moves_packet: false,
    }
}

const fn moving(name: &'static str, args: &'static [Arg]) -> Prototype {
    Prototype {
        name,
        args,
        ret: Ret::Number,
        moves_packet: true,
    }
}

use Arg::{
    Anything as Any, Callback, CallbackContext, ConstantText, Context as Ctx, Dynptr, Map, MapKey,
    MapValue, MapValueOut, Number, PerCpu, Read, ReadFixed, ReadOrNull, Record, ReleasedSocket,
    ReserveSize, Size, SizeOrZero, Socket, SpinLock, Task, Timer, Write,
};

const TABLE: &[Prototype] = &[
    helper("bpf_map_lookup_elem", &[Map, MapKey], Ret::MapValueOrNull),
    helper(
        "bpf_map_update_elem",
        &[Map, MapKey, MapValue, Any],
        Ret::Number,
    ),
    helper("bpf_map_delete_elem", &[Map, MapKey], Ret::Number),
    helper("bpf_map_push_elem", &[Map, MapValue, Any], Ret::Number),
    helper("bpf_map_pop_elem", &[Map, MapValueOut], Ret::Number),
    helper("bpf_map_peek_elem", &[Map, MapValueOut], Ret::Number),
    helper(
        "bpf_map_lookup_percpu_elem",
        &[Map, MapKey, Any],
        Ret::MapValueOrNull,
    ),
    helper(
        "bpf_for_each_map_elem",
        &[Map, Callback, CallbackContext, Any],
        Ret::Number,
    ),
    helper(
        "bpf_loop",
        &[Any, Callback, CallbackContext, Any],
        Ret::Number,
    ),
    helper("bpf_ktime_get_ns", &[], Ret::Number),
    helper("bpf_ktime_get_boot_ns", &[], Ret::Number),
    helper("bpf_ktime_get_coarse_ns", &[], Ret::Number),
    helper("bpf_ktime_get_tai_ns", &[], Ret::Number),
    helper("bpf_jiffies64", &[], Ret::Number),
    helper("bpf_get_prandom_u32", &[], Ret::Number),
    helper("bpf_get_smp_processor_id", &[], Ret::Number),
    helper("bpf_get_numa_node_id", &[], Ret::Number),
    helper("bpf_get_current_pid_tgid", &[], Ret::Number),
    helper("bpf_get_current_uid_gid", &[], Ret::Number),
    helper("bpf_get_current_cgroup_id", &[], Ret::Number),
    helper("bpf_get_current_ancestor_cgroup_id", &[Any], Ret::Number),
    helper("bpf_get_current_task", &[], Ret::Number),
    helper("bpf_get_current_task_btf", &[], Ret::Task),
    helper("bpf_task_pt_regs", &[Task], Ret::Kernel),
    Prototype {
        ret: Ret::Void,
        ..moving("bpf_tail_call", &[Ctx, Map, Any])
    },
    helper("bpf_trace_printk", &[Read, Size], Ret::Number),
    helper(
        "bpf_trace_vprintk",
        &[Read, Size, ReadOrNull, SizeOrZero],
        Ret::Number,
    ),
    helper(
        "bpf_snprintf",
        &[Write, SizeOrZero, ConstantText, ReadOrNull, SizeOrZero],
        Ret::Number,
    ),
    helper("bpf_strncmp", &[Read, Size, ConstantText], Ret::Number),
    helper("bpf_strtol", &[Read, Size, Any, Number(8)], Ret::Number),
    helper("bpf_strtoul", &[Read, Size, Any, Number(8)], Ret::Number),
    helper(
        "bpf_probe_read_kernel",
        &[Write, SizeOrZero, Any],
        Ret::Number,
    ),
    helper(
        "bpf_probe_read_kernel_str",
        &[Write, SizeOrZero, Any],
        Ret::Error,
    ),
    helper(
        "bpf_probe_read_user",
        &[Write, SizeOrZero, Any],
        Ret::Number,
    ),
    helper(
        "bpf_probe_read_user_str",
        &[Write, SizeOrZero, Any],
        Ret::Error,
    ),
    helper("bpf_per_cpu_ptr", &[PerCpu, Any], Ret::KernelOrNull),
    helper("bpf_this_cpu_ptr", &[PerCpu], Ret::Kernel),
    helper(
        "bpf_dynptr_read",
        &[Write, SizeOrZero, Dynptr, Any, Any],
        Ret::Number,
    ),
    // Addresses of the packet stay valid, other than for the dynptr of an skb (`check_helper_call`).
    helper(
        "bpf_dynptr_write",
        &[Dynptr, Any, Read, SizeOrZero, Any],
        Ret::Number,
    ),
    helper("bpf_spin_lock", &[SpinLock], Ret::Void),
    helper("bpf_spin_unlock", &[SpinLock], Ret::Void),
    helper("bpf_timer_init", &[Timer, Map, Any], Ret::Number),
    helper("bpf_timer_set_callback", &[Timer, Callback], Ret::Number),
    helper("bpf_timer_start", &[Timer, Any, Any], Ret::Number),
    helper("bpf_timer_cancel", &[Timer], Ret::Number),
    helper(
        "bpf_ringbuf_output",
        &[Map, Read, SizeOrZero, Any],
        Ret::Number,
    ),
    helper(
        "bpf_ringbuf_reserve",
        &[Map, ReserveSize, Any],
        Ret::RecordOrNull,
    ),
    helper("bpf_ringbuf_submit", &[Record, Any], Ret::Void),
    helper("bpf_ringbuf_discard", &[Record, Any], Ret::Void),
    helper("bpf_ringbuf_query", &[Map, Any], Ret::Number),
    helper(
        "bpf_perf_event_output",
        &[Ctx, Map, Any, Read, SizeOrZero],
        Ret::Number,
    ),
    helper(
        "bpf_perf_event_read_value",
        &[Map, Any, Write, Size],
        Ret::Number,
    ),
    helper(
        "bpf_csum_diff",
        &[ReadOrNull, SizeOrZero, ReadOrNull, SizeOrZero, Any],
        Ret::Number,
    ),
    helper("bpf_redirect", &[Any, Any], Ret::Number),
    helper("bpf_redirect_map", &[Map, Any, Any], Ret::Number),
    helper("bpf_fib_lookup", &[Ctx, Write, Size, Any], Ret::Number),
    helper(
        "bpf_check_mtu",
        &[Ctx, Any, Number(4), Any, Any],
        Ret::Number,
    ),
    helper("bpf_xdp_get_buff_len", &[Ctx], Ret::Number),
    helper("bpf_xdp_load_bytes", &[Ctx, Any, Write, Size], Ret::Number),
    // It writes, but moves nothing (`bpf_helper_changes_pkt_data`, Linux 6.18).
    helper("bpf_xdp_store_bytes", &[Ctx, Any, Read, Size], Ret::Number),
    moving("bpf_xdp_adjust_head", &[Ctx, Any]),
    moving("bpf_xdp_adjust_tail", &[Ctx, Any]),
    moving("bpf_xdp_adjust_meta", &[Ctx, Any]),
    helper(
        "bpf_sk_lookup_tcp",
        &[Ctx, Read, Size, Any, Any],
        Ret::SocketOrNull,
    ),
    helper(
        "bpf_sk_lookup_udp",
        &[Ctx, Read, Size, Any, Any],
        Ret::SocketOrNull,
    ),
    helper(
        "bpf_skc_lookup_tcp",
        &[Ctx, Read, Size, Any, Any],
        Ret::SocketCommonOrNull,
    ),
    helper("bpf_sk_release", &[ReleasedSocket], Ret::Number),
    helper(
        "bpf_tcp_check_syncookie",
        &[Socket, Read, SizeOrZero, Read, SizeOrZero],
        Ret::Number,
    ),
    helper(
        "bpf_tcp_gen_syncookie",
        &[Socket, Read, SizeOrZero, Read, SizeOrZero],
        Ret::Number,
    ),
    helper(
        "bpf_tcp_raw_gen_syncookie_ipv4",
        &[ReadFixed(20), Read, SizeOrZero],
        Ret::Number,
    ),
    helper(
        "bpf_tcp_raw_gen_syncookie_ipv6",
        &[ReadFixed(40), Read, SizeOrZero],
        Ret::Number,
    ),
    helper(
        "bpf_tcp_raw_check_syncookie_ipv4",
        &[ReadFixed(20), ReadFixed(20)],
        Ret::Number,
    ),
    helper(
        "bpf_tcp_raw_check_syncookie_ipv6",
        &[ReadFixed(40), ReadFixed(20)],
        Ret::Number,
    ),
];

/// Helpers for programs with a GPL-compatible licence only (`gpl_only`), as Linux 6.18 answers.
const GPL_ONLY: &[&str] = &[
    "bpf_trace_printk",
    "bpf_perf_event_output",
    "bpf_get_current_task",
    "bpf_perf_event_read_value",
    "bpf_fib_lookup",
    "bpf_tcp_check_syncookie",
    "bpf_tcp_gen_syncookie",
    "bpf_probe_read_user",
    "bpf_probe_read_kernel",
    "bpf_probe_read_user_str",
    "bpf_probe_read_kernel_str",
    "bpf_get_current_task_btf",
    "bpf_check_mtu",
    "bpf_snprintf",
    "bpf_timer_init",
    "bpf_timer_set_callback",
    "bpf_timer_start",
    "bpf_timer_cancel",
    "bpf_task_pt_regs",
    "bpf_trace_vprintk",
    "bpf_tcp_raw_gen_syncookie_ipv4",
    "bpf_tcp_raw_gen_syncookie_ipv6",
    "bpf_tcp_raw_check_syncookie_ipv4",
    "bpf_tcp_raw_check_syncookie_ipv6",
];

impl Prototype {
    /// Whether the program's licence has to be GPL-compatible.
    pub(super) fn is_gpl_only(&self) -> bool {
        GPL_ONLY.contains(&self.name)
    }
}

/// The signature of a helper; `None` for one that XDP programs may not call, or that is not modelled.
pub(super) fn of(id: i32) -> Option<&'static Prototype> {
    let name = functions::name(id)?;
    TABLE.iter().find(|prototype| prototype.name == name)
}

/// The helpers that are modelled.
#[cfg(test)]
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    TABLE.iter().map(|prototype| prototype.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_prototype_is_a_helper_and_is_well_formed() {
        for prototype in TABLE {
            assert!(
                functions::id(prototype.name).is_some(),
                "{}",
                prototype.name
            );
            assert!(prototype.args.len() <= 5);
            for (i, arg) in prototype.args.iter().enumerate() {
                if matches!(arg, Read | ReadOrNull | Write) {
                    assert!(
                        matches!(prototype.args.get(i + 1), Some(Size | SizeOrZero)),
                        "{}: memory without a size",
                        prototype.name
                    );
                }
            }
        }
    }
}
