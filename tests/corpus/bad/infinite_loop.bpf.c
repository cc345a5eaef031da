/* Refused: a loop that never ends, because what it waits for never changes. */
#include "xdp.h"

SEC("xdp")
int infinite_loop(struct xdp_md *ctx)
{
	while (ctx->rx_queue_index)
		asm volatile("" ::: "memory");
	return XDP_PASS;
}

char _license[] SEC("license") = "Dual MIT/GPL";
