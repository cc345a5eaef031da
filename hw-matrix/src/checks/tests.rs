//! What a check changes on a host is put back, whatever happens meanwhile: on a session that answers as it is told.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Attempt, Report};
use crate::cell::matrix;
use crate::executor::{Command, Output, Session, SessionError};
use crate::spec::{Lab, Outcome};

const LAB: &str = r#"
[host.h]
executor = "ssh"
address = "h"
prepare = ["ethtool -K eth0 rxvlan off"]
nic.n = { ifname = "eth0", peer = "far/eth1" }
[program.p]
object = "p.o"
"#;

enum Answer {
    /// A code, and what is written.
    Code(i32, &'static str),
    Not(SessionError),
}

/// What the host says to a command; where it says nothing, it does what it should.
type Script<'a> = &'a dyn Fn(&str) -> Option<Answer>;

struct Scripted<'a> {
    script: Script<'a>,
    lines: Vec<String>,
}

fn runs_out_of_time() -> Answer {
    Answer::Not(SessionError::Command("ran out of time".into()))
}

impl Session for Scripted<'_> {
    fn run(&mut self, command: &Command) -> Result<Output, SessionError> {
        let line = command.line();
        let answer = (self.script)(&line).unwrap_or_else(|| match line.as_str() {
            line if line.starts_with("xdp-probe list") => Answer::Code(
                0,
                r#"{"interfaces":[{"ifname":"eth0","driver":"sim","bus_info":null,
                "channels":{"rx":{"now":0,"max":0},"tx":{"now":0,"max":0},"combined":{"now":2,"max":4}},
                "modes":{"native":{"support":"yes","reason":null,"remedy":null},
                "generic":{"support":"yes","reason":null,"remedy":null},
                "offload":{"support":"no","reason":null,"remedy":null}}}]}"#,
            ),
            line if line.starts_with("xdp-offload attach") => {
                Answer::Code(0, r#"{"mode":"native","prog_id":7}"#)
            }
            line if line.contains("-details link show") => {
                Answer::Code(0, r#"[{"mtu":1500,"min_mtu":68,"max_mtu":9000}]"#)
            }
            line if line.starts_with("mktemp") => Answer::Code(0, "/tmp/hw\n"),
            _ => Answer::Code(0, ""),
        });
        self.lines.push(line);
        match answer {
            Answer::Code(code, stdout) => Ok(Output {
                code: Some(code),
                stdout: stdout.into(),
                ..Output::default()
            }),
            Answer::Not(error) => Err(error),
        }
    }

    fn put(&mut self, file: &Path) -> Result<String, SessionError> {
        Ok(file.display().to_string())
    }

    fn reset(&mut self) -> Result<(), SessionError> {
        Ok(())
    }

    fn close(self: Box<Self>) -> Result<(), SessionError> {
        Ok(())
    }
}

/// A cell of this kind in native mode: its report, and the commands after the one with these words.
fn ask(kind: &str, after: &str, script: Script<'_>) -> (Result<Report, SessionError>, Vec<String>) {
    let lab = format!("{LAB}[check.{kind}]\nmodes = [\"native\"]");
    let lab = Lab::parse(&lab, "lab.toml").unwrap();
    let cells = matrix(&lab, jiff::civil::date(2026, 1, 1)).unwrap().cells;
    let mut session = Scripted {
        script,
        lines: Vec::new(),
    };
    let mut attempt = Attempt::new(&mut session, Duration::from_mins(1));
    let report = attempt.run(&cells[0], &PathBuf::new());
    let lines = session.lines;
    let at = lines.iter().position(|line| line.contains(after));
    let at = at.unwrap_or_else(|| panic!("{after}: {lines:?}"));
    (report, lines[at + 1..].to_vec())
}

const DETACH: &str = "xdp-offload detach eth0 --mode native --id 7";

#[test]
fn a_program_is_taken_off_when_time_is_up() {
    let (report, then) = ask("maps", "map list", &|line| {
        line.contains("map list").then(runs_out_of_time)
    });
    assert_eq!(report.unwrap().reason.as_deref(), Some("ran out of time"));
    assert_eq!(then, [DETACH]);
}

