//! What netlink tells about interfaces, held to what ip(8) and ethtool(8) tell.

use std::collections::{HashMap, HashSet};
use std::fmt::Write;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use kernel::Errno;
use kernel::bpf::program::{Program, ProgramSpec};
use kernel::netlink::Route;
use kernel::netlink::ethtool::{DriverInfoReader, Ethtool, Target, driver_info};
use kernel::netlink::events::{Event, Watch};
use kernel::netlink::link::{Expected, Link, Mode, XdpRequest};
use kernel::netlink::netdev::{Netdev, XdpFeature};
use serde_json::Value;
use tests::{Netns, require_command, require_root};

/// One of each sort of device that most kernels have.
fn zoo(netns: &Netns) {
    netns.ip("link add va numrxqueues 4 numtxqueues 2 type veth peer name vb");
    netns.ip("link set va up");
    netns.ip("link set vb up");
    netns.ip("link add br0 mtu 1400 type bridge");
    netns.ip("link set vb master br0");
    netns.ip("link add link va name mv0 type macvlan");
    netns.ip("link add ifb7 type ifb");
    netns.ip("link add vx0 type vxlan id 7 dstport 4789");
    netns.ip("tuntap add tap0 mode tap");
    netns.ip("link property add dev va altname the-one-with-a-long-name");
}

fn set_xdp(link: &Link, program: Option<&Program>, mode: Mode) {
    let request = XdpRequest {
        ifindex: link.ifindex,
        program: program.map(AsFd::as_fd),
        mode: Some(mode),
        expected: Expected::Anything,
    };
    Route::open().unwrap().set_xdp(&request).unwrap();
}

fn pass() -> Program {
    Program::load(&ProgramSpec::pass(None)).unwrap()
}

#[test]
fn links_agree_with_ip() {
    if !require_root() {
        return;
    }
    let netns = Netns::new("zoo");
    let other = Netns::new("zoo-peer");
    zoo(&netns);
    netns.ip(&format!(
        "link add far0 type veth peer name near0 netns {}",
        other.name()
    ));
    let json: Value = serde_json::from_str(&netns.ip("-j -d link").stdout).unwrap();
    let by_name: HashMap<&str, &Value> = json
        .as_array()
        .unwrap()
        .iter()
        .map(|link| (link["ifname"].as_str().unwrap(), link))
        .collect();
    let links = netns.inside(|| Route::open().unwrap().links().unwrap());
    let name_of: HashMap<u32, &str> = links
        .iter()
        .map(|link| (link.ifindex, link.name.as_str()))
        .collect();

    assert_eq!(links.len(), by_name.len());
    for link in &links {
        let ip = by_name[link.name.as_str()];
        let number = |key: &str| ip[key].as_u64().unwrap_or_default() as u32;
        assert_eq!(link.ifindex, number("ifindex"), "{}", link.name);
        assert_eq!(link.mtu, number("mtu"), "{}", link.name);
        assert_eq!(
            link.mtu_range,
            (number("min_mtu"), number("max_mtu")),
            "{}",
            link.name
        );
        assert_eq!(link.rx_queues, number("num_rx_queues"), "{}", link.name);
        assert_eq!(link.tx_queues, number("num_tx_queues"), "{}", link.name);
        assert_eq!(
            link.operstate.to_string().to_uppercase(),
            ip["operstate"].as_str().unwrap(),
            "{}",
            link.name
        );
        let flags = ip["flags"].as_array().unwrap();
        assert_eq!(link.is_up(), flags.contains(&"UP".into()), "{}", link.name);
        assert_eq!(
            link.kind.as_deref(),
            ip["linkinfo"]["info_kind"].as_str(),
            "{}",
            link.name
        );
        assert_eq!(
            link.slave_kind.as_deref(),
            ip["linkinfo"]["info_slave_kind"].as_str(),
            "{}",
            link.name
        );
        let name = |ifindex: Option<u32>| ifindex.and_then(|ifindex| name_of.get(&ifindex));
        assert_eq!(
            name(link.master).copied(),
            ip["master"].as_str(),
            "{}",
            link.name
        );
        if link.lower_netns.is_none() {
            assert_eq!(
                name(link.lower).copied(),
                ip["link"].as_str(),
                "{}",
                link.name
            );
        } else {
            assert_eq!(link.name, "far0");
            assert_eq!(
                link.lower.map(u64::from),
                ip["link_index"].as_u64(),
                "an index of the other namespace"
            );
        }
        let mut address = String::new();
        for byte in &link.address {
            let colon = if address.is_empty() { "" } else { ":" };
            write!(address, "{colon}{byte:02x}").unwrap();
        }
        assert_eq!(
            address,
            ip["address"].as_str().unwrap_or_default(),
            "{}",
            link.name
        );
    }
    let kinds: HashSet<&str> = links
        .iter()
        .filter_map(|link| link.kind.as_deref())
        .collect();
    for kind in ["veth", "bridge", "macvlan", "ifb", "vxlan", "tun"] {
        assert!(kinds.contains(kind), "{kind} is missing");
    }
}

