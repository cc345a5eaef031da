//! JUnit XML, as Jenkins, GitLab and junitparser read it: a suite a host, `host.nic` as the class name.

use std::collections::BTreeMap;
use std::io;

use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesText, Event};

use super::measured;
use crate::results::{CellResult, Results, Status};

/// The whole run as JUnit XML.
///
/// JUnit has no word for flaky and known to be bad: they are skipped tests whose message says so, so that no reader
/// takes them for a pass, and none for a new failure.
///
/// # Errors
/// None that happens: writing to memory does not fail.
pub fn junit(results: &Results) -> io::Result<Vec<u8>> {
    let mut hosts: BTreeMap<&str, Vec<&CellResult>> = BTreeMap::new();
    for result in results.cells.values() {
        hosts.entry(result.parts()[0]).or_default().push(result);
    }
    let mut writer = Writer::new_with_indent(Vec::new(), b' ', 2);
    writer.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
    let all: Vec<&CellResult> = results.cells.values().collect();
    let mut suites = writer
        .create_element("testsuites")
        .with_attribute(("name", results.header.lab.as_str()));
    for (name, value) in totals(&all) {
        suites = suites.with_attribute((name, value.as_str()));
    }
    suites.write_inner_content(|writer| {
        for (host, cells) in &hosts {
            suite(writer, results, host, cells)?;
        }
        Ok(())
    })?;
    let mut bytes = writer.into_inner();
    bytes.push(b'\n');
    Ok(bytes)
}

fn suite(
    writer: &mut Writer<Vec<u8>>,
    results: &Results,
    host: &str,
    cells: &[&CellResult],
) -> io::Result<()> {
    let mut suite = writer
        .create_element("testsuite")
        .with_attribute(("name", host))
        .with_attribute(("hostname", host));
    for (name, value) in totals(cells) {
        suite = suite.with_attribute((name, value.as_str()));
    }
    suite.write_inner_content(|writer| {
        let facts = results.hosts.get(host);
        if let Some(kernel) = facts.and_then(|facts| facts.kernel.as_deref()) {
            writer
                .create_element("properties")
                .write_inner_content(|writer| {
                    let property = writer.create_element("property");
                    property
                        .with_attribute(("name", "kernel"))
                        .with_attribute(("value", kernel))
                        .write_empty()?;
                    Ok(())
                })?;
        }
        for result in cells {
            case(writer, result)?;
        }
        Ok(())
    })?;
    Ok(())
}

fn case(writer: &mut Writer<Vec<u8>>, result: &CellResult) -> io::Result<()> {
    let [host, nic, program, mode, check] = result.parts();
    let class = format!("{host}.{nic}");
    let name = format!("{program}/{mode}/{check}");
    let time = seconds(result.duration_ms);
    let element = writer
        .create_element("testcase")
        .with_attribute(("classname", class.as_str()))
        .with_attribute(("name", name.as_str()))
        .with_attribute(("time", time.as_str()));
    let reason = result.reason.as_deref().unwrap_or_default();
    let (child, message) = match result.status {
        Status::Pass => {
            match measured(result) {
                None => element.write_empty()?,
                Some(found) => element.write_inner_content(|writer| {
                    let element = writer.create_element("system-out");
                    element.write_text_content(BytesText::new(&allowed(&found)))?;
                    Ok(())
                })?,
            };
            return Ok(());
        }
        Status::Skip => ("skipped", reason.to_owned()),
        Status::Flaky => ("skipped", format!("flaky, first attempt: {reason}")),
        Status::KnownBad => {
            let known = result.known_bad.as_deref().unwrap_or_default();
            ("skipped", format!("known bad ({known}): {reason}"))
        }
        Status::Fail => {
            let name = |outcome: Option<crate::spec::Outcome>| outcome.map_or("-", |o| o.name());
            let (got, expected) = (name(result.outcome), name(result.expected));
            let found = measured(result).map_or(String::new(), |found| format!("{found}: "));
            let message = format!("{got}, expected {expected}: {found}{reason}");
            ("failure", message)
        }
        Status::Error | Status::Crash | Status::Interrupted => {
            ("error", format!("{}: {reason}", result.status.name()))
        }
    };
    element.write_inner_content(|writer| {
        let message = allowed(&message);
        let element = writer
            .create_element(child)
            .with_attribute(("type", result.status.name()))
            .with_attribute(("message", message.as_str()));
        match &result.remedy {
            Some(remedy) => element.write_text_content(BytesText::new(&allowed(remedy)))?,
            None => element.write_empty()?,
        };
        for (name, text) in [
            ("system-out", &result.log),
            ("system-err", &result.kernel_log),
        ] {
            if let Some(text) = text {
                let element = writer.create_element(name);
                element.write_text_content(BytesText::new(&allowed(text)))?;
            }
        }
        Ok(())
    })?;
    Ok(())
}

fn totals(cells: &[&CellResult]) -> [(&'static str, String); 5] {
    let count = |of: fn(Status) -> bool| {
        let statuses = cells.iter().map(|result| result.status);
        statuses.filter(|&status| of(status)).count().to_string()
    };
    let time = cells.iter().map(|result| result.duration_ms).sum();
    [
        ("tests", cells.len().to_string()),
        ("failures", count(|status| status == Status::Fail)),
        (
            "errors",
            count(|status| status.is_bad() && status != Status::Fail),
        ),
        (
            "skipped",
            count(|status| matches!(status, Status::Skip | Status::Flaky | Status::KnownBad)),
        ),
        ("time", seconds(time)),
    ]
}

fn seconds(milliseconds: u64) -> String {
    format!("{}.{:03}", milliseconds / 1000, milliseconds % 1000)
}

/// Without the characters that XML 1.0 has no way to write.
fn allowed(text: &str) -> String {
    let forbidden = |c: char| {
        (c.is_control() && !matches!(c, '\t' | '\n' | '\r' | '\u{7f}'..='\u{9f}'))
            || matches!(c, '\u{fffe}' | '\u{ffff}')
    };
    text.chars()
        .map(|c| if forbidden(c) { '\u{fffd}' } else { c })
        .collect()
}
