/* Stateless firewall: `rules` maps {protocol, destination port} to a verdict; what has no rule passes. A rule with port 0 holds
 * for all ports of its protocol that have none of their own. */
#include "packet.h"

struct rule_key {
	__u16 port; /* host byte order */
	__u8 protocol;
	__u8 unused; /* always 0: hash keys are compared byte by byte */
};

struct rule {
	__u32 verdict; /* XDP_DROP or XDP_PASS; other values drop */
	__u32 unused;
	__u64 packets;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, struct rule_key);
	__type(value, struct rule);
	__uint(max_entries, 1024);
} rules SEC(".maps");

SEC("xdp")
int firewall(struct xdp_md *ctx)
{
	struct iphdr *ip = ipv4(ctx);
	if (!ip)
		return XDP_PASS;

	struct rule_key key = { .protocol = ip->protocol };
	struct ports *ports = ports_of(ctx, ip);
	if (ports)
		key.port = bpf_ntohs(ports->dest);
	struct rule *rule = bpf_map_lookup_elem(&rules, &key);
	if (!rule && key.port) {
		key.port = 0;
		rule = bpf_map_lookup_elem(&rules, &key);
	}
	if (!rule)
		return XDP_PASS;
	__sync_fetch_and_add(&rule->packets, 1);
	return rule->verdict == XDP_PASS ? XDP_PASS : XDP_DROP;
}

char _license[] SEC("license") = "Dual MIT/GPL";
