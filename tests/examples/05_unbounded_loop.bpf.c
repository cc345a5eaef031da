/* The loop waits for a value that does not change while the program runs.
 *
 * $ xdp-offload check 05_unbounded_loop.bpf.o --target kernel:6.12
 */
#include "packet.h"

SEC("xdp")
int wait_for_queue(struct xdp_md *ctx)
{
	while (ctx->rx_queue_index != 0)
		asm volatile("");
	return XDP_PASS;
}

char _license[] SEC("license") = "Dual MIT/GPL";
