//! One line of `watch`, as text and as JSON.

use kernel::netlink::link::Link;
use schemars::JsonSchema;
use serde::Serialize;

use super::json::ModeName;

/// What happened to an interface.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Line {
    /// "xdp-probe/watch/v1".
    pub schema: &'static str,
    /// Seconds since 1970, to the millisecond.
    pub time: f64,
    /// What.
    pub event: Happening,
    /// Interface index; 0 with "lost".
    pub ifindex: u32,
    /// Interface name; empty with "lost".
    pub ifname: String,
    /// The mode of an attach, detach or replacement.
    pub mode: Option<ModeName>,
    /// The old value; a program's id for attach, detach and replacement.
    pub from: Option<String>,
    /// The new value.
    pub to: Option<String>,
}

/// Sorts of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Happening {
    /// An interface came.
    New,
    /// An interface went.
    Deleted,
    /// It was renamed.
    Name,
    /// Its MTU.
    Mtu,
    /// Set up or down by the administrator.
    State,
    /// Its carrier.
    Carrier,
    /// What its driver advertises.
    Features,
    /// ethtool settings (channels, rings, features).
    Settings,
    /// A program was attached.
    Attach,
    /// A program was detached.
    Detach,
    /// A program took another's place.
    Replace,
    /// The kernel dropped events.
    Lost,
}

impl Default for Line {
    fn default() -> Self {
        Self {
            schema: "xdp-probe/watch/v1",
            time: 0.0,
            event: Happening::Lost,
            ifindex: 0,
            ifname: String::new(),
            mode: None,
            from: None,
            to: None,
        }
    }
}

impl Line {
    /// About an interface.
    pub fn new(link: &Link, event: Happening) -> Self {
        Self {
            event,
            ifindex: link.ifindex,
            ifname: link.name.clone(),
            ..Self::default()
        }
    }

    /// With the time in UTC.
    pub fn text(&self) -> String {
        let milliseconds = (self.time * 1000.0) as u64;
        let seconds = milliseconds / 1000;
        let (hours, minutes) = (seconds / 3600 % 24, seconds / 60 % 60);
        format!(
            "{hours:02}:{minutes:02}:{:02}.{:03}Z {}\n",
            seconds % 60,
            milliseconds % 1000,
            self.text_without_time()
        )
    }

    /// What happened, in words.
    pub fn text_without_time(&self) -> String {
        let words = |value: &Option<String>| match value.as_deref() {
            None | Some("") => "none".to_owned(),
            Some(value) => value.to_owned(),
        };
        let (from, to) = (words(&self.from), words(&self.to));
        let mode = match self.mode {
            Some(ModeName::Offload) => "offload",
            Some(ModeName::Native) => "native",
            Some(ModeName::Generic) => "generic",
            None => "",
        };
        let what = match self.event {
            Happening::New => "new".to_owned(),
            Happening::Deleted => "deleted".to_owned(),
            Happening::Name => format!("renamed from {from}"),
            Happening::Mtu => format!("mtu {from} -> {to}"),
            Happening::State => format!("set {to}"),
            Happening::Carrier => format!("carrier {to}"),
            Happening::Features => format!("xdp-features {from} -> {to}"),
            Happening::Settings => "ethtool settings changed".to_owned(),
            Happening::Attach => format!("attached {mode} program {to}"),
            Happening::Detach => format!("detached {mode} program {from}"),
            Happening::Replace => format!("replaced {mode} program {from} by {to}"),
            Happening::Lost => {
                return "events were lost; what follows is the present state".to_owned();
            }
        };
        format!("{}: {what}", self.ifname)
    }
}
