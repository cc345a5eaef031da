//! Stand-ins for `xdp-probe` and `xdp-offload` that keep to their JSON contract.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

const PROBE: &str = r#"#!/bin/sh
[ "$1 $2" = "list --json" ] || exit 2
cat <<EOF
{"schema":"xdp-probe/list/v1","interfaces":[{"ifname":"sim0","driver":"sim","bus_info":null,"modes":{
"native":{"support":"NATIVE","reason":null,"remedy":null},"generic":{"support":"yes","reason":null,"remedy":null},
"offload":{"support":"no","reason":"no ndo_bpf","remedy":null}}}]}
EOF
"#;

/// Refuses `--hw`; notes attaches and detaches in the file `log` beside it.
const OFFLOAD: &str = r#"#!/bin/sh
here=$(dirname "$0")
echo "$@" >> "$here/log"
case "$*" in
detach*) exit 0 ;;
*--hw*) echo '{"mode":null,"prog_id":null,"attempts":[{"mode":"offload","kernel_message":"sim: no offload here","reason":"r","remedy":null}]}'; exit 3 ;;
*--native*) echo '{"mode":"native","prog_id":7,"attempts":[]}' ;;
*--generic*) echo 'error: cannot read pass.o' >&2; exit 2 ;;
esac
"#;

/// Writes them into the folder; `native` is what the prober says of native mode.
pub(crate) fn tools(folder: &Path, native: &str) {
    for (name, text) in [
        ("xdp-probe", PROBE.replace("NATIVE", native)),
        ("xdp-offload", OFFLOAD.to_owned()),
    ] {
        let path = folder.join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
}

/// Runs the program in the folder: exit code, standard output, standard error.
pub(crate) fn hw_matrix(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = Command::new(env!("CARGO_BIN_EXE_hw-matrix"))
        .current_dir(folder)
        .args(arguments)
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}
