//! Findings at their source lines, as text.

use crate::output;
use crate::sources::Sources;
use offload_compiler::diagnostic::{self, Diagnostic, Style};
use offload_compiler::isa;
use offload_compiler::object::Linked;
use offload_compiler::verify::Finding;
use std::io::Write;

/// Says findings about a program on stderr.
pub(crate) fn say(found: &[Finding], linked: &Linked, code: &isa::Code, sources: &mut Sources) {
    for finding in found {
        let text = render(&Diagnostic::of(finding, linked, code), code, sources);
        // Nobody is left to tell where stderr is gone too.
        let _ = writeln!(anstream::stderr(), "{text}");
    }
}

/// A diagnostic as people read it.
pub(crate) fn render(found: &Diagnostic, code: &isa::Code, sources: &mut Sources) -> String {
    let style = Style {
        width: output::width(),
        colour: true,
    };
    diagnostic::render(found, code, &mut |name| sources.read(name), style)
}
