/* Uses what the kernel exports: a function, the address of a symbol, and some that no kernel has, which are weak and guarded. A
 * callback gets its function's address. Needs Linux 6.2. */
#include "xdp.h"

#define __ksym __attribute__((section(".ksyms")))
#define preserve __attribute__((preserve_access_index))

static long (*const bpf_loop)(__u32 times, void *callback, void *context, __u64 flags) = (void *)181;

struct net_device {
	int ifindex;
} preserve;

struct xdp_rxq_info {
	struct net_device *dev;
} preserve;

struct xdp_buff {
	struct xdp_rxq_info *rxq;
} preserve;

extern void *bpf_cast_to_kern_ctx(void *) __ksym;
extern int no_kernel_has_this_function(struct xdp_md *ctx) __ksym __weak;
extern const int no_kernel_has_this_variable __ksym __weak;
extern const void bpf_prog_put __ksym;
extern const void no_kernel_has_this_symbol __ksym __weak;

enum { IFINDEX, ADDRESS, MISSING, TURNS, ANSWERS };

__u64 answers[ANSWERS] = {};

static int one_turn(__u32 turn, void *context)
{
	answers[TURNS] += 1;
	return turn == 6;
}

SEC("xdp")
int kernel_symbols(struct xdp_md *ctx)
{
	struct xdp_buff *buff = bpf_cast_to_kern_ctx(ctx);

	answers[IFINDEX] = buff->rxq->dev->ifindex;
	answers[ADDRESS] = (__u64)&bpf_prog_put;
	answers[MISSING] = (__u64)&no_kernel_has_this_symbol;
	if (&no_kernel_has_this_variable)
		answers[MISSING] += 1;
	if (no_kernel_has_this_function)
		return no_kernel_has_this_function(ctx);
	bpf_loop(100, one_turn, 0, 0);
	return XDP_PASS;
}

char _license[] SEC("license") = "GPL";
