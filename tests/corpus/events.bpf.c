/* Reports the first packet of each flow to user space through a ring buffer. */
#include "packet.h"

struct flow {
	__be32 source, destination;
	__be16 source_port, destination_port;
	__u32 protocol;
};

struct event {
	struct flow flow;
	__u64 time_ns;
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 256 * 1024);
} events SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__type(key, struct flow);
	__type(value, __u64);
	__uint(max_entries, 10000);
} flows SEC(".maps");

SEC("xdp")
int report_flows(struct xdp_md *ctx)
{
	struct iphdr *ip = ipv4(ctx);
	struct ports *ports = ip ? ports_of(ctx, ip) : 0;
	if (!ports)
		return XDP_PASS;

	struct flow flow = {
		.source = ip->saddr,
		.destination = ip->daddr,
		.source_port = ports->source,
		.destination_port = ports->dest,
		.protocol = ip->protocol,
	};
	__u64 now = bpf_ktime_get_ns();
	if (bpf_map_update_elem(&flows, &flow, &now, BPF_NOEXIST))
		return XDP_PASS;
	struct event *event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
	if (event) {
		event->flow = flow;
		event->time_ns = now;
		bpf_ringbuf_submit(event, 0);
	}
	return XDP_PASS;
}

char _license[] SEC("license") = "Dual MIT/GPL";
