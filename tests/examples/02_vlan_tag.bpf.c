/* With a VLAN tag everything lies four bytes further, and the check was written for packets without one.
 *
 * $ xdp-offload check 02_vlan_tag.bpf.o --target kernel:6.12
 */
#include "packet.h"

SEC("xdp")
int drop_icmp(struct xdp_md *ctx)
{
	void *end = packet_end(ctx);
	struct ethhdr *eth = packet_start(ctx);
	struct iphdr *ip = (void *)(eth + 1);
	__be16 proto;

	if ((void *)(ip + 1) > end)
		return XDP_PASS;
	proto = eth->h_proto;
	if (proto == bpf_htons(ETH_P_8021Q)) {
		struct vlanhdr *vlan = (void *)(eth + 1);

		proto = vlan->encapsulated_proto;
		ip = (void *)(vlan + 1);
	}
	if (proto != bpf_htons(ETH_P_IP))
		return XDP_PASS;
	return ip->daddr == bpf_htonl(0x0a000001) ? XDP_DROP : XDP_PASS;
}

char _license[] SEC("license") = "Dual MIT/GPL";
