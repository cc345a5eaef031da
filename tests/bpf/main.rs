//! bpf(2) and AF_XDP against the running kernel: what `kernel::bpf` and `kernel::xsk` promise.

mod asm;
mod attach;
mod cleanup;
mod links;
mod maps;
mod network;
mod programs;
mod sockets;
