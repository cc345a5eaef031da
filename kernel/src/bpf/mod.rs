//! bpf(2): maps, BTF, programs, links, test runs.
//!
//! Every object is a descriptor that closes when its value is dropped, and is close-on-exec. The
//! kernel keeps an object as long as a descriptor, an attachment, a program that uses it or a pin
//! does. Errors carry the kernel's errno, and the verifier's whole log where there is one.

mod attr;
pub mod btf;
mod iter;
pub mod link;
mod log;
pub mod map;
mod map_kind;
mod name;
mod pin;
pub mod program;
mod statistics;
mod syscall;
pub mod test_run;

pub use iter::{Ids, btf_ids, link_ids, map_ids, program_ids};
pub use name::kernel_name;
pub use statistics::RunStatistics;
