/* DDoS filter: sources inside a prefix of `blocked` are dropped and counted by prefix; every other source may send up to
 * PACKETS_PER_WINDOW in a window of one second. Sources are forgotten least recently used first. */
#include "packet.h"

#define WINDOW_NS 1000000000ULL
#define PACKETS_PER_WINDOW 10000

/* The layout that an LPM trie asks for: prefix length in bits, then the address, first byte first. */
struct prefix {
	__u32 length;
	__be32 address;
};

struct source {
	__u64 packets; /* in the window */
	__u64 window_start_ns;
	__u64 dropped;
};

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__type(key, struct prefix);
	__type(value, __u64);
	__uint(max_entries, 16384);
	__uint(map_flags, BPF_F_NO_PREALLOC);
} blocked SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__type(key, __be32);
	__type(value, struct source);
	__uint(max_entries, 65536);
} sources SEC(".maps");

SEC("xdp")
int ddos_filter(struct xdp_md *ctx)
{
	struct iphdr *ip = ipv4(ctx);
	if (!ip)
		return XDP_PASS;

	struct prefix prefix = { .length = 32, .address = ip->saddr };
	__u64 *hits = bpf_map_lookup_elem(&blocked, &prefix);
	if (hits) {
		__sync_fetch_and_add(hits, 1);
		return XDP_DROP;
	}

	__be32 address = ip->saddr;
	__u64 now = bpf_ktime_get_ns();
	struct source *source = bpf_map_lookup_elem(&sources, &address);
	if (!source) {
		struct source first = { .packets = 1, .window_start_ns = now };
		bpf_map_update_elem(&sources, &address, &first, BPF_NOEXIST);
		return XDP_PASS;
	}
	/* Two CPUs may both open a new window: at worst a source gets a few packets more. */
	if (now - source->window_start_ns >= WINDOW_NS) {
		source->window_start_ns = now;
		source->packets = 0;
	}
	if (source->packets >= PACKETS_PER_WINDOW) {
		__sync_fetch_and_add(&source->dropped, 1);
		return XDP_DROP;
	}
	__sync_fetch_and_add(&source->packets, 1);
	return XDP_PASS;
}

char _license[] SEC("license") = "Dual MIT/GPL";
