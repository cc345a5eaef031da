/* A load balancer divides by the number of servers, which user space sets. The card divides by constants only.
 *
 * $ xdp-offload check 10_variable_divisor.bpf.o --target nfp
 */
#include "packet.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} servers SEC(".maps");

SEC("xdp")
int balance(struct xdp_md *ctx)
{
	struct iphdr *ip = ipv4(ctx);
	__u32 key = 0;
	__u32 *count;

	if (!ip)
		return XDP_PASS;
	count = bpf_map_lookup_elem(&servers, &key);
	if (!count)
		return XDP_PASS;
	return ip->saddr / *count & 1 ? XDP_TX : XDP_PASS;
}

char _license[] SEC("license") = "Dual MIT/GPL";
