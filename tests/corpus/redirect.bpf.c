/* Forwards by a devmap: a packet that came in on interface N leaves through the interface in `ports[N]`, or passes where there is
 * none. The second program can be put into a devmap slot and then runs on the way out: it counts, and drops what is too short. */
#include "packet.h"

struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP_HASH);
	__type(key, __u32);
	__type(value, struct bpf_devmap_val);
	__uint(max_entries, 256);
} ports SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__type(key, __u32);
	__type(value, __u64);
	__uint(max_entries, 256);
} sent SEC(".maps");

SEC("xdp")
int forward(struct xdp_md *ctx)
{
	return bpf_redirect_map(&ports, ctx->ingress_ifindex, XDP_PASS);
}

SEC("xdp/devmap")
int on_the_way_out(struct xdp_md *ctx)
{
	__u32 egress = ctx->egress_ifindex;
	__u64 one = 1;

	if (packet_start(ctx) + sizeof(struct ethhdr) > packet_end(ctx))
		return XDP_DROP;
	__u64 *count = bpf_map_lookup_elem(&sent, &egress);
	if (count)
		*count += 1;
	else
		bpf_map_update_elem(&sent, &egress, &one, BPF_NOEXIST);
	return XDP_PASS;
}

char _license[] SEC("license") = "Dual MIT/GPL";
