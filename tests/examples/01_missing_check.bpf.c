/* The check covers the Ethernet header, and the program goes on into the IP header.
 *
 * $ xdp-offload check 01_missing_check.bpf.o --target kernel:6.12
 */
#include "packet.h"

SEC("xdp")
int drop_udp(struct xdp_md *ctx)
{
	struct ethhdr *eth = packet_start(ctx);
	struct iphdr *ip = (void *)(eth + 1);

	if ((void *)(eth + 1) > packet_end(ctx))
		return XDP_PASS;
	if (eth->h_proto != bpf_htons(ETH_P_IP))
		return XDP_PASS;
	return ip->protocol == IPPROTO_UDP ? XDP_DROP : XDP_PASS;
}

char _license[] SEC("license") = "Dual MIT/GPL";
