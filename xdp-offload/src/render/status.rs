//! The table of attachments.

use crate::output::{QUIET, styled};
use generic_fallback::occupant::Holder;
use generic_fallback::status::{Attachment, Leftovers, Status};
use std::time::SystemTime;

/// The table; a line where there is nothing to show.
pub(crate) fn table(found: &[Status], width: usize) -> String {
    if found.is_empty() {
        return "no XDP program is attached in this network namespace\n".to_owned();
    }
    let rows = found.iter().flat_map(|status| {
        let none = status
            .attached
            .is_empty()
            .then(|| vec![status.ifname.clone(), "-".to_owned()]);
        let attached = status.attached.iter().map(|it| row(&status.ifname, it));
        none.into_iter().chain(attached)
    });
    let header = [
        "INTERFACE",
        "MODE",
        "PROGRAM",
        "TAG",
        "LOADED",
        "HELD BY",
        "MAPS",
    ];
    let mut out = super::table(&header, rows, width);
    if found
        .iter()
        .flat_map(|status| &status.attached)
        .any(|attachment| attachment.program.is_none())
    {
        out += &styled(
            QUIET,
            format!(
                "names and maps are not shown: {}",
                generic_fallback::permission::remedy()
            ),
        );
        out.push('\n');
    }
    out
}

/// What is left of attachments whose interface went away, and how to be rid of it.
pub(crate) fn leftovers(leftovers: &Leftovers) -> String {
    let mut out = String::new();
    for link in &leftovers.links {
        let program = match link.program_id {
            Some(id) => format!("program {id}"),
            None => "its program".to_owned(),
        };
        let keeps = if leftovers.is_orphaned(link) {
            format!("{program} is orphaned: the NIC that ran it is gone")
        } else {
            format!("it was detached, or the interface is gone; {program} stays loaded for it")
        };
        let (place, remedy) = match &link.pin {
            Some(pin) => (
                format!(" at {}", pin.display()),
                format!("rm {}", pin.display()),
            ),
            None => (String::new(), "end the process that owns it".to_owned()),
        };
        let id = link.id;
        out += &format!("link {id}{place} holds no interface: {keeps}\n  do:  {remedy}\n");
    }
    let held = |id: u32| {
        leftovers
            .links
            .iter()
            .any(|link| link.program_id == Some(id))
    };
    for id in leftovers.orphans.iter().filter(|&&id| !held(id)) {
        out += &format!(
            "program {id} is orphaned: the NIC that ran it is gone, and a pin or a process keeps the empty shell\n  \
             do:  remove the pin, or end the process\n"
        );
    }
    out
}

fn row(ifname: &str, attachment: &Attachment) -> Vec<String> {
    let holder = match &attachment.holder {
        Holder::Interface => "interface".to_owned(),
        Holder::Link { id, pin: None } => format!("link {id}"),
        Holder::Link { id, pin: Some(pin) } => format!("link {id} at {}", pin.display()),
    };
    let Some(program) = &attachment.program else {
        return vec![
            ifname.to_owned(),
            attachment.mode.to_string(),
            attachment.program_id.to_string(),
            String::new(),
            String::new(),
            holder,
            String::new(),
        ];
    };
    let mut name = format!("{} {}", attachment.program_id, program.name);
    for component in &program.behind_dispatcher {
        name += &format!("\n-> {} {}", component.program_id, component.name);
    }
    let maps: Vec<String> = program
        .maps
        .iter()
        .map(|map| format!("{} {}", map.id, map.name))
        .collect();
    vec![
        ifname.to_owned(),
        attachment.mode.to_string(),
        name.trim_end().to_owned(),
        program.tag.clone(),
        format!("{} by uid {}", ago(program.loaded_at), program.uid),
        holder,
        maps.join(", "),
    ]
}

/// "5 s ago", "3 h ago"
fn ago(moment: SystemTime) -> String {
    let seconds = moment.elapsed().unwrap_or_default().as_secs();
    match seconds {
        0..120 => format!("{seconds} s ago"),
        120..7200 => format!("{} min ago", seconds / 60),
        7200..172_800 => format!("{} h ago", seconds / 3600),
        _ => format!("{} days ago", seconds / 86_400),
    }
}
