//! `cargo xtask selftests`: the kernel's own XDP selftests and samples as objects, for tests/external.rs.
//!
//! Debian's newest linux-source package is downloaded (not installed), the parts that matter are unpacked, and
//! every source with an XDP program is compiled against this kernel's types, and so are the verifier's own tests,
//! whatever their program type, for tests/verifier. All of it stays under target/selftests until the package, the
//! kernel or the compiler changes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use support::Output;

use crate::error::{Error, Result, at};
use crate::install::{self, BPFTOOL, CLANG, Install, PYTHON, XZ, apt_get};
use crate::steps::target_folder;

/// What is taken out of the source package.
const PARTS: [&str; 6] = [
    "tools/testing/selftests/bpf",
    "samples/bpf",
    "tools/lib/bpf",
    "tools/include",
    "include/uapi",
    "scripts/bpf_doc.py",
];
/// Folders with BPF sources.
const SOURCE_FOLDERS: [&str; 2] = ["tools/testing/selftests/bpf/progs", "samples/bpf"];
/// The verifier's own tests, and the folder of their objects.
const VERIFIER_TESTS: &str = "verifier";
/// Samples are compiled as part of a kernel build; this stands for what they find there.
const SAMPLES_PRELUDE: &str = "samples_prelude.h";
const PRELUDE: &str = "\
#pragma once
#include <linux/types.h>
#include <linux/tcp.h>
#include <linux/udp.h>
typedef __u8 u8;
typedef __u16 u16;
typedef __u32 u32;
typedef __u64 u64;
#define __force
#define __packed __attribute__((packed))
#define AF_INET 2
#define AF_INET6 10
struct vlan_hdr {
	__be16 h_vlan_TCI;
	__be16 h_vlan_encapsulated_proto;
};
";

/// Makes target/selftests/objects, unless what is there is up to date.
pub(crate) fn run(install: Install) -> Result<()> {
    install::require(&[CLANG, BPFTOOL, PYTHON, XZ], install)?;
    let folder = target_folder().join("selftests");
    fs::create_dir_all(&folder).map_err(at(&folder))?;

    let package = match newest_package()? {
        Some(package) => package,
        None if install == Install::Missing && install::is_root() => {
            println!("no package lists: apt-get update");
            Output::of(apt_get().args(["update", "-qq"]))?.ok()?;
            newest_package()?.ok_or_else(no_package)?
        }
        None => return Err(no_package()),
    };
    let release = kernel::host::KernelRelease::read().text;
    let clang = Output::of(Command::new(CLANG.program).arg("--version"))?
        .ok()?
        .stdout;
    // How they are made counts as well.
    let recipe = include_str!("selftests.rs");
    let made_from = format!("{}\nkernel {release}\n{clang}\n{recipe}", package.version);
    let stamp = folder.join("MADE_FROM");
    if fs::read_to_string(&stamp).is_ok_and(|text| text == made_from) {
        println!("{} is up to date", folder.join("objects").display());
        return Ok(());
    }

    let source = unpack(&package, &folder, install)?;
    let include = headers(&source, &folder)?;
    let (compiled, failed) = compile(&source, &include, &folder)?;
    println!(
        "{compiled} objects compiled from {} {}; {failed} sources do not compile here (see {})",
        package.name,
        package.version,
        folder.join("FAILED").display()
    );
    if compiled == 0 {
        return Err(Error::Wrong("no selftest compiles".into()));
    }
    fs::write(&stamp, made_from).map_err(at(&stamp))
}

struct Package {
    name: String,
    version: String,
}

fn no_package() -> Error {
    Error::Missing(
        "no package linux-source-N.N is known to apt: `apt-get update` as root may help".into(),
    )
}

/// The linux-source-N.N package with the highest N.N.
fn newest_package() -> Result<Option<Package>> {
    let listed = Output::of(Command::new("apt-cache").args([
        "search",
        "--names-only",
        "^linux-source-[0-9]+\\.[0-9]+$",
    ]))?
    .ok()?;
    let newest = listed
        .stdout
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .max_by_key(|name| release_of(name));
    let Some(name) = newest else {
        return Ok(None);
    };
    let policy = Output::of(Command::new("apt-cache").args(["policy", name]))?.ok()?;
    let version = policy
        .stdout
        .lines()
        .find_map(|line| line.trim().strip_prefix("Candidate: "));
    Ok(version.map(|version| Package {
        name: name.to_owned(),
        version: version.to_owned(),
    }))
}

