/* The verdict is chosen by the packet: UDP to port 7000 + N gets verdict N (7000 aborted, 7001 drop, 7002 pass, 7003 tx,
 * 7004 redirect to the interface it came from). Everything else passes uncounted. `verdicts` counts packets by verdict. */
#include "packet.h"

#define FIRST_PORT 7000

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, __u64);
	__uint(max_entries, XDP_REDIRECT + 1);
} verdicts SEC(".maps");

SEC("xdp")
int verdict_by_port(struct xdp_md *ctx)
{
	struct iphdr *ip = ipv4(ctx);
	if (!ip || ip->protocol != IPPROTO_UDP)
		return XDP_PASS;
	struct ports *udp = ports_of(ctx, ip);
	if (!udp)
		return XDP_PASS;

	__u32 verdict = bpf_ntohs(udp->dest) - FIRST_PORT;
	if (verdict > XDP_REDIRECT)
		return XDP_PASS;
	__u64 *count = bpf_map_lookup_elem(&verdicts, &verdict);
	if (count)
		__sync_fetch_and_add(count, 1);
	if (verdict == XDP_REDIRECT)
		return bpf_redirect(ctx->ingress_ifindex, 0);
	return verdict;
}

char _license[] SEC("license") = "Dual MIT/GPL";
