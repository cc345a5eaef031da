/* Three XDP programs in one section, sharing a map and a function: a loader has to be told which one (--prog). */
#include "xdp.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, __u64);
	__uint(max_entries, 3);
} runs SEC(".maps");

static __noinline int note(__u32 program, int verdict)
{
	__u64 *count = bpf_map_lookup_elem(&runs, &program);
	if (count)
		__sync_fetch_and_add(count, 1);
	return verdict;
}

SEC("xdp")
int pass_all(struct xdp_md *ctx)
{
	return note(0, XDP_PASS);
}

SEC("xdp")
int drop_all(struct xdp_md *ctx)
{
	return note(1, XDP_DROP);
}

SEC("xdp")
int send_back(struct xdp_md *ctx)
{
	return note(2, XDP_TX);
}

char _license[] SEC("license") = "Dual MIT/GPL";
