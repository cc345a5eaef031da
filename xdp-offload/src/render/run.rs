//! What a program did with packets.

use crate::json::run::{Packet, Report};
use crate::output::{NAME, QUIET, styled};
use std::fmt::Write;

/// The whole report.
pub(crate) fn report(report: &Report) -> String {
    let mut out = String::new();
    for packet in &report.packets {
        out += &line(packet);
    }
    let counts: Vec<String> = report
        .verdicts
        .iter()
        .map(|(verdict, count)| format!("{verdict} {count}"))
        .collect();
    let _ = writeln!(
        out,
        "{}, {}: {} packets{}{}",
        styled(NAME, &report.program),
        report.engines.join(" = "),
        report.packets.len(),
        if counts.is_empty() { "" } else { "; " },
        counts.join(", ")
    );
    out
}

fn line(packet: &Packet) -> String {
    let mut out = format!("{:6}  {:<12}", packet.number, packet.verdict_name);
    let _ = match packet.length_after {
        Some(after) if after != packet.length => {
            write!(out, "  {} -> {after} bytes", packet.length)
        }
        _ => write!(out, "  {} bytes", packet.length),
    };
    if packet.changed == Some(true) {
        out += ", changed";
    }
    if let Some(redirect) = &packet.redirect {
        let _ = write!(out, ", to {redirect}");
    }
    if let Some(lost) = &packet.lost {
        let _ = write!(out, ", {lost}");
    }
    let cost = match (packet.instructions, packet.nanoseconds) {
        (Some(words), _) if let Some(cycles) = packet.cycles => {
            format!("{words} words, about {cycles} cycles")
        }
        (Some(instructions), _) => format!("{instructions} instructions"),
        (None, Some(nanoseconds)) => format!("{nanoseconds} ns"),
        (None, None) => String::new(),
    };
    if !cost.is_empty() {
        let _ = write!(out, "  {}", styled(QUIET, cost));
    }
    out.push('\n');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_became_of_the_packet() {
        let packet = Packet {
            number: 3,
            verdict: Some(4),
            verdict_name: "XDP_REDIRECT".to_owned(),
            length: 64,
            length_after: Some(60),
            changed: Some(true),
            redirect: Some("ports[7]".to_owned()),
            instructions: Some(31),
            cycles: None,
            nanoseconds: None,
            lost: None,
        };
        assert_eq!(
            anstream::adapter::strip_str(&line(&packet)).to_string(),
            "     3  XDP_REDIRECT  64 -> 60 bytes, changed, to ports[7]  31 instructions\n"
        );
    }
}
