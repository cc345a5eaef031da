/* Holds no XDP program: a traffic control classifier and a socket filter. */
#include "xdp.h"

SEC("tc")
int classifier(void *skb)
{
	return 0;
}

SEC("socket")
int filter(void *skb)
{
	return 0;
}

char _license[] SEC("license") = "Dual MIT/GPL";
