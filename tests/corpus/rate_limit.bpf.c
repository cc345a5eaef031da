/* Token bucket for each receive queue: RATE packets a second with bursts of up to BURST. The bucket is updated under a spin lock, so
 * it is exact on any number of CPUs. */
#include "xdp.h"

#define RATE 100000
#define BURST 1000
#define NS_PER_TOKEN (1000000000 / RATE)

struct bucket {
	struct bpf_spin_lock lock;
	__u32 tokens;
	__u64 refilled_ns; /* when the last whole token was added */
	__u64 dropped;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, struct bucket);
	__uint(max_entries, 64);
} buckets SEC(".maps");

SEC("xdp")
int rate_limit(struct xdp_md *ctx)
{
	__u32 queue = ctx->rx_queue_index;
	struct bucket *bucket = bpf_map_lookup_elem(&buckets, &queue);
	if (!bucket)
		return XDP_PASS;

	int verdict = XDP_PASS;
	__u64 now = bpf_ktime_get_ns(); /* no helper may be called while the lock is held */
	bpf_spin_lock(&bucket->lock);
	__u64 new_tokens = (now - bucket->refilled_ns) / NS_PER_TOKEN;
	if (new_tokens >= BURST) {
		bucket->tokens = BURST;
		bucket->refilled_ns = now;
	} else {
		bucket->tokens += new_tokens;
		if (bucket->tokens > BURST)
			bucket->tokens = BURST;
		bucket->refilled_ns += new_tokens * NS_PER_TOKEN;
	}
	if (bucket->tokens) {
		bucket->tokens--;
	} else {
		bucket->dropped++;
		verdict = XDP_DROP;
	}
	bpf_spin_unlock(&bucket->lock);
	return verdict;
}

char _license[] SEC("license") = "Dual MIT/GPL";
