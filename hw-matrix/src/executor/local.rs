//! This machine: drives the `xdp-probe` and `xdp-offload` programs through their `--json` contract.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::tool::run;
use super::{Execute, Report};
use crate::cell::Cell;
use crate::spec::{CheckKind, Mode, Nic, Outcome};

/// Time for detaching after a cell's own time is up.
const DETACH_TIME: Duration = Duration::from_secs(30);

/// Runs cells on this machine.
#[derive(Debug)]
pub struct Local {
    tools: PathBuf,
    objects: PathBuf,
}

impl Local {
    /// `tools` is the folder of `xdp-probe` and `xdp-offload` (empty: the search path); `objects` the folder that
    /// programs' paths are relative to.
    pub fn new(tools: PathBuf, objects: PathBuf) -> Local {
        Local { tools, objects }
    }

    fn tool(&self, name: &str) -> Command {
        Command::new(if self.tools.as_os_str().is_empty() {
            PathBuf::from(name)
        } else {
            self.tools.join(name)
        })
    }

    fn interfaces(&self, only: Option<&str>, deadline: Instant) -> Result<Vec<Interface>, String> {
        let mut command = self.tool("xdp-probe");
        command.args(["list", "--json"]).args(only);
        let output = run(command, deadline)?;
        if !output.status.success() {
            return Err(output.complaint());
        }
        let list: List = output.json()?;
        Ok(list.interfaces)
    }

    fn probe(&self, interface: &Interface, mode: Mode, deadline: Instant) -> Report {
        let support = match self.interfaces(Some(&interface.ifname), deadline) {
            Ok(list) => match list.into_iter().find(|row| row.ifname == interface.ifname) {
                Some(row) => row.modes.of(mode),
                None => {
                    return Report::failed(format!("xdp-probe does not list {}", interface.ifname));
                }
            },
            Err(reason) => return Report::failed(reason),
        };
        let outcome = match support.word {
            SupportWord::Yes => Outcome::Yes,
            SupportWord::No => Outcome::No,
            SupportWord::Unknown => Outcome::Unknown,
        };
        Report {
            outcome: Some(outcome),
            reason: support.reason,
            remedy: support.remedy,
            ..Report::default()
        }
    }

    fn attach(&self, interface: &Interface, cell: &Cell<'_>, deadline: Instant) -> Report {
        let Some(program) = cell.program else {
            return Report::failed("the cell has no program");
        };
        let mut command = self.tool("xdp-offload");
        command
            .arg("attach")
            .arg(self.objects.join(&program.object))
            .arg(&interface.ifname);
        command.arg(match cell.mode {
            Mode::Native => "--native",
            Mode::Generic => "--generic",
            Mode::Offload => "--hw",
        });
        command.args(["--no-fallback", "--json"]);
        if let Some(prog) = &program.prog {
            command.arg("--prog").arg(prog);
        }
        let output = match run(command, deadline) {
            Ok(output) => output,
            Err(reason) => {
                let remedy = format!(
                    "a program may be left there: xdp-offload status {}",
                    interface.ifname
                );
                return Report {
                    remedy: Some(remedy),
                    ..Report::failed(reason)
                };
            }
        };
        let attached: Attached = match output.status.code() {
            Some(0 | 3) => match output.json() {
                Ok(attached) => attached,
                Err(reason) => return Report::failed(reason),
            },
            _ => return Report::failed(output.complaint()),
        };
        let last = attached.attempts.into_iter().last();
        let (reason, remedy) = last.map_or((None, None), |last| {
            (last.kernel_message.or(last.reason), last.remedy)
        });
        match (attached.mode, attached.prog_id) {
            (Some(mode), Some(id)) => {
                if let Err(reason) = self.detach(&interface.ifname, mode, id) {
                    return Report::failed(format!("attached, but not detached again: {reason}"));
                }
                if mode == cell.mode {
                    Report {
                        outcome: Some(Outcome::Attached),
                        ..Report::default()
                    }
                } else {
                    Report::failed(format!(
                        "attached in {} mode though only {} was asked",
                        mode.name(),
                        cell.mode.name()
                    ))
                }
            }
            (None, None) => Report {
                outcome: Some(Outcome::Refused),
                reason,
                remedy,
                ..Report::default()
            },
            _ => Report::failed("xdp-offload names a mode without a program id, or the reverse"),
        }
    }

    fn detach(&self, ifname: &str, mode: Mode, id: u32) -> Result<(), String> {
        let mut command = self.tool("xdp-offload");
        command.args([
            "detach",
            ifname,
            "--mode",
            mode.name(),
            "--id",
            &id.to_string(),
        ]);
        let output = run(command, Instant::now() + DETACH_TIME)?;
        if output.status.success() {
            Ok(())
        } else {
            Err(output.complaint())
        }
    }
}

impl Execute for Local {
    fn run(&mut self, cell: &Cell<'_>, timeout: Duration) -> Report {
        let deadline = Instant::now() + timeout;
        let found = self
            .interfaces(None, deadline)
            .and_then(|list| select(cell.nic, list, mac_of));
        let interface = match found {
            Ok(interface) => interface,
            Err(reason) => return Report::failed(reason),
        };
        let report = match cell.check.kind {
            CheckKind::Probe => self.probe(&interface, cell.mode, deadline),
            CheckKind::Attach => self.attach(&interface, cell, deadline),
        };
        Report {
            ifname: Some(interface.ifname),
            driver: interface.driver,
            ..report
        }
    }
}

