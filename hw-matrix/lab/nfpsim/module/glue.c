// SPDX-License-Identifier: GPL-2.0
/* nfpsim: a dummy netdev whose BPF offload device is the unmodified eBPF
 * offload code of the in-tree nfp driver (jit.c, verifier.c, offload.c and
 * nfp_asm.c).  This file stands in for the card, its firmware and the rest of
 * the driver: firmware capabilities come from module parameters, the control
 * BAR is plain memory, maps are lists.
 */
#include <linux/debugfs.h>
#include <linux/delay.h>
#include <linux/dma-mapping.h>
#include <linux/etherdevice.h>
#include <linux/ethtool.h>
#include <linux/module.h>
#include <linux/netdevice.h>
#include <linux/pci.h>
#include <linux/platform_device.h>
#include <linux/seq_file.h>
#include <linux/io.h>

#include "nfp_app.h"
#include "nfp_main.h"
#include "nfp_net.h"
#include "nfp_net_ctrl.h"
#include "bpf/main.h"

/* ---- what the firmware would report ---- */
#define P(type, name, val, desc)				\
	static type name = val;					\
	module_param(name, type, 0444);				\
	MODULE_PARM_DESC(name, desc)

P(uint, abi, 3, "BPF ABI version, 2 or 3");
P(uint, max_len, 8192, "code store, in instructions");
P(uint, stack_chunks, 8, "stack, in 64 byte chunks");
P(uint, inl_mtu, 32, "packet split offset, in 64 byte chunks");
P(uint, bpf_cap, 1, "NFP_NET_CFG_BPF_CAP (1: live reload)");
P(uint, start_off, 2048, "load address of the program");
P(uint, tgt_done, 100, "address jumped to when the program is done");
P(uint, mtu, 1500, "netdev MTU");
P(uint, ah_flags, 1, "adjust_head flags (1: no metadata shifting)");
P(int, ah_min, 32, "adjust_head off_min");
P(int, ah_max, 248, "adjust_head off_max; 0: not supported");
P(int, ah_sub, 64, "adjust_head guaranteed_sub");
P(int, ah_add, 128, "adjust_head guaranteed_add");
P(bool, adjust_tail, true, "adjust_tail");
P(bool, prandom, true, "pseudo random");
P(bool, qsel, true, "queue select");
P(uint, fn_lookup, 200, "map_lookup address; 0: not supported");
P(uint, fn_update, 210, "map_update address; 0: not supported");
P(uint, fn_delete, 220, "map_delete address; 0: not supported");
P(uint, fn_event, 230, "perf_event_output address; 0: not supported");
P(uint, map_types, 0x6, "bit mask of BPF map types (2: hash, 4: array)");
P(uint, max_maps, 64, "maps");
P(uint, max_elems, 1048576, "map elements in total");
P(uint, max_key_sz, 64, "map key size");
P(uint, max_val_sz, 64, "map value size");
P(uint, max_elem_sz, 128, "key and value, each rounded up to 8");
P(bool, cmsg_multi, true, "several map entries in a message");

static struct platform_device *sim_pdev;
static struct net_device *sim_dev;
static struct nfp_app sim_app;
static struct nfp_pf *sim_pf;
static struct pci_dev *sim_pci;
static struct nfp_net *sim_ctrl;
static struct nfp_app_bpf *sim_bpf;
static void *sim_bar;
static u32 next_tid = 1;

/* offload.c looks maps that stay on the host up by kernel map ID */
const struct rhashtable_params nfp_bpf_maps_neutral_params = {
	.head_offset = offsetof(struct nfp_bpf_neutral_map, l),
	.key_offset = offsetof(struct nfp_bpf_neutral_map, map_id),
	.key_len = sizeof(u32),
};

/* ---- what the driver gave the card last ---- */
static DEFINE_MUTEX(cap_lock);
static struct {
	void *loaded;		/* what the driver DMAs on attach */
	size_t loaded_len;
} cap;

static void cap_reset(void)
{
	kvfree(cap.loaded);
	memset(&cap, 0, sizeof(cap));
}

static int sim_translate(struct bpf_prog *prog)
{
	struct nfp_prog *np = prog->aux->offload->dev_priv;
	int err = nfp_bpf_dev_ops.translate(prog);

	if (prog->aux->offload->opt_failed)
		pr_info("nfpsim: verifier reported opt_failed\n");
	if (err)
		pr_info("nfpsim: translate error %d after %u of %u insns, %u words, %d\n",
			err, np->n_translated, np->n_insns, np->prog_len,
			np->error);
	return err;
}

