/* CO-RE: compiled once, adjusted at load time to the running kernel by its BTF. Each answer lands in `answers`: the id of the
 * running task (a field whose offset differs between kernels), what the kernel has, how large, and which value. */
#include "xdp.h"

#define preserve __attribute__((preserve_access_index))

/* Only the members that are read; the loader finds the rest. The name behind ___ is ignored. */
struct task_struct___pid {
	int pid;
	int tgid;
} preserve;

struct list_head___core {
	void *next;
} preserve;

struct net_device___core {
	unsigned int mtu;
	unsigned int a_member_no_kernel_has;
} preserve;

struct no_kernel_has_this {
	int member;
} preserve;

enum bpf_map_type___core {
	BPF_MAP_TYPE_RINGBUF___core = 1, /* not its value in any kernel: the loader writes the kernel's */
	BPF_MAP_TYPE_NO_KERNEL_HAS___core = 2,
};

#define field_exists(field) __builtin_preserve_field_info(field, 2)
#define field_offset(field) __builtin_preserve_field_info(field, 0)
#define type_exists(type) __builtin_preserve_type_info(*(typeof(type) *)0, 0)
#define type_size(type) __builtin_preserve_type_info(*(typeof(type) *)0, 1)
#define enum_exists(type, value) __builtin_preserve_enum_value(*(type *)value, 0)
#define enum_value(type, value) __builtin_preserve_enum_value(*(type *)value, 1)

enum {
	TASK_TGID,
	HAS_TASK_STRUCT,
	HAS_UNKNOWN_STRUCT,
	HAS_MTU,
	HAS_UNKNOWN_MEMBER,
	LIST_HEAD_SIZE,
	RINGBUF_VALUE,
	HAS_UNKNOWN_ENUM,
	MTU_OFFSET,
	ANSWERS,
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, __u64);
	__uint(max_entries, ANSWERS);
} answers SEC(".maps");

static __always_inline void answer(__u32 which, __u64 value)
{
	bpf_map_update_elem(&answers, &which, &value, BPF_ANY);
}

SEC("xdp")
int core(struct xdp_md *ctx)
{
	struct task_struct___pid *task = (void *)bpf_get_current_task();
	struct net_device___core *dev = 0;
	int tgid = -1;

	bpf_probe_read_kernel(&tgid, sizeof(tgid), __builtin_preserve_access_index(&task->tgid));
	answer(TASK_TGID, tgid);
	answer(HAS_TASK_STRUCT, type_exists(struct task_struct___pid));
	answer(HAS_UNKNOWN_STRUCT, type_exists(struct no_kernel_has_this));
	answer(HAS_MTU, field_exists(dev->mtu));
	answer(HAS_UNKNOWN_MEMBER, field_exists(dev->a_member_no_kernel_has));
	answer(LIST_HEAD_SIZE, type_size(struct list_head___core));
	answer(RINGBUF_VALUE, enum_value(enum bpf_map_type___core, BPF_MAP_TYPE_RINGBUF___core));
	answer(HAS_UNKNOWN_ENUM, enum_exists(enum bpf_map_type___core, BPF_MAP_TYPE_NO_KERNEL_HAS___core));
	answer(MTU_OFFSET, field_offset(dev->mtu));
	return XDP_PASS;
}

char _license[] SEC("license") = "GPL";
