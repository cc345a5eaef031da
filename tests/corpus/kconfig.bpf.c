/* Reads the kernel's version and build options: the loader fills .kconfig from the running kernel. The option that no kernel has is
 * weak, so it reads as zero. */
#include "xdp.h"

extern int LINUX_KERNEL_VERSION __kconfig;
extern int CONFIG_HZ __kconfig;
extern _Bool CONFIG_BPF_SYSCALL __kconfig;
extern char CONFIG_DEFAULT_HOSTNAME[16] __kconfig __weak;
extern _Bool CONFIG_NO_KERNEL_HAS_THIS __kconfig __weak;

enum { VERSION, HZ, BPF_SYSCALL, HOSTNAME_FIRST_BYTE, UNKNOWN, ANSWERS };

__u64 answers[ANSWERS] = {};

SEC("xdp")
int kconfig(struct xdp_md *ctx)
{
	answers[VERSION] = LINUX_KERNEL_VERSION;
	answers[HZ] = CONFIG_HZ;
	answers[BPF_SYSCALL] = CONFIG_BPF_SYSCALL;
	answers[HOSTNAME_FIRST_BYTE] = CONFIG_DEFAULT_HOSTNAME[0];
	answers[UNKNOWN] = CONFIG_NO_KERNEL_HAS_THIS;
	return XDP_PASS;
}

char _license[] SEC("license") = "Dual MIT/GPL";