static struct bpf_prog_offload_ops sim_ops;

/* ---- stand-ins for the rest of the driver ---- */
int nfp_net_reconfig(struct nfp_net *nn, u32 update)
{
	size_t len;

	if (!(update & NFP_NET_CFG_UPDATE_BPF))
		return 0;
	len = nn_readw(nn, NFP_NET_CFG_BPF_SIZE) * sizeof(u64);
	mutex_lock(&cap_lock);
	kvfree(cap.loaded);
	cap.loaded = kvmemdup(phys_to_virt(nn_readq(nn, NFP_NET_CFG_BPF_ADDR)),
			      len, GFP_KERNEL);
	cap.loaded_len = cap.loaded ? len : 0;
	mutex_unlock(&cap_lock);
	return 0;
}

/* ---- maps, as the card keeps them: what is not there is 0 in an array ---- */
struct sim_entry {
	struct list_head l;
	u32 tid;
	u8 data[];		/* key, value */
};

static DEFINE_MUTEX(entries_lock);
static LIST_HEAD(entries);

static u32 sim_tid(struct bpf_offloaded_map *m)
{
	struct nfp_bpf_map *map = m->dev_priv;

	return map->tid;
}

static struct sim_entry *sim_find(struct bpf_offloaded_map *m, const void *key)
{
	struct sim_entry *e;

	list_for_each_entry(e, &entries, l)
		if (e->tid == sim_tid(m) &&
		    !memcmp(e->data, key, m->map.key_size))
			return e;
	return NULL;
}

static u32 sim_count(struct bpf_offloaded_map *m)
{
	struct sim_entry *e;
	u32 n = 0;

	list_for_each_entry(e, &entries, l)
		n += e->tid == sim_tid(m);
	return n;
}

static bool sim_is_array(struct bpf_offloaded_map *m)
{
	return m->map.map_type == BPF_MAP_TYPE_ARRAY;
}

static bool sim_no_index(struct bpf_offloaded_map *m, const void *key)
{
	return sim_is_array(m) && *(const u32 *)key >= m->map.max_entries;
}

static void sim_free_entries(u32 tid)
{
	struct sim_entry *e, *next;

	mutex_lock(&entries_lock);
	list_for_each_entry_safe(e, next, &entries, l)
		if (e->tid == tid) {
			list_del(&e->l);
			kfree(e);
		}
	mutex_unlock(&entries_lock);
}

long long int nfp_bpf_ctrl_alloc_map(struct nfp_app_bpf *bpf,
				     struct bpf_map *map)
{
	return next_tid++;
}

void nfp_bpf_ctrl_free_map(struct nfp_app_bpf *bpf, struct nfp_bpf_map *map)
{
	sim_free_entries(map->tid);
}

/* An array's first index, or the first entry that was put in */
int nfp_bpf_ctrl_getfirst_entry(struct bpf_offloaded_map *m, void *next)
{
	struct sim_entry *e;
	int err = -ENOENT;

	if (sim_is_array(m)) {
		memset(next, 0, m->map.key_size);
		return 0;
	}
	mutex_lock(&entries_lock);
	list_for_each_entry(e, &entries, l)
		if (e->tid == sim_tid(m)) {
			memcpy(next, e->data, m->map.key_size);
			err = 0;
			break;
		}
	mutex_unlock(&entries_lock);
	return err;
}

int nfp_bpf_ctrl_getnext_entry(struct bpf_offloaded_map *m, void *k, void *n)
{
	struct sim_entry *e;
	int err = -ENOENT;

	if (sim_is_array(m)) {
		u32 index = *(u32 *)k;

		if (index >= m->map.max_entries)
			return nfp_bpf_ctrl_getfirst_entry(m, n);
		if (index + 1 == m->map.max_entries)
			return -ENOENT;
		*(u32 *)n = index + 1;
		return 0;
	}
	mutex_lock(&entries_lock);
	e = sim_find(m, k);
	if (!e) {
		mutex_unlock(&entries_lock);
		return nfp_bpf_ctrl_getfirst_entry(m, n);
	}
	list_for_each_entry_continue(e, &entries, l)
		if (e->tid == sim_tid(m)) {
			memcpy(n, e->data, m->map.key_size);
			err = 0;
			break;
		}
	mutex_unlock(&entries_lock);
	return err;
}