#[test]
fn a_host_that_is_lost_gets_no_more_commands() {
    let (report, then) = ask("maps", "map list", &|line| {
        let lost = || Answer::Not(SessionError::lost("gone"));
        line.contains("map list").then(lost)
    });
    assert_eq!(report, Err(SessionError::lost("gone")));
    assert!(then.is_empty(), "{then:?}");
}

#[test]
fn both_ends_get_their_mtu_again() {
    let (report, then) = ask("mtu", "attach", &|line| {
        line.contains("xdp-offload attach").then(runs_out_of_time)
    });
    let report = report.unwrap();
    assert_eq!((report.outcome, report.found), (None, None));
    assert_eq!(
        then,
        [
            "ip link set dev eth0 mtu 1500",
            "ip -n far link set dev eth1 mtu 1500"
        ]
    );
    let (report, then) = ask("mtu", "mtu 9000", &|_| None);
    assert_eq!(report.unwrap().found.as_deref(), Some("1280..9000"));
    assert!(then.contains(&DETACH.to_owned()), "{then:?}");
    assert!(then[then.len() - 1].ends_with("eth1 mtu 1500"), "{then:?}");
}

#[test]
fn channels_are_set_again() {
    let (report, then) = ask("queues", "combined 4", &|line| match line {
        "ethtool -L eth0 combined 1" => Some(Answer::Code(1, "")),
        _ => None,
    });
    assert_eq!(report.unwrap().found.as_deref(), Some("2, 4"));
    assert_eq!(then.last().unwrap(), "ethtool -L eth0 combined 2");
    // A driver that sets none is left alone.
    let (report, _) = ask("queues", "combined 4", &|line| {
        line.starts_with("ethtool").then_some(Answer::Code(95, ""))
    });
    assert!(report.unwrap().skipped);
}

#[test]
fn what_replaced_the_program_is_taken_off() {
    let status = r#"{"interfaces":[{"attached":[{"mode":"native","prog_id":9}]}]}"#;
    let (report, then) = ask("replace", "soak", &|line| match line {
        line if line.contains("soak") => Some(runs_out_of_time()),
        line if line.contains("status") => Some(Answer::Code(0, status)),
        _ => None,
    });
    assert_eq!(report.unwrap().reason.as_deref(), Some("ran out of time"));
    assert_eq!(
        then,
        [
            "rm -rf -- /tmp/hw",
            "xdp-offload status --json eth0",
            "xdp-offload detach eth0 --mode native --id 9"
        ]
    );
}

#[test]
fn a_driver_gets_its_device_again() {
    let device = "/sys/devices/d /sys/drivers/sim 3000 0x1003\n";
    let script = |line: &str, there: bool| match line {
        line if line.contains("readlink") => Some(Answer::Code(0, device)),
        line if line.starts_with("test -e") => Some(Answer::Code(i32::from(!there), "")),
        line if line.contains("status") => {
            Some(Answer::Code(0, r#"{"interfaces":[],"orphaned":[]}"#))
        }
        _ => None,
    };
    let (report, then) = ask("reload", "unbind\" sh", &|line| script(line, false));
    let report = report.unwrap();
    assert_eq!(report.outcome, Some(Outcome::Held));
    assert_eq!(report.found.as_deref(), Some("gone with the driver"));
    let bind = "sh /sys/devices/d /sys/drivers/sim eth0 3000 up";
    let bound = then.iter().position(|line| line.ends_with(bind));
    let prepared = then
        .iter()
        .position(|line| line == "sh -c ethtool -K eth0 rxvlan off");
    assert!(bound.is_some() && bound < prepared, "{then:?}");

    let (report, then) = ask("reload", "unbind\" sh", &|line| script(line, true));
    assert_eq!(report.unwrap().outcome, Some(Outcome::Wrong));
    assert!(then.iter().any(|line| line.ends_with(bind)), "{then:?}");
}

#[test]
fn files_go_when_a_comparison_does_not_end() {
    let (report, then) = ask("verdicts", "--compare", &|line| {
        line.contains("--compare").then(runs_out_of_time)
    });
    assert_eq!(report.unwrap().outcome, None);
    assert_eq!(then, ["rm -rf -- /tmp/hw", DETACH]);
}
