//! What is checked: a program of an object, or plain instructions beside a list of maps.

use crate::choose::{self, Selection};
use crate::code::ProgramCode;
use crate::exit::{Exit, Failure};
use generic_fallback::load::{LoadError, Loader};
use offload_compiler::isa::{self, Callee, Imm64, Instruction};
use offload_compiler::object::{Linked, Object};
use offload_compiler::verify::{Function, Hook, MapReference, MapShape, Prepared, Rules};
use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// The kernel takes a million instructions of 8 bytes (`BPF_COMPLEXITY_LIMIT_INSNS`).
const BIGGEST_CODE: u64 = 8_000_000;
/// A line a map, and few maps.
const BIGGEST_LIST: u64 = 1 << 16;

/// A program to check.
pub(crate) struct Subject {
    /// Its name.
    pub(crate) name: String,
    /// Its section; empty for plain instructions.
    pub(crate) section: String,
    /// It is made for packets in several buffers.
    pub(crate) frags: bool,
    /// Its code with functions, lines and maps.
    pub(crate) linked: Linked,
    /// All that the verifier has to know.
    pub(crate) prepared: Result<Prepared, isa::DecodeError>,
    /// The maps that it uses, by name.
    pub(crate) maps: Vec<String>,
}

impl Subject {
    /// A program of an object, linked against the running kernel.
    pub(crate) fn of_object(
        object: &Object,
        loader: &Loader<'_>,
        program: usize,
    ) -> Result<Self, LoadError> {
        let (linked, prepared) = loader.prepare(program)?;
        let program = &object.programs[program];
        Ok(Self {
            name: program.name.clone(),
            section: program.section.clone(),
            frags: program.kind.frags(),
            maps: linked
                .maps
                .iter()
                .filter_map(|&map| object.maps.get(map))
                .map(|map| map.name.clone())
                .collect(),
            linked,
            prepared,
        })
    }

    /// Plain 8-byte instructions; FILE.maps, or X.maps beside X.bpf, has a line a map.
    pub(crate) fn raw(path: &Path, name: String) -> Result<Self, Failure> {
        let cannot = || format!("cannot read {}", path.display());
        let bytes = read(path, BIGGEST_CODE)
            .map_err(|error| Failure::new(Exit::Usage, cannot()).because(error))?;
        if bytes.is_empty() || !bytes.len().is_multiple_of(isa::Insn::SIZE) {
            return Err(Failure::new(Exit::Usage, cannot()).because(format!(
                "{} bytes are no whole number of instructions",
                bytes.len()
            )));
        }
        let maps = read_maps(path)?;
        let insns = isa::Insn::read_all(&bytes);
        let prepared = isa::Code::decode(&insns).map(|code| prepare(code, maps.clone()));
        Ok(Self {
            name,
            section: String::new(),
            frags: false,
            linked: Linked::raw(insns),
            prepared,
            maps: maps.into_iter().map(|map| map.name).collect(),
        })
    }

    /// Its instructions with the names of maps, for text.
    pub(crate) fn code(&self, prepared: &Prepared) -> ProgramCode {
        let maps = prepared.maps.iter().map(|map| map.name.clone()).collect();
        ProgramCode::of(&self.name, &self.section, self.linked.clone(), maps)
    }

    /// The helpers that it calls, by the kernel's numbers, ascending.
    pub(crate) fn helpers(&self) -> Vec<i32> {
        let code = self
            .prepared
            .iter()
            .flat_map(|prepared| prepared.code.iter());
        let called = code.filter_map(|(_, instruction)| match instruction {
            Instruction::Call(Callee::Helper(id)) => Some(*id),
            _ => None,
        });
        called.collect::<BTreeSet<i32>>().into_iter().collect()
    }
}

