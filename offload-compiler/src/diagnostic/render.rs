//! Diagnostics as text.

use std::ops::Range;

use annotate_snippets::{
    Annotation, AnnotationKind, Element, Level, Renderer, Snippet, normalize_untrusted_str,
};

use super::{Diagnostic, Step};
use crate::isa;
use crate::object::SourceLine;
use crate::verify::Severity;

/// Instructions shown before and after one that has no source line.
const AROUND: usize = 3;
/// Longer texts are notes below the excerpt.
const LONGEST_LABEL: usize = 60;
/// Columns that notes are indented by.
const INDENT: usize = 13;

/// How to render.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    /// Columns of the terminal.
    pub width: usize,
    /// With ANSI colours.
    pub colour: bool,
}

/// The diagnostic as rustc would print it, with a line break at its end. `code` is the program's instructions,
/// `source` reads a source file by the name that the compiler was given.
pub fn render(
    diagnostic: &Diagnostic,
    code: &isa::Code,
    source: &mut dyn FnMut(&str) -> Option<String>,
    style: Style,
) -> String {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let mut elements = excerpts(diagnostic, code, source);
    let room = style.width.saturating_sub(INDENT).max(30);
    let beside = usize::from(label(diagnostic).is_some());
    let mut notes: Vec<String> = diagnostic.known.iter().skip(beside).cloned().collect();
    if let Some(path) = path(diagnostic) {
        notes.push(path);
    }
    for note in notes {
        elements.push(Level::NOTE.message(wrap(&clean(&note), room)).into());
    }
    if let Some(help) = &diagnostic.help {
        elements.push(Level::HELP.message(wrap(&clean(help), room)).into());
    }
    let group = level
        .primary_title(clean(&diagnostic.message))
        .id(diagnostic.code.name())
        .elements(elements);
    let renderer = if style.colour {
        Renderer::styled()
    } else {
        Renderer::plain()
    };
    let mut text = renderer.term_width(style.width).render(&[group]);
    text.push('\n');
    text
}

/// What comes from an object cannot write to the terminal what it likes.
fn clean(text: &str) -> String {
    text.split('\n')
        .map(normalize_untrusted_str)
        .collect::<Vec<_>>()
        .join("\n")
}

/// What stands beside the place: the first that was known, where it is short.
fn label(diagnostic: &Diagnostic) -> Option<String> {
    let first = diagnostic.known.first()?;
    (first.chars().count() <= LONGEST_LABEL).then(|| first.clone())
}

/// One line that is pointed at.
struct Pointed<'a> {
    line: &'a SourceLine,
    label: Option<String>,
    primary: bool,
}

fn excerpts(
    diagnostic: &Diagnostic,
    code: &isa::Code,
    source: &mut dyn FnMut(&str) -> Option<String>,
) -> Vec<Element<'static>> {
    let label = label(diagnostic);
    let Some(line) = &diagnostic.line else {
        return vec![instructions(diagnostic, code, label).into()];
    };
    let mut pointed = vec![Pointed {
        line,
        label,
        primary: true,
    }];
    pointed.extend(diagnostic.related.iter().filter_map(|related| {
        Some(Pointed {
            line: related.line.as_ref()?,
            label: Some(related.what.clone()),
            primary: false,
        })
    }));
    let mut elements = Vec::new();
    // The primary file first, then the others as they come.
    while let Some(first) = pointed.first() {
        let file = first.line.file.clone();
        let (here, rest): (Vec<_>, Vec<_>) =
            pointed.into_iter().partition(|each| each.line.file == file);
        pointed = rest;
        match source(&file).filter(|text| here.iter().all(|each| is_from(each.line, text))) {
            Some(text) => elements.push(whole_file(&file, &text, &here)),
            None => elements.extend(here.iter().map(|each| single_line(&file, each))),
        }
    }
    elements
}

/// Whether a file still has the line that the compiler saw.
fn is_from(line: &SourceLine, text: &str) -> bool {
    (line.line as usize)
        .checked_sub(1)
        .and_then(|index| text.lines().nth(index))
        .is_some_and(|found| line.text.is_empty() || found.trim() == line.text.trim())
}

