//! xdp-probe's verdicts against the kernel: every kind of interface that this kernel has, in the states that
//! users meet, attached to and bound for real in every mode. A verdict that the kernel contradicts fails the test.

use std::fmt::Write as _;
use std::os::fd::AsFd;

use kernel::bpf::program::{Program, ProgramSpec, XDP_HAS_FRAGS};
use kernel::netlink::link::{Expected, Link, Mode, Route, XdpRequest};
use kernel::xsk::{XskMode, probe_bind};
use probe::{Needs, Support, collect, judge};
use tests::{Netns, require_root, tool};

/// What a cell of the comparison is about.
const COLUMNS: [&str; 6] = ["native", "frags", "generic", "offload", "copy", "zerocopy"];

#[test]
fn verdicts_agree_with_the_kernel() {
    if !require_root() {
        return;
    }
    let here = Netns::new("truth");
    let there = Netns::new("truth-peer");
    let absent = make_interfaces(&here, &there);
    let holders = here.inside(attach_holders);

    let listed = here.tool("xdp-probe", ["list", "--json"]);
    let listed = listed.expect_code(0).json();
    let mut table = Table::default();
    for interface in listed["interfaces"].as_array().expect("an array") {
        let name = interface["ifname"].as_str().expect("a name").to_owned();
        let verdicts = verdicts_of(interface);
        let (frags, truth) =
            here.inside(|| (frags_verdict(&name), truth(&name, Expected::Anything)));
        table.add(&name, interface, &with_frags(verdicts, frags), &truth);
    }
    drop(holders);

    // The host's own interfaces: nothing is replaced there, and eth0's driver may refuse.
    let listed = tool("xdp-probe", ["list", "--json"]);
    let listed = listed.expect_code(0).json();
    for interface in listed["interfaces"].as_array().expect("an array") {
        let name = interface["ifname"].as_str().expect("a name");
        let ours = ["lo", "ifb0", "ifb1"].contains(&name);
        let virtio_refusing =
            interface["driver"] == "virtio_net" && interface["modes"]["native"]["support"] == "no";
        let free = interface["attached"].as_array().is_some_and(Vec::is_empty);
        if !(ours || virtio_refusing) || !free {
            continue;
        }
        let verdicts = with_frags(verdicts_of(interface), frags_verdict(name));
        table.add(
            &format!("host {name}"),
            interface,
            &verdicts,
            &truth(name, Expected::Nothing),
        );
    }

    println!("{}", table.text);
    println!(
        "kinds that this kernel does not have: {}",
        absent.join(", ")
    );
    println!(
        "{} verdicts on {} interfaces, {} disagreements, {} unknown",
        table.compared, table.interfaces, table.disagreements, table.unknown
    );
    assert_eq!(table.disagreements, 0, "{}", table.text);
    assert_eq!(
        table.unknown, 0,
        "root can know everything here\n{}",
        table.text
    );
    assert!(table.interfaces >= 25, "{}", table.text);
}

