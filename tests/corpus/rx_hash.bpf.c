/* Counts packets by whether the driver can tell the receive hash: a metadata function, so the program is bound to its device.
 * Needs Linux 6.3; veth, mlx5, ice, igc and a few more tell. */
#include "xdp.h"

#define __ksym __attribute__((section(".ksyms")))

enum xdp_rss_hash_type { XDP_RSS_TYPE_NONE };

extern int bpf_xdp_metadata_rx_hash(const struct xdp_md *ctx, __u32 *hash, enum xdp_rss_hash_type *type) __ksym;

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, __u64);
	__uint(max_entries, 2);
} by_hash SEC(".maps");

SEC("xdp")
int rx_hash(struct xdp_md *ctx)
{
	__u32 hash = 0;
	enum xdp_rss_hash_type type = XDP_RSS_TYPE_NONE;
	__u32 known = bpf_xdp_metadata_rx_hash(ctx, &hash, &type) == 0;
	__u64 *packets = bpf_map_lookup_elem(&by_hash, &known);
	if (packets)
		__sync_fetch_and_add(packets, 1);
	return XDP_PASS;
}

char _license[] SEC("license") = "GPL";
