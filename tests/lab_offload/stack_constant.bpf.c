/* Stores a constant on the stack, for which the NFP's driver has no translation: clang 14 writes no such instruction. */
#include "packet.h"

SEC("xdp")
int stack_constant(struct xdp_md *ctx)
{
	/* *(u64 *)(r10 - 8) = 1 */
	asm volatile(".byte 0x7a, 0x0a, 0xf8, 0xff, 1, 0, 0, 0" ::: "memory");
	return XDP_PASS;
}

char _license[] SEC("license") = "Dual MIT/GPL";
