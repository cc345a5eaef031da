/* Between two networks: IPv4 packets from sources on `blocked` are dropped and counted in `dropped`, all others go out of
 * the interface in `next`. A card that cannot redirect can still drop: `compile --allow split`. */
#include "packet.h"

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, __be32);
	__type(value, __u32);
	__uint(max_entries, 1024);
} blocked SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, __u64);
	__uint(max_entries, 1);
} dropped SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP);
	__type(key, __u32);
	__type(value, __u32);
	__uint(max_entries, 1);
} next SEC(".maps");

SEC("xdp")
int edge(struct xdp_md *ctx)
{
	struct iphdr *ip = ipv4(ctx);
	if (ip) {
		__be32 source = ip->saddr;
		if (bpf_map_lookup_elem(&blocked, &source)) {
			__u32 index = 0;
			__u64 *count = bpf_map_lookup_elem(&dropped, &index);
			if (count)
				__sync_fetch_and_add(count, 1);
			return XDP_DROP;
		}
	}
	return bpf_redirect_map(&next, 0, XDP_PASS);
}

char _license[] SEC("license") = "Dual MIT/GPL";
