//! Reading an object and choosing the program in it.

use crate::exit::{Exit, Failure};
use crate::value::Shape;
use offload_compiler::object::{GlobalValue, MapContent, Object, ProgramKind, SlotTarget};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// No eBPF object is as big; what is, is something else.
const BIGGEST_OBJECT: u64 = 64 << 20;

/// Which program of which object.
#[derive(Debug, clap::Args)]
pub(crate) struct Selection {
    /// The eBPF object, as clang -target bpf -c writes it
    #[arg(value_name = "OBJ")]
    pub object: PathBuf,

    /// The program, by its name; needed where the object has several for interfaces
    #[arg(long, value_name = "NAME", conflicts_with = "section")]
    pub prog: Option<String>,

    /// The program, by its section
    #[arg(long, value_name = "NAME")]
    pub section: Option<String>,

    /// Set a global variable, such as a `const volatile` setting: a number, JSON, or hex:BYTES
    #[arg(long, value_name = "NAME=VALUE")]
    pub set: Vec<String>,
}

impl Selection {
    /// Reads the object and sets its variables.
    pub(crate) fn read(&self) -> Result<Object, Failure> {
        let mut object = read_object(&self.object)?;
        for assignment in &self.set {
            set_global(&mut object, assignment)?;
        }
        Ok(object)
    }

    /// The object's name: its file's, without folder and endings.
    pub(crate) fn object_name(&self) -> String {
        let file = self
            .object
            .file_name()
            .unwrap_or_default()
            .to_string_lossy();
        file.split('.').next().unwrap_or_default().to_owned()
    }

    /// The one program that was asked for. A program of an unknown section that was named counts as XDP.
    pub(crate) fn one(&self, object: &mut Object) -> Result<usize, Failure> {
        let file = self.object.display();
        let chosen = self
            .named(object)?
            .unwrap_or_else(|| entry_programs(object));
        match chosen.as_slice() {
            [] => Err(
                Failure::new(Exit::Usage, format!("{file} has no XDP program"))
                    .because(listed(object))
                    .remedy("mark one with SEC(\"xdp\"), or name one with --prog"),
            ),
            &[index] => {
                let program = &mut object.programs[index];
                match program.kind {
                    ProgramKind::Other { program_type: None } if self.prog.is_some() => {
                        program.kind = ProgramKind::Xdp { frags: false };
                        Ok(index)
                    }
                    kind if kind.is_attachable_xdp() => Ok(index),
                    _ => Err(Failure::new(
                        Exit::Usage,
                        format!("'{}' is no program for an interface", program.name),
                    )
                    .because(format!(
                        "its section '{}' says that it runs elsewhere",
                        program.section
                    ))
                    .remedy("name another one with --prog; `xdp-offload check` lists them")),
                }
            }
            several => {
                let names: Vec<&str> = several
                    .iter()
                    .map(|&index| object.programs[index].name.as_str())
                    .collect();
                Err(Failure::new(
                    Exit::Usage,
                    format!("{file} has {} XDP programs", several.len()),
                )
                .because(names.join(", "))
                .remedy("pick one with --prog NAME"))
            }
        }
    }

    /// The programs of the name or section that was asked for; `None` where neither was.
    pub(crate) fn named(&self, object: &Object) -> Result<Option<Vec<usize>>, Failure> {
        let all = || object.programs.iter().enumerate();
        let (found, asked): (Vec<usize>, _) = match (&self.prog, &self.section) {
            (Some(name), _) => (
                all()
                    .filter(|(_, p)| p.name == *name)
                    .map(|(i, _)| i)
                    .collect(),
                format!("program '{name}'"),
            ),
            (None, Some(section)) => (
                all()
                    .filter(|(_, p)| p.section == *section)
                    .map(|(i, _)| i)
                    .collect(),
                format!("program in a section '{section}'"),
            ),
            (None, None) => return Ok(None),
        };
        if found.is_empty() {
            return Err(Failure::new(
                Exit::Usage,
                format!("{} has no {asked}", self.object.display()),
            )
            .because(listed(object)));
        }
        Ok(Some(found))
    }
}

/// The programs for interfaces, without those that others reach by tail calls, if that leaves any.
pub(crate) fn entry_programs(object: &Object) -> Vec<usize> {
    let called: Vec<usize> = object
        .maps
        .iter()
        .filter_map(|map| match &map.content {
            MapContent::Slots(slots) => Some(slots),
            MapContent::None | MapContent::Data(_) | MapContent::Kconfig => None,
        })
        .flatten()
        .filter_map(|&(_, target)| match target {
            SlotTarget::Program(program) => Some(program),
            SlotTarget::Map(_) => None,
        })
        .collect();
    let attachable: Vec<usize> = (0..object.programs.len())
        .filter(|&index| object.programs[index].kind.is_attachable_xdp())
        .collect();
    let entries: Vec<usize> = attachable
        .iter()
        .copied()
        .filter(|index| !called.contains(index))
        .collect();
    if entries.is_empty() {
        attachable
    } else {
        entries
    }
}

/// All XDP programs, also those for slots of program arrays, devmaps and cpumaps.
pub(crate) fn xdp_programs(object: &Object) -> Vec<usize> {
    (0..object.programs.len())
        .filter(|&index| object.programs[index].kind.is_xdp())
        .collect()
}

/// Reads an object.
pub(crate) fn read_object(path: &Path) -> Result<Object, Failure> {
    let cannot = || format!("cannot read {}", path.display());
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(BIGGEST_OBJECT + 1).read_to_end(&mut bytes))
        .map_err(|error| Failure::new(Exit::Usage, cannot()).because(error))?;
    if bytes.len() as u64 > BIGGEST_OBJECT {
        return Err(Failure::new(Exit::Usage, cannot())
            .because(format!("it has more than {BIGGEST_OBJECT} bytes")));
    }
    Object::parse(&bytes).map_err(|error| {
        Failure::new(
            Exit::Usage,
            format!("{} is no eBPF object that can be read", path.display()),
        )
        .because(error)
    })
}

fn set_global(object: &mut Object, assignment: &str) -> Result<(), Failure> {
    let failure =
        |why: String| Failure::new(Exit::Usage, format!("cannot set '{assignment}'")).because(why);
    let (name, text) = assignment
        .split_once('=')
        .ok_or_else(|| failure("it is not NAME=VALUE".to_owned()))?;
    let known = object.globals().iter().find(|global| global.name == name);
    let bytes = match known {
        Some(global) => Shape::of(global.size, object.btf(), global.type_id)
            .parse(text)
            .map_err(|error| failure(error.to_string()))?,
        // The object's error lists the names that there are.
        None => Vec::new(),
    };
    object
        .set_global(name, GlobalValue::Bytes(&bytes))
        .map_err(|error| failure(error.to_string()))
}

fn listed(object: &Object) -> String {
    if object.programs.is_empty() {
        return "it has no programs at all".to_owned();
    }
    let list: Vec<String> = object
        .programs
        .iter()
        .map(|program| format!("{} (section {})", program.name, program.section))
        .collect();
    format!("it has {}", list.join(", "))
}
