/* A table of tables: each receive queue has its own port counters. One inner map stands in a slot from the start. */
#include "packet.h"

struct port_counts {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, __u16);
	__type(value, __u64);
	__uint(max_entries, 1024);
};

struct port_counts queue_0 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(__u32));
	__uint(max_entries, 64);
	__array(values, struct port_counts);
} by_queue SEC(".maps") = {
	.values = { [0] = &queue_0 },
};

SEC("xdp")
int map_in_map(struct xdp_md *ctx)
{
	struct iphdr *ip = ipv4(ctx);
	struct ports *ports = ip ? ports_of(ctx, ip) : 0;
	if (!ports)
		return XDP_PASS;

	__u32 queue = ctx->rx_queue_index;
	void *counts = bpf_map_lookup_elem(&by_queue, &queue);
	if (!counts)
		return XDP_PASS;
	__u16 port = bpf_ntohs(ports->dest);
	__u64 one = 1;
	__u64 *count = bpf_map_lookup_elem(counts, &port);
	if (count)
		__sync_fetch_and_add(count, 1);
	else
		bpf_map_update_elem(counts, &port, &one, BPF_NOEXIST);
	return XDP_PASS;
}

char _license[] SEC("license") = "Dual MIT/GPL";
