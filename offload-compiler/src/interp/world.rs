//! What a run depends on besides program, packet and maps.

/// A clock that a helper reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Clock {
    /// `CLOCK_MONOTONIC`: `bpf_ktime_get_ns` and `bpf_ktime_get_coarse_ns`.
    Monotonic,
    /// `CLOCK_BOOTTIME`: `bpf_ktime_get_boot_ns`.
    Boot,
    /// `CLOCK_TAI`: `bpf_ktime_get_tai_ns`.
    Tai,
}

/// The caller's answers to a program's questions about the world.
pub trait World {
    /// Nanoseconds on a clock.
    fn time_ns(&mut self, clock: Clock) -> u64;
    /// The next random number.
    fn random(&mut self) -> u32;
    /// The CPU the program runs on; below [`super::Limits::cpus`].
    fn cpu(&mut self) -> u32;
}

/// A world that stands still, with a reproducible sequence of random numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fixed {
    /// What every clock shows, in nanoseconds.
    pub time_ns: u64,
    /// The CPU number.
    pub cpu: u32,
    state: u64,
}

impl Fixed {
    /// Time 0, CPU 0, random numbers from this seed.
    pub const fn new(seed: u64) -> Self {
        Self {
            time_ns: 0,
            cpu: 0,
            state: seed,
        }
    }
}

impl World for Fixed {
    fn time_ns(&mut self, _clock: Clock) -> u64 {
        self.time_ns
    }

    /// splitmix64, its upper half.
    fn random(&mut self) -> u32 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) >> 32) as u32
    }

    fn cpu(&mut self) -> u32 {
        self.cpu
    }
}
