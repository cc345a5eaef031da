/* Taken by the kernel and by the NFP's driver, whose translation does something else: two instructions of it are wrong. */
#include "packet.h"

SEC("xdp")
int nfp_wrong_code(struct xdp_md *ctx)
{
	__u32 *word = packet_start(ctx);

	if ((void *)(word + 4) > packet_end(ctx))
		return XDP_PASS;
	__u32 slot = word[0] / 28;
	long level = (long)(((__u64)word[1] << 32) | word[2]) >> word[3];

	return (slot & 1) || level == -1 ? XDP_DROP : XDP_PASS;
}

char _license[] SEC("license") = "Dual MIT/GPL";
