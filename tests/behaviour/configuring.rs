//! What a loader fills in: constants, global variables, the kernel's types and options.

use offload_compiler::object::GlobalValue;

use crate::packets::udp;
use crate::{DROP, PASS, Sample, number, read};
use tests::require_root;

#[test]
fn configured_blocks_port_9_unless_told_otherwise() {
    if !require_root() {
        return;
    }
    let sample = Sample::load("configured");
    assert_eq!(sample.verdict(&udp(9)), DROP);
    assert_eq!(sample.verdict(&udp(10)), PASS);

    let sample = configured(&[("blocked_port", 10)]);
    assert_eq!(sample.verdict(&udp(9)), PASS);
    assert_eq!(sample.verdict(&udp(10)), DROP);

    let sample = configured(&[("dry_run", 1)]);
    assert_eq!(sample.verdict(&udp(9)), PASS);
    assert_eq!(
        number(&sample.value(".bss", &[0; 4]), 0),
        1,
        "counted all the same"
    );

    let sample = configured(&[("budget", 2)]);
    let verdicts: Vec<u32> = (0..3).map(|_| sample.verdict(&udp(9))).collect();
    assert_eq!(verdicts, [DROP, DROP, PASS]);
}

#[test]
fn core_reads_this_kernels_types() {
    if !require_root() {
        return;
    }
    let sample = Sample::load("core");
    assert_eq!(sample.verdict(&udp(9)), PASS);
    let answers: Vec<u64> = (0..9).map(|key| sample.count("answers", key)).collect();
    assert_eq!(
        answers[0],
        u64::from(std::process::id()),
        "the running task is this test"
    );
    assert_eq!(answers[1..8], [1, 0, 1, 0, 16, 27, 0]);
    assert_ne!(answers[8], 0, "mtu is not net_device's first member");
}

#[test]
fn kconfig_reads_this_kernels_options() {
    if !require_root() {
        return;
    }
    let sample = Sample::load("kconfig");
    assert_eq!(sample.verdict(&udp(9)), PASS);
    let values = sample.value(".bss", &[0; 4]);
    let answers: Vec<u64> = (0..5).map(|index| number(&values, index * 8)).collect();
    assert_eq!(
        answers[0],
        u64::from(kernel::host::KernelRelease::read().code)
    );
    assert!(
        [100, 250, 300, 1000].contains(&answers[1]),
        "CONFIG_HZ is {}",
        answers[1]
    );
    assert_eq!(answers[2], 1, "CONFIG_BPF_SYSCALL");
    assert_eq!(answers[4], 0, "an option that no kernel has");
}

fn configured(values: &[(&str, u64)]) -> Sample {
    let mut object = read("configured");
    for (name, value) in values {
        object
            .set_global(name, GlobalValue::Integer((*value).into()))
            .unwrap();
    }
    Sample::of("configured", &object, 0)
}
