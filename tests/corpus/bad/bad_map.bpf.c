/* Refused before any program is seen: the kernel does not create an LPM trie without BPF_F_NO_PREALLOC. */
#include "xdp.h"

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(key_size, 8);
	__uint(value_size, 8);
	__uint(max_entries, 100);
} prefixes SEC(".maps");

SEC("xdp")
int bad_map(struct xdp_md *ctx)
{
	__u32 key[2] = { 32, ctx->ingress_ifindex };
	return bpf_map_lookup_elem(&prefixes, key) ? XDP_DROP : XDP_PASS;
}

char _license[] SEC("license") = "Dual MIT/GPL";
