/* Prints what libbpf makes of an object on this kernel, a line a map and a line an instruction slot, for comparison with
 * our own linker. File descriptors are printed as 0. */
#include <stdio.h>

#include <bpf/libbpf.h>
#include <linux/bpf.h>

static int be_quiet(enum libbpf_print_level level, const char *format, va_list arguments)
{
	return 0;
}

static void print_map(const struct bpf_map *map)
{
	printf("map type=%u key=%u value=%u flags=%#x\n", bpf_map__type(map), bpf_map__key_size(map),
	       bpf_map__value_size(map), bpf_map__map_flags(map));
}

static void print_slot(struct bpf_insn insn)
{
	printf("%02x %u %u %d %d\n", insn.code, insn.dst_reg, insn.src_reg, insn.off, insn.imm);
}

static void print_program(const struct bpf_program *program)
{
	const struct bpf_insn *insns = bpf_program__insns(program);
	size_t count = bpf_program__insn_cnt(program);

	printf("program %s\n", bpf_program__name(program));
	for (size_t at = 0; at < count; at++) {
		struct bpf_insn insn = insns[at];
		int wide = insn.code == (BPF_LD | BPF_IMM | BPF_DW);

		if (wide && (insn.src_reg == BPF_PSEUDO_MAP_FD || insn.src_reg == BPF_PSEUDO_MAP_VALUE))
			insn.imm = 0;
		print_slot(insn);
		if (wide && at + 1 < count)
			print_slot(insns[++at]);
	}
}

int main(int argc, char **argv)
{
	struct bpf_program *program;
	struct bpf_object *object;
	struct bpf_map *map;

	libbpf_set_print(be_quiet);
	object = argc == 2 ? bpf_object__open_file(argv[1], NULL) : NULL;
	if (!object)
		return 1;
	bpf_object__for_each_map(map, object)
		print_map(map);
	bpf_object__for_each_program(program, object) {
		bpf_program__set_autoload(program, true);
		if (bpf_program__type(program) == BPF_PROG_TYPE_UNSPEC)
			bpf_program__set_type(program, BPF_PROG_TYPE_XDP);
	}
	/* Code is linked before it is verified, so what the verifier refuses can be compared as well. */
	bpf_object__load(object);
	bpf_object__for_each_program(program, object)
		print_program(program);
	return 0;
}