#[test]
fn an_alternative_name_finds_the_interface() {
    if !require_root() {
        return;
    }
    let netns = Netns::new("altname");
    zoo(&netns);
    netns.inside(|| {
        let mut route = Route::open().unwrap();
        let link = route.link_by_name("the-one-with-a-long-name").unwrap();
        assert_eq!(link.name, "va");
        assert_eq!(route.link_by_name("va").unwrap(), link);
    });
}

#[test]
fn the_peer_in_another_namespace_is_found() {
    if !require_root() {
        return;
    }
    let (here, there) = (Netns::new("peer-here"), Netns::new("peer-there"));
    here.ip(&format!(
        "link add far0 type veth peer name near0 mtu 9000 netns {}",
        there.name()
    ));
    here.inside(|| {
        let mut route = Route::open().unwrap();
        let far = route.link_by_name("far0").unwrap();
        let peer = route
            .link_in_netns(far.lower_netns.unwrap(), far.lower.unwrap())
            .unwrap();
        assert_eq!((peer.name.as_str(), peer.mtu), ("near0", 9000));
    });
}

#[test]
fn attached_programs_are_listed_by_mode() {
    if !require_root() {
        return;
    }
    let netns = Netns::new("modes");
    netns.veth("va", "vb");
    netns.inside(|| {
        let mut route = Route::open().unwrap();
        let program = pass();
        let id = program.info().unwrap().id;
        for mode in [Mode::Native, Mode::Generic] {
            let link = route.link_by_name("va").unwrap();
            assert!(link.xdp.is_empty());
            set_xdp(&link, Some(&program), mode);
            let attached = route.link_by_index(link.ifindex).unwrap().xdp;
            assert_eq!(attached.iter().collect::<Vec<_>>(), [(mode, id)]);
            set_xdp(&link, None, mode);
        }
    });
}

#[test]
fn features_follow_what_is_attached() {
    if !require_root() {
        return;
    }
    let netns = Netns::new("features");
    zoo(&netns);
    netns.inside(|| {
        let Some(mut netdev) = Netdev::open().unwrap() else {
            return; // before 6.3
        };
        let mut route = Route::open().unwrap();
        let links = route.links().unwrap();
        let all = netdev.dump().unwrap();
        assert_eq!(
            all.iter().map(|one| one.ifindex).collect::<HashSet<_>>(),
            links.iter().map(|link| link.ifindex).collect(),
            "the whole dump, though its messages are not marked as parts"
        );
        for features in &all {
            assert_eq!(netdev.get(features.ifindex).unwrap(), *features);
        }
        let (va, vb) = (
            route.link_by_name("va").unwrap(),
            route.link_by_name("vb").unwrap(),
        );
        let before = netdev.get(vb.ifindex).unwrap();
        assert!(before.has(XdpFeature::Basic) && before.has(XdpFeature::RxSg));
        assert!(!before.has(XdpFeature::NdoXmit));
        // A veth can be redirected to once its peer receives by XDP.
        set_xdp(&va, Some(&pass()), Mode::Native);
        assert!(netdev.get(vb.ifindex).unwrap().has(XdpFeature::NdoXmit));
        let lo = route.link_by_name("lo").unwrap();
        assert_eq!(netdev.get(lo.ifindex).unwrap().xdp, 0);

        for ifindex in [0, 0x7fff_ffff] {
            let error = netdev.get(ifindex).unwrap_err();
            assert_eq!(error.errno(), Some(Errno::ENODEV), "{error}");
        }
    });
}