/// Makes an interface of every kind and state, and gives the kinds that the kernel does not know.
fn make_interfaces(here: &Netns, there: &Netns) -> Vec<&'static str> {
    here.veth("plain0", "plain1");
    here.ip("link add down0 type veth peer name down1");

    // The peer's MTU: at the limit, above it, and far above it.
    for (name, mtu) in [("mtu3506", 3506), ("mtu3507", 3507), ("mtu9000", 9000)] {
        here.ip(&format!("link add {name} type veth peer name {name}p"));
        here.ip(&format!("link set {name}p mtu {mtu}"));
    }
    // Queues.
    here.ip("link add fewrx numrxqueues 1 numtxqueues 1 type veth peer name manytx numrxqueues 4 numtxqueues 4");
    here.ip("link add shrunk numrxqueues 4 numtxqueues 4 type veth peer name shrunkp numrxqueues 4 numtxqueues 4");
    here.run(&["ethtool", "-L", "shrunk", "rx", "2"]);
    here.ip("link add even numrxqueues 1 numtxqueues 1 type veth peer name evenp numrxqueues 4 numtxqueues 4");
    here.run(&["ethtool", "-L", "evenp", "tx", "1"]);
    // Peers in another namespace.
    for (name, mtu) in [("remote", 1500), ("remote9k", 9000)] {
        here.ip(&format!(
            "link add {name} type veth peer name {name} netns {}",
            there.name()
        ));
        there.ip(&format!("link set {name} mtu {mtu}"));
    }
    here.ip(&format!(
        "link add remoteq numrxqueues 1 numtxqueues 1 type veth peer name remoteq netns {} numrxqueues 4 numtxqueues 4",
        there.name()
    ));
    // Programs that are there already: see `attach_holders`.
    for name in ["hasdrv", "hasskb", "lower"] {
        here.ip(&format!("link add {name} type veth peer name {name}p"));
    }
    here.ip("link add upper link lower type macvlan");
    here.ip("link add vxlow type veth peer name vxlowp");
    here.ip("link add vxup type vxlan id 7 dstport 4790 dev vxlow");

    here.ip("tuntap add tap0 mode tap");
    here.ip("tuntap add tap9k mode tap multi_queue");
    here.ip("link set tap9k mtu 9000");
    here.ip("tuntap add tun0 mode tun");
    here.ip("link add base type veth peer name basep");
    here.ip("link add port type veth peer name portp");

    let kinds = [
        ("bridge", "link add bridge0 type bridge"),
        ("bridge port", "link set port master bridge0"),
        ("ifb", "link add ifb9 type ifb"),
        ("dummy", "link add dummy9 type dummy"),
        ("vlan", "link add vlan9 link base type vlan id 9"),
        ("macvlan", "link add macvlan9 link base type macvlan"),
        ("macvtap", "link add macvtap9 link base type macvtap"),
        ("ipvlan", "link add ipvlan9 link base type ipvlan"),
        ("vxlan", "link add vxlan9 type vxlan id 9 dstport 4789"),
        (
            "geneve",
            "link add geneve9 type geneve id 9 remote 10.9.9.9",
        ),
        (
            "gre",
            "link add gre9 type gre remote 10.9.9.9 local 10.9.9.8",
        ),
        (
            "gretap",
            "link add gretap9 type gretap remote 10.9.9.9 local 10.9.9.8",
        ),
        (
            "ipip",
            "link add ipip9 type ipip remote 10.9.9.9 local 10.9.9.8",
        ),
        (
            "sit",
            "link add sit9 type sit remote 10.9.9.9 local 10.9.9.8",
        ),
        (
            "vti",
            "link add vti9 type vti remote 10.9.9.9 local 10.9.9.8 key 9",
        ),
        ("macsec", "link add macsec9 link base type macsec"),
        ("wireguard", "link add wireguard9 type wireguard"),
        ("vrf", "link add vrf9 type vrf table 9"),
        ("nlmon", "link add nlmon9 type nlmon"),
        ("vcan", "link add vcan9 type vcan"),
        ("netkit", "link add netkit9 type netkit"),
        ("team", "link add team9 type team"),
        ("bond", "link add bond9 type bond mode active-backup"),
        (
            "bond balance-tlb",
            "link add bondtlb type bond mode balance-tlb",
        ),
        (
            "bond with a slave",
            "link add bondslave type bond mode active-backup",
        ),
    ];
    let mut absent = Vec::new();
    for (kind, command) in kinds {
        if here.try_ip(command).is_err() {
            absent.push(kind);
        }
    }
    if !absent.contains(&"bond with a slave") {
        here.ip("link add slave type veth peer name slavep");
        here.ip("link set slave master bondslave");
    }
    absent
}

/// Attaches the programs that some interfaces have beforehand; they live as long as what is given.
fn attach_holders() -> Vec<Program> {
    [
        ("hasdrv", Mode::Native),
        ("hasskb", Mode::Generic),
        ("upper", Mode::Generic),
        ("vxup", Mode::Generic),
    ]
    .into_iter()
    .map(|(name, mode)| {
        let program = Program::load(&ProgramSpec::pass(None)).expect("the smallest program loads");
        let mut route = Route::open().expect("a socket");
        let link = route.link_by_name(name).expect("it was made");
        set(&mut route, &link, mode, Some(&program), Expected::Nothing)
            .expect("nothing is in the way");
        program
    })
    .collect()
}

fn set(
    route: &mut Route,
    link: &Link,
    mode: Mode,
    program: Option<&Program>,
    expected: Expected<'_>,
) -> kernel::Result<()> {
    route.set_xdp(&XdpRequest {
        ifindex: link.ifindex,
        program: program.map(AsFd::as_fd),
        mode: Some(mode),
        expected,
    })?;
    Ok(())
}

