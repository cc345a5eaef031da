/* Hands the first bytes of each packet to user space through a perf event array, as offload-capable NICs can do too. */
#include "xdp.h"

#define SNAP 128

struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(__u32));
} samples SEC(".maps");

struct sample {
	__u32 ifindex;
	__u32 length;
};

SEC("xdp")
int mirror(struct xdp_md *ctx)
{
	__u32 length = ctx->data_end - ctx->data;
	struct sample sample = { .ifindex = ctx->ingress_ifindex, .length = length };
	__u64 snap = length < SNAP ? length : SNAP;

	bpf_perf_event_output(ctx, &samples, BPF_F_CURRENT_CPU | snap << 32, &sample, sizeof(sample));
	return XDP_PASS;
}

char _license[] SEC("license") = "Dual MIT/GPL";
