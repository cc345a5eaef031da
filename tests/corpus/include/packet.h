/* Ethernet, VLAN, IPv4 and UDP as they lie in a packet, and parsing that stops at data_end. */
#pragma once
#include "xdp.h"

#define ETH_ALEN 6
#define ETH_P_IP 0x0800
#define ETH_P_8021Q 0x8100
#define ETH_P_8021AD 0x88a8
#define IPPROTO_IPIP 4
#define IPPROTO_TCP 6
#define IPPROTO_UDP 17

struct ethhdr {
	__u8 h_dest[ETH_ALEN];
	__u8 h_source[ETH_ALEN];
	__be16 h_proto;
} __attribute__((packed));

struct vlanhdr {
	__be16 tci;
	__be16 encapsulated_proto;
};

struct iphdr {
	__u8 ihl_version; /* version in the upper four bits, header length in 32-bit words in the lower */
	__u8 tos;
	__be16 tot_len;
	__be16 id;
	__be16 frag_off;
	__u8 ttl;
	__u8 protocol;
	__u16 check;
	__be32 saddr;
	__be32 daddr;
};

/* The start of both TCP and UDP */
struct ports {
	__be16 source;
	__be16 dest;
};

struct udphdr {
	struct ports ports;
	__be16 len;
	__u16 check;
};

static __always_inline void *packet_start(const struct xdp_md *ctx)
{
	return (void *)(long)ctx->data;
}

static __always_inline void *packet_end(const struct xdp_md *ctx)
{
	return (void *)(long)ctx->data_end;
}

/* The IPv4 header of an untagged frame, or null. Packets with IP options are left alone: their ports lie elsewhere. */
static __always_inline struct iphdr *ipv4(const struct xdp_md *ctx)
{
	struct ethhdr *eth = packet_start(ctx);
	struct iphdr *ip = (void *)(eth + 1);

	if ((void *)(ip + 1) > packet_end(ctx))
		return 0;
	if (eth->h_proto != bpf_htons(ETH_P_IP) || ip->ihl_version != 0x45)
		return 0;
	return ip;
}

/* The ports behind an IPv4 header, or null for other protocols, later fragments and short packets. */
static __always_inline struct ports *ports_of(const struct xdp_md *ctx, struct iphdr *ip)
{
	struct ports *ports = (void *)(ip + 1);

	if (ip->protocol != IPPROTO_TCP && ip->protocol != IPPROTO_UDP)
		return 0;
	if (ip->frag_off & bpf_htons(0x1fff))
		return 0;
	if ((void *)(ports + 1) > packet_end(ctx))
		return 0;
	return ports;
}
