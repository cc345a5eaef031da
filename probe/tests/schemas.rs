//! The committed JSON Schemas are those of the code, and the code's output keeps to them.

mod golden;
mod synthetic;

use probe::render::{caps, json, trial, watch};
use probe::{Needs, judge};
use schemars::{Schema, schema_for};

fn schemas() -> [(&'static str, Schema); 6] {
    [
        ("list", schema_for!(json::List<'_>)),
        ("show", schema_for!(json::Show<'_>)),
        ("caps", schema_for!(caps::Caps<'_>)),
        ("try", schema_for!(trial::Try<'_>)),
        ("drivers", schema_for!(json::Drivers<'_>)),
        ("watch", schema_for!(watch::Line)),
    ]
}

#[test]
fn committed_schemas_are_those_of_the_code() {
    for (name, schema) in schemas() {
        let mut text = serde_json::to_string_pretty(&schema).expect("a schema is JSON");
        text.push('\n');
        golden::expect(&format!("schemas/{name}.v1.json"), &text);
    }
}

#[test]
fn output_keeps_to_the_schemas() {
    let snapshot = synthetic::zoo();
    let validator = |name: &str| {
        let (_, schema) = schemas()
            .into_iter()
            .find(|(other, _)| *other == name)
            .expect("one of the six");
        jsonschema::validator_for(schema.as_value()).expect("a schema")
    };
    let mut list = Vec::new();
    let judged = snapshot
        .interfaces()
        .iter()
        .map(|facts| (facts, judge(&snapshot, facts, &Needs::default())));
    json::write_list(&mut list, &snapshot, None, judged).expect("a vector takes all");
    let list: serde_json::Value = serde_json::from_slice(&list).expect("it is JSON");
    validator("list")
        .validate(&list)
        .expect("list keeps to its schema");

    let show = validator("show");
    for facts in snapshot.interfaces() {
        let verdicts = judge(&snapshot, facts, &Needs::default());
        let value = serde_json::to_value(json::Show::new(&snapshot, None, facts, verdicts))
            .expect("it is JSON");
        show.validate(&value).expect("show keeps to its schema");
    }
    let drivers = json::Drivers {
        schema: json::DRIVERS,
        drivers: probe::drivers::table().iter().collect(),
    };
    validator("drivers")
        .validate(&serde_json::to_value(drivers).expect("it is JSON"))
        .expect("drivers keeps to its schema");
}
