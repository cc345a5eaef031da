//! One CPU for a test.

/// Keeps this thread on one CPU, whose per-CPU values the programs then use; gives it and the number of
/// possible CPUs.
pub fn stay_on_one_cpu() -> (u32, u32) {
    let cpu = rustix::thread::sched_getcpu();
    let mut set = rustix::thread::CpuSet::new();
    set.set(cpu);
    rustix::thread::sched_setaffinity(None, &set).expect("one CPU that it runs on");
    let possible = std::fs::read_to_string("/sys/devices/system/cpu/possible").expect("sysfs");
    let last = possible.trim().rsplit(['-', ',']).next().unwrap_or("0");
    (cpu as u32, last.parse::<u32>().expect("a CPU number") + 1)
}
