//! The worked examples: `docs/examples` is what the commands print about `tests/examples`, and the kernel agrees.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;
use tests::{Output, binary, require_root, workspace};

/// A source whose first comment says what is wrong and how to hear it.
struct Example {
    /// Such as "01_missing_check".
    name: String,
    /// What is wrong, in sentences.
    story: String,
    /// The arguments of `xdp-offload`.
    arguments: Vec<String>,
    /// The source below the comment.
    source: String,
}

fn examples() -> Vec<Example> {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_string_lossy().ends_with(".bpf.c"))
        .collect();
    paths.sort();
    paths.iter().map(example).collect()
}

fn folder() -> PathBuf {
    workspace().join("tests/examples")
}

fn example(path: &PathBuf) -> Example {
    let text = fs::read_to_string(path).unwrap();
    let (comment, source) = text
        .strip_prefix("/* ")
        .and_then(|text| text.split_once("\n */\n"))
        .expect("a comment first");
    let (story, command) = comment.split_once("\n *\n * $ xdp-offload ").unwrap();
    let file = path.file_name().unwrap().to_string_lossy();
    Example {
        name: file.split('.').next().unwrap().to_owned(),
        story: story.replace("\n * ", "\n"),
        arguments: command.split(' ').map(str::to_owned).collect(),
        source: source.to_owned(),
    }
}

fn run(arguments: &[String], more: &[&str]) -> Output {
    let mut command = Command::new(binary("xdp-offload"));
    command
        .args(arguments)
        .args(more)
        .env("COLUMNS", "100")
        .current_dir(folder());
    Output::of(&mut command).unwrap()
}

fn page(example: &Example) -> String {
    let output = run(&example.arguments, &[]);
    let code = output
        .expect_code(3)
        .stdout
        .split_once("error[")
        .and_then(|(_, rest)| rest.split_once(']'))
        .map(|(code, _)| code)
        .expect("an error with a code");
    let (_, title) = example.name.split_once('_').unwrap();
    format!(
        "# {}\n\n{}\n\n```c\n{}```\n\n```\n$ xdp-offload {}\n{}```\n\nMore: [{code}](../codes/{code}.md), or `xdp-offload explain {code}`.\n",
        title.replace('_', " "),
        example.story,
        example.source,
        example.arguments.join(" "),
        output.stdout,
    )
}

#[test]
fn the_documents_are_what_the_commands_print() {
    let bless = std::env::var_os("BLESS").is_some_and(|bless| bless == "1");
    let documents = workspace().join("docs/examples");
    let mut index = String::from(
        "# Worked examples\n\nMistakes as they are made, and what `xdp-offload check` says. Sources and objects are in `tests/examples`; a test\nwrites these pages.\n\n",
    );
    for example in examples() {
        let (_, title) = example.name.split_once('_').unwrap();
        let link = format!("* [{}]({}.md)\n", title.replace('_', " "), example.name);
        index.push_str(&link);
        compare(
            &documents.join(format!("{}.md", example.name)),
            &page(&example),
            bless,
        );
    }
    compare(&documents.join("README.md"), &index, bless);
}

fn compare(path: &PathBuf, text: &str, bless: bool) {
    if bless {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let expected = fs::read_to_string(path).unwrap_or_default();
    assert_eq!(text, expected, "BLESS=1 rewrites {}", path.display());
}

/// What we refuse for a kernel, the running kernel refuses too; what only a NIC refuses, it takes.
#[test]
fn the_running_kernel_agrees() {
    if !require_root() {
        return;
    }
    for example in examples() {
        let on_the_host: Vec<String> = example.arguments[..2].to_vec();
        let report = run(&on_the_host, &["--load", "--json"]);
        let report: Value = serde_json::from_str(&report.stdout).unwrap();
        let program = &report["programs"][0];
        let from_the_kernel = program["diagnostics"]
            .as_array()
            .unwrap()
            .iter()
            .any(|found| found["code"] == "verifier" || found["code"] == "load");
        let ours = program["diagnostics"]
            .as_array()
            .unwrap()
            .iter()
            .any(|found| {
                found["severity"] == "error"
                    && found["code"] != "verifier"
                    && found["code"] != "load"
            });
        assert_eq!(ours, from_the_kernel, "{}: {program:#}", example.name);
        let kernel_was_the_target = example.arguments.iter().any(|each| each == "kernel:6.12");
        assert_eq!(ours, kernel_was_the_target, "{}: {program:#}", example.name);
    }
}