int nfp_bpf_ctrl_update_entry(struct bpf_offloaded_map *m, void *k, void *v,
			      u64 flags)
{
	struct sim_entry *e;
	int err = 0;

	if (sim_no_index(m, k))
		return -E2BIG;
	mutex_lock(&entries_lock);
	e = sim_find(m, k);
	if (flags == BPF_NOEXIST && (e || sim_is_array(m))) {
		err = -EEXIST;
	} else if (flags == BPF_EXIST && !e && !sim_is_array(m)) {
		err = -ENOENT;
	} else if (!e && !sim_is_array(m) &&
		   sim_count(m) >= m->map.max_entries) {
		err = -E2BIG;
	} else if (!e) {
		e = kzalloc(sizeof(*e) + m->map.key_size + m->map.value_size,
			    GFP_KERNEL);
		if (e) {
			e->tid = sim_tid(m);
			memcpy(e->data, k, m->map.key_size);
			list_add_tail(&e->l, &entries);
		} else {
			err = -ENOMEM;
		}
	}
	if (!err)
		memcpy(e->data + m->map.key_size, v, m->map.value_size);
	mutex_unlock(&entries_lock);
	return err;
}

int nfp_bpf_ctrl_del_entry(struct bpf_offloaded_map *m, void *k)
{
	struct sim_entry *e;

	if (sim_is_array(m))
		return -EINVAL;
	mutex_lock(&entries_lock);
	e = sim_find(m, k);
	if (e)
		list_del(&e->l);
	mutex_unlock(&entries_lock);
	if (!e)
		return -ENOENT;
	kfree(e);
	return 0;
}

int nfp_bpf_ctrl_lookup_entry(struct bpf_offloaded_map *m, void *k, void *v)
{
	struct sim_entry *e;
	int err = 0;

	if (sim_no_index(m, k))
		return -ENOENT;
	mutex_lock(&entries_lock);
	e = sim_find(m, k);
	if (e)
		memcpy(v, e->data + m->map.key_size, m->map.value_size);
	else if (sim_is_array(m))
		memset(v, 0, m->map.value_size);
	else
		err = -ENOENT;
	mutex_unlock(&entries_lock);
	return err;
}

/* ---- netdev ---- */
static int sim_ndo_bpf(struct net_device *dev, struct netdev_bpf *x)
{
	struct nfp_net *nn = netdev_priv(dev);
	bool running, xdp_running;
	int err;

	switch (x->command) {
	/* The host's own program, as nfp_net_xdp_setup_drv(), but there are
	 * no rings and no checks of them
	 */
	case XDP_SETUP_PROG:
		xdp_attachment_setup(&nn->xdp, x);
		return 0;
	case XDP_SETUP_PROG_HW:
		running = nn->dp.ctrl & NFP_NET_CFG_CTRL_BPF;
		xdp_running = running && nn->xdp_hw.prog;
		if (!x->prog && !xdp_running)
			return 0;
		if (x->prog && running && !xdp_running)
			return -EBUSY;
		err = nfp_net_bpf_offload(nn, x->prog, running, x->extack);
		if (err)
			return err;
		xdp_attachment_setup(&nn->xdp_hw, x);
		return 0;
	case BPF_OFFLOAD_MAP_ALLOC:
	case BPF_OFFLOAD_MAP_FREE:
		return nfp_ndo_bpf(&sim_app, nn, x);
	default:
		return -EINVAL;
	}
}

static int sim_ndo_init(struct net_device *dev)
{
	return bpf_offload_dev_netdev_register(sim_bpf->bpf_dev, dev);
}

static void sim_ndo_uninit(struct net_device *dev)
{
	bpf_offload_dev_netdev_unregister(sim_bpf->bpf_dev, dev);
}

static netdev_tx_t sim_xmit(struct sk_buff *skb, struct net_device *dev)
{
	dev_kfree_skb(skb);
	return NETDEV_TX_OK;
}

static const struct net_device_ops sim_netdev_ops = {
	.ndo_init	= sim_ndo_init,
	.ndo_uninit	= sim_ndo_uninit,
	.ndo_start_xmit	= sim_xmit,
	.ndo_bpf	= sim_ndo_bpf,
};

static void sim_get_drvinfo(struct net_device *dev,
			    struct ethtool_drvinfo *info)
{
	strscpy(info->driver, "nfpsim", sizeof(info->driver));
	/* The real driver's ends in the name of the firmware's application */
	strscpy(info->fw_version, "0.0.0.0 0.0 sim bpf", sizeof(info->fw_version));
}

/* As nfp_net_get_regs(): the control BAR */
static int sim_get_regs_len(struct net_device *dev)
{
	return NFP_NET_CFG_BAR_SZ;
}

