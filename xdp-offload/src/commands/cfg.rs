//! `cfg`: the control flow graph.

use crate::code::{ProgramCode, Source};
use crate::exit::{Exit, Failure};
use crate::output;
use offload_compiler::cfg::Cfg;
use offload_compiler::isa::Code;

/// Show a program's control flow: blocks, edges with their conditions, loops, dominators
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    xdp-offload cfg filter.bpf.o\n  \
    xdp-offload cfg filter.bpf.o --format svg > filter.svg\n  \
    xdp-offload cfg filter.bpf.o --format dot | dot -Tpdf > filter.pdf")]
pub struct Args {
    #[command(flatten)]
    source: Source,

    /// How to show it; a picture (svg, dot) is of one program
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// Lines
    Text,
    /// Graphviz' language
    Dot,
    /// A picture
    Svg,
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> Result<Exit, Failure> {
    let programs = args.source.read()?;
    if args.format != Format::Text && programs.len() > 1 {
        let names: Vec<&str> = programs.iter().map(|its| its.name.as_str()).collect();
        return Err(Failure::new(Exit::Usage, "a picture is of one program")
            .because(format!("there are {}", names.join(", ")))
            .remedy("pick one with --prog NAME"));
    }
    let mut out = String::new();
    for program in &programs {
        if !out.is_empty() {
            out.push('\n');
        }
        let (code, cfg) = graph(program)?;
        out += &match args.format {
            Format::Text => cfg.to_text(&code, program),
            Format::Dot => cfg.to_dot(&code, program),
            Format::Svg => cfg.to_svg(&code, program),
        };
    }
    output::print(&out)?;
    Ok(Exit::Done)
}

fn graph(program: &ProgramCode) -> Result<(Code, Cfg), Failure> {
    let refused = |slot: usize, why: String| {
        let place = program
            .place(slot)
            .map_or_else(String::new, |place| format!(" ({place})"));
        Failure::new(
            Exit::No,
            format!("'{}' has no control flow graph", program.name),
        )
        .because(why + &place)
    };
    let code =
        Code::decode(&program.insns).map_err(|error| refused(error.slot, error.to_string()))?;
    let cfg = Cfg::build(&code, &program.functions())
        .map_err(|error| refused(error.slot, error.to_string()))?;
    Ok((code, cfg))
}
