// SPDX-License-Identifier: GPL-2.0
/* Runs in the virtual machine: loads each program of a list for nfpsim0 and writes what happened.
 *
 *	loader [-w] LIST OUT
 *
 * A line of LIST: ID <tab> MAPS <tab> CODE
 *	MAPS	"TYPE KEY VALUE ENTRIES FLAGS" each, with ";" between; what follows FLAGS is left alone
 *	CODE	XDP instructions in hex; ld_imm64 with src_reg 1 (or 2) has the map's number from 0 in its imm
 *
 * OUT has a record a program: "@ID", fields, "." A field is "KEY LENGTH", the bytes, a newline. A record without
 * "." is of a program that crashed the kernel.
 *	map	errno of a map that could not be created, and its number; nothing else follows but kmsg
 *	load	errno of BPF_PROG_LOAD, 0 for success
 *	log	the verifier's log, its end if it is long
 *	kmsg	what the kernel printed meanwhile
 *	attach	errno of the attachment
 * with -w also
 *	words	the translation as dumped, before relocation and ECC
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <linux/bpf.h>
#include <linux/if_link.h>

#define DEBUGFS "/sys/kernel/debug/nfpsim/"
#define MAX_MAPS 128
#define MAX_INSNS 65536
#define LOG_SIZE (1u << 20)
#define LOG_KEPT 4000

static FILE *out;
static int kmsg, ifindex, words;
static struct bpf_insn code[MAX_INSNS];
static char verifier_log[LOG_SIZE];

static long bpf(int cmd, union bpf_attr *attr)
{
	return syscall(__NR_bpf, cmd, attr, sizeof(*attr));
}

static void put(const char *key, const void *bytes, size_t n)
{
	fprintf(out, "%s %zu\n", key, n);
	fwrite(bytes, 1, n, out);
	fputc('\n', out);
}

static void put_number(const char *key, int number)
{
	char text[16];

	put(key, text, snprintf(text, sizeof(text), "%d", number));
}

/* Reads all that the kernel has printed; writes it unless key is NULL. */
static void kernel_messages(const char *key)
{
	char record[8192], text[1 << 14];
	size_t n = 0;
	ssize_t r;

	while ((r = read(kmsg, record, sizeof(record) - 1)) > 0 || (r < 0 && errno == EPIPE)) {
		char *start, *end;

		if (r < 0)
			continue;
		record[r] = 0;
		start = strchr(record, ';');
		end = start ? strchr(start, '\n') : NULL;
		if (!end || n + (end - start) > sizeof(text))
			continue;
		memcpy(text + n, start + 1, end - start);
		n += end - start;
	}
	if (key && n)
		put(key, text, n);
}

/* Each program meets a card without maps. */
static void reset_card(void)
{
	int fd = open(DEBUGFS "reset", O_WRONLY);

	if (fd < 0 || write(fd, "1", 1) < 0)
		perror(DEBUGFS "reset");
	close(fd);
}

/* Returns how many maps there are, -1 if one could not be created. */
static int create_maps(char *specs, int *fds)
{
	char *spec;
	int n = 0;

	while (n < MAX_MAPS && (spec = strsep(&specs, ";"))) {
		union bpf_attr a = {};

		if (sscanf(spec, "%u %u %u %u %u", &a.map_type, &a.key_size, &a.value_size,
			   &a.max_entries, &a.map_flags) != 5)
			continue;
		if (a.map_type != BPF_MAP_TYPE_PERF_EVENT_ARRAY)
			a.map_ifindex = ifindex;
		fds[n] = bpf(BPF_MAP_CREATE, &a);
		if (fds[n] < 0) {
			char text[32];

			put("map", text, snprintf(text, sizeof(text), "%d %d", errno, n));
			while (n--)
				close(fds[n]);
			return -1;
		}
		n++;
	}
	return n;
}

static int read_code(const char *hex)
{
	unsigned char *bytes = (unsigned char *)code;
	size_t n = 0;
	unsigned int byte;

	while (n < sizeof(code) && sscanf(hex + 2 * n, "%2x", &byte) == 1)
		bytes[n++] = byte;
	return n / sizeof(code[0]);
}

