//! BPF_PROG_TEST_RUN: a program on packets of ours, without a NIC.

use std::os::fd::AsFd;
use std::time::Duration;

use super::attr;
use super::program::Program;
use super::syscall::{Command, address, address_mut, address_of_buffer, bpf, raw};
use crate::error::{Errno, Operation, Refusal, Result};

/// `flags`: real frames, whose verdicts are carried out.
const LIVE_FRAMES: u32 = 1 << 1;

/// How much a program may make a packet grow: the headroom (256 bytes) in front, less than a page
/// behind.
const GROWTH: usize = 8 << 10;

/// One run of a program over one packet.
#[derive(Debug, Clone, Copy)]
pub struct TestRun<'a> {
    /// The packet, at least an Ethernet header (14 bytes). More than about 3.5 kB become several
    /// buffers (since 5.18), whether or not the program was loaded with `XDP_HAS_FRAGS`: one without
    /// sees the first.
    pub data: &'a [u8],
    /// What the program sees of the interface and of metadata; `None`: queue 0 of the loopback.
    pub context: Option<XdpContext>,
    /// How often to run it, for the measurement; 0 counts as 1.
    pub repeat: u32,
}

/// What goes into or comes out of struct xdp_md, besides the packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct XdpContext {
    /// How many of the first bytes of the data are metadata, a multiple of 4 and at most 32 or,
    /// since 6.6, 252.
    pub metadata: u32,
    /// The interface that the packet came in on, 0 for none given; it must exist here.
    pub ingress_ifindex: u32,
    /// Its queue.
    pub rx_queue_index: u32,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestRunResult {
    /// What the program returned, see [`verdict_name`].
    pub verdict: u32,
    /// The packet afterwards, with its metadata in front.
    pub data: Vec<u8>,
    /// The context afterwards, where one was given.
    pub context: Option<XdpContext>,
    /// The mean time of a run.
    pub duration: Duration,
}

/// The name of an XDP verdict, such as `XDP_PASS`.
pub fn verdict_name(verdict: u32) -> Option<&'static str> {
    [
        "XDP_ABORTED",
        "XDP_DROP",
        "XDP_PASS",
        "XDP_TX",
        "XDP_REDIRECT",
    ]
    .get(verdict as usize)
    .copied()
}

impl Program {
    /// Runs the program over a packet and gives the verdict without carrying it out. XDP programs
    /// need Linux 4.12, a context 5.15.
    ///
    /// EINVAL: packet or context are not as the kernel wants them. EINTR: a signal came. ENOTSUPP:
    /// not this kind of program; offloaded ones run on their NIC only.
    pub fn test_run(&self, run: &TestRun<'_>) -> Result<TestRunResult> {
        let mut data = vec![0; run.data.len() + GROWTH];
        let context_in = run
            .context
            .map(|context| to_xdp_md(context, run.data.len()));
        let mut context_out = attr::XdpMd::default();
        let mut attr = attr::TestRun {
            prog_fd: raw(self.as_fd()),
            data_size_in: run.data.len() as u32,
            data_in: address(run.data),
            data_size_out: data.len() as u32,
            data_out: address_of_buffer(&mut data),
            repeat: run.repeat,
            ..attr::TestRun::default()
        };
        if let Some(context) = &context_in {
            attr.ctx_size_in = size_of::<attr::XdpMd>() as u32;
            attr.ctx_in = std::ptr::from_ref(context) as u64;
            attr.ctx_size_out = size_of::<attr::XdpMd>() as u32;
            attr.ctx_out = address_mut(&mut context_out);
        }
        // SAFETY: data and context, in and out, are null or have the size beside them and live on
        // this stack frame.
        unsafe { bpf(Command::TestRun, &mut attr) }.map_err(refused)?;
        data.truncate(attr.data_size_out as usize);
        Ok(TestRunResult {
            verdict: attr.retval,
            data,
            context: context_in.map(|_| XdpContext {
                metadata: context_out.data.saturating_sub(context_out.data_meta),
                ingress_ifindex: context_out.ingress_ifindex,
                rx_queue_index: context_out.rx_queue_index,
            }),
            duration: Duration::from_nanos(u64::from(attr.duration)),
        })
    }

    /// Sends `run.repeat` copies of the packet through the program as real frames: passed ones enter
    /// the stack of the ingress interface, XDP_TX and XDP_REDIRECT leave by a NIC. Since 5.18.
    ///
    /// `batch` frames, 1 to 256, are worked on at a time; 0 stands for 64.
    pub fn run_live(&self, run: &TestRun<'_>, batch: u32) -> Result<()> {
        let context = to_xdp_md(run.context.unwrap_or_default(), run.data.len());
        let mut attr = attr::TestRun {
            prog_fd: raw(self.as_fd()),
            data_size_in: run.data.len() as u32,
            data_in: address(run.data),
            repeat: run.repeat,
            flags: LIVE_FRAMES,
            batch_size: batch,
            ..attr::TestRun::default()
        };
        if run.context.is_some() {
            attr.ctx_size_in = size_of::<attr::XdpMd>() as u32;
            attr.ctx_in = std::ptr::from_ref(&context) as u64;
        }
        // SAFETY: data and context are null or have the size beside them and outlive the call.
        unsafe { bpf(Command::TestRun, &mut attr) }.map_err(refused)?;
        Ok(())
    }
}

/// The kernel counts from the start of the metadata (`xdp_convert_md_to_buff` in net/bpf/test_run.c).
fn to_xdp_md(context: XdpContext, data_len: usize) -> attr::XdpMd {
    attr::XdpMd {
        data: context.metadata,
        data_end: data_len as u32,
        ingress_ifindex: context.ingress_ifindex,
        rx_queue_index: context.rx_queue_index,
        ..attr::XdpMd::default()
    }
}

fn refused(errno: Errno) -> Refusal {
    Refusal::new(Operation::TestRun, errno)
}
