/* On the host a lookup gives a pointer to write through. On the card values can be read and added to, not stored to.
 *
 * $ xdp-offload check 09_map_value_store.bpf.o --target nfp
 */
#include "packet.h"

struct source {
	__u32 last_destination;
	__u32 packets;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, __be32);
	__type(value, struct source);
} sources SEC(".maps");

SEC("xdp")
int remember(struct xdp_md *ctx)
{
	struct iphdr *ip = ipv4(ctx);
	struct source *source;
	__be32 key;

	if (!ip)
		return XDP_PASS;
	key = ip->saddr;
	source = bpf_map_lookup_elem(&sources, &key);
	if (source)
		source->last_destination = ip->daddr;
	return XDP_PASS;
}

char _license[] SEC("license") = "Dual MIT/GPL";