#[test]
fn settings_agree_with_ethtool() {
    if !require_root() || !require_command("ethtool") {
        return;
    }
    let netns = Netns::new("ethtool");
    zoo(&netns);
    netns.run(&["ethtool", "-K", "va", "gro", "on"]);
    netns.run(&["ethtool", "-L", "va", "rx", "3"]);
    let lines = |option: &str, ifname: &str| netns.run(&["ethtool", option, ifname]);
    netns.inside(|| {
        let mut route = Route::open().unwrap();
        let mut ethtool = Ethtool::open().unwrap().expect("Linux 5.6 or newer");
        let channels = ethtool.channels(Target::All).unwrap();
        let rings = ethtool.rings(Target::All).unwrap();
        let features = ethtool.features(Target::All).unwrap();
        let links = route.links().unwrap();
        assert_eq!(features.len(), links.len(), "every device has features");

        let va = route.link_by_name("va").unwrap().ifindex;
        assert_eq!((channels[&va].rx, channels[&va].tx), ((3, 4), (2, 2)));
        assert_eq!(channels[&va].combined, (0, 0));
        assert!(!rings.contains_key(&va), "EOPNOTSUPP is an answer");
        assert_eq!(ethtool.rings(Target::One(va)).unwrap(), HashMap::new());

        for link in &links {
            let text = lines("-k", &link.name);
            let features = features[&link.ifindex];
            for (name, state) in [
                ("large-receive-offload", features.lro),
                ("rx-gro-hw", features.gro_hw),
                ("generic-receive-offload", features.gro),
                ("rx-checksumming", features.rx_checksum),
            ] {
                let state = state.expect("this kernel knows them");
                let on = if state.active { "on" } else { "off" };
                let fixed = if state.changeable { "" } else { " [fixed]" };
                let line = format!("{name}: {on}{fixed}");
                assert!(
                    text.lines().any(|found| found.trim() == line),
                    "{}: {line}: {text}",
                    link.name
                );
            }
            let one = Target::One(link.ifindex);
            assert_eq!(
                ethtool.features(one).unwrap().get(&link.ifindex),
                Some(&features)
            );
            assert_eq!(
                ethtool.channels(one).unwrap().get(&link.ifindex),
                channels.get(&link.ifindex)
            );
        }
        let error = ethtool.channels(Target::One(0x7fff_ffff)).unwrap_err();
        assert_eq!(error.errno(), Some(Errno::ENODEV), "{error}");
    });
}

#[test]
fn a_feature_is_turned_on_and_off() {
    if !require_root() {
        return;
    }
    let netns = Netns::new("set-feature");
    netns.veth("v0", "v1");
    netns.inside(|| {
        let index = Route::open().unwrap().link_by_name("v0").unwrap().ifindex;
        let mut ethtool = Ethtool::open().unwrap().expect("since 5.6");
        for on in [true, false] {
            ethtool.set_feature(index, "rx-gro", on).unwrap();
            let features = ethtool.features(Target::One(index)).unwrap();
            assert_eq!(features[&index].gro.map(|state| state.active), Some(on));
        }
        let unknown = ethtool
            .set_feature(index, "no-such-feature", true)
            .unwrap_err();
        assert_eq!(unknown.errno(), Some(Errno::EOPNOTSUPP), "{unknown}");
    });
}

