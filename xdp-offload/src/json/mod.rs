//! What `--json` prints: one type for each schema in `schemas/`, each with its name and version inside.

pub mod attach;
pub mod bench;
pub mod check;
pub mod compile;
pub mod detach;
pub mod map;
pub mod run;
pub mod soak;
pub mod status;

use generic_fallback::occupant::Holder;
use kernel::netlink::link;
use schemars::JsonSchema;
use serde::Serialize;

/// A mode, in the field's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// On the NIC.
    Offload,
    /// In the driver.
    Native,
    /// In the network stack.
    Generic,
}

impl From<link::Mode> for Mode {
    fn from(mode: link::Mode) -> Self {
        match mode {
            link::Mode::Offload => Self::Offload,
            link::Mode::Native => Self::Native,
            link::Mode::Generic => Self::Generic,
        }
    }
}

/// What keeps a program attached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Attachment {
    /// The interface: attached by netlink, stays until it is detached.
    Netlink,
    /// A `bpf_link`.
    Link {
        /// The kernel's id of the link.
        link_id: u32,
        /// Where it is pinned; null: it lives as long as its owner.
        pin: Option<String>,
    },
}

impl From<&Holder> for Attachment {
    fn from(holder: &Holder) -> Self {
        match holder {
            Holder::Interface => Self::Netlink,
            Holder::Link { id, pin } => Self::Link {
                link_id: *id,
                pin: pin.as_ref().map(|path| path.display().to_string()),
            },
        }
    }
}

/// Every schema: file name in `schemas/` and content.
pub fn schemas() -> Vec<(&'static str, schemars::Schema)> {
    vec![
        ("attach.json", schemars::schema_for!(attach::Report)),
        (
            "attach-plan.json",
            schemars::schema_for!(attach::PlanReport),
        ),
        ("bench.json", schemars::schema_for!(bench::Report)),
        ("check.json", schemars::schema_for!(check::Report)),
        ("compile.json", schemars::schema_for!(compile::Report)),
        ("detach.json", schemars::schema_for!(detach::Report)),
        ("map.json", schemars::schema_for!(map::Report)),
        ("map-list.json", schemars::schema_for!(map::ListReport)),
        ("run.json", schemars::schema_for!(run::Report)),
        ("soak.json", schemars::schema_for!(soak::Report)),
        ("status.json", schemars::schema_for!(status::Report)),
    ]
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    #[test]
    fn the_committed_schemas_are_those_of_the_types() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas");
        for (name, schema) in super::schemas() {
            let mut text = serde_json::to_string_pretty(&schema).expect("a schema is JSON");
            text.push('\n');
            let path = folder.join(name);
            if std::env::var_os("BLESS").is_some() {
                fs::create_dir_all(&folder).expect("the folder can be made");
                fs::write(&path, text).expect("the schema can be written");
            } else {
                let committed = fs::read_to_string(&path).unwrap_or_default();
                assert_eq!(committed, text, "{name} is stale: BLESS=1 rewrites it");
            }
        }
    }
}
