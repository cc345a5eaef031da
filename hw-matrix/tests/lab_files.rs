//! Lab files as users write them, right and wrong: what is read, and what the message says.
//! `BLESS=1 cargo test -p hw-matrix` rewrites the expected texts.

use std::path::{Path, PathBuf};

use hw_matrix::cell::{MAX_CELLS, matrix};
use hw_matrix::spec::Lab;
use jiff::civil::{Date, date};

/// The day on which the lab files are read.
const TODAY: Date = date(2026, 11, 27);

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn assert_golden(path: &Path, text: &str) {
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(path, text).unwrap();
    }
    let expected = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        expected == text,
        "{} differs; BLESS=1 rewrites it. Now:\n{text}",
        path.display()
    );
}

/// Each `tests/lab/NAME.toml`: its cells, or its mistakes, are `NAME.expected`.
#[test]
fn each_lab_file_gives_its_cells_or_its_mistakes() {
    let mut seen = 0;
    for entry in std::fs::read_dir(folder("tests/lab")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        let name = path.file_name().unwrap().to_str().unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let mut out = match Lab::parse(&text, name) {
            Err(errors) => errors.to_string(),
            Ok(lab) => {
                let matrix = matrix(&lab, TODAY).unwrap();
                let mut lines: Vec<String> = matrix
                    .cells
                    .iter()
                    .map(|cell| {
                        let expected = cell.expected.map_or("-", |(outcome, _)| outcome.name());
                        let excluded = cell
                            .excluded
                            .map_or(String::new(), |reason| format!(" excluded: {reason}"));
                        let known = cell
                            .known_bad
                            .map_or(String::new(), |reason| format!(" known bad: {reason}"));
                        format!(
                            "{cell} {expected} {:?}{excluded}{known}",
                            cell.check.timeout
                        )
                    })
                    .collect();
                lines.extend(
                    matrix
                        .idle
                        .iter()
                        .map(|(line, what)| format!("warning: {name}:{line}: {what}")),
                );
                lines.join("\n")
            }
        };
        out.push('\n');
        assert_golden(&path.with_extension("expected"), &out);
        seen += 1;
    }
    assert!(seen >= 10, "only {seen} lab files found");
}

#[test]
fn hostile_lab_files_end_in_an_error() {
    let wrong = |text: &str| Lab::parse(text, "lab.toml").unwrap_err().to_string();
    assert!(wrong(&"#".repeat(2 << 20)).contains("larger than"));
    assert!(wrong(&format!("x = {}", "[".repeat(100_000))).starts_with("lab.toml:1:"));
    assert!(wrong(&format!("{} = 1", vec!["a"; 50_000].join("."))).starts_with("lab.toml:1:"));
    assert!(wrong("a = \0").starts_with("lab.toml:1:"));
    let text = wrong("[host.\"\\u001b[31m\"]\nexecutor = 'local'");
    assert!(
        text.contains("`\\u{1b}[31m` cannot name a host") && !text.contains('\u{1b}'),
        "{text}"
    );
}

#[test]
fn a_lab_of_too_many_cells_is_refused_before_they_are_made() {
    let nics = (0..1000)
        .map(|i| format!("nic.n{i}.ifname = 'n{i}'\n"))
        .collect::<Vec<_>>()
        .concat();
    let programs = (0..334)
        .map(|i| format!("[program.p{i}]\nobject = 'o'\n"))
        .collect::<Vec<_>>()
        .concat();
    let text = format!("[check.attach]\n[host.h]\nexecutor = 'local'\n{nics}{programs}");
    let lab = Lab::parse(&text, "lab.toml").unwrap();
    let error = matrix(&lab, TODAY).unwrap_err();
    assert_eq!(error.0, 1000 * 334 * 3);
    assert!(error.to_string().contains(&MAX_CELLS.to_string()));
}

#[test]
fn committed_schemas_are_those_of_the_code() {
    for (name, schema) in hw_matrix::commands::schemas() {
        let text = serde_json::to_string_pretty(&schema).unwrap() + "\n";
        assert_golden(&folder("schemas").join(name), &text);
    }
}

/// An editor that checks a lab file by the schema agrees with this program.
#[test]
fn the_good_lab_file_fits_the_lab_schema() {
    let schema = std::fs::read_to_string(folder("schemas/lab.json")).unwrap();
    let validator = jsonschema::validator_for(&serde_json::from_str(&schema).unwrap()).unwrap();
    let lab = |name: &str| -> serde_json::Value {
        toml::from_str(&std::fs::read_to_string(folder("tests/lab").join(name)).unwrap()).unwrap()
    };
    validator.validate(&lab("good.toml")).unwrap();
    assert!(!validator.is_valid(&lab("unknown-key.toml")));
}
