/* The length of the IP header is in the packet. What lies behind it needs a check of its own.
 *
 * $ xdp-offload check 03_variable_offset.bpf.o --target kernel:6.12
 */
#include "packet.h"

SEC("xdp")
int drop_port_53(struct xdp_md *ctx)
{
	void *end = packet_end(ctx);
	struct ethhdr *eth = packet_start(ctx);
	struct iphdr *ip = (void *)(eth + 1);
	struct ports *ports;

	if ((void *)(ip + 1) + sizeof(*ports) > end)
		return XDP_PASS;
	if (eth->h_proto != bpf_htons(ETH_P_IP) || ip->protocol != IPPROTO_UDP)
		return XDP_PASS;
	ports = (void *)ip + (ip->ihl_version & 0xf) * 4;
	return ports->dest == bpf_htons(53) ? XDP_DROP : XDP_PASS;
}

char _license[] SEC("license") = "Dual MIT/GPL";
