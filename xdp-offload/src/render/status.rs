//! The table of attachments.

use crate::output::{QUIET, styled};
use generic_fallback::occupant::Holder;
use generic_fallback::status::{Attachment, Status};
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