fn whole_file(file: &str, text: &str, here: &[Pointed<'_>]) -> Element<'static> {
    let annotations: Vec<Annotation<'static>> = here
        .iter()
        .map(|each| {
            let start: usize = text
                .split_inclusive('\n')
                .take(each.line.line as usize - 1)
                .map(str::len)
                .sum();
            let line = text[start..].lines().next().unwrap_or_default();
            let span = span(line, each.line.column);
            annotation(each, start + span.start..start + span.end)
        })
        .collect();
    Snippet::source(text.to_owned())
        .line_start(1)
        .path(clean(file))
        .annotations(annotations)
        .into()
}

fn single_line(file: &str, pointed: &Pointed<'_>) -> Element<'static> {
    let text = pointed.line.text.clone();
    let span = span(&text, pointed.line.column);
    Snippet::source(text)
        .line_start(pointed.line.line as usize)
        .path(clean(file))
        .annotation(annotation(pointed, span))
        .into()
}

fn annotation(pointed: &Pointed<'_>, span: Range<usize>) -> Annotation<'static> {
    let kind = if pointed.primary {
        AnnotationKind::Primary
    } else {
        AnnotationKind::Context
    };
    let annotation = kind.span(span);
    match &pointed.label {
        Some(label) => annotation.label(clean(label)),
        None => annotation,
    }
}

/// From the column (counted from 1) to the end of the word there; the whole line where the column is unknown.
fn span(line: &str, column: u32) -> Range<usize> {
    let indent = line.len() - line.trim_start().len();
    let whole = indent..line.trim_end().len().max(indent);
    let Some(start) = (column as usize).checked_sub(1) else {
        return whole;
    };
    if start >= line.len() || !line.is_char_boundary(start) {
        return whole;
    }
    let word = line[start..]
        .bytes()
        .take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
        .count();
    let first = line[start..].chars().next().map_or(1, char::len_utf8);
    start..start + word.max(first)
}

/// The instruction and those around it, in the kernel's text.
fn instructions(
    diagnostic: &Diagnostic,
    code: &isa::Code,
    label: Option<String>,
) -> Snippet<'static, Annotation<'static>> {
    let mut text = String::new();
    let mut pointed = 0..0;
    let mut notes: Vec<(Range<usize>, String)> = Vec::new();
    let near = |slot: usize| {
        slot.abs_diff(diagnostic.insn) <= AROUND
            || diagnostic
                .related
                .iter()
                .any(|related| related.insn == slot)
    };
    for (slot, instruction) in code.iter().filter(|(slot, _)| near(*slot)) {
        let start = text.len();
        text.extend([slot.to_string(), ": ".to_owned(), instruction.to_string()]);
        let span = start..text.len();
        if slot == diagnostic.insn {
            pointed = span;
        } else if let Some(related) = diagnostic.related.iter().find(|each| each.insn == slot) {
            notes.push((span, related.what.clone()));
        }
        text.push('\n');
    }
    let mut annotation = AnnotationKind::Primary.span(pointed);
    if let Some(label) = label {
        annotation = annotation.label(clean(&label));
    }
    Snippet::source(text)
        .line_start(1)
        .line_numbering(false)
        .fold(false)
        .annotation(annotation)
        .annotations(
            notes
                .into_iter()
                .map(|(span, what)| AnnotationKind::Context.span(span).label(clean(&what))),
        )
}

/// The path that leads there, with its branches a line each.
pub(super) fn path(diagnostic: &Diagnostic) -> Option<String> {
    let mut lines: Vec<String> = diagnostic
        .path
        .iter()
        .map(|step| step_line(step, diagnostic))
        .collect();
    if lines.is_empty() {
        return None;
    }
    if diagnostic.path_omitted > 0 {
        let branches = if diagnostic.path_omitted == 1 {
            "branch"
        } else {
            "branches"
        };
        lines.insert(
            0,
            format!("... {} {branches} before", diagnostic.path_omitted),
        );
    }
    Some(format!("the path that leads here:\n{}", lines.join("\n")))
}

fn step_line(step: &Step, diagnostic: &Diagnostic) -> String {
    let times = if step.times > 1 {
        format!(" ({} times)", step.times)
    } else {
        String::new()
    };
    match (&step.line, &step.to_line) {
        (Some(line), Some(to)) => {
            let other_file = diagnostic
                .line
                .as_ref()
                .is_none_or(|here| here.file != line.file);
            let file = if other_file {
                format!("{}:", line.file)
            } else {
                "line ".to_owned()
            };
            let text = line.text.trim();
            format!("{file}{}: {text} -> line {}{times}", line.line, to.line)
        }
        _ => format!("instruction {} -> {}{times}", step.insn, step.to),
    }
}

/// Long lines broken between words.
fn wrap(text: &str, width: usize) -> String {
    let mut out = String::new();
    for (index, line) in text.split('\n').enumerate() {
        if index > 0 {
            out.push('\n');
        }
        let mut column = 0;
        for word in line.split(' ') {
            let length = word.chars().count();
            if column > 0 && column + 1 + length > width {
                out.push('\n');
                column = 0;
            } else if column > 0 {
                out.push(' ');
                column += 1;
            }
            out.push_str(word);
            column += length;
        }
    }
    out
}
