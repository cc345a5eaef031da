//! The memory layouts of bpf(2), as include/uapi/linux/bpf.h of Linux 6.18 has them.
//!
//! One struct a command instead of one union for all: the kernel takes any size and treats what is
//! missing as zero, so a struct ends where the fields that this crate uses end. All padding is
//! spelled out, because the kernel refuses non-zero bytes that it does not know.

/// A struct that bpf(2) may read and write as its attribute or its info.
///
/// # Safety
/// The type is `repr(C)`, without implicit padding, and every bit pattern is valid for it.
pub(super) unsafe trait Layout: Default {}

macro_rules! layouts {
    ($($(#[$doc:meta])* $name:ident { $($field:ident: $type:ty,)* } = $size:literal)*) => {$(
        $(#[$doc])*
        #[repr(C)]
        #[allow(clippy::struct_field_names, reason = "the kernel's names")]
        #[derive(Debug, Clone, Copy, Default)]
        pub(super) struct $name { $(pub(super) $field: $type,)* }

        // The sizes are those of the kernel's header, and the sum of the fields: no hidden padding.
        const _: () = assert!(
            size_of::<$name>() == $size && 0 $(+ size_of::<$type>())* == $size
        );

        // SAFETY: repr(C), made of integers and integer arrays, and checked above for padding.
        unsafe impl Layout for $name {}
    )*};
}

layouts! {
    /// BPF_MAP_CREATE
    MapCreate {
        map_type: u32,
        key_size: u32,
        value_size: u32,
        max_entries: u32,
        map_flags: u32,
        inner_map_fd: u32,
        numa_node: u32,
        map_name: [u8; 16],
        map_ifindex: u32,
        btf_fd: u32,
        btf_key_type_id: u32,
        btf_value_type_id: u32,
        btf_vmlinux_value_type_id: u32,
        map_extra: u64,
    } = 72

    /// BPF_MAP_{LOOKUP,UPDATE,DELETE}_ELEM, BPF_MAP_GET_NEXT_KEY, BPF_MAP_FREEZE
    MapElement {
        map_fd: u32,
        padding: u32,
        key: u64,
        value_or_next_key: u64,
        flags: u64,
    } = 32

    /// BPF_PROG_LOAD
    ProgramLoad {
        prog_type: u32,
        insn_cnt: u32,
        insns: u64,
        license: u64,
        log_level: u32,
        log_size: u32,
        log_buf: u64,
        kern_version: u32,
        prog_flags: u32,
        prog_name: [u8; 16],
        prog_ifindex: u32,
        expected_attach_type: u32,
        prog_btf_fd: u32,
        func_info_rec_size: u32,
        func_info: u64,
        func_info_cnt: u32,
        line_info_rec_size: u32,
        line_info: u64,
        line_info_cnt: u32,
        attach_btf_id: u32,
        attach_btf_obj_fd: u32,
        core_relo_cnt: u32,
        fd_array: u64,
        core_relos: u64,
        core_relo_rec_size: u32,
        log_true_size: u32,
    } = 144

    /// BPF_OBJ_PIN, BPF_OBJ_GET
    Pin {
        pathname: u64,
        bpf_fd: u32,
        file_flags: u32,
    } = 16

    /// BPF_PROG_TEST_RUN
    TestRun {
        prog_fd: u32,
        retval: u32,
        data_size_in: u32,
        data_size_out: u32,
        data_in: u64,
        data_out: u64,
        repeat: u32,
        duration: u32,
        ctx_size_in: u32,
        ctx_size_out: u32,
        ctx_in: u64,
        ctx_out: u64,
        flags: u32,
        cpu: u32,
        batch_size: u32,
        padding: u32,
    } = 80

    /// BPF_*_GET_NEXT_ID, BPF_*_GET_FD_BY_ID
    Id {
        id: u32,
        next_id: u32,
        open_flags: u32,
    } = 12

    /// BPF_OBJ_GET_INFO_BY_FD
    Info {
        bpf_fd: u32,
        info_len: u32,
        info: u64,
    } = 16

    /// BPF_BTF_LOAD
    BtfLoad {
        btf: u64,
        btf_log_buf: u64,
        btf_size: u32,
        btf_log_size: u32,
        btf_log_level: u32,
        btf_log_true_size: u32,
    } = 32

    /// BPF_LINK_CREATE, as far as XDP goes
    LinkCreate {
        prog_fd: u32,
        target_ifindex: u32,
        attach_type: u32,
        flags: u32,
    } = 16

    /// BPF_LINK_UPDATE
    LinkUpdate {
        link_fd: u32,
        new_prog_fd: u32,
        flags: u32,
        old_prog_fd: u32,
    } = 16

    /// BPF_ENABLE_STATS
    EnableStats {
        kind: u32,
    } = 4

    /// BPF_LINK_DETACH
    LinkDetach {
        link_fd: u32,
    } = 4

    /// struct bpf_prog_info
    ProgramInfo {
        kind: u32,
        id: u32,
        tag: [u8; 8],
        jited_prog_len: u32,
        xlated_prog_len: u32,
        jited_prog_insns: u64,
        xlated_prog_insns: u64,
        load_time: u64,
        created_by_uid: u32,
        nr_map_ids: u32,
        map_ids: u64,
        name: [u8; 16],
        ifindex: u32,
        gpl_compatible: u32,
        netns_dev: u64,
        netns_ino: u64,
        nr_jited_ksyms: u32,
        nr_jited_func_lens: u32,
        jited_ksyms: u64,
        jited_func_lens: u64,
        btf_id: u32,
        func_info_rec_size: u32,
        func_info: u64,
        nr_func_info: u32,
        nr_line_info: u32,
        line_info: u64,
        jited_line_info: u64,
        nr_jited_line_info: u32,
        line_info_rec_size: u32,
        jited_line_info_rec_size: u32,
        nr_prog_tags: u32,
        prog_tags: u64,
        run_time_ns: u64,
        run_cnt: u64,
        recursion_misses: u64,
        verified_insns: u32,
        attach_btf_obj_id: u32,
        attach_btf_id: u32,
        padding: u32,
    } = 232

    /// struct bpf_map_info
    MapInfo {
        kind: u32,
        id: u32,
        key_size: u32,
        value_size: u32,
        max_entries: u32,
        map_flags: u32,
        name: [u8; 16],
        ifindex: u32,
        btf_vmlinux_value_type_id: u32,
        netns_dev: u64,
        netns_ino: u64,
        btf_id: u32,
        btf_key_type_id: u32,
        btf_value_type_id: u32,
        padding: u32,
        map_extra: u64,
    } = 88

    /// struct bpf_btf_info
    BtfInfo {
        btf: u64,
        btf_size: u32,
        id: u32,
        name: u64,
        name_len: u32,
        kernel_btf: u32,
    } = 32

    /// struct bpf_link_info, with the union's first words; an XDP link has its ifindex first
    LinkInfo {
        kind: u32,
        id: u32,
        prog_id: u32,
        padding: u32,
        ifindex: u32,
        rest: [u32; 7],
    } = 48

    /// struct xdp_md
    XdpMd {
        data: u32,
        data_end: u32,
        data_meta: u32,
        ingress_ifindex: u32,
        rx_queue_index: u32,
        egress_ifindex: u32,
    } = 24
}
