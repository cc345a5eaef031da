//! What the hosts and NICs of a run are, and what is another one in a later run: kernels, drivers, firmware. Pure.
//!
//! None of it is a regression: a new kernel is what runs are made for. It stands beside what got worse with it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use crate::results::Results;

/// Something of a host or a NIC that is not what it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Exchanged {
    /// The host, or `HOST/NIC`.
    pub of: String,
    /// What of it: `kernel`, `interface`, `driver`, `driver version` or `firmware`.
    pub what: &'static str,
    /// What it was; null if it had none.
    pub before: Option<String>,
    /// What it is; null if it has none.
    pub after: Option<String>,
}

/// The differences, by host and NIC. What only one of the runs tells of is none.
pub fn exchanged(base: &Results, new: &Results) -> Vec<Exchanged> {
    let (base, new) = (inventory(base), inventory(new));
    let mut all = Vec::new();
    for (of, facts) in &new {
        let Some(before) = base.get(of) else { continue };
        for ((what, now), (_, then)) in facts.iter().zip(before) {
            if now != then {
                all.push(Exchanged {
                    of: of.clone(),
                    what,
                    before: then.map(ToOwned::to_owned),
                    after: now.map(ToOwned::to_owned),
                });
            }
        }
    }
    all
}

type Facts<'a> = Vec<(&'static str, Option<&'a str>)>;

/// By host and by `HOST/NIC`. Cells that found no interface tell nothing of their NIC.
fn inventory(results: &Results) -> BTreeMap<String, Facts<'_>> {
    let mut all: BTreeMap<String, Facts<'_>> = BTreeMap::new();
    for (name, facts) in &results.hosts {
        if facts.kernel.is_some() {
            all.insert(name.clone(), vec![("kernel", facts.kernel.as_deref())]);
        }
    }
    for cell in results.cells.values() {
        if cell.ifname.is_none() {
            continue;
        }
        let [host, nic, ..] = cell.parts();
        let facts = vec![
            ("interface", cell.ifname.as_deref()),
            ("driver", cell.driver.as_deref()),
            ("driver version", cell.driver_version.as_deref()),
            ("firmware", cell.firmware.as_deref()),
        ];
        all.entry(format!("{host}/{nic}")).or_insert(facts);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::{CellResult, Header, HostFacts, SCHEMA, Status};
    use crate::spec::Mode;

    fn results(kernel: &str, firmware: Option<&str>) -> Results {
        let host = HostFacts {
            host: "rack".into(),
            kernel: Some(kernel.into()),
            ..HostFacts::default()
        };
        let id = "rack/ice/-/native/probe".to_owned();
        let cell = CellResult {
            ifname: Some("eth0".into()),
            driver: Some("ice".into()),
            firmware: firmware.map(ToOwned::to_owned),
            ..CellResult::new(id.clone(), Mode::Native, Status::Pass)
        };
        let header = Header {
            schema: SCHEMA.into(),
            lab: "lab".into(),
            started: 0,
            version: "0".into(),
            kernel: "6".into(),
            lab_file: None,
            filter: None,
            cells: None,
        };
        Results {
            header,
            hosts: [("rack".to_owned(), host)].into(),
            cells: [(id, cell)].into(),
            complete: true,
            length: 0,
            cut_off: false,
        }
    }

    #[test]
    fn a_new_kernel_and_a_new_firmware_are_told() {
        let base = results("6.12.1", Some("4.20"));
        assert_eq!(exchanged(&base, &base), []);
        let told: Vec<String> = exchanged(&base, &results("6.12.2", None))
            .into_iter()
            .map(|it| {
                format!(
                    "{} of {}: {:?} -> {:?}",
                    it.what, it.of, it.before, it.after
                )
            })
            .collect();
        assert_eq!(
            told,
            [
                r#"kernel of rack: Some("6.12.1") -> Some("6.12.2")"#,
                r#"firmware of rack/ice: Some("4.20") -> None"#,
            ]
        );
    }
}