static void sim_get_regs(struct net_device *dev, struct ethtool_regs *regs,
			 void *p)
{
	regs->version = 0;
	memcpy(p, sim_bar, NFP_NET_CFG_BAR_SZ);
}

static const struct ethtool_ops sim_ethtool_ops = {
	.get_drvinfo	= sim_get_drvinfo,
	.get_link	= ethtool_op_get_link,
	.get_regs_len	= sim_get_regs_len,
	.get_regs	= sim_get_regs,
};

/* ---- debugfs ---- */
static struct dentry *dbg;

#define DBG_BLOB(name)							\
static ssize_t name##_read(struct file *f, char __user *b, size_t c,	\
			   loff_t *pos)					\
{									\
	ssize_t r = 0;							\
									\
	mutex_lock(&cap_lock);						\
	if (cap.name)							\
		r = simple_read_from_buffer(b, c, pos, cap.name,	\
					    cap.name##_len);		\
	mutex_unlock(&cap_lock);					\
	return r;							\
}									\
static const struct file_operations name##_fops = {			\
	.owner = THIS_MODULE, .read = name##_read,			\
	.llseek = default_llseek,					\
}

DBG_BLOB(loaded);

/* A card as new: no maps, nothing captured */
static ssize_t reset_write(struct file *f, const char __user *b, size_t c,
			   loff_t *pos)
{
	/* maps of earlier programs are freed by RCU and a worker */
	for (int i = 0; sim_bpf->maps_in_use && i < 10000; i++)
		usleep_range(100, 200);
	mutex_lock(&cap_lock);
	cap_reset();
	next_tid = 1;		/* same map IDs in every run */
	mutex_unlock(&cap_lock);
	return c;
}

static const struct file_operations reset_fops = {
	.owner = THIS_MODULE, .write = reset_write,
};

/* ---- module ---- */
static void sim_fill_bpf(void)
{
	struct nfp_app_bpf *b = sim_bpf;

	b->app = &sim_app;
	INIT_LIST_HEAD(&b->map_list);
	b->abi_version = abi;
	b->adjust_head.flags = ah_flags;
	b->adjust_head.off_min = ah_min;
	b->adjust_head.off_max = ah_max;
	b->adjust_head.guaranteed_sub = ah_sub;
	b->adjust_head.guaranteed_add = ah_add;
	b->maps.types = map_types;
	b->maps.max_maps = max_maps;
	b->maps.max_elems = max_elems;
	b->maps.max_key_sz = max_key_sz;
	b->maps.max_val_sz = max_val_sz;
	b->maps.max_elem_sz = max_elem_sz;
	b->helpers.map_lookup = fn_lookup;
	b->helpers.map_update = fn_update;
	b->helpers.map_delete = fn_delete;
	b->helpers.perf_event_output = fn_event;
	b->pseudo_random = prandom;
	b->queue_select = qsel;
	b->adjust_tail = adjust_tail;
	b->cmsg_multi_ent = cmsg_multi;
	if (abi < 3) {
		b->cmsg_key_sz = CMSG_MAP_KEY_LW * 4;
		b->cmsg_val_sz = CMSG_MAP_VALUE_LW * 4;
	} else {
		b->cmsg_key_sz = max_key_sz;
		b->cmsg_val_sz = max_val_sz;
	}
	b->cmsg_cache_cnt = cmsg_multi ? NFP_BPF_MAP_CACHE_CNT : 1;
}

static void sim_fill_bar(struct nfp_net *nn)
{
	nn_writeb(nn, NFP_NET_CFG_BPF_ABI, abi);
	nn_writeb(nn, NFP_NET_CFG_BPF_CAP, bpf_cap);
	nn_writew(nn, NFP_NET_CFG_BPF_MAX_LEN, max_len);
	nn_writew(nn, NFP_NET_CFG_BPF_START, start_off);
	nn_writew(nn, NFP_NET_CFG_BPF_DONE, tgt_done);
	nn_writeb(nn, NFP_NET_CFG_BPF_STACK_SZ, stack_chunks);
	nn_writeb(nn, NFP_NET_CFG_BPF_INL_MTU, inl_mtu);
}

static void sim_free(void)
{
	if (sim_bpf) {
		if (!IS_ERR_OR_NULL(sim_bpf->bpf_dev))
			bpf_offload_dev_destroy(sim_bpf->bpf_dev);
		rhashtable_destroy(&sim_bpf->maps_neutral);
	}
	kfree(sim_bpf);
	kvfree(sim_ctrl);
	kfree(sim_pci);
	kfree(sim_pf);
	kfree(sim_bar);
	if (!IS_ERR_OR_NULL(sim_pdev))
		platform_device_unregister(sim_pdev);
	cap_reset();
}

