//! What stands in `examples/` is true: the lab file is one, and the job files' commands are commands of this program.

use std::path::Path;

use hw_matrix::cell::matrix;
use hw_matrix::lab::MODELS;
use hw_matrix::spec::Lab;

fn text(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("examples")
        .join(name);
    std::fs::read_to_string(path).unwrap()
}

fn cells() -> Vec<String> {
    cells_of("lab.toml")
}

fn cells_of(file: &str) -> Vec<String> {
    let lab = Lab::parse(&text(file), file).unwrap_or_else(|errors| panic!("{errors}"));
    let matrix = matrix(&lab, jiff::civil::date(2026, 11, 27)).unwrap();
    assert!(matrix.idle.is_empty(), "{:?}", matrix.idle);
    matrix.cells.iter().map(ToString::to_string).collect()
}

/// The commands parse, and their cell is one of the lab.
fn assert_runs(words: &[String]) {
    let matches = hw_matrix::command()
        .try_get_matches_from(words)
        .unwrap_or_else(|error| panic!("{words:?}: {error}"));
    if let Some(("cell", cell)) = matches.subcommand() {
        let id = cell.get_one::<String>("id").unwrap();
        assert!(cells().contains(id), "{id}");
    }
}

#[test]
fn the_lab_file_uses_every_kind_of_host() {
    assert_eq!(cells().len(), 126);
}

#[test]
fn the_virtual_lab_has_all_models_and_both_kernels() {
    let cells = cells_of("virtual-lab/lab.toml");
    let (thousands, rest) = (cells.len() / 1000, cells.len() % 1000);
    let told = format!("{thousands},{rest:03} cells");
    assert!(text("../../README.md").contains(&told), "{told}");
    for model in &MODELS {
        for kernel in ["612", "73"] {
            let known = cells.iter().any(|cell| {
                let mut parts = cell.split('/');
                parts.next().is_some_and(|host| host.ends_with(kernel))
                    && parts.next() == Some(model.name)
            });
            assert!(known, "{} on {kernel}", model.name);
        }
    }
}

#[test]
fn the_kubernetes_job_runs_a_cell() {
    let text = text("kubernetes-job.yaml");
    let command = text
        .lines()
        .find_map(|line| line.trim().strip_prefix("command: "))
        .unwrap();
    // A list in YAML's flow style is JSON.
    assert_runs(&serde_json::from_str::<Vec<String>>(command).unwrap());
}

#[test]
fn the_lava_job_runs_a_cell_and_makes_a_page() {
    let text = text("lava-job.yaml");
    let steps: Vec<&str> = text
        .lines()
        .filter_map(|line| line.split_once(" --shell ").map(|(_, step)| step))
        .collect();
    assert_eq!(steps.len(), 2);
    for step in steps {
        assert_runs(&step.split(' ').map(ToOwned::to_owned).collect::<Vec<_>>());
    }
}
