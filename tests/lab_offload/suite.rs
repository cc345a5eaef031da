//! The kernel's own test suite for offloaded programs, tools/testing/selftests/net/bpf_offload.py, of the lab's kernel.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use hw_matrix::lab::Lab;
use tests::Output;

use crate::machine::Guest;

/// It takes four minutes in an emulated machine on a quiet host.
const LIMIT: Duration = Duration::from_mins(20);

/// Builds its two programs, as its Makefile does; what the folder of the sources lacks they bring along.
pub(crate) fn objects(lab: &Lab, folder: &Path) -> Vec<std::path::PathBuf> {
    let sources = lab.sources("6.12").join("tools/testing/selftests/net");
    ["sample_ret0", "sample_map_ret0"]
        .map(|name| {
            let object = folder.join(format!("{name}.bpf.o"));
            let mut clang = Command::new("clang");
            clang
                .args([
                    "-O2",
                    "-g",
                    "-target",
                    "bpf",
                    "-I/usr/include/x86_64-linux-gnu",
                    "-c",
                ])
                .arg(sources.join(format!("{name}.bpf.c")))
                .arg("-o")
                .arg(&object);
            Output::of(&mut clang)
                .and_then(Output::ok)
                .unwrap_or_else(|error| panic!("{error}"));
            object
        })
        .into()
}

/// Runs it. It says OK; with code 0 alone it may have been skipped.
#[track_caller]
pub(crate) fn passes(guest: &Guest) {
    let output = guest.run_within(
        &format!(
            "cp sample_*.bpf.o {0}/source/6.12/tools/testing/selftests/net/ &&
             modprobe -a netdevsim sch_ingress cls_bpf &&
             export PATH={0}/tools/usr/sbin:$PATH LD_LIBRARY_PATH={0}/tools/usr/lib/x86_64-linux-gnu &&
             cd {0}/source/6.12/tools/testing/selftests/net && python3 bpf_offload.py",
            guest.lab.folder().display()
        ),
        LIMIT,
    );
    output.expect_code(0);
    assert!(
        output.stdout.ends_with("bpf_offload.py: OK\n"),
        "{}",
        output.stdout
    );
    guest.nothing_is_left();
}
