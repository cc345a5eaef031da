/* A chain of programs by tail calls. The prog array's slots are filled at load time from the map's own definition. */
#include "packet.h"

enum { STAGE_IPV4, STAGE_OTHER, STAGES };

int handle_ipv4(struct xdp_md *ctx);
int handle_other(struct xdp_md *ctx);

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(key_size, sizeof(__u32));
	__uint(max_entries, STAGES);
	__array(values, int(struct xdp_md *ctx));
} stages SEC(".maps") = {
	.values = {
		[STAGE_IPV4] = (void *)&handle_ipv4,
		[STAGE_OTHER] = (void *)&handle_other,
	},
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, __u32);
	__type(value, __u64);
	__uint(max_entries, STAGES);
} reached SEC(".maps");

static __always_inline void count(__u32 stage)
{
	__u64 *packets = bpf_map_lookup_elem(&reached, &stage);
	if (packets)
		*packets += 1;
}

SEC("xdp")
int handle_ipv4(struct xdp_md *ctx)
{
	count(STAGE_IPV4);
	return XDP_PASS;
}

SEC("xdp")
int handle_other(struct xdp_md *ctx)
{
	count(STAGE_OTHER);
	return XDP_PASS;
}

SEC("xdp")
int entry(struct xdp_md *ctx)
{
	bpf_tail_call(ctx, &stages, ipv4(ctx) ? STAGE_IPV4 : STAGE_OTHER);
	return XDP_ABORTED; /* only if the slot is empty */
}

char _license[] SEC("license") = "Dual MIT/GPL";
