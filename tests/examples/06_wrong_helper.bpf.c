/* The kernel has a clock, the card has none.
 *
 * $ xdp-offload check 06_wrong_helper.bpf.o --target nfp
 */
#include "packet.h"

SEC("xdp")
int drop_every_other_millisecond(struct xdp_md *ctx)
{
	__u64 now = bpf_ktime_get_ns();

	return now & (1 << 20) ? XDP_DROP : XDP_PASS;
}

char _license[] SEC("license") = "Dual MIT/GPL";
