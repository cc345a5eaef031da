/* Counts what the driver can tell of packets: when they came, their receive hash, their VLAN tag. It asks by metadata functions,
 * so the program is bound to its device. Needs Linux 6.3, for the VLAN tag 6.8; veth, mlx5, ice, igc and a few more tell. */
#include "xdp.h"

#define __ksym __attribute__((section(".ksyms")))

enum xdp_rss_hash_type { XDP_RSS_TYPE_NONE };
enum { TIMESTAMP, HASH, VLAN_TAG, KINDS };

extern int bpf_xdp_metadata_rx_timestamp(const struct xdp_md *ctx, __u64 *timestamp) __ksym;
extern int bpf_xdp_metadata_rx_hash(const struct xdp_md *ctx, __u32 *hash, enum xdp_rss_hash_type *type) __ksym;
extern int bpf_xdp_metadata_rx_vlan_tag(const struct xdp_md *ctx, __be16 *protocol, __u16 *tag) __ksym;

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, __u64);
	__uint(max_entries, KINDS);
} told SEC(".maps");

static __attribute__((always_inline)) void count(__u32 kind)
{
	__u64 *packets = bpf_map_lookup_elem(&told, &kind);
	if (packets)
		__sync_fetch_and_add(packets, 1);
}

SEC("xdp")
int rx_metadata(struct xdp_md *ctx)
{
	enum xdp_rss_hash_type type = XDP_RSS_TYPE_NONE;
	__u64 timestamp = 0;
	__u32 hash = 0;
	__be16 protocol = 0;
	__u16 tag = 0;

	if (bpf_xdp_metadata_rx_timestamp(ctx, &timestamp) == 0)
		count(TIMESTAMP);
	if (bpf_xdp_metadata_rx_hash(ctx, &hash, &type) == 0)
		count(HASH);
	if (bpf_xdp_metadata_rx_vlan_tag(ctx, &protocol, &tag) == 0)
		count(VLAN_TAG);
	return XDP_PASS;
}

char _license[] SEC("license") = "GPL";
