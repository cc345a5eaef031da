//! A machine's command line for QEMU, and the files that its guest reads.

use std::fmt::Write as _;
use std::path::Path;

use super::{Nic, Spec};

/// What runs the guest's instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Accelerator {
    /// The host's processor.
    Kvm,
    /// Emulation: ten to thirty times slower.
    Tcg,
}

impl Accelerator {
    /// KVM where this process may use it and the processor does the work. KVM without that (kvm-pvm) runs no kernel
    /// but its own.
    pub(super) fn of_host() -> Self {
        let works = |module| Path::new("/sys/module").join(module).exists();
        let mut open = std::fs::File::options();
        let kvm = open.read(true).write(true).open("/dev/kvm");
        if kvm.is_ok() && (works("kvm_intel") || works("kvm_amd")) {
            Self::Kvm
        } else {
            Self::Tcg
        }
    }
}

/// `panic=-1` and `-no-reboot`: a guest that dies ends QEMU. A guest that stalls is dead, too. `no_timer_check`: on a busy host
/// the timer comes so late that the kernel takes it for broken.
const KERNEL: &str = "console=ttyS0 quiet loglevel=4 oops=panic panic=-1 sysctl.kernel.panic_on_rcu_stall=1 \
                      net.ifnames=0 mitigations=off no_timer_check";

/// Where things lie that the command line names.
pub(super) struct Folders<'a> {
    /// The kernel's folder in the lab.
    pub(super) kernel: &'a Path,
    /// This machine's own.
    pub(super) machine: &'a Path,
    /// A QEMU of the lab's own, if it has one.
    pub(super) qemu: Option<&'a Path>,
}

/// The program and its arguments. QEMU runs in a network namespace of its own: there its taps are.
pub(super) fn command_line(
    spec: &Spec,
    folders: &Folders<'_>,
    accelerator: Accelerator,
    root: bool,
) -> Vec<String> {
    let mut line = Line(Vec::new());
    line.add("unshare");
    line.add(if root { "-n" } else { "-rn" });
    match folders.qemu {
        None => line.add("qemu-system-x86_64"),
        Some(qemu) => {
            let modules = qemu.join("usr/lib/x86_64-linux-gnu/qemu");
            line.add("env");
            line.add(&format!("QEMU_MODULE_DIR={}", modules.display()));
            line.add(&path(&qemu.join("usr/bin/qemu-system-x86_64")));
            for data in ["usr/share/qemu", "usr/share/seabios"] {
                line.option("-L", &path(&qemu.join(data)));
            }
        }
    }
    match accelerator {
        Accelerator::Kvm => line.option("-accel", "kvm"),
        Accelerator::Tcg => line.option("-accel", "tcg,thread=multi"),
    }
    line.words("-M q35 -cpu max -nodefaults -no-user-config -display none -no-reboot");
    line.option("-m", &spec.memory.to_string());
    line.option("-smp", &spec.cpus.to_string());
    line.option("-kernel", &path(&folders.kernel.join("vmlinuz")));
    line.option("-initrd", &path(&folders.kernel.join("initrd")));
    line.option("-append", KERNEL);
    let machine = |name: &str| escaped(&folders.machine.join(name));
    line.option(
        "-chardev",
        &format!("file,id=console,path={}", machine("console")),
    );
    line.words("-serial chardev:console -device virtio-rng-pci -device virtio-serial-pci");
    line.option(
        "-chardev",
        &format!("pipe,id=jobs,path={}", machine("jobs")),
    );
    line.words("-device virtserialport,chardev=jobs,name=jobs");
    line.option(
        "-chardev",
        &format!(
            "socket,id=shell,path={},server=on,wait=off",
            machine("shell")
        ),
    );
    line.words("-device virtconsole,chardev=shell");
    line.share("root", Path::new("/"), true);
    line.share("exchange", folders.machine, false);
    line.share("modules", &folders.kernel.join("modules"), true);
    for (number, folder) in spec.writable.iter().enumerate() {
        line.share(&format!("writable{number}"), folder, false);
    }
    if spec.nics.iter().any(|nic| nic.model.name == "usb-net") {
        line.words("-device qemu-xhci");
    }
    for (number, nic) in spec.nics.iter().enumerate() {
        let wire = spec.wires.iter().find(|wire| wire.contains(&number));
        let hub = wire.map_or(number, |wire| wire[0]);
        line.nic(number, nic, hub);
    }
    line.0
}

struct Line(Vec<String>);

impl Line {
    fn add(&mut self, word: &str) {
        self.0.push(word.to_owned());
    }

    fn words(&mut self, words: &str) {
        self.0.extend(words.split(' ').map(str::to_owned));
    }

    fn option(&mut self, name: &str, value: &str) {
        self.add(name);
        self.add(value);
    }

    fn share(&mut self, tag: &str, folder: &Path, read_only: bool) {
        let mut value = format!(
            "local,id={tag},path={},security_model=none,multidevs=remap",
            escaped(folder)
        );
        if read_only {
            value.push_str(",readonly=on");
        }
        self.option("-fsdev", &value);
        self.option(
            "-device",
            &format!("virtio-9p-pci,fsdev={tag},mount_tag={tag}"),
        );
    }