/// The one interface that fits everything the lab file says of the NIC.
fn select(
    nic: &Nic,
    list: Vec<Interface>,
    mac_of: impl Fn(&str) -> Option<String>,
) -> Result<Interface, String> {
    let fits = |interface: &Interface| {
        nic.ifname
            .as_ref()
            .is_none_or(|ifname| *ifname == interface.ifname)
            && nic
                .driver
                .as_ref()
                .is_none_or(|driver| Some(driver) == interface.driver.as_ref())
            && nic.pci.as_ref().is_none_or(|pci| {
                interface
                    .bus_info
                    .as_ref()
                    .is_some_and(|bus| bus.eq_ignore_ascii_case(pci))
            })
            && nic
                .mac
                .as_ref()
                .is_none_or(|mac| mac_of(&interface.ifname).as_ref() == Some(mac))
    };
    let mut fitting: Vec<Interface> = list.into_iter().filter(fits).collect();
    match fitting.len() {
        1 => Ok(fitting.remove(0)),
        0 => Err(format!(
            "no interface is NIC `{}` ({})",
            nic.name,
            describe(nic)
        )),
        several => {
            let names: Vec<&str> = fitting
                .iter()
                .take(4)
                .map(|interface| interface.ifname.as_str())
                .collect();
            Err(format!(
                "{several} interfaces fit NIC `{}` ({}): {}",
                nic.name,
                describe(nic),
                names.join(", ")
            ))
        }
    }
}

/// What the lab file says of a NIC, for messages and lists.
pub fn describe(nic: &Nic) -> String {
    let said = [
        ("ifname", &nic.ifname),
        ("pci", &nic.pci),
        ("driver", &nic.driver),
        ("mac", &nic.mac),
    ];
    let said: Vec<String> = said
        .iter()
        .filter_map(|(key, value)| Some(format!("{key} {}", value.as_ref()?)))
        .collect();
    said.join(", ")
}

/// `/sys/class/net/NAME/address`: the list of the prober has no MAC addresses.
fn mac_of(ifname: &str) -> Option<String> {
    let text =
        std::fs::read_to_string(Path::new("/sys/class/net").join(ifname).join("address")).ok()?;
    Some(text.trim().to_lowercase())
}

#[derive(Debug, Deserialize)]
struct List {
    interfaces: Vec<Interface>,
}

#[derive(Debug, Clone, Deserialize)]
struct Interface {
    ifname: String,
    driver: Option<String>,
    bus_info: Option<String>,
    modes: Modes,
}

#[derive(Debug, Clone, Deserialize)]
struct Modes {
    native: Support,
    generic: Support,
    offload: Support,
}

impl Modes {
    fn of(self, mode: Mode) -> Support {
        match mode {
            Mode::Native => self.native,
            Mode::Generic => self.generic,
            Mode::Offload => self.offload,
        }
    }
}

#[derive(Debug, Clone, Deserialize)]
struct Support {
    #[serde(rename = "support")]
    word: SupportWord,
    reason: Option<String>,
    remedy: Option<String>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum SupportWord {
    Yes,
    No,
    Unknown,
}

#[derive(Debug, Deserialize)]
struct Attached {
    mode: Option<Mode>,
    prog_id: Option<u32>,
    #[serde(default)]
    attempts: Vec<Attempt>,
}

#[derive(Debug, Deserialize)]
struct Attempt {
    kernel_message: Option<String>,
    reason: Option<String>,
    remedy: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(ifname: &str, driver: &str, bus: &str) -> Interface {
        let support = Support {
            word: SupportWord::Unknown,
            reason: None,
            remedy: None,
        };
        Interface {
            ifname: ifname.into(),
            driver: Some(driver.into()),
            bus_info: Some(bus.into()),
            modes: Modes {
                native: support.clone(),
                generic: support.clone(),
                offload: support,
            },
        }
    }

    #[test]
    fn a_nic_is_the_one_interface_that_fits() {
        let list = || {
            vec![
                interface("eth0", "igb", "0000:01:00.0"),
                interface("eth1", "igb", "0000:01:00.1"),
            ]
        };
        let mac = |ifname: &str| (ifname == "eth1").then(|| "52:54:00:00:00:01".to_owned());
        let pick = |nic: Nic| select(&nic, list(), mac).map(|interface| interface.ifname);
        let nic = || Nic {
            name: "a".into(),
            ..Nic::default()
        };
        assert_eq!(
            pick(Nic {
                pci: Some("0000:01:00.1".into()),
                ..nic()
            })
            .as_deref(),
            Ok("eth1")
        );
        assert_eq!(
            pick(Nic {
                mac: Some("52:54:00:00:00:01".into()),
                ..nic()
            })
            .as_deref(),
            Ok("eth1")
        );
        assert_eq!(
            pick(Nic {
                ifname: Some("eth0".into()),
                driver: Some("igb".into()),
                ..nic()
            })
            .as_deref(),
            Ok("eth0")
        );
        assert_eq!(
            pick(Nic {
                driver: Some("igb".into()),
                ..nic()
            })
            .unwrap_err(),
            "2 interfaces fit NIC `a` (driver igb): eth0, eth1"
        );
        assert_eq!(
            pick(Nic {
                ifname: Some("eth0".into()),
                driver: Some("ice".into()),
                ..nic()
            })
            .unwrap_err(),
            "no interface is NIC `a` (ifname eth0, driver ice)"
        );
    }
}
