/* AF_XDP steering: UDP goes to the socket bound to the packet's receive queue; the rest, and queues without a socket, pass. */
#include "packet.h"

struct {
	__uint(type, BPF_MAP_TYPE_XSKMAP);
	__type(key, __u32);
	__type(value, __u32);
	__uint(max_entries, 64);
} sockets SEC(".maps");

SEC("xdp")
int steer(struct xdp_md *ctx)
{
	struct iphdr *ip = ipv4(ctx);
	if (!ip || ip->protocol != IPPROTO_UDP)
		return XDP_PASS;
	return bpf_redirect_map(&sockets, ctx->rx_queue_index, XDP_PASS);
}

char _license[] SEC("license") = "Dual MIT/GPL";
