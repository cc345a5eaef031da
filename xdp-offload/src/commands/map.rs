//! `map`: the maps of attached programs, by BTF.

use super::{interface, open_route};
use crate::choose::read_object;
use crate::exit::{Exit, Failure};
use crate::json::map::{Entry, ListReport, Map as MapJson, Report};
use crate::map_entry::{MapAccess, open_failure};
use crate::map_halves::{is_named, pair};
use crate::{output, render};
use kernel::Errno;
use kernel::bpf::map::{Map, MapInfo};
use kernel::bpf::program::Program;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Show and change the maps of attached programs
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Keys and values are JSON by the map's types, numbers such as 0x1f, names of enumerators, or\n\
    hex:BYTES. Per-CPU maps take one value for all CPUs, or a list of one for each.\n\n\
    Examples:\n  \
    xdp-offload map list\n  \
    xdp-offload map rules dump\n  \
    xdp-offload map rules set '{\"port\": 53, \"protocol\": 17}' '{\"verdict\": 1}'\n  \
    xdp-offload map 42 get 0\n  \
    xdp-offload map rules dump --object firewall.bpf.o"
)]
pub struct Args {
    /// The map: its name, its id, or the path of its pin; `list` shows those of attached programs
    #[arg(value_name = "MAP")]
    map: String,

    /// What to do; without it the map itself is shown
    #[command(subcommand)]
    action: Option<Action>,

    /// Only maps of the programs on this interface
    #[arg(long, global = true, value_name = "IFACE")]
    dev: Option<String>,

