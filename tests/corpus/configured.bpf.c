/* Configured before it is loaded: the constants lie in .rodata, which the loader may change, and the verifier sees their values. */
#include "packet.h"

const volatile __u16 blocked_port = 9;	   /* UDP, host byte order */
const volatile __u8 dry_run = 0;	   /* 1: count, but drop nothing */
const volatile __u32 sample_mask = 0;	   /* of 2^n - 1: count one packet of 2^n */

__u64 matched = 0; /* .bss */
__u64 budget = 1000000; /* .data: how many may be dropped at most */

SEC("xdp")
int configured(struct xdp_md *ctx)
{
	struct iphdr *ip = ipv4(ctx);
	if (!ip || ip->protocol != IPPROTO_UDP)
		return XDP_PASS;
	struct ports *udp = ports_of(ctx, ip);
	if (!udp || bpf_ntohs(udp->dest) != blocked_port)
		return XDP_PASS;
	if (!(bpf_ntohs(ip->id) & sample_mask))
		__sync_fetch_and_add(&matched, 1);
	if (dry_run || !budget)
		return XDP_PASS;
	__sync_fetch_and_add(&budget, -1);
	return XDP_DROP;
}

char _license[] SEC("license") = "Dual MIT/GPL";
