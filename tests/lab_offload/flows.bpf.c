/* Counts packets by source in a hash, and all of them in an array: maps as small as netdevsim takes them. */
#include "packet.h"

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, __be32);
	__type(value, __u64);
	__uint(max_entries, 2);
} sources SEC(".maps");

enum { TOTAL_IPV4, TOTAL_OTHER, TOTALS };

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, __u64);
	__uint(max_entries, TOTALS);
} totals SEC(".maps");

static void count(void *map, void *key)
{
	__u64 *packets = bpf_map_lookup_elem(map, key);
	if (packets)
		__sync_fetch_and_add(packets, 1);
}

SEC("xdp")
int flows(struct xdp_md *ctx)
{
	__u32 kind = TOTAL_OTHER;
	struct iphdr *ip = ipv4(ctx);
	if (ip) {
		__be32 source = ip->saddr;
		kind = TOTAL_IPV4;
		count(&sources, &source);
	}
	count(&totals, &kind);
	return XDP_PASS;
}

char _license[] SEC("license") = "Dual MIT/GPL";
