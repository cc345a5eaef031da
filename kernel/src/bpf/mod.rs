//! bpf(2): maps, BTF, programs, links, test runs.
