/* Refused: a loop that never ends. */
#include "xdp.h"

SEC("xdp")
int infinite_loop(struct xdp_md *ctx)
{
	asm volatile("again: goto again");
	return XDP_PASS;
}

char _license[] SEC("license") = "Dual MIT/GPL";
