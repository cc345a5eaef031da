/* Removes the outer VLAN tag: the MAC addresses move four bytes up and the packet's start follows with adjust_head. */
#include "packet.h"

SEC("xdp")
int vlan_pop(struct xdp_md *ctx)
{
	struct ethhdr *eth = packet_start(ctx);
	struct vlanhdr *vlan = (void *)(eth + 1);
	if ((void *)(vlan + 1) > packet_end(ctx))
		return XDP_PASS;
	if (eth->h_proto != bpf_htons(ETH_P_8021Q) && eth->h_proto != bpf_htons(ETH_P_8021AD))
		return XDP_PASS;

	/* The protocol behind the tag stays where it is and ends the moved header. */
	struct ethhdr copy = *eth;
	copy.h_proto = vlan->encapsulated_proto;
	if (bpf_xdp_adjust_head(ctx, sizeof(*vlan)))
		return XDP_DROP;
	eth = packet_start(ctx);
	if ((void *)(eth + 1) > packet_end(ctx))
		return XDP_DROP;
	*eth = copy;
	return XDP_PASS;
}

char _license[] SEC("license") = "Dual MIT/GPL";
