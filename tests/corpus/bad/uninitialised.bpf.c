/* Refused: returns a register that was never written. In assembly, because a compiler would not emit it. */
#include "xdp.h"

SEC("xdp")
int uninitialised(struct xdp_md *ctx)
{
	int verdict;

	asm volatile("%0 = r8" : "=r"(verdict));
	return verdict;
}

char _license[] SEC("license") = "Dual MIT/GPL";
