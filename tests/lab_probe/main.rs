//! xdp-probe and xdp-offload on real drivers, in machines of the virtual lab: one for each kernel.

mod gone;
mod phases;
mod quirks;
mod truth;

use std::path::PathBuf;

use hw_matrix::lab::{Lab, Nic, Spec};
use tests::corpus;
use tests::lab::{Guest, obtain};
use truth::Truth;

/// A machine with all kinds of NICs.
fn boot(lab: &Lab, kernel: &str) -> Guest {
    let spec = Spec {
        kernel: Some(kernel.to_owned()),
        nics: phases::NICS
            .iter()
            .map(|nic| Nic::parse(nic).expect("a NIC"))
            .collect(),
        memory: 1024,
        // virtio_net and igb make queues for them.
        cpus: 2,
        ..Spec::default()
    };
    let files = [corpus("pass"), corpus("rx_metadata")];
    let files: Vec<_> = files.iter().map(PathBuf::as_path).collect();
    Guest::boot(lab, &spec, &files).unwrap_or_else(|error| panic!("{kernel}: {error}"))
}

/// On the kernel that `choose` takes of the lab's.
fn all(choose: impl FnOnce(Vec<String>) -> Option<String>) {
    let Some(lab) = obtain() else { return };
    let kernel = choose(lab.kernels()).expect("the lab has kernels");
    let guest = boot(&lab, &kernel);
    guest.run("modprobe -a tun veth bonding team bridge 8021q macvlan dummy vxlan; ip netns add elsewhere");
    let truth = Truth::of(&guest);
    println!(
        "Linux {kernel}: {} verdicts compared in {} states of interfaces, {} disagreements, {} unknown",
        truth.compared, truth.interfaces, truth.disagreements, truth.unknown
    );
    assert_eq!(truth.disagreements, 0, "{}", truth.wrong);
    assert_eq!(
        truth.unknown, 0,
        "root can know everything here\n{}",
        truth.wrong
    );
    quirks::all(&guest);
    gone::all(&guest);
}

#[test]
fn the_oldest_kernel() {
    all(|kernels| kernels.into_iter().next());
}

#[test]
fn the_newest_kernel() {
    all(|mut kernels| kernels.pop());
}