#[test]
fn drivers_are_named() {
    if !require_root() {
        return;
    }
    let netns = Netns::new("drivers");
    zoo(&netns);
    netns.inside(|| {
        let reader = DriverInfoReader::open().unwrap();
        let driver = |name: &str| reader.read(name).unwrap().map(|info| info.driver);
        assert_eq!(driver("va").as_deref(), Some("veth"));
        assert_eq!(driver("br0").as_deref(), Some("bridge"));
        assert_eq!(driver("mv0").as_deref(), Some("macvlan"));
        assert_eq!(driver("lo"), None);
        let tap = driver_info("tap0").unwrap().unwrap();
        assert_eq!((tap.driver.as_str(), tap.bus_info.as_str()), ("tun", "tap"));
    });
}

#[test]
fn a_thousand_interfaces_are_listed_whole() {
    if !require_root() {
        return;
    }
    let netns = Netns::new("thousand");
    add_pairs(&netns, 500);
    netns.inside(|| {
        let begin = Instant::now();
        let links = Route::open().unwrap().links().unwrap();
        let ifindices: HashSet<u32> = links.iter().map(|link| link.ifindex).collect();
        assert_eq!((links.len(), ifindices.len()), (1001, 1001));
        if let Some(mut netdev) = Netdev::open().unwrap() {
            let features = netdev.dump().unwrap();
            assert_eq!(features.len(), 1001);
        }
        let mut ethtool = Ethtool::open().unwrap().unwrap();
        assert_eq!(ethtool.channels(Target::All).unwrap().len(), 1000);
        assert_eq!(ethtool.features(Target::All).unwrap().len(), 1001);
        // A few milliseconds; a request per interface and setting would take a hundred times as long.
        assert!(begin.elapsed() < Duration::from_secs(2));
    });
}

fn add_pairs(netns: &Netns, pairs: usize) {
    ip_batch(
        netns,
        (0..pairs).map(|pair| format!("link add a{pair} type veth peer name b{pair}")),
    );
}

/// Runs many ip(8) commands in one process.
fn ip_batch(netns: &Netns, commands: impl Iterator<Item = String>) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("batch");
    std::fs::write(&file, commands.collect::<Vec<_>>().join("\n")).unwrap();
    netns.run(&["ip", "-b", file.to_str().unwrap()]);
}

#[test]
fn dumps_hold_while_interfaces_come_and_go() {
    if !require_root() {
        return;
    }
    let netns = Netns::new("churn");
    add_pairs(&netns, 100);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                netns.ip("link add churn0 type veth peer name churn1");
                netns.ip("link delete churn0");
            }
        });
        netns.inside(|| {
            let mut route = Route::open().unwrap();
            let mut ethtool = Ethtool::open().unwrap().unwrap();
            for _ in 0..200 {
                let links = route.links().unwrap();
                let stable = links
                    .iter()
                    .filter(|link| !link.name.starts_with("churn"))
                    .count();
                assert_eq!(stable, 201, "what does not change is always listed, once");
                assert!(ethtool.features(Target::All).unwrap().len() >= 201);
                assert_eq!(route.link_by_name("a0").unwrap().name, "a0");
            }
        });
        done.store(true, Ordering::Relaxed);
    });
}

/// The first event that `wanted` takes; events of other sorts may come before it.
fn next_event<T>(watch: &mut Watch, wanted: impl Fn(Event) -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let event = watch.next(Some(left)).unwrap();
        if let Some(found) = wanted(event.expect("an event within 5 s")) {
            return found;
        }
    }
}