    /// Types of keys and values for a map on a NIC, which the kernel keeps without them: those of this object
    #[arg(long, global = true, value_name = "OBJ")]
    object: Option<PathBuf>,

    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Show the value of a key
    Get {
        /// The key
        key: String,
    },
    /// Write the value of a key
    Set {
        /// The key
        key: String,
        /// The value
        value: String,
    },
    /// Delete a key
    Del {
        /// The key
        key: String,
    },
    /// Show all entries
    Dump,
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> Result<Exit, Failure> {
    if args.map == "list" && args.action.is_none() {
        if args.object.is_some() {
            return Err(Failure::new(Exit::Usage, "a list shows no keys and values")
                .remedy("give --object with the map that is to be shown"));
        }
        return list(args);
    }
    let mut access = find(args)?;
    if let Some(object) = &args.object {
        access = access.typed_by(&read_object(object)?)?;
    }
    let entries = match &args.action {
        None => None,
        Some(Action::Get { key }) => Some(vec![access.get(key)?]),
        Some(Action::Set { key, value }) => Some(vec![access.set(key, value)?]),
        Some(Action::Del { key }) => Some(vec![access.delete(key)?]),
        Some(Action::Dump) => return dump(args, &access),
    };
    report(args, &access, entries)
}

fn dump(args: &Args, access: &MapAccess) -> Result<Exit, Failure> {
    report(args, access, Some(access.dump()?))
}

fn report(args: &Args, access: &MapAccess, entries: Option<Vec<Entry>>) -> Result<Exit, Failure> {
    let changes = matches!(args.action, Some(Action::Set { .. } | Action::Del { .. }));
    if args.json {
        output::print_json(&Report {
            schema: "xdp-offload/map/v1",
            map: access.describe(),
            entries,
        })?;
    } else if let Some(entries) = entries {
        // A change that worked has nothing to say.
        if !changes {
            output::print(&render::map::entries(&entries))?;
        }
    } else {
        output::print(&render::map::list(&[access.describe()], output::width()))?;
    }
    Ok(Exit::Done)
}

fn list(args: &Args) -> Result<Exit, Failure> {
    let mut maps = Vec::new();
    for (id, users) in attached_maps(args.dev.as_deref())? {
        let mut used_by: Vec<u32> = Vec::new();
        for user in users {
            if !used_by.contains(&user.program) {
                used_by.push(user.program);
            }
        }
        match Map::from_id(id).and_then(|map| map.info()) {
            Ok(info) => maps.push(MapJson {
                used_by,
                ..crate::map_entry::describe(&info)
            }),
            // Gone since its program was looked at.
            Err(error) if error.errno() == Some(Errno::ENOENT) => {}
            Err(error) => return Err(Failure::kernel(format!("cannot open map {id}"), &error)),
        }
    }
    if args.json {
        output::print_json(&ListReport {
            schema: "xdp-offload/map-list/v1",
            maps,
        })?;
    } else {
        output::print(&render::map::list(&maps, output::width()))?;
    }
    Ok(Exit::Done)
}

/// An attached program that uses a map.
struct User {
    program: u32,
    ifindex: u32,
}

/// The maps of attached programs by their ids.
fn attached_maps(dev: Option<&str>) -> Result<BTreeMap<u32, Vec<User>>, Failure> {
    let mut route = open_route()?;
    let links = match dev {
        Some(name) => vec![interface(&mut route, name)?],
        None => route
            .links()
            .map_err(|error| Failure::kernel("cannot read the interfaces", &error))?,
    };
    let mut maps: BTreeMap<u32, Vec<User>> = BTreeMap::new();
    let attached = links
        .iter()
        .flat_map(|link| link.xdp.iter().map(|(_, program)| (link.ifindex, program)));
    for (ifindex, program) in attached {
        let info = Program::from_id(program)
            .and_then(|program| program.info())
            .map_err(|error| Failure::kernel(format!("cannot open program {program}"), &error))?;
        for id in info.map_ids {
            maps.entry(id).or_default().push(User { program, ifindex });
        }
    }
    Ok(maps)
}

/// By id, by pin, by name among the maps of attached programs, and by name among all maps. By its name a map is found
/// together with its other half, where a NIC runs a part of the program.
fn find(args: &Args) -> Result<MapAccess, Failure> {
    let cannot = || format!("cannot open map '{}'", args.map);
    if let Ok(id) = args.map.parse() {
        let map = Map::from_id(id).map_err(|error| match error.errno() {
            Some(Errno::ENOENT) => none(&format!("no map has the id {id}")),
            _ => Failure::kernel(cannot(), &error),
        })?;
        return MapAccess::open(map);
    }
    if args.map.contains('/') {
        let map = Map::open_pinned(Path::new(&args.map)).map_err(|error| match error.errno() {
            Some(Errno::ENOENT) => none(&format!("nothing is pinned at {}", args.map)),
            Some(Errno::EINVAL) => none(&format!("what is pinned at {} is no map", args.map)),
            _ => open_failure(cannot(), &error),
        })?;
        return MapAccess::open(map);
    }
    let attached = attached_maps(args.dev.as_deref())?;
    let mut found = named(&args.map, attached.keys().copied().map(Ok))?;
    if found.is_empty() && args.dev.is_none() {
        found = named(&args.map, kernel::bpf::map_ids())?;
    }
    if found.len() == 1 {
        return MapAccess::open(found.remove(0).1);
    }
    let is_on = |map: u32, ifindex: u32| {
        attached
            .get(&map)
            .is_some_and(|users| users.iter().any(|user| user.ifindex == ifindex))
    };
    match pair(found, is_on) {
        Ok((host, nic)) => Ok(MapAccess::open(host)?.beside(nic)),
        Err(found) if found.is_empty() => Err(none(&format!("no map is called '{}'", args.map))),
        Err(found) => {
            let ids: Vec<String> = found.iter().map(|(info, _)| info.id.to_string()).collect();
            Err(Failure::new(
                Exit::Usage,
                format!("{} maps are called '{}'", found.len(), args.map),
            )
            .because(format!("their ids are {}", ids.join(", ")))
            .remedy("give the id, or --dev IFACE"))
        }
    }
}

/// The maps of this name among some ids. The kernel cuts names after 15 bytes.
fn named(
    name: &str,
    ids: impl Iterator<Item = kernel::Result<u32>>,
) -> Result<Vec<(MapInfo, Map)>, Failure> {
    let mut found = Vec::new();
    for id in ids {
        let id = id.map_err(|error| Failure::kernel("cannot list the maps", &error))?;
        match Map::from_id(id).and_then(|map| Ok((map.info()?, map))) {
            Ok((info, map)) if is_named(&info, name) => found.push((info, map)),
            Ok(_) => {}
            Err(error) if error.errno() == Some(Errno::ENOENT) => {}
            Err(error) => return Err(Failure::kernel(format!("cannot open map {id}"), &error)),
        }
    }
    Ok(found)
}

fn none(what: &str) -> Failure {
    Failure::new(Exit::Usage, what)
        .remedy("`xdp-offload map list` shows the maps of attached programs")
}