    fn nic(&mut self, number: usize, nic: &Nic, hub: usize) {
        let Some(device) = nic.model.device else {
            return;
        };
        // A hub keeps the link up, and connects what is at the other end.
        let wire = match nic.queues {
            1 => format!("hubport,id=net{number},hubid={hub}"),
            many => format!(
                "tap,id=net{number},ifname=tap{number},script=no,downscript=no,queues={many}"
            ),
        };
        self.option("-netdev", &wire);
        let mut value = format!("{device},netdev=net{number},mac={}", Nic::mac(number));
        if nic.queues > 1 {
            let vectors = 2 * u32::from(nic.queues) + 2;
            let _ = write!(value, ",mq=on,vectors={vectors}");
        }
        for (key, set) in &nic.properties {
            let _ = write!(value, ",{key}={set}");
        }
        self.option("-device", &value);
        if nic.peer {
            let peer = number + PEERS;
            self.option("-netdev", &format!("hubport,id=net{peer},hubid={hub}"));
            self.option(
                "-device",
                &format!("virtio-net-pci,netdev=net{peer},mac={}", Nic::mac(peer)),
            );
        }
    }
}

/// Peers are numbered from here.
const PEERS: usize = 1000;

/// The file that tells the guest which NIC has which name: a line a NIC of QEMU's, its MAC address and its name.
pub(super) fn names(nics: &[Nic]) -> String {
    let mut text = String::new();
    for (number, nic) in nics.iter().enumerate() {
        if nic.model.device.is_some() {
            let _ = writeln!(text, "{} {}", Nic::mac(number), nic.name);
        }
        if nic.peer {
            let _ = writeln!(
                text,
                "{} {}",
                Nic::mac(number + PEERS),
                Nic::wire_name(number)
            );
        }
    }
    text
}

/// The commands that make the other NICs.
pub(super) fn setup(nics: &[Nic]) -> String {
    let setups = nics.iter().enumerate();
    setups.map(|(number, nic)| nic.setup(number)).collect()
}

/// The file that tells the guest where to mount what it may write to.
pub(super) fn writable(spec: &Spec) -> String {
    let mut text = String::new();
    for (number, folder) in spec.writable.iter().enumerate() {
        let _ = writeln!(text, "writable{number} {}", folder.display());
    }
    text
}

fn path(path: &Path) -> String {
    path.display().to_string()
}

/// In an option's value a comma stands twice.
fn escaped(path: &Path) -> String {
    path.display().to_string().replace(',', ",,")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(spec: &Spec, root: bool) -> String {
        let folders = Folders {
            kernel: Path::new("/lab/kernels/6.12"),
            machine: Path::new("/run/a,b"),
            qemu: None,
        };
        command_line(spec, &folders, Accelerator::Tcg, root).join(" ")
    }

    fn with(nics: &[&str]) -> Spec {
        Spec {
            nics: nics
                .iter()
                .map(|text| Nic::parse(text).expect("a NIC"))
                .collect(),
            ..Spec::default()
        }
    }

    #[test]
    fn each_nic_has_a_wire() {
        let text = line(&with(&["igb,peer", "veth", "virtio-net,queues=4"]), true);
        assert!(
            text.starts_with("unshare -n qemu-system-x86_64 -accel tcg"),
            "{text}"
        );
        for part in [
            "-netdev hubport,id=net0,hubid=0 -device igb,netdev=net0,mac=52:54:00:00:00:00 ",
            "-netdev hubport,id=net1000,hubid=0 -device virtio-net-pci,netdev=net1000,mac=52:54:00:00:03:e8",
            "tap,id=net2,ifname=tap2,script=no,downscript=no,queues=4 -device \
             virtio-net-pci,netdev=net2,mac=52:54:00:00:00:02,mq=on,vectors=10",
            "path=/run/a,,b/console",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
        assert!(!text.contains("net1,"), "veth is the guest's: {text}");
    }

    #[test]
    fn nics_of_a_machine_share_a_wire() {
        let mut spec = with(&["igb", "e1000", "virtio-net"]);
        spec.wires = vec![[0, 2]];
        let text = line(&spec, true);
        for part in ["id=net0,hubid=0 ", "id=net1,hubid=1 ", "id=net2,hubid=0 "] {
            assert!(text.contains(part), "{part}\n{text}");
        }
    }

    #[test]
    fn the_guest_is_told_names_and_commands() {
        let spec = with(&["igb,peer", "nfpsim,abi=2", "bridge"]);
        assert_eq!(
            names(&spec.nics),
            "52:54:00:00:00:00 igb\n52:54:00:00:03:e8 wire0\n"
        );
        let commands = setup(&spec.nics);
        assert!(
            commands.contains("ip link set wire0 netns igb-peer\n"),
            "{commands}"
        );
        assert!(commands.contains("modprobe nfpsim abi=2\nip link set nfpsim0 name nfpsim\n"));
        assert!(commands.contains("ip link set lower2 master bridge\n"));
    }

    #[test]
    fn a_user_gets_a_namespace_of_his_own() {
        assert!(line(&Spec::default(), false).starts_with("unshare -rn "));
    }
}
