/* Layer 4 load balancer: a packet to a virtual service {address, port, protocol} is wrapped in an IPv4 header of its own (IPIP) to
 * one of the service's backends, chosen by a hash of its flow so that a connection keeps its backend, and sent back out. */
#include "packet.h"

#define MAX_SERVICES 64
#define MAX_BACKENDS 1024

struct service_key {
	__be32 address;
	__be16 port;
	__u8 protocol;
	__u8 unused; /* always 0 */
};

/* A service's backends lie side by side in `backends`. */
struct service {
	__u32 first;
	__u32 count;
};

struct backend {
	__be32 address;
	__u8 mac[ETH_ALEN]; /* of the next hop to it */
	__u16 unused;
	__u64 packets;
	__u64 bytes;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, struct service_key);
	__type(value, struct service);
	__uint(max_entries, MAX_SERVICES);
} services SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, struct backend);
	__uint(max_entries, MAX_BACKENDS);
} backends SEC(".maps");

/* Mixes 32 bits so that each input bit reaches each output bit (the final step of MurmurHash3). */
static __always_inline __u32 mix(__u32 hash)
{
	hash ^= hash >> 16;
	hash *= 0x85ebca6b;
	hash ^= hash >> 13;
	hash *= 0xc2b2ae35;
	return hash ^ (hash >> 16);
}

static __always_inline __u16 ipv4_checksum(const struct iphdr *ip)
{
	const __u16 *word = (const void *)ip;
	__u32 sum = 0;

#pragma unroll
	for (int i = 0; i < sizeof(*ip) / 2; i++)
		sum += word[i];
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

SEC("xdp")
int load_balancer(struct xdp_md *ctx)
{
	struct iphdr *ip = ipv4(ctx);
	if (!ip)
		return XDP_PASS;
	struct ports *ports = ports_of(ctx, ip);
	if (!ports)
		return XDP_PASS;
	struct service_key key = { .address = ip->daddr, .port = ports->dest, .protocol = ip->protocol };
	struct service *service = bpf_map_lookup_elem(&services, &key);
	if (!service || !service->count)
		return XDP_PASS;

	__u32 flow = mix(ip->saddr ^ mix(ports->source << 16 | ports->dest));
	/* Scales the hash to 0..count without a division. */
	__u32 index = service->first + (__u32)(((__u64)flow * service->count) >> 32);
	struct backend *backend = bpf_map_lookup_elem(&backends, &index);
	if (!backend)
		return XDP_DROP;

	__u16 inner_len = bpf_ntohs(ip->tot_len);
	__be32 source = ip->daddr;
	if (bpf_xdp_adjust_head(ctx, -(int)sizeof(struct iphdr)))
		return XDP_DROP;
	struct ethhdr *eth = packet_start(ctx);
	struct iphdr *outer = (void *)(eth + 1);
	struct ethhdr *old_eth = (void *)eth + sizeof(*outer);
	if ((void *)(old_eth + 1) > packet_end(ctx) || (void *)(outer + 1) > packet_end(ctx))
		return XDP_DROP;

	struct ethhdr new_eth = { .h_proto = bpf_htons(ETH_P_IP) };
	__builtin_memcpy(new_eth.h_source, old_eth->h_dest, ETH_ALEN);
	__builtin_memcpy(new_eth.h_dest, backend->mac, ETH_ALEN);
	struct iphdr new_ip = {
		.ihl_version = 0x45,
		.tot_len = bpf_htons(inner_len + sizeof(struct iphdr)),
		.ttl = 64,
		.protocol = IPPROTO_IPIP,
		.saddr = source,
		.daddr = backend->address,
	};
	new_ip.check = ipv4_checksum(&new_ip);
	*eth = new_eth;
	*outer = new_ip;
	__sync_fetch_and_add(&backend->packets, 1);
	__sync_fetch_and_add(&backend->bytes, inner_len);
	return XDP_TX;
}

char _license[] SEC("license") = "Dual MIT/GPL";
