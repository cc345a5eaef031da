//! `explain`: the page of a code or of a rewrite.

use crate::exit::{Exit, Failure};
use crate::output::{self, NAME, styled};
use offload_compiler::diagnostic;
use offload_compiler::lower::{self, Allow, PASSES};
use offload_compiler::verify::Code;

/// Tell what a diagnostic means or what a rewrite changes, and what to do
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    xdp-offload explain                  all codes and rewrites, a line each\n  \
    xdp-offload explain packet-bounds    what it means and what to do\n  \
    xdp-offload explain counters         what --allow counters changes, and what user space must do")]
pub struct Args {
    /// The code, as it stands in the brackets of a message, a rewrite, or a name that --allow takes
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
    let page = diagnostic::find(&wanted)
        .map(diagnostic::page)
        .or_else(|| lower::page(&wanted))
        .ok_or_else(|| unknown(&wanted))?;
    output::print(page)?;
    if wanted.parse().is_ok_and(|allow| !is_made(allow)) {
        output::print("\nNot made yet: this version rewrites nothing under this name.\n")?;
    }
    Ok(Exit::Done)
}

/// Whether there is a pass that needs it.
fn is_made(allow: Allow) -> bool {
    allow == Allow::Split || PASSES.iter().any(|pass| pass.allow == Some(allow))
}

/// Names and titles: codes, what can be allowed, passes.
fn sections() -> [(&'static str, Vec<(&'static str, &'static str)>); 3] {
    let titled = |name: &'static str| (name, lower::title(name).unwrap_or_default());
    [
        (
            "Diagnostics",
            Code::ALL
                .iter()
                .map(|code| (code.name(), code.title()))
                .collect(),
        ),
        (
            "Rewrites that --allow permits",
            Allow::ALL
                .into_iter()
                .filter(|&allow| is_made(allow))
                .map(|allow| titled(allow.name()))
                .collect(),
        ),
        (
            "Rewrites",
            PASSES.iter().map(|pass| titled(pass.name)).collect(),
        ),
    ]
}

fn list() -> String {
    let sections = sections();
    let names = sections.iter().flat_map(|(_, names)| names);
    let width = names.map(|(name, _)| name.len()).max().unwrap_or_default();
    let mut out = String::new();
    for (heading, names) in sections.iter().filter(|(_, names)| !names.is_empty()) {
        out.push_str(if out.is_empty() { "" } else { "\n" });
        out.extend([*heading, "\n"]);
        for (name, title) in names {
            let padding = " ".repeat(width - name.len());
            out.extend(["  ", &styled(NAME, name), &padding, "  ", title, "\n"]);
        }
    }
    out
}

fn unknown(wanted: &str) -> Failure {
    let failure = Failure::new(Exit::Usage, format!("no code or rewrite '{wanted}'"))
        .remedy("`xdp-offload explain` lists them");
    let close: Vec<&str> = sections()
        .iter()
        .flat_map(|(_, names)| names.iter().map(|(name, _)| *name))
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
    fn the_list_has_each_name_in_a_line() {
        let listed = list();
        for (_, names) in sections() {
            for (name, title) in names {
                assert!(!title.is_empty(), "{name}");
                assert!(listed.contains(title), "{name}");
            }
        }
    }
}
