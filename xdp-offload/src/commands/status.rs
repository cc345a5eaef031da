//! `status`.

use super::{interface, open_route};
use crate::exit::{Exit, Failure};
use crate::json::status::Report;
use crate::{output, render};
use generic_fallback::status::{self, Leftovers};

/// Show what is attached where, in which mode, held by what
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  xdp-offload status\n  xdp-offload status eth0 --json")]
pub struct Args {
    /// The interfaces; all that have a program where none is named
    #[arg(value_name = "IFACE")]
    interfaces: Vec<String>,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> Result<Exit, Failure> {
    let mut route = open_route()?;
    let links = if args.interfaces.is_empty() {
        let mut links = route
            .links()
            .map_err(|error| Failure::kernel("cannot read the interfaces", &error))?;
        links.retain(|link| !link.xdp.is_empty());
        links
    } else {
        args.interfaces
            .iter()
            .map(|name| interface(&mut route, name))
            .collect::<Result<Vec<_>, _>>()?
    };
    let found = status::of(&links);
    // They belong to no interface that could be named.
    let leftovers = if args.interfaces.is_empty() {
        Leftovers::find()
    } else {
        Leftovers::default()
    };
    if args.json {
        output::print_json(&Report::new(&found, &leftovers))?;
    } else {
        output::print(&render::status::table(&found, output::width()))?;
        output::print(&render::status::leftovers(&leftovers))?;
    }
    Ok(Exit::Done)
}