/// What the kernel says to each of [`COLUMNS`]: `None` for yes, its words for no.
fn truth(name: &str, expected: Expected<'_>) -> [Option<String>; 6] {
    let mut route = Route::open().expect("a socket");
    let link = route.link_by_name(name).expect("it was listed");
    let mut attach = |mode: Mode, flags: u32| {
        let offload = (mode == Mode::Offload).then_some(link.ifindex);
        let program = Program::load(&ProgramSpec {
            flags,
            ..ProgramSpec::pass(offload)
        })
        .map_err(|error| error.to_string())?;
        let previous = link
            .xdp
            .get(mode)
            .map(|id| Program::from_id(id).expect("it is held"));
        set(&mut route, &link, mode, Some(&program), expected)
            .map_err(|error| error.to_string())?;
        set(
            &mut route,
            &link,
            mode,
            previous.as_ref(),
            Expected::Program(program.as_fd()),
        )
        .expect("it is put back");
        Ok(())
    };
    let native = attach(Mode::Native, 0);
    let frags = attach(Mode::Native, XDP_HAS_FRAGS);
    let generic = attach(Mode::Generic, 0);
    let offload = attach(Mode::Offload, 0);
    let bind = |mode| {
        probe_bind(link.ifindex, 0, Some(mode))
            .map(|_| ())
            .map_err(|error| error.to_string())
    };
    [
        native,
        frags,
        generic,
        offload,
        bind(XskMode::Copy),
        bind(XskMode::ZeroCopy),
    ]
    .map(Result::err)
}

fn verdicts_of(interface: &serde_json::Value) -> [String; 5] {
    let modes = &interface["modes"];
    let xsk = &interface["af_xdp"];
    [
        &modes["native"],
        &modes["generic"],
        &modes["offload"],
        &xsk["copy"],
        &xsk["zerocopy"],
    ]
    .map(|support| support["support"].as_str().expect("a verdict").to_owned())
}

/// The verdict about an xdp.frags program, which `list` has no column for.
fn frags_verdict(name: &str) -> String {
    let snapshot = collect().expect("facts");
    let facts = snapshot.by_name(name).expect("it was listed");
    match judge(
        &snapshot,
        facts,
        &Needs {
            frags: true,
            ..Needs::default()
        },
    )
    .native
    {
        Support::Yes { .. } => "yes",
        Support::No { .. } => "no",
        Support::Unknown { .. } => "unknown",
    }
    .to_owned()
}

fn with_frags(
    [native, generic, offload, copy, zerocopy]: [String; 5],
    frags: String,
) -> [String; 6] {
    [native, frags, generic, offload, copy, zerocopy]
}

#[derive(Default)]
struct Table {
    text: String,
    interfaces: usize,
    compared: usize,
    disagreements: usize,
    unknown: usize,
}

impl Table {
    fn add(
        &mut self,
        name: &str,
        interface: &serde_json::Value,
        verdicts: &[String; 6],
        truth: &[Option<String>; 6],
    ) {
        if self.text.is_empty() {
            let _ = write!(self.text, "{:<12} {:<11}", "interface", "driver");
            for column in COLUMNS {
                let _ = write!(self.text, " {column:<9}");
            }
            self.text.push('\n');
        }
        self.interfaces += 1;
        let _ = write!(
            self.text,
            "{name:<12} {:<11}",
            interface["driver"].as_str().unwrap_or("-")
        );
        let mut wrong = Vec::new();
        for ((column, verdict), truth) in COLUMNS.iter().zip(verdicts).zip(truth) {
            self.compared += 1;
            let agrees = match verdict.as_str() {
                "yes" => truth.is_none(),
                "no" => truth.is_some(),
                _ => {
                    self.unknown += 1;
                    true
                }
            };
            let _ = write!(
                self.text,
                " {:<9}",
                format!("{verdict}{}", if agrees { "" } else { " !!" })
            );
            if !agrees {
                self.disagreements += 1;
                wrong.push(format!(
                    "    {column}: verdict {verdict}, the kernel: {}",
                    truth.as_deref().unwrap_or("yes")
                ));
            }
        }
        self.text.push('\n');
        for line in wrong {
            let _ = writeln!(self.text, "{line}");
        }
    }
}
