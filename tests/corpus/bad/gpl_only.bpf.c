/* Refused: calls a helper that only programs under a GPL-compatible licence may call. */
#include "xdp.h"

SEC("xdp")
int gpl_only(struct xdp_md *ctx)
{
	__u64 task = bpf_get_current_task();
	__u32 value = 0;

	bpf_probe_read_kernel(&value, sizeof(value), (void *)task);
	return value ? XDP_PASS : XDP_DROP;
}

char _license[] SEC("license") = "Proprietary";
