/* A loop that is not unrolled: walks up to MAX_TAGS VLAN tags and drops what is tagged deeper. Needs a kernel from 5.3 on. */
#include "packet.h"

#define MAX_TAGS 8

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, __u64);
	__uint(max_entries, MAX_TAGS + 1);
} by_depth SEC(".maps");

SEC("xdp")
int bounded_loop(struct xdp_md *ctx)
{
	struct ethhdr *eth = packet_start(ctx);
	struct vlanhdr *tag = (void *)(eth + 1);
	if ((void *)tag > packet_end(ctx))
		return XDP_PASS;

	__be16 proto = eth->h_proto;
	__u32 depth = 0;
#pragma clang loop unroll(disable)
	for (; depth < MAX_TAGS; depth++) {
		if (proto != bpf_htons(ETH_P_8021Q) && proto != bpf_htons(ETH_P_8021AD))
			break;
		if ((void *)(tag + 1) > packet_end(ctx))
			return XDP_DROP;
		proto = tag->encapsulated_proto;
		tag++;
	}
	__u64 *count = bpf_map_lookup_elem(&by_depth, &depth);
	if (count)
		__sync_fetch_and_add(count, 1);
	return depth == MAX_TAGS ? XDP_DROP : XDP_PASS;
}

char _license[] SEC("license") = "Dual MIT/GPL";