#[test]
fn a_watch_tells_what_changes() {
    if !require_root() || !require_command("ethtool") {
        return;
    }
    let netns = Netns::new("watch");
    netns.veth("va", "vb");
    netns.inside(|| {
        let mut watch = Watch::open().unwrap();
        assert_eq!(watch.next(Some(Duration::ZERO)), Ok(None));

        let va = Route::open().unwrap().link_by_name("va").unwrap();
        let program = pass();
        let id = program.info().unwrap().id;
        set_xdp(&va, Some(&program), Mode::Native);
        let attached = next_event(&mut watch, |event| match event {
            Event::Link(link) if link.name == "va" && !link.xdp.is_empty() => Some(link.xdp),
            _ => None,
        });
        assert_eq!(attached.native, Some(id));

        set_xdp(&va, None, Mode::Native);
        next_event(&mut watch, |event| match event {
            Event::Link(link) if link.name == "va" => link.xdp.is_empty().then_some(()),
            _ => None,
        });

        netns.run(&["ethtool", "-K", "vb", "gro", "on"]);
        let vb = next_event(&mut watch, |event| match event {
            Event::Settings { ifindex } => Some(ifindex),
            _ => None,
        });
        assert_eq!(Route::open().unwrap().link_by_index(vb).unwrap().name, "vb");

        netns.ip("link delete va");
        let mut gone = Vec::new();
        while gone.len() < 2 {
            gone.push(next_event(&mut watch, |event| match event {
                Event::LinkDeleted { name, .. } => Some(name),
                _ => None,
            }));
        }
        gone.sort();
        assert_eq!(gone, ["va", "vb"]);
    });
}

#[test]
fn a_watch_tells_when_features_change() {
    if !require_root() {
        return;
    }
    let netns = Netns::new("watch-features");
    netns.veth("va", "vb");
    netns.inside(|| {
        if Netdev::open().unwrap().is_none() {
            return; // before 6.3
        }
        let mut watch = Watch::open().unwrap();
        let mut route = Route::open().unwrap();
        let vb = route.link_by_name("vb").unwrap();
        set_xdp(
            &route.link_by_name("va").unwrap(),
            Some(&pass()),
            Mode::Native,
        );
        let features = next_event(&mut watch, |event| match event {
            Event::Features(features) if features.ifindex == vb.ifindex => Some(features),
            _ => None,
        });
        assert!(features.has(XdpFeature::NdoXmit));
    });
}

#[test]
fn a_slow_watch_is_told_and_gets_the_state_again() {
    if !require_root() {
        return;
    }
    let netns = Netns::new("watch-slow");
    netns.veth("va", "vb");
    netns.inside(|| {
        let mut watch = Watch::open().unwrap();
        let changes = (0..3000).map(|number| format!("link set va alias n{number}"));
        ip_batch(&netns, changes.chain(["link set va mtu 1333".to_owned()]));
        next_event(&mut watch, |event| (event == Event::Lost).then_some(()));
        // All that follows is newer than the loss: no event shows a state that is over.
        let mut latest = HashMap::new();
        while let Some(event) = watch.next(Some(Duration::from_millis(200))).unwrap() {
            assert_ne!(event, Event::Lost, "told once");
            if let Event::Link(link) = event {
                latest.insert(link.name.clone(), link.mtu);
            }
        }
        assert_eq!(latest.len(), 3, "lo, va and vb");
        assert_eq!(latest["va"], 1333);
    });
}

#[test]
fn a_namespace_is_entered_by_one_thread() {
    if !require_root() {
        return;
    }
    let netns = Netns::new("enter");
    assert!(
        kernel::netns::names()
            .unwrap()
            .contains(&netns.name().to_owned())
    );
    let here = kernel::netns::current_inode().unwrap();
    let there = netns.inside(|| kernel::netns::current_inode().unwrap());
    assert_ne!(here, there);
    assert_eq!(kernel::netns::current_inode().unwrap(), here);
    let by_path = kernel::netns::path_of(netns.name());
    let inode = std::thread::scope(|scope| {
        let entered = scope.spawn(|| {
            kernel::netns::enter(by_path.to_str().unwrap()).unwrap();
            kernel::netns::current_inode().unwrap()
        });
        entered.join().unwrap()
    });
    assert_eq!(inode, there);
    // Any other file is refused, and the thread stays where it is.
    let error = kernel::netns::enter("/dev/null").unwrap_err();
    assert_eq!(error.errno(), Some(Errno::EINVAL));
}