/// (6, 12) of "linux-source-6.12".
fn release_of(package: &str) -> Option<(u32, u32)> {
    let (major, minor) = package.strip_prefix("linux-source-")?.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// Downloads the package and unpacks [`PARTS`]; the folder of the unpacked tree.
fn unpack(package: &Package, folder: &Path, install: Install) -> Result<PathBuf> {
    let tree = folder.join("source");
    for old in [&tree, &folder.join("objects")] {
        if old.exists() {
            fs::remove_dir_all(old).map_err(at(old))?;
        }
    }
    fs::create_dir_all(&tree).map_err(at(&tree))?;
    println!("downloading {} {}", package.name, package.version);
    let mut download = apt_get();
    download
        .args(["download", "-qq"])
        .arg(format!("{}={}", package.name, package.version))
        .current_dir(folder);
    if let Err(error) = Output::of(&mut download)?.ok() {
        // An old list names a version that the archive has replaced since.
        if install == Install::Never || !install::is_root() {
            return Err(error.into());
        }
        Output::of(apt_get().args(["update", "-qq"]))?.ok()?;
        Output::of(
            apt_get()
                .args(["download", "-qq", &package.name])
                .current_dir(folder),
        )?
        .ok()?;
    }
    let archive = find_archive(folder, &package.name)?;

    println!("unpacking");
    let name = &package.name;
    let mut inner = Command::new("dpkg-deb")
        .arg("--fsys-tarfile")
        .arg(&archive)
        .stdout(Stdio::piped())
        .spawn()
        .map_err(at(&archive))?;
    let mut outer = Command::new("tar")
        .args(["-xO", "--occurrence", &format!("./usr/src/{name}.tar.xz")])
        .stdin(inner.stdout.take().expect("stdout is piped"))
        .stdout(Stdio::piped())
        .spawn()
        .map_err(at(&archive))?;
    let parts = PARTS.iter().map(|part| format!("{name}/{part}"));
    let unpacked = Output::of(
        Command::new("tar")
            .args(["-xJ", "--strip-components=1", "-C"])
            .arg(&tree)
            .args(parts)
            .stdin(outer.stdout.take().expect("stdout is piped")),
    )?
    .ok();
    let _ = (inner.wait(), outer.wait());
    unpacked?;
    fs::remove_file(&archive).map_err(at(&archive))?;
    Ok(tree)
}

fn find_archive(folder: &Path, name: &str) -> Result<PathBuf> {
    for entry in fs::read_dir(folder).map_err(at(folder))? {
        let path = entry.map_err(at(folder))?.path();
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        if file.starts_with(&format!("{name}_")) && file.ends_with(".deb") {
            return Ok(path);
        }
    }
    Err(Error::Missing(format!(
        "apt-get download left no {name}_*.deb in {}",
        folder.display()
    )))
}

/// The headers that the selftests' own Makefile generates: this kernel's types, the helpers, libbpf's headers.
fn headers(source: &Path, folder: &Path) -> Result<PathBuf> {
    let include = folder.join("include");
    let bpf = include.join("bpf");
    fs::create_dir_all(&bpf).map_err(at(&bpf))?;

    let types = Output::of(
        Command::new(install::find(BPFTOOL.program).unwrap_or_default()).args([
            "btf",
            "dump",
            "file",
            "/sys/kernel/btf/vmlinux",
            "format",
            "c",
        ]),
    )?
    .ok()?;
    let file = include.join("vmlinux.h");
    fs::write(&file, types.stdout).map_err(at(&file))?;

    let helpers = Output::of(
        Command::new(PYTHON.program)
            .arg(source.join("scripts/bpf_doc.py"))
            .args(["--header", "--file"])
            .arg(source.join("include/uapi/linux/bpf.h")),
    )?
    .ok()?;
    let file = bpf.join("bpf_helper_defs.h");
    fs::write(&file, helpers.stdout).map_err(at(&file))?;

    // Samples say <uapi/linux/bpf.h>; all of include would hide the libc headers that they use as well.
    let uapi = include.join("uapi");
    if !uapi.exists() {
        std::os::unix::fs::symlink(source.join("include/uapi"), &uapi).map_err(at(&uapi))?;
    }

    let file = include.join(SAMPLES_PRELUDE);
    fs::write(&file, PRELUDE).map_err(at(&file))?;

    let libbpf = source.join("tools/lib/bpf");
    for entry in fs::read_dir(&libbpf).map_err(at(&libbpf))? {
        let path = entry.map_err(at(&libbpf))?.path();
        if path.extension().is_some_and(|extension| extension == "h") {
            let copy = bpf.join(path.file_name().unwrap_or_default());
            fs::copy(&path, &copy).map_err(at(&path))?;
        }
    }
    Ok(include)
}

/// Compiles every source that has an XDP section, and every test of the verifier; how many compiled and how many
/// did not.
fn compile(source: &Path, include: &Path, folder: &Path) -> Result<(usize, usize)> {
    let mut failures = Vec::new();
    let mut compiled = 0;
    for (kind, sources) in [
        (
            "objects",
            sources_with(source, |_, text| text.contains("SEC(\"xdp"))?,
        ),
        (
            VERIFIER_TESTS,
            sources_with(source, |name, _| name.starts_with("verifier_"))?,
        ),
    ] {
        let objects = folder.join(kind);
        fs::create_dir_all(&objects).map_err(at(&objects))?;
        for file in sources {
            let stem = file.file_stem().unwrap_or_default().to_string_lossy();
            let stem = stem.trim_end_matches(".bpf");
            let result = clang(&file, source, include, &objects.join(format!("{stem}.o")))?;
            if result.code == 0 {
                compiled += 1;
            } else {
                let error = result.stderr.lines().find(|line| line.contains("error"));
                let name = file.strip_prefix(source).unwrap_or(&file).display();
                failures.push(format!("{name}: {}\n", error.unwrap_or("clang failed")));
            }
        }
    }
    let list = folder.join("FAILED");
    fs::write(&list, failures.concat()).map_err(at(&list))?;
    Ok((compiled, failures.len()))
}

fn clang(file: &Path, source: &Path, include: &Path, object: &Path) -> Result<Output> {
    let selftests = source.join("tools/testing/selftests/bpf");
    let samples = source.join("samples/bpf");
    // The newer ones, NAME.bpf.c, take vmlinux.h instead.
    let newer = file.to_string_lossy().ends_with(".bpf.c");
    let prelude: &[&str] = if file.starts_with(&samples) && !newer {
        &["-include", SAMPLES_PRELUDE]
    } else {
        &[]
    };
    Ok(Output::of(
        Command::new(CLANG.program)
            .args(["-target", "bpf", "-mcpu=v3", "-O2", "-g"])
            .args([
                "-D__TARGET_ARCH_x86",
                "-DENABLE_ATOMICS_TESTS",
                "-D__force=",
            ])
            .arg("-Wno-everything")
            .arg("-I")
            .arg(include)
            .arg("-I")
            .arg(&selftests)
            .arg("-I")
            .arg(selftests.join("progs"))
            .arg("-I")
            .arg(&samples)
            .arg("-I")
            .arg(source.join("tools/include/uapi"))
            .args(prelude)
            .args(["-idirafter", "/usr/include/x86_64-linux-gnu"])
            .args(["-idirafter", "/usr/include", "-c"])
            .arg(file)
            .arg("-o")
            .arg(object),
    )?)
}

/// The sources that `wanted` picks by file name and text, sorted.
fn sources_with(source: &Path, wanted: impl Fn(&str, &str) -> bool) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for folder in SOURCE_FOLDERS {
        let folder = source.join(folder);
        for entry in fs::read_dir(&folder).map_err(at(&folder))? {
            let path = entry.map_err(at(&folder))?.path();
            if path.extension().is_some_and(|extension| extension == "c") {
                let text = fs::read(&path).map_err(at(&path))?;
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                if wanted(&name, &String::from_utf8_lossy(&text)) {
                    found.push(path);
                }
            }
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn six_twelve_is_newer_than_six_one() {
        let names = ["linux-source-6.12", "linux-source-6.1", "linux-source-5.10"];
        let newest = names.into_iter().max_by_key(|name| release_of(name));
        assert_eq!(newest, Some("linux-source-6.12"));
    }
}
