//! What netdevsim answers (Linux 6.12): each of its refusals as our commands tell it, and where no command of ours would ask for
//! such a thing, as our libraries do.

use std::fmt::Write as _;

use tests::{Output, corpus, golden};

use crate::machine::{Guest, switches, without_ids};

/// The page of all that was done and answered.
struct Page<'a> {
    guest: &'a Guest,
    text: String,
}

impl Page<'_> {
    fn section(&mut self, title: &str) {
        let _ = writeln!(self.text, "== {title}\n");
    }

    /// A command and its answer.
    fn add(&mut self, command: &str) {
        let output = self.run(command);
        let _ = writeln!(self.text, "$ {command}");
        self.text += &without_ids(&(output.stdout + &output.stderr));
        if output.code != 0 {
            let _ = writeln!(self.text, "(exit code {})", output.code);
        }
        self.text.push('\n');
    }

    /// A command whose answer is of no interest.
    fn quietly(&self, command: &str) {
        self.run(command).expect_code(0);
    }

    /// With the objects under short names.
    fn run(&self, command: &str) -> Output {
        let mut script = "flows=flows.bpf.o\n".to_owned();
        for name in ["pass", "frags", "redirect", "load_balancer"] {
            let _ = writeln!(script, "{name}={}", corpus(name).display());
        }
        script += command;
        let output = self.guest.run(&script);
        Output {
            command: command.to_owned(),
            ..output
        }
    }
}

pub(crate) fn every_refusal_of_netdevsim_is_told_with_its_errno_and_a_remedy(guest: &Guest) {
    let device = guest.device(10, 1);
    let other = guest.device(11, 1);
    let mut page = Page {
        guest,
        text: String::new(),
    };
    let off = |switch: &str| format!("echo N > {}/{switch}", switches(10));
    let on = |switch: &str| format!("echo Y > {}/{switch}", switches(10));
    let detach = "xdp-offload detach sim10p0 --all";

    page.section("it advertises offload only, and takes all three modes");
    page.add("xdp-probe show sim10p0 | grep -A1 -e advertised -e '^  [nog][a-z]* *yes'");
    page.section("offload beside native, offload beside generic");
    page.add("xdp-offload attach --hw $pass sim10p0 && xdp-offload attach --native --no-fallback $pass sim10p0");
    page.add(
        "xdp-offload detach sim10p0 --mode native && xdp-offload attach --generic $pass sim10p0",
    );
    page.section("no mode named while two hold programs");
    page.add("xdp-offload detach sim10p0");
    page.add("offload-guest attach sim10p0 none plain");
    page.add("offload-guest detach sim10p0 none");
    page.section("native beside generic");
    page.add("xdp-offload attach --native --no-fallback $pass sim10p0");
    page.add("offload-guest attach sim10p0 drv plain");
    page.section("a second program in a mode");
    page.add("xdp-offload attach --hw --no-fallback $pass sim10p0");
    page.add("offload-guest attach sim10p0 hw offload:sim10p0");
    page.add("offload-guest attach sim10p0 skb plain");
    page.section("taking off what is not there");
    page.quietly(detach);
    page.add("xdp-offload detach sim10p0 --mode offload");
    page.add("xdp-offload detach sim10p0 --mode native");
    page.add("offload-guest detach sim10p0 hw");

    page.section("a program that was loaded for something else");
    page.add("offload-guest attach sim10p0 hw plain");
    page.add("offload-guest attach sim10p0 drv offload:sim10p0");
    page.add("offload-guest attach sim10p0 skb offload:sim10p0");
    page.add("offload-guest attach sim10p0 hw offload:sim11p0");
    page.add(
        "offload-guest attach sim10p0 hw offload:sim11p0 'echo 11 > /sys/bus/netdevsim/del_device'",
    );
    page.add("offload-guest attach sim10p0 drv devmap");
    page.add("offload-guest attach sim10p0 skb devmap");
    page.add("xdp-offload attach --native $redirect sim10p0 --prog on_the_way_out");
    page.section("two modes at once");
    page.add("xdp-offload attach --native --generic $pass sim10p0 2>&1 | head -1");
    page.add("offload-guest attach sim10p0 drv+skb plain");

    page.section("the MTU");
    page.quietly("ip link set sim10p0 mtu 9000");
    page.add("xdp-offload attach --native --no-fallback $pass sim10p0");
    page.add("offload-guest attach sim10p0 drv plain");
    page.add("offload-guest attach sim10p0 drv frags");
    page.add("xdp-offload attach --hw --no-fallback $pass sim10p0");
    page.quietly("xdp-offload detach sim10p0 --all; ip link set sim10p0 mtu 1500; xdp-offload attach --native $pass sim10p0");
    page.add("ip link set sim10p0 mtu 9000");
    page.add("xdp-probe show sim10p0 | grep '  mtu'");
    page.quietly(detach);

    for (switch, request) in [
        ("bpf_bind_accept", "--hw --no-fallback $pass"),
        ("bpf_bind_verifier_accept", "--hw --no-fallback $pass"),
        ("ports/0/bpf_xdpoffload_accept", "--hw --no-fallback $pass"),
        ("ports/0/bpf_xdpdrv_accept", "--native --no-fallback $pass"),
        ("ports/0/bpf_map_accept", "--hw --no-fallback $flows"),
    ] {
        page.section(&format!("the switch {switch} is off"));
        page.quietly(&off(switch));
        page.add(&format!("xdp-offload attach {request} sim10p0"));
        if switch.ends_with("drv_accept") {
            page.add("offload-guest attach sim10p0 none plain");
        }
        page.quietly(&on(switch));
    }

    page.section("maps and programs that it does not take");
    page.add("xdp-offload attach --hw --no-fallback $load_balancer sim10p0");
    page.add("xdp-offload attach --hw --no-fallback $frags sim10p0");
    page.section("AF_XDP");
    page.add("xdp-probe try sim10p0");
    golden("lab/netdevsim", &page.text);
    device.delete();
    other.delete();
    guest.nothing_is_left();
}
