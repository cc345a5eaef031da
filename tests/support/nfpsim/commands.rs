//! Our own commands in the virtual machine.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nfp_target::profile::Profile;

use super::machine::{BOOT, Machine};
use super::{Simulator, SimulatorError, at, parameters};
use crate::{Failed, Output, binary};

/// A command is as good as instantly done, but the machine is an emulated one.
const COMMAND: Duration = Duration::from_mins(2);

impl Simulator {
    /// Boots a machine with a card of a profile, `nfpsim0`, and runs shell commands in it, one after the other, as root in
    /// a folder with `files`. `xdp-offload` and `xdp-probe` are there, and a BPF file system.
    ///
    /// # Errors
    /// The machine or the exchange with it failed; how a command ended is in its output.
    pub fn run(
        &self,
        profile: &Profile,
        files: &[&Path],
        commands: &[&str],
    ) -> Result<Vec<Output>, SimulatorError> {
        let folder = tempfile::tempdir().map_err(at(Path::new("a temporary folder")))?;
        let folder = folder.path();
        let copy = |from: &Path| -> Result<u64, SimulatorError> {
            let name = from.file_name().unwrap_or_default();
            fs::copy(from, folder.join(name)).map_err(at(from))
        };
        let mut script = format!(
            "insmod /m/nfpsim.ko {} || exit\nmount -t bpf bpf /sys/fs/bpf\ncd /w\n",
            parameters(profile)
        );
        for file in files {
            copy(file)?;
        }
        for name in ["xdp-offload", "xdp-probe"] {
            let program = binary(name);
            // Every page of it comes through the emulated machine's file system.
            let mut strip = Command::new("strip");
            strip.arg("-o").arg(folder.join(name)).arg(&program);
            Output::of(&mut strip)?.ok()?;
            let mut loader = String::new();
            for library in libraries(&program)? {
                copy(&library)?;
                let file = library.file_name().unwrap_or_default().to_string_lossy();
                if file.starts_with("ld-") {
                    loader = file.into_owned();
                }
            }
            let _ = writeln!(
                script,
                "mkdir -p /ours; cp *.so* {name} /ours\n\
                 echo 'exec /ours/{loader} --library-path /ours /ours/{name} \"$@\"' > /bin/{name}; chmod 755 /bin/{name}"
            );
        }
        for (number, command) in commands.iter().enumerate() {
            let _ = writeln!(
                script,
                "( {command}\n) > {number}.out 2> {number}.err; echo $? > {number}.code"
            );
        }
        let path = folder.join("run.sh");
        fs::write(&path, script).map_err(at(&path))?;
        Machine::boot(self.folder(), folder)?.wait(BOOT + COMMAND * commands.len() as u32)?;
        let read = |name: String| -> Result<String, SimulatorError> {
            let path = folder.join(name);
            let bytes = fs::read(&path).map_err(at(&path))?;
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        };
        commands
            .iter()
            .enumerate()
            .map(|(number, command)| {
                let code = read(format!("{number}.code"))?;
                let Ok(code) = code.trim().parse() else {
                    return Err(Machine::failed("ended in a command", folder));
                };
                Ok(Output {
                    command: (*command).to_owned(),
                    code,
                    stdout: read(format!("{number}.out"))?,
                    stderr: read(format!("{number}.err"))?,
                })
            })
            .collect()
    }
}

/// The libraries that a program is loaded with, its loader among them.
fn libraries(program: &Path) -> Result<Vec<PathBuf>, Failed> {
    let listed = Output::of(Command::new("ldd").arg(program))?.ok()?;
    let path = |line: &str| {
        line.split_whitespace()
            .find(|word| word.starts_with('/'))
            .map(PathBuf::from)
    };
    Ok(listed.stdout.lines().filter_map(path).collect())
}
