/* Counts packets and bytes by kind of traffic in a per-CPU array, without atomics; passes everything. */
#include "packet.h"

enum { COUNT_IPV4, COUNT_OTHER, COUNT_KINDS };

struct traffic {
	__u64 packets;
	__u64 bytes;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, __u32);
	__type(value, struct traffic);
	__uint(max_entries, COUNT_KINDS);
} traffic SEC(".maps");

SEC("xdp")
int counter(struct xdp_md *ctx)
{
	__u32 kind = ipv4(ctx) ? COUNT_IPV4 : COUNT_OTHER;
	struct traffic *count = bpf_map_lookup_elem(&traffic, &kind);
	if (count) {
		count->packets++;
		count->bytes += packet_end(ctx) - packet_start(ctx);
	}
	return XDP_PASS;
}

char _license[] SEC("license") = "Dual MIT/GPL";
