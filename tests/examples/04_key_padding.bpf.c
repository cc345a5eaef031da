/* Three bytes of the key are padding that nothing was put into. Kernels before 6.3 refuse to read them, and on newer ones the
 * key is never found again: it differs by what happened to be there.
 *
 * $ xdp-offload check 04_key_padding.bpf.o --target kernel:5.15
 */
#include "packet.h"

struct flow {
	__be32 source;
	__be32 destination;
	__u8 protocol;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, struct flow);
	__type(value, __u64);
} flows SEC(".maps");

SEC("xdp")
int count_flows(struct xdp_md *ctx)
{
	struct iphdr *ip = ipv4(ctx);
	struct flow flow;
	__u64 *packets;

	if (!ip)
		return XDP_PASS;
	flow.source = ip->saddr;
	flow.destination = ip->daddr;
	flow.protocol = ip->protocol;
	packets = bpf_map_lookup_elem(&flows, &flow);
	if (packets)
		__sync_fetch_and_add(packets, 1);
	return XDP_PASS;
}

char _license[] SEC("license") = "Dual MIT/GPL";
