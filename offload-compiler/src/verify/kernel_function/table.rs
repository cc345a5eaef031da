//! What the kernel's type information does not tell of a kernel function: that it exists for XDP programs, and its flags
//! (`BTF_ID_FLAGS`). A function that is not here is not modelled.

/// A kernel function that XDP programs may call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::verify) struct Row {
    /// Its name.
    pub name: &'static str,
    /// Its flags, from [`ACQUIRE`] on.
    pub flags: u8,
    /// What is particular to it.
    pub effect: Effect,
}

/// `KF_ACQUIRE`: what it returns has to be given back.
pub(in crate::verify) const ACQUIRE: u8 = 1;
/// `KF_RELEASE`: gives back what it is given.
pub(in crate::verify) const RELEASE: u8 = 1 << 1;
/// `KF_RET_NULL`: may return null.
pub(in crate::verify) const OR_NULL: u8 = 1 << 2;
/// `KF_TRUSTED_ARGS`: takes no null and no address that may be stale.
pub(in crate::verify) const TRUSTED: u8 = 1 << 3;
/// `KF_RCU`: takes also what only an RCU section keeps.
pub(in crate::verify) const RCU: u8 = 1 << 4;

/// What a kernel function does that its flags do not tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::verify) enum Effect {
    /// Nothing else.
    None,
    /// Makes a dynptr to the packet.
    PacketDynptr,
    /// Gives the address of a part of a dynptr's memory.
    Slice {
        /// That can be written to.
        writable: bool,
    },
    /// Makes a second dynptr to the same memory.
    CloneDynptr,
    /// Gives the kernel's structure behind the context.
    KernelContext,
    /// Reads a number as the address of a structure.
    ReadOnlyCast,
    /// Begins an RCU section.
    RcuLock,
    /// Ends it.
    RcuUnlock,
    /// Keeps the CPU from changing tasks.
    PreemptDisable,
    /// Ends that.
    PreemptEnable,
    /// Begins to iterate.
    IteratorNew,
    /// The next element, or null.
    IteratorNext,
    /// Ends iterating.
    IteratorDestroy,
    /// The packet's ends move.
    MovesPacket,
    /// For programs that are bound to a device only.
    DeviceBound,
}

const fn row(name: &'static str, flags: u8, effect: Effect) -> Row {
    Row {
        name,
        flags,
        effect,
    }
}

const fn plain(name: &'static str, flags: u8) -> Row {
    row(name, flags, Effect::None)
}

/// All of Linux 6.18; the file that registers each is named above its rows.
const TABLE: &[Row] = &[
    // net/core/xdp.c, xdp_metadata_kfunc_ids
    row(
        "bpf_xdp_metadata_rx_timestamp",
        TRUSTED,
        Effect::DeviceBound,
    ),
    row("bpf_xdp_metadata_rx_hash", TRUSTED, Effect::DeviceBound),
    row("bpf_xdp_metadata_rx_vlan_tag", TRUSTED, Effect::DeviceBound),
    // net/core/filter.c, bpf_kfunc_check_set_xdp
    row("bpf_dynptr_from_xdp", 0, Effect::PacketDynptr),
    row("bpf_xdp_pull_data", 0, Effect::MovesPacket),
    // kernel/bpf/helpers.c, common_btf_ids
    row("bpf_cast_to_kern_ctx", 0, Effect::KernelContext),
    row("bpf_rdonly_cast", 0, Effect::ReadOnlyCast),
    row("bpf_rcu_read_lock", 0, Effect::RcuLock),
    row("bpf_rcu_read_unlock", 0, Effect::RcuUnlock),
    row("bpf_preempt_disable", 0, Effect::PreemptDisable),
    row("bpf_preempt_enable", 0, Effect::PreemptEnable),
    row(
        "bpf_dynptr_slice",
        OR_NULL,
        Effect::Slice { writable: false },
    ),
    row(
        "bpf_dynptr_slice_rdwr",
        OR_NULL,
        Effect::Slice { writable: true },
    ),
    row("bpf_dynptr_clone", 0, Effect::CloneDynptr),
    plain("bpf_dynptr_adjust", 0),
    plain("bpf_dynptr_is_null", 0),
    plain("bpf_dynptr_is_rdonly", 0),
    plain("bpf_dynptr_size", 0),
    plain("bpf_dynptr_copy", 0),
    plain("bpf_dynptr_memset", 0),
    row("bpf_iter_num_new", 0, Effect::IteratorNew),
    row("bpf_iter_num_next", OR_NULL, Effect::IteratorNext),
    row("bpf_iter_num_destroy", 0, Effect::IteratorDestroy),
    row("bpf_iter_bits_new", 0, Effect::IteratorNew),
    row("bpf_iter_bits_next", OR_NULL, Effect::IteratorNext),
    row("bpf_iter_bits_destroy", 0, Effect::IteratorDestroy),
    // kernel/bpf/helpers.c, generic_btf_ids
    plain("bpf_task_acquire", ACQUIRE | RCU | OR_NULL),
    plain("bpf_task_release", RELEASE),
    plain("bpf_task_from_pid", ACQUIRE | OR_NULL),
    plain("bpf_task_from_vpid", ACQUIRE | OR_NULL),
    plain("bpf_task_under_cgroup", RCU),
    plain("bpf_task_get_cgroup1", ACQUIRE | RCU | OR_NULL),
    plain("bpf_cgroup_acquire", ACQUIRE | RCU | OR_NULL),
    plain("bpf_cgroup_release", RELEASE),
    plain("bpf_cgroup_ancestor", ACQUIRE | RCU | OR_NULL),
    plain("bpf_cgroup_from_id", ACQUIRE | OR_NULL),
    plain("bpf_lookup_system_key", ACQUIRE | OR_NULL),
    plain("bpf_key_put", RELEASE),
    // kernel/bpf/crypto.c, crypt_kfunc_btf_ids
    plain("bpf_crypto_encrypt", RCU),
    plain("bpf_crypto_decrypt", RCU),
    // net/netfilter/nf_conntrack_bpf.c, nf_ct_kfunc_set
    plain("bpf_xdp_ct_alloc", ACQUIRE | OR_NULL),
    plain("bpf_xdp_ct_lookup", ACQUIRE | OR_NULL),
    plain("bpf_ct_insert_entry", ACQUIRE | OR_NULL | RELEASE),
    plain("bpf_ct_release", RELEASE),
    plain("bpf_ct_set_timeout", TRUSTED),
    plain("bpf_ct_change_timeout", TRUSTED),
    plain("bpf_ct_set_status", TRUSTED),
    plain("bpf_ct_change_status", TRUSTED),
    // net/netfilter/nf_nat_bpf.c
    plain("bpf_ct_set_nat_info", TRUSTED),
    // net/netfilter/nf_flow_table_bpf.c
    plain("bpf_xdp_flow_lookup", TRUSTED | OR_NULL),
    // net/xfrm/xfrm_state_bpf.c
    plain("bpf_xdp_get_xfrm_state", ACQUIRE | OR_NULL),
    plain("bpf_xdp_xfrm_state_release", RELEASE),
];

/// What is known of a kernel function; `None` for one that is not modelled.
pub(in crate::verify) fn of(name: &str) -> Option<&'static Row> {
    TABLE.iter().find(|row| row.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_function_is_there_once() {
        for (index, row) in TABLE.iter().enumerate() {
            assert!(
                TABLE[..index].iter().all(|other| other.name != row.name),
                "{}",
                row.name
            );
        }
    }
}
