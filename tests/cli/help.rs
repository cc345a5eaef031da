//! Help and usage errors.

use tests::{golden, tool};

use crate::code;

const COMMANDS: [(&str, &[&str]); 3] = [
    (
        "xdp-probe",
        &["list", "show", "try", "caps", "watch", "drivers"],
    ),
    (
        "xdp-offload",
        &[
            "check", "compile", "attach", "detach", "status", "map", "run", "soak", "bench",
            "disasm", "cfg", "explain",
        ],
    ),
    (
        "hw-matrix",
        &["run", "diff", "list", "accept", "report", "cell"],
    ),
];

#[test]
fn every_help_text_is_the_one_that_was_read() {
    for (command, subcommands) in COMMANDS {
        let help = tool(command, ["--help"]);
        golden(
            &format!("help/{command}"),
            &help.expect_code(code::DONE).stdout,
        );
        for subcommand in subcommands {
            let help = tool(command, [subcommand, "--help"]);
            golden(
                &format!("help/{command}-{subcommand}"),
                &help.expect_code(code::DONE).stdout,
            );
        }
    }
}

#[test]
fn every_subcommand_shows_an_example() {
    for (command, subcommands) in COMMANDS {
        for subcommand in subcommands {
            let help = tool(command, [subcommand, "--help"]).stdout;
            let example = format!("{command} {subcommand}");
            assert!(
                help.split("Example")
                    .nth(1)
                    .is_some_and(|examples| examples.contains(&example)),
                "{command} {subcommand}:\n{help}"
            );
        }
    }
}

#[test]
fn wrong_usage_is_code_2_with_a_hint() {
    for (command, _) in COMMANDS {
        for arguments in [&[][..], &["no-such-subcommand"], &["--no-such-option"]] {
            let output = tool(command, arguments);
            output.expect_code(code::USAGE);
            assert!(
                output.stderr.contains("Usage: ") || output.stderr.contains("--help"),
                "{}",
                output.stderr
            );
        }
    }
}

#[test]
fn a_reader_that_leaves_is_no_error() {
    use std::process::{Command, Stdio};

    for (command, arguments) in [
        ("xdp-probe", &["drivers"][..]),
        ("xdp-probe", &["list", "--json"]),
        ("xdp-offload", &["--help"]),
    ] {
        let mut child = Command::new(tests::binary(command))
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success() && stderr.is_empty(),
            "{command}: {} {stderr}",
            output.status
        );
    }
}
