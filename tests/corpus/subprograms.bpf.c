/* Calls between BPF functions: one static function in .text, and one global one that the verifier checks on its own. */
#include "packet.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, __u64);
	__uint(max_entries, 64);
} by_ttl SEC(".maps");

/* Static: verified with what its caller knows. */
static __noinline int bucket_of(__u8 ttl)
{
	return ttl >> 2;
}

/* Global: verified for any context; its result may be anything. */
__noinline int classify(struct xdp_md *ctx)
{
	struct iphdr *ip = ipv4(ctx);
	return ip ? bucket_of(ip->ttl) : -1;
}

SEC("xdp")
int subprograms(struct xdp_md *ctx)
{
	int class = classify(ctx);
	if (class < 0)
		return XDP_PASS;

	__u32 bucket = class;
	__u64 *count = bpf_map_lookup_elem(&by_ttl, &bucket);
	if (count)
		__sync_fetch_and_add(count, 1);
	return bucket == bucket_of(1) ? XDP_DROP : XDP_PASS;
}

char _license[] SEC("license") = "Dual MIT/GPL";
