/* Each function is within the 512 bytes that the compiler watches. They share them, because one calls the other.
 *
 * $ xdp-offload check 08_large_stack.bpf.o --target kernel:6.12
 */
#include "packet.h"

static __noinline int checksum(const __u8 *bytes, __u32 seed)
{
	volatile __u8 mixed[280];
	__u32 sum = 0;

	for (int i = 0; i < 280; i++)
		mixed[i] = i ^ seed;
	for (int i = 0; i < 64; i++)
		sum += bytes[i] ^ mixed[i];
	return sum;
}

SEC("xdp")
int sample(struct xdp_md *ctx)
{
	__u8 copy[264] = {};

	copy[0] = ctx->rx_queue_index;
	return checksum(copy, ctx->ingress_ifindex) & 1 ? XDP_DROP : XDP_PASS;
}

char _license[] SEC("license") = "Dual MIT/GPL";
