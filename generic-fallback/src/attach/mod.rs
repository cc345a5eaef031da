//! Putting a program on an interface, and taking that back.
//!
//! Netlink is the usual way: the kernel says in words why it refuses, and what is attached stays when this
//! process ends. A link ([`link`]) is used where it can be pinned, because it dies with its last descriptor.

pub mod link;
pub mod netlink;

use crate::occupant::{Holder, Occupant};
use crate::plan::Action;
use kernel::bpf::program::Program;
use kernel::netlink::Route;
use kernel::netlink::link::Mode;
use std::path::{Path, PathBuf};

/// What to attach where.
#[derive(Debug, Clone, Copy)]
pub struct Attach<'a> {
    /// The interface.
    pub ifindex: u32,
    /// The mode.
    pub mode: Mode,
    /// The new program.
    pub program: &'a Program,
    /// What is there.
    pub action: &'a Action,
    /// Where a link is to be pinned; `None`: attach by netlink.
    pub link_pin: Option<&'a Path>,
}

/// An attachment that was made.
#[derive(Debug)]
pub struct Attached {
    /// What keeps it.
    pub holder: Holder,
    /// What the kernel said although it did as asked.
    pub warning: Option<String>,
    /// How to take it back.
    pub undo: Undo,
}

/// How to put an interface back as it was.
#[derive(Debug)]
pub struct Undo {
    ifindex: u32,
    mode: Mode,
    kind: UndoKind,
    /// A program that sat in another mode and was detached after the attach.
    moved: Option<(Mode, Program)>,
}

#[derive(Debug)]
enum UndoKind {
    /// Detach what netlink attached.
    Detach,
    /// Put the old program back in its place.
    Restore(Program),
    /// Detach the link and remove its pin.
    DropLink(kernel::bpf::link::Link, PathBuf),
    /// Put the old program back into the link.
    UpdateLink(kernel::bpf::link::Link, Program),
}

/// Attaches as the plan says. On an error the interface is as it was before.
pub fn attach(route: &mut Route, attach: Attach<'_>) -> kernel::Result<Attached> {
    let mut attached = match attach.action {
        Action::Replace(old) => replace(route, attach, old)?,
        Action::Add | Action::Move(_) => add(route, attach)?,
    };
    if let Action::Move(old) = attach.action
        && let Err(error) = remove_moved(route, attach.ifindex, old, &mut attached)
    {
        attached.undo.run(route, attach.program)?;
        return Err(error);
    }
    Ok(attached)
}

fn add(route: &mut Route, attach: Attach<'_>) -> kernel::Result<Attached> {
    if let Some(pin) = attach.link_pin {
        match link::create(attach, pin) {
            Ok(link) => {
                let id = link.info()?.id;
                return Ok(Attached {
                    holder: Holder::Link {
                        id,
                        pin: Some(pin.to_owned()),
                    },
                    warning: None,
                    undo: Undo::new(attach, UndoKind::DropLink(link, pin.to_owned())),
                });
            }
            Err(error) if error.refusal().is_some_and(link::is_about_the_pin) => return Err(error),
            // Netlink is refused too and says why; where it is not, the kernel has no links for XDP.
            Err(error) => tracing::debug!(%error, "link refused; again by netlink"),
        }
    }
    let warning = netlink::add(route, attach)?;
    Ok(Attached {
        holder: Holder::Interface,
        warning,
        undo: Undo::new(attach, UndoKind::Detach),
    })
}

fn replace(route: &mut Route, attach: Attach<'_>, old: &Occupant) -> kernel::Result<Attached> {
    let previous = Program::from_id(old.program_id)?;
    // Netlink first: it cannot touch what a link holds, so an interface of the same index in another
    // namespace is never mistaken for this one.
    let refused = match netlink::replace(route, attach, &previous) {
        Ok(warning) => {
            return Ok(Attached {
                holder: Holder::Interface,
                warning,
                undo: Undo::new(attach, UndoKind::Restore(previous)),
            });
        }
        Err(error) => error,
    };
    let Holder::Link { pin: Some(_), .. } = &old.holder else {
        return Err(refused);
    };
    if refused.errno() != Some(kernel::Errno::EBUSY) {
        return Err(refused);
    }
    let Some(link) = link::the_only_one(attach.ifindex, old.program_id)? else {
        return Err(refused);
    };
    link.update(attach.program, Some(&previous))?;
    Ok(Attached {
        holder: old.holder.clone(),
        warning: None,
        undo: Undo::new(attach, UndoKind::UpdateLink(link, previous)),
    })
}

/// Takes the old program of another mode off, now that the new one is there.
fn remove_moved(
    route: &mut Route,
    ifindex: u32,
    old: &Occupant,
    attached: &mut Attached,
) -> kernel::Result<()> {
    let previous = Program::from_id(old.program_id)?;
    netlink::detach(route, ifindex, old.mode, &previous)?;
    attached.undo.moved = Some((old.mode, previous));
    Ok(())
}

impl Undo {
    fn new(attach: Attach<'_>, kind: UndoKind) -> Self {
        Self {
            ifindex: attach.ifindex,
            mode: attach.mode,
            kind,
            moved: None,
        }
    }

    /// Puts the interface back as it was, if `ours` is still what is attached.
    pub fn run(self, route: &mut Route, ours: &Program) -> kernel::Result<()> {
        if let Some((mode, program)) = &self.moved {
            netlink::restore(route, self.ifindex, *mode, program, None)?;
        }
        match self.kind {
            UndoKind::Detach => netlink::detach(route, self.ifindex, self.mode, ours),
            UndoKind::Restore(previous) => {
                netlink::restore(route, self.ifindex, self.mode, &previous, Some(ours))
            }
            UndoKind::DropLink(link, pin) => {
                link.detach()?;
                link::unpin(&pin);
                Ok(())
            }
            UndoKind::UpdateLink(link, previous) => link.update(&previous, Some(ours)),
        }
    }
}