/// The programs of an object that `check` looks at.
pub(crate) fn chosen(
    selection: &Selection,
    object: &mut Object,
    for_interface: bool,
) -> Result<Vec<usize>, Failure> {
    let chosen = match selection.named(object)? {
        Some(named) => named,
        None if for_interface => choose::entry_programs(object),
        None => choose::xdp_programs(object),
    };
    // What is not for an interface can be checked too, but has no mode there.
    let checkable = |&index: &usize| !for_interface && object.programs[index].kind.is_xdp();
    if chosen.len() < 2 && !chosen.iter().any(checkable) {
        // Says what is wrong with the only one, or that there is none.
        return Ok(vec![selection.one(object)?]);
    }
    Ok(chosen)
}

/// Plain code as the verifier takes it: functions begin where calls lead, `ld_imm64` of a map holds its line.
fn prepare(code: isa::Code, maps: Vec<MapShape>) -> Prepared {
    let mut starts = BTreeSet::from([0]);
    let mut map_at = HashMap::new();
    for (slot, instruction) in code.iter() {
        let distance = match instruction {
            Instruction::Call(Callee::Local(distance))
            | Instruction::LoadImm64 {
                value: Imm64::Function(distance),
                ..
            } => *distance,
            Instruction::LoadImm64 {
                value: Imm64::MapFd(map),
                ..
            } => {
                let reference = MapReference {
                    map: *map as u32,
                    value_offset: None,
                };
                map_at.insert(slot, reference);
                continue;
            }
            _ => continue,
        };
        let start = (slot + 1).checked_add_signed(distance as isize);
        starts.extend(start.filter(|&start| start < code.len()));
    }
    let ends = starts.iter().skip(1).copied().chain([code.len()]);
    let functions = starts
        .iter()
        .zip(ends)
        .map(|(&start, end)| Function {
            name: String::new(),
            start,
            len: end - start,
            global: None,
        })
        .collect();
    Prepared {
        code,
        maps,
        map_at,
        functions,
        kernel_functions: HashMap::new(),
        kernel_types: None,
        has_function_info: false,
        hook: Hook::Interface,
        rules: Rules::default(),
    }
}

fn read_maps(path: &Path) -> Result<Vec<MapShape>, Failure> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".maps");
    let candidates = [beside.into(), path.with_extension("maps")];
    let Some(path) = candidates
        .iter()
        .find(|path: &&std::path::PathBuf| path.is_file())
    else {
        return Ok(Vec::new());
    };
    let wrong = |why: String| {
        Failure::new(
            Exit::Usage,
            format!("{} is no list of maps", path.display()),
        )
        .because(why)
        .remedy("a line a map: TYPE KEY VALUE MAX [FLAGS], numbers")
    };
    let bytes = read(path, BIGGEST_LIST).map_err(|error| wrong(error.to_string()))?;
    let text = String::from_utf8(bytes).map_err(|error| wrong(error.to_string()))?;
    text.lines()
        .filter(|line| !line.trim().is_empty())
        .enumerate()
        .map(|(index, line)| {
            let mut numbers = [0u32; 5];
            let mut words = line.split_whitespace();
            for (position, number) in numbers.iter_mut().enumerate() {
                match words.next() {
                    Some(word) => {
                        *number =
                            parse(word).ok_or_else(|| wrong(format!("'{word}' in '{line}'")))?;
                    }
                    None if position == 4 => {}
                    None => return Err(wrong(format!("'{line}' is too short"))),
                }
            }
            let [kind, key_size, value_size, max_entries, flags] = numbers;
            Ok(MapShape {
                name: words
                    .next()
                    .map_or_else(|| format!("map {index}"), str::to_owned),
                kind,
                key_size,
                value_size,
                flags,
                max_entries,
                ..MapShape::default()
            })
        })
        .collect()
}

fn parse(word: &str) -> Option<u32> {
    match word.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None => word.parse().ok(),
    }
}

fn read(path: &Path, most: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(std::io::Error::other(format!(
            "it has more than {most} bytes"
        )));
    }
    Ok(bytes)
}
