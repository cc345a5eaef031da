/* A counter per CPU is the right thing on a host. A card has no such maps, and its programs run on other processors.
 *
 * $ xdp-offload check 07_per_cpu_map.bpf.o --target nfp
 */
#include "packet.h"

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} packets SEC(".maps");

SEC("xdp")
int count(struct xdp_md *ctx)
{
	__u32 key = 0;
	__u64 *counter = bpf_map_lookup_elem(&packets, &key);

	if (counter)
		*counter += 1;
	return XDP_PASS;
}

char _license[] SEC("license") = "Dual MIT/GPL";
