//! The table of what came with which kernel.

use std::sync::OnceLock;

use serde::Deserialize;

use super::kernel::Version;

/// All rows.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Table {
    pub helper: Vec<Helper>,
    pub map: Vec<Map>,
    pub map_flag: Vec<MapFlag>,
    pub feature: Vec<FeatureRow>,
}

/// A helper.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Helper {
    pub name: String,
    pub since: Version,
    pub commit: String,
}

/// A kind of map.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Map {
    /// `enum bpf_map_type`
    pub kind: u32,
    pub name: String,
    pub since: Version,
    pub commit: String,
}

/// A flag of `BPF_MAP_CREATE`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MapFlag {
    pub name: String,
    pub bit: u32,
    pub since: Version,
    pub commit: String,
}

/// Something that is neither helper nor map.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FeatureRow {
    pub name: String,
    pub what: String,
    pub since: Version,
    pub commit: String,
}

/// The table, read once.
pub(super) fn get() -> &'static Table {
    static TABLE: OnceLock<Table> = OnceLock::new();
    TABLE.get_or_init(|| {
        toml::from_str(include_str!("kernel.toml")).expect("a test reads the shipped table")
    })
}

#[cfg(test)]
mod tests {
    use super::get;
    use crate::isa::functions;
    use crate::target::Feature;

    #[test]
    fn rows_name_what_exists_and_their_commit() {
        let table = get();
        for row in &table.helper {
            assert!(functions::id(&row.name).is_some(), "{}", row.name);
        }
        let commits = table.helper.iter().map(|row| &row.commit);
        let commits = commits.chain(table.map.iter().map(|row| &row.commit));
        let commits = commits.chain(table.map_flag.iter().map(|row| &row.commit));
        let commits = commits.chain(table.feature.iter().map(|row| &row.commit));
        for commit in commits {
            assert!(
                commit.len() == 12 && commit.bytes().all(|byte| byte.is_ascii_hexdigit()),
                "{commit}"
            );
        }
    }

    #[test]
    fn every_feature_and_every_helper_that_is_verified_has_a_row() {
        for feature in Feature::ALL {
            assert!(
                get().feature.iter().any(|row| row.name == feature.name()),
                "{feature:?}"
            );
        }
        assert_eq!(get().feature.len(), Feature::ALL.len());
        for name in crate::verify::helper_names() {
            assert!(get().helper.iter().any(|row| row.name == name), "{name}");
        }
    }
}
