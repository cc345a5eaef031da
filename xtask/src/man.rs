//! `cargo xtask man`: man pages and shell completions, made from the same definitions as `--help`.

use std::fs;
use std::path::Path;

use clap::{Command, ValueEnum};
use clap_complete::Shell;

use crate::error::{Result, at};
use crate::steps::target_folder;

/// Writes target/man and target/completions.
pub(crate) fn run() -> Result<()> {
    let man = target_folder().join("man");
    let completions = target_folder().join("completions");
    for folder in [&man, &completions] {
        fs::create_dir_all(folder).map_err(at(folder))?;
    }
    for command in [
        probe::cli::command(),
        xdp_offload::command(),
        hw_matrix::command(),
    ] {
        write_completions(command.clone(), &completions)?;
        clap_mangen::generate_to(command, &man).map_err(at(&man))?;
    }
    println!("man pages in {}", man.display());
    println!("completions in {}", completions.display());
    Ok(())
}

fn write_completions(mut command: Command, folder: &Path) -> Result<()> {
    let name = command.get_name().to_owned();
    for shell in Shell::value_variants() {
        clap_complete::generate_to(*shell, &mut command, &name, folder).map_err(at(folder))?;
    }
    Ok(())
}
