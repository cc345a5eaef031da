//! Taking off what was asked for, and nothing else.

use crate::attach::{link, netlink};
use crate::occupant::{self, Holder, Occupant};
use crate::permission;
use kernel::Errno;
use kernel::bpf::program::Program;
use kernel::netlink::Route;
use kernel::netlink::link::{Link, Mode};

/// What to take off an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Request {
    /// Only in this mode.
    pub mode: Option<Mode>,
    /// Only this program.
    pub id: Option<u32>,
    /// Everything that is attached, where there are several.
    pub all: bool,
}

/// Why nothing, or not everything, was taken off.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Another program, or none, is attached.
    #[error("{ifname}: program {wanted} is not attached there; {}", listed(.there))]
    OtherProgram {
        /// The interface.
        ifname: String,
        /// The id that was asked for.
        wanted: u32,
        /// What is attached.
        there: Vec<Occupant>,
    },
    /// Several programs are attached.
    #[error("{ifname}: several programs are attached; {}", listed(.there))]
    Ambiguous {
        /// The interface.
        ifname: String,
        /// What is attached.
        there: Vec<Occupant>,
    },
    /// A link of another process holds it.
    #[error("{ifname}: {occupant} is held by {}, which another process owns", .occupant.holder)]
    Owned {
        /// The interface.
        ifname: String,
        /// What is attached.
        occupant: Occupant,
    },
    /// The kernel refused.
    #[error("{ifname}: cannot detach {occupant} from {} mode: {source}", .occupant.mode)]
    Kernel {
        /// The interface.
        ifname: String,
        /// What was to be detached.
        occupant: Occupant,
        /// What the kernel said.
        source: kernel::Error,
    },
}

impl Refused {
    /// What to do.
    pub fn remedy(&self) -> Option<String> {
        match self {
            Self::OtherProgram { .. } => {
                Some("`xdp-offload status` shows what is attached".to_owned())
            }
            Self::Ambiguous { .. } => {
                Some("pick one with --mode or --id, or take everything off with --all".to_owned())
            }
            Self::Owned { occupant, .. } => Some(format!(
                "end that process; --id {} takes its program off all the same",
                occupant.program_id
            )),
            Self::Kernel { source, .. } => match source.errno()? {
                Errno::EPERM => Some(permission::remedy()),
                Errno::EEXIST => Some(
                    "another program was attached meanwhile and was not touched; try again"
                        .to_owned(),
                ),
                Errno::ENODEV => Some("the interface is gone, and its program with it".to_owned()),
                _ => None,
            },
        }
    }
}

fn listed(there: &[Occupant]) -> String {
    if there.is_empty() {
        return "nothing is".to_owned();
    }
    let list: Vec<String> = there
        .iter()
        .map(|occupant| format!("{occupant} in {} mode", occupant.mode))
        .collect();
    format!("{} is", list.join(", "))
}

/// Takes programs off an interface; gives those that it took off. Nothing attached is fine, unless a
/// certain program was asked for.
pub fn detach(
    route: &mut Route,
    interface: &Link,
    request: Request,
) -> Result<Vec<Occupant>, Refused> {
    let there = occupant::find(interface.ifindex, &interface.xdp);
    let chosen = choose(&interface.name, there, request)?;
    for occupant in &chosen {
        take_off(route, interface, occupant, request.id.is_some())?;
    }
    Ok(chosen)
}

/// What a request means, given what is attached.
fn choose(ifname: &str, there: Vec<Occupant>, request: Request) -> Result<Vec<Occupant>, Refused> {
    let ifname = ifname.to_owned();
    let matches = |occupant: &&Occupant| {
        request.mode.is_none_or(|mode| mode == occupant.mode)
            && request.id.is_none_or(|id| id == occupant.program_id)
    };
    let chosen: Vec<Occupant> = there.iter().filter(matches).cloned().collect();
    match (chosen.len(), request.id) {
        (0, Some(wanted)) => Err(Refused::OtherProgram {
            ifname,
            wanted,
            there,
        }),
        (2.., _) if !request.all => Err(Refused::Ambiguous { ifname, there }),
        _ => Ok(chosen),
    }
}

fn take_off(
    route: &mut Route,
    interface: &Link,
    occupant: &Occupant,
    named: bool,
) -> Result<(), Refused> {
    let refused = |source| Refused::Kernel {
        ifname: interface.name.clone(),
        occupant: occupant.clone(),
        source,
    };
    let program = Program::from_id(occupant.program_id).map_err(refused)?;
    let error = match netlink::detach(route, interface.ifindex, occupant.mode, &program) {
        Ok(()) => return Ok(()),
        Err(error) => error,
    };
    let Holder::Link { pin, .. } = &occupant.holder else {
        return Err(refused(error));
    };
    if error.errno() != Some(Errno::EBUSY) {
        return Err(refused(error));
    }
    if pin.is_none() && !named {
        return Err(Refused::Owned {
            ifname: interface.name.clone(),
            occupant: occupant.clone(),
        });
    }
    match link::the_only_one(interface.ifindex, occupant.program_id).map_err(refused)? {
        None => Err(refused(error)),
        Some(link) => {
            link.detach().map_err(refused)?;
            // An empty link is of no use to anybody.
            if let Some(pin) = pin {
                link::unpin(pin);
            }
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn there(mode: Mode, program_id: u32) -> Occupant {
        Occupant {
            mode,
            program_id,
            name: String::new(),
            holder: Holder::Interface,
        }
    }

    fn chosen(request: Request) -> Result<Vec<u32>, Refused> {
        let both = vec![there(Mode::Offload, 7), there(Mode::Native, 8)];
        choose("eth0", both, request).map(|all| all.iter().map(|o| o.program_id).collect())
    }

    #[test]
    fn one_of_several_has_to_be_named() {
        let request = Request::default();
        assert!(matches!(chosen(request), Err(Refused::Ambiguous { .. })));
        let by_mode = Request {
            mode: Some(Mode::Native),
            ..request
        };
        assert_eq!(chosen(by_mode), Ok(vec![8]));
        let by_id = Request {
            id: Some(7),
            ..request
        };
        assert_eq!(chosen(by_id), Ok(vec![7]));
        let all = Request {
            all: true,
            ..request
        };
        assert_eq!(chosen(all), Ok(vec![7, 8]));
    }

    #[test]
    fn another_program_than_the_one_named_stays() {
        let request = Request {
            id: Some(9),
            ..Request::default()
        };
        let refused = chosen(request).expect_err("9 is not attached");
        assert_eq!(
            refused.to_string(),
            "eth0: program 9 is not attached there; program 7 in offload mode, program 8 in native mode is"
        );
        // The id matches, the mode does not.
        let elsewhere = Request {
            id: Some(7),
            mode: Some(Mode::Native),
            ..request
        };
        assert!(matches!(
            chosen(elsewhere),
            Err(Refused::OtherProgram { .. })
        ));
    }

    #[test]
    fn nothing_attached_is_nothing_to_do() {
        assert_eq!(
            choose("eth0", Vec::new(), Request::default()),
            Ok(Vec::new())
        );
    }
}
