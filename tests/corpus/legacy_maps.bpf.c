/* mcpu: v1 */
/* Maps the way they were defined before BTF: a struct of numbers in section "maps". libbpf 1.x refuses such objects; they are still
 * shipped. Built for the oldest instruction set as well. */
#include "packet.h"

struct bpf_map_def {
	__u32 type;
	__u32 key_size;
	__u32 value_size;
	__u32 max_entries;
	__u32 map_flags;
};

struct bpf_map_def SEC("maps") by_protocol = {
	.type = BPF_MAP_TYPE_PERCPU_ARRAY,
	.key_size = sizeof(__u32),
	.value_size = sizeof(__u64),
	.max_entries = 256,
};

struct bpf_map_def SEC("maps") allowed = {
	.type = BPF_MAP_TYPE_HASH,
	.key_size = sizeof(__be32),
	.value_size = sizeof(__u8),
	.max_entries = 128,
	.map_flags = BPF_F_NO_PREALLOC,
};

SEC("xdp")
int legacy_maps(struct xdp_md *ctx)
{
	struct iphdr *ip = ipv4(ctx);
	if (!ip)
		return XDP_PASS;

	__u32 protocol = ip->protocol;
	__u64 *count = bpf_map_lookup_elem(&by_protocol, &protocol);
	if (count)
		*count += 1;
	__be32 source = ip->saddr;
	return bpf_map_lookup_elem(&allowed, &source) ? XDP_PASS : XDP_DROP;
}

char _license[] SEC("license") = "GPL";