static int __init sim_init(void)
{
	struct nfp_bpf_vnic *bv;
	struct nfp_net *nn;
	int err = -ENOMEM;

	sim_pdev = platform_device_register_simple("nfpsim", -1, NULL, 0);
	if (IS_ERR(sim_pdev))
		return PTR_ERR(sim_pdev);
	err = dma_coerce_mask_and_coherent(&sim_pdev->dev, DMA_BIT_MASK(64));
	if (err)
		goto err;

	err = -ENOMEM;
	sim_bar = kzalloc(NFP_NET_CFG_BAR_SZ, GFP_KERNEL);
	sim_pf = kzalloc(sizeof(*sim_pf), GFP_KERNEL);
	sim_pci = kzalloc(sizeof(*sim_pci), GFP_KERNEL);
	sim_ctrl = kvzalloc(sizeof(*sim_ctrl), GFP_KERNEL);
	sim_bpf = kzalloc(sizeof(*sim_bpf), GFP_KERNEL);
	if (!sim_bar || !sim_pf || !sim_pci || !sim_ctrl || !sim_bpf)
		goto err;
	err = rhashtable_init(&sim_bpf->maps_neutral,
			      &nfp_bpf_maps_neutral_params);
	if (err) {
		kfree(sim_bpf);
		sim_bpf = NULL;
		goto err;
	}
	sim_pci->dev.init_name = "nfpsim-pci";
	sim_pf->pdev = sim_pci;
	sim_app.pdev = sim_pci;
	sim_app.pf = sim_pf;
	sim_app.ctrl = sim_ctrl;
	sim_app.priv = sim_bpf;
	sim_fill_bpf();

	sim_ops = nfp_bpf_dev_ops;
	sim_ops.translate = sim_translate;
	sim_bpf->bpf_dev = bpf_offload_dev_create(&sim_ops, sim_bpf);
	if (IS_ERR(sim_bpf->bpf_dev)) {
		err = PTR_ERR(sim_bpf->bpf_dev);
		goto err;
	}

	err = -ENOMEM;
	sim_dev = alloc_etherdev(sizeof(struct nfp_net));
	if (!sim_dev)
		goto err;
	strscpy(sim_dev->name, "nfpsim0", IFNAMSIZ);
	SET_NETDEV_DEV(sim_dev, &sim_pdev->dev);
	eth_hw_addr_random(sim_dev);
	sim_dev->netdev_ops = &sim_netdev_ops;
	sim_dev->ethtool_ops = &sim_ethtool_ops;
	sim_dev->xdp_features = NETDEV_XDP_ACT_BASIC |
				NETDEV_XDP_ACT_HW_OFFLOAD;
	sim_dev->max_mtu = 65535;
	sim_dev->mtu = mtu;
	sim_dev->hw_features |= NETIF_F_HW_TC;
	sim_dev->features |= NETIF_F_HW_TC;

	nn = netdev_priv(sim_dev);
	nn->dp.netdev = sim_dev;
	nn->dp.dev = &sim_pdev->dev;
	nn->dp.ctrl_bar = (u8 __iomem *)sim_bar;
	nn->dp.mtu = mtu;
	nn->app = &sim_app;
	nn->cap = NFP_NET_CFG_CTRL_BPF;
	sim_fill_bar(nn);
	bv = kzalloc(sizeof(*bv), GFP_KERNEL);
	if (!bv)
		goto err_dev;
	bv->start_off = nn_readw(nn, NFP_NET_CFG_BPF_START);
	bv->tgt_done = nn_readw(nn, NFP_NET_CFG_BPF_DONE);
	nn->app_priv = bv;

	err = register_netdev(sim_dev);
	if (err)
		goto err_bv;

	dbg = debugfs_create_dir("nfpsim", NULL);
	debugfs_create_file("loaded", 0400, dbg, NULL, &loaded_fops);
	debugfs_create_file("reset", 0200, dbg, NULL, &reset_fops);
	return 0;

err_bv:
	kfree(bv);
err_dev:
	free_netdev(sim_dev);
err:
	sim_free();
	return err;
}

static void __exit sim_exit(void)
{
	struct nfp_net *nn = netdev_priv(sim_dev);
	void *bv = nn->app_priv;

	debugfs_remove(dbg);
	unregister_netdev(sim_dev);
	free_netdev(sim_dev);
	kfree(bv);
	sim_free();
}

module_init(sim_init);
module_exit(sim_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("netdev with the nfp eBPF offload code and no card");
