/* Spreads packets over CPUs by source address: a cpumap takes the work off the CPU that serves the queue. The second program can
 * be put into a cpumap slot and then runs on the chosen CPU. */
#include "packet.h"

const volatile __u32 cpus = 1; /* how many slots of `workers` are filled */

struct {
	__uint(type, BPF_MAP_TYPE_CPUMAP);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(struct bpf_cpumap_val));
	__uint(max_entries, 64);
} workers SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, __u32);
	__type(value, __u64);
	__uint(max_entries, 1);
} handled SEC(".maps");

SEC("xdp")
int spread(struct xdp_md *ctx)
{
	struct iphdr *ip = ipv4(ctx);
	if (!ip || !cpus)
		return XDP_PASS;
	return bpf_redirect_map(&workers, bpf_ntohl(ip->saddr) % cpus, XDP_PASS);
}

SEC("xdp/cpumap")
int on_worker(struct xdp_md *ctx)
{
	__u32 key = 0;
	__u64 *count = bpf_map_lookup_elem(&handled, &key);
	if (count)
		*count += 1;
	return XDP_PASS;
}

char _license[] SEC("license") = "Dual MIT/GPL";