static void use_maps(int count, const int *fds, int maps)
{
	for (int i = 0; i < count; i++) {
		struct bpf_insn *insn = &code[i];

		if (insn->code != (BPF_LD | BPF_IMM | BPF_DW))
			continue;
		i++;
		if (insn->src_reg != BPF_PSEUDO_MAP_FD && insn->src_reg != BPF_PSEUDO_MAP_VALUE)
			continue;
		insn->imm = insn->imm >= 0 && insn->imm < maps ? fds[insn->imm] : -1;
	}
}

static int load(int count)
{
	union bpf_attr a = {
		.prog_type = BPF_PROG_TYPE_XDP,
		.insns = (unsigned long)code,
		.insn_cnt = count,
		.license = (unsigned long)"GPL",
		.prog_ifindex = ifindex,
		.log_level = 4,		/* errors and sums, no trace */
		.log_size = sizeof(verifier_log),
		.log_buf = (unsigned long)verifier_log,
	};

	verifier_log[0] = 0;
	return bpf(BPF_PROG_LOAD, &a);
}

static void put_log(void)
{
	const char *end = verifier_log + strnlen(verifier_log, LOG_SIZE);
	const char *from = end - verifier_log > LOG_KEPT ? end - LOG_KEPT : verifier_log;

	put("log", from, end - from);
}

static void put_words(int prog)
{
	static char image[1 << 18];
	struct bpf_prog_info info = {
		.jited_prog_len = sizeof(image),
		.jited_prog_insns = (unsigned long)image,
	};
	union bpf_attr a = {
		.info.bpf_fd = prog,
		.info.info_len = sizeof(info),
		.info.info = (unsigned long)&info,
	};

	if (!bpf(BPF_OBJ_GET_INFO_BY_FD, &a))
		put("words", image, info.jited_prog_len);
}

static void attach(int prog)
{
	union bpf_attr a = {
		.link_create.prog_fd = prog,
		.link_create.target_ifindex = ifindex,
		.link_create.attach_type = BPF_XDP,
		.link_create.flags = XDP_FLAGS_HW_MODE,
	};
	int link = bpf(BPF_LINK_CREATE, &a);

	put_number("attach", link < 0 ? errno : 0);
	if (link >= 0)
		close(link);
}

static void one(char *maps, const char *hex)
{
	int fds[MAX_MAPS], n, prog, count = read_code(hex);

	kernel_messages(NULL);
	reset_card();
	n = create_maps(maps, fds);
	if (n < 0) {
		kernel_messages("kmsg");
		return;
	}
	use_maps(count, fds, n);
	prog = load(count);
	put_number("load", prog < 0 ? errno : 0);
	put_log();
	kernel_messages("kmsg");
	if (prog >= 0) {
		if (words)
			put_words(prog);
		attach(prog);
		close(prog);
	}
	while (n--)
		close(fds[n]);
}

int main(int argc, char **argv)
{
	struct rlimit all = { RLIM_INFINITY, RLIM_INFINITY };
	char *line = NULL;
	size_t size = 0;
	FILE *list;

	words = argc > 1 && !strcmp(argv[1], "-w");
	argv += words;
	argc -= words;
	if (argc != 3) {
		fputs("loader [-w] LIST OUT\n", stderr);
		return 2;
	}
	setrlimit(RLIMIT_MEMLOCK, &all);
	list = fopen(argv[1], "r");
	out = fopen(argv[2], "w");
	ifindex = if_nametoindex("nfpsim0");
	kmsg = open("/dev/kmsg", O_RDONLY | O_NONBLOCK);
	if (!list || !out || !ifindex || kmsg < 0) {
		perror("loader");
		return 1;
	}
	while (getline(&line, &size, list) > 0) {
		char *rest = line, *id, *maps;

		id = strsep(&rest, "\t");
		maps = strsep(&rest, "\t");
		if (!rest)
			continue;
		fprintf(out, "@%s\n", id);
		/* Should the kernel not survive the program, this tells which it was. */
		fflush(out);
		one(maps, rest);
		fputs(".\n", out);
	}
	return fclose(out) ? 1 : 0;
}
