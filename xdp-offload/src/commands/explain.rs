//! `explain`: the page of a code.

use crate::exit::{Exit, Failure};
use crate::output::{self, NAME, styled};
use offload_compiler::diagnostic;
use offload_compiler::verify::Code;

/// Tell what a diagnostic means, with an example, and what to do
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    xdp-offload explain                  all codes, a line each\n  \
    xdp-offload explain packet-bounds    what it means and what to do")]
pub struct Args {
    /// The code, as it stands in the brackets of a message
    #[arg(value_name = "CODE")]
    code: Option<String>,
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> Result<Exit, Failure> {
    let Some(name) = &args.code else {
        output::print(&list())?;
        return Ok(Exit::Done);
    };
    // Pasted with its brackets, or in capitals.
    let wanted = name.trim_matches(['[', ']']).to_ascii_lowercase();
    let code = diagnostic::find(&wanted).ok_or_else(|| unknown(&wanted))?;
    output::print(diagnostic::page(code))?;
    Ok(Exit::Done)
}

fn list() -> String {
    let width = Code::ALL.iter().map(|code| code.name().len()).max();
    let width = width.unwrap_or_default();
    let mut out = String::new();
    for code in Code::ALL {
        let name = styled(NAME, code.name());
        let padding = " ".repeat(width - code.name().len());
        out.extend([name.as_str(), padding.as_str(), "  ", code.title(), "\n"]);
    }
    out
}

fn unknown(wanted: &str) -> Failure {
    let failure = Failure::new(Exit::Usage, format!("no code '{wanted}'"))
        .remedy("`xdp-offload explain` lists them");
    let close: Vec<&str> = Code::ALL
        .iter()
        .map(|code| code.name())
        .filter(|name| {
            !wanted.is_empty()
                && (name.contains(wanted)
                    || wanted
                        .split('-')
                        .any(|word| word.len() > 3 && name.split('-').any(|part| part == word)))
        })
        .collect();
    if close.is_empty() {
        failure
    } else {
        failure.because(format!("there is {}", close.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_name_suggests_those_that_are_close() {
        let why = |name: &str| unknown(name).why.unwrap_or_default();
        assert_eq!(
            why("bounds"),
            "there is packet-bounds, stack-bounds, map-value-bounds, memory-bounds"
        );
        assert_eq!(why("xyz"), "");
    }

    #[test]
    fn the_list_has_each_code_in_a_line() {
        assert_eq!(list().lines().count(), Code::ALL.len());
    }
}
