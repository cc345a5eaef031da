/* Declares with its section that it understands packets in several buffers, so it may sit on an interface with a large MTU.
 * Counts packets by length and looks at a byte behind the first buffer. */
#include "packet.h"

#define STEP 1024

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, __u64);
	__uint(max_entries, 65);
} by_length SEC(".maps");

SEC("xdp.frags")
int frags(struct xdp_md *ctx)
{
	__u64 length = bpf_xdp_get_buff_len(ctx);
	__u32 bucket = length / STEP;
	__u64 *count = bpf_map_lookup_elem(&by_length, &bucket);
	if (count)
		__sync_fetch_and_add(count, 1);

	__u8 last;
	if (length && bpf_xdp_load_bytes(ctx, length - 1, &last, sizeof(last)))
		return XDP_ABORTED;
	return XDP_PASS;
}

char _license[] SEC("license") = "Dual MIT/GPL";
