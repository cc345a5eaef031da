//! The kernel's own NFP driver, asked: `hw-matrix/lab/nfpsim/README.md`.

mod commands;
mod decision;
mod judge;

use std::collections::{BTreeSet, HashMap};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hw_matrix::lab::{Install, Lab, LabError, Machine, Spec};
use nfp_target::isa::Word;
use nfp_target::profile::{MapType, Profile};
use offload_compiler::isa::{Code, Imm64, Insn, Instruction};
use offload_compiler::verify::{Input, MapShape};

pub use decision::{Decision, known_difference};
pub use judge::judge;

use crate::Failed;

/// A program for the driver. Its maps stand in `ld_imm64` by their number.
#[derive(Debug, Clone)]
pub struct Program {
    /// Its name, on one line and without tabs.
    pub id: String,
    /// Its maps. Type, sizes and flags count.
    pub maps: Vec<MapShape>,
    /// Its instructions.
    pub code: Vec<Insn>,
}

/// `BPF_MAP_TYPE_PERF_EVENT_ARRAY`
const PERF_EVENT_ARRAY: u32 = 4;

/// The maps that the code of an input names, by their index there; [`Program::new`] numbers them in this order.
pub fn used_maps(input: &Input<'_>) -> Vec<u32> {
    let named = input.map_at.values().map(|reference| reference.map);
    named.collect::<BTreeSet<u32>>().into_iter().collect()
}

impl Program {
    /// The program of an input, with the maps that its code names. What its BTF tells is left behind.
    pub fn new(id: &str, input: &Input<'_>) -> Self {
        let used = used_maps(input);
        let code = input.code.iter().map(|(slot, &instruction)| {
            let Instruction::LoadImm64 { dst, .. } = instruction else {
                return instruction;
            };
            let Some(reference) = input.map_at.get(&slot) else {
                return instruction;
            };
            let number = used.partition_point(|&map| map < reference.map) as i32;
            let value = match reference.value_offset {
                None => Imm64::MapFd(number),
                Some(offset) => Imm64::MapValueFd { fd: number, offset },
            };
            Instruction::LoadImm64 { dst, value }
        });
        Self {
            id: id.to_owned(),
            code: Code::from_instructions(code).encode(),
            maps: used
                .iter()
                .map(|&map| {
                    let mut map = input.maps[map as usize].clone();
                    // As loaders do: an event array without a size has an entry for each processor.
                    if map.kind == PERF_EVENT_ARRAY && map.max_entries == 0 {
                        map.max_entries = 1;
                    }
                    map
                })
                .collect(),
        }
    }
}

/// What came of a program.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Answer {
    /// The map that could not be created, by its number. The program was not loaded then.
    pub map: Option<usize>,
    /// Whether the program was loaded.
    pub loaded: bool,
    /// The verifier's log, with the driver's words in it.
    pub log: String,
    /// What the kernel printed meanwhile.
    pub kernel: String,
    /// Of a loaded program, whether it could be attached.
    pub attached: bool,
    /// Loading it crashed the kernel; nothing else is known.
    pub crashed: bool,
    /// Of a loaded program, its translation as dumped, before relocation; only where it was asked for.
    pub words: Vec<Word>,
}

/// A kernel with the driver, in the virtual lab.
#[derive(Debug, Clone)]
pub struct Simulator {
    lab: Lab,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum SimulatorError {
    /// The lab or its machine did not do what it should.
    #[error("{0}")]
    Lab(#[from] LabError),
    /// A command of the exchange failed.
    #[error("{0}")]
    Command(#[from] Failed),
    /// A file of the exchange could not be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The loader answered nothing.
    #[error("profile {profile}: the loader answered nothing: {words}")]
    Nothing {
        /// The profile.
        profile: String,
        /// What it said instead.
        words: String,
    },
    /// The loader wrote something else than agreed.
    #[error("profile {profile}: not what the loader writes: {near}")]
    Record {
        /// The profile.
        profile: String,
        /// Where it went wrong.
        near: String,
    },
}

/// A program is loaded in some milliseconds; on a busy host it takes many times that.
const PROGRAM: Duration = Duration::from_millis(500);

/// What the loader takes before its first program, at most.
const START: Duration = Duration::from_mins(2);

/// In MiB. Large programs take the verifier much.
const MEMORY: u32 = 1024;

impl Simulator {
    /// Builds the lab unless that was done, in some four minutes.
    ///
    /// # Errors
    /// It cannot be built here. Missing packages are installed only with `install` and as root.
    pub fn build(install: bool) -> Result<Self, SimulatorError> {
        let install = if install {
            Install::Missing
        } else {
            Install::Never
        };
        Ok(Self {
            lab: Lab::build(install)?,
        })
    }

    /// Builds it for a test. `None`: it cannot be had here, which was said; in CI the test fails.
    pub fn obtain() -> Option<Self> {
        crate::lab::obtain().map(|lab| Self { lab })
    }

    /// The kernel's release: "6.12.117+deb12".
    pub fn kernel(&self) -> String {
        let series = self.lab.kernels().into_iter().next().unwrap_or_default();
        let release = self.lab.release(&series).unwrap_or_default();
        release.trim_end_matches("-amd64").to_owned()
    }

    /// Loads each program on a card of each profile: an answer for each program, profile by profile.
    ///
    /// # Errors
    /// The machine or the exchange with it failed; what the driver refuses is an answer.
    pub fn ask(
        &self,
        programs: &[Program],
        profiles: &[Profile],
    ) -> Result<Vec<Vec<Answer>>, SimulatorError> {
        self.ask_all(programs, profiles, Answers::Decisions)
    }

    /// The same, with the words of each program that was loaded.
    ///
    /// # Errors
    /// As [`Simulator::ask`].
    pub fn translate(
        &self,
        programs: &[Program],
        profile: &Profile,
    ) -> Result<Vec<Answer>, SimulatorError> {
        let profiles = std::slice::from_ref(profile);
        let answers = self.ask_all(programs, profiles, Answers::Words)?;
        Ok(answers.into_iter().flatten().collect())
    }

    fn ask_all(
        &self,
        programs: &[Program],
        profiles: &[Profile],
        wanted: Answers,
    ) -> Result<Vec<Vec<Answer>>, SimulatorError> {
        let at_a_time = std::thread::available_parallelism().map_or(1, usize::from);
        let share = profiles.len().div_ceil(at_a_time).max(1);
        let shares = std::thread::scope(|scope| {
            let machines: Vec<_> = profiles
                .chunks(share)
                .map(|profiles| {
                    scope.spawn(|| {
                        let ask = |profile| self.ask_profile(programs, profile, wanted);
                        profiles.iter().map(ask).collect::<Result<Vec<_>, _>>()
                    })
                })
                .collect();
            machines
                .into_iter()
                .map(|machine| machine.join().expect("the thread does not panic"))
                .collect::<Result<Vec<_>, _>>()
        });
        Ok(shares?.into_iter().flatten().collect())
    }

    /// One after the other, with a new machine wherever a program crashed the last.
    fn ask_profile(
        &self,
        programs: &[Program],
        profile: &Profile,
        wanted: Answers,
    ) -> Result<Vec<Answer>, SimulatorError> {
        let mut answers = Vec::with_capacity(programs.len());
        while answers.len() < programs.len() {
            let rest = &programs[answers.len()..];
            let folder = tempfile::tempdir().map_err(at(Path::new("a temporary folder")))?;
            let folder = folder.path();
            let write = |name: &str, text: String| {
                let path = folder.join(name);
                fs::write(&path, text).map_err(at(&path))
            };
            write("list", list(rest))?;
            let spec = Spec {
                memory: MEMORY,
                writable: vec![folder.to_owned()],
                ..Spec::default()
            };
            let machine = Machine::boot(&self.lab, &spec)?;
            let command = self.command(profile, wanted, folder);
            let words = match machine.run(&command, START + PROGRAM * rest.len() as u32) {
                Ok(output) => String::from_utf8_lossy(&output.stderr).into_owned(),
                // A program crashed it.
                Err(LabError::Died { console, .. }) => console,
                Err(error) => return Err(error.into()),
            };
            let out = fs::read(folder.join("out")).unwrap_or_default();
            let new = read_answers(&out, rest).map_err(|near| SimulatorError::Record {
                profile: profile.name.clone(),
                near,
            })?;
            if new.is_empty() {
                return Err(SimulatorError::Nothing {
                    profile: profile.name.clone(),
                    words,
                });
            }
            answers.extend(new);
        }
        Ok(answers)
    }

    /// What the machine runs.
    fn command(&self, profile: &Profile, wanted: Answers, folder: &Path) -> String {
        let option = match wanted {
            Answers::Decisions => "",
            Answers::Words => "-w ",
        };
        format!(
            "modprobe nfpsim {} && {} {option}{folder}/list {folder}/out",
            parameters(profile),
            self.lab.folder().join("loader").display(),
            folder = folder.display(),
        )
    }
}

fn at(path: &Path) -> impl FnOnce(std::io::Error) -> SimulatorError {
    let path = path.to_owned();
    move |source| SimulatorError::File { path, source }
}

/// The loader's list: a line a program.
fn list(programs: &[Program]) -> String {
    let mut text = String::new();
    for program in programs {
        let _ = write!(text, "{}\t", program.id);
        for map in &program.maps {
            let _ = write!(
                text,
                "{} {} {} {} {};",
                map.kind, map.key_size, map.value_size, map.max_entries, map.flags
            );
        }
        text.push('\t');
        for byte in Insn::write_all(&program.code) {
            let _ = write!(text, "{byte:02x}");
        }
        text.push('\n');
    }
    text
}

/// What is asked for.
#[derive(Debug, Clone, Copy)]
enum Answers {
    Decisions,
    /// The translations too.
    Words,
}

/// The module's parameters for a profile.
fn parameters(profile: &Profile) -> String {
    let Profile {
        name: _,
        source: _,
        abi,
        code_words,
        stack_bytes,
        packet_bytes,
        start,
        next_packet,
        adjust_tail,
        random,
        queue_select,
        adjust_head,
        helpers,
        maps,
    } = profile;
    let kinds = maps.types.iter().fold(0, |kinds, kind| {
        kinds
            | match kind {
                MapType::Hash => 1 << 1,
                MapType::Array => 1 << 2,
            }
    });
    let number = u64::from;
    let flag = |flag: bool| u64::from(flag);
    [
        ("abi", number((*abi).into())),
        ("max_len", number(*code_words)),
        ("stack_chunks", number(stack_bytes / 64)),
        ("inl_mtu", number((packet_bytes + 32) / 64)),
        ("start_off", u64::from(*start)),
        ("tgt_done", u64::from(*next_packet)),
        ("adjust_tail", flag(*adjust_tail)),
        ("prandom", flag(*random)),
        ("qsel", flag(*queue_select)),
        ("ah_flags", flag(adjust_head.no_metadata)),
        ("ah_min", u64::from(adjust_head.lowest)),
        (
            "ah_max",
            u64::from(adjust_head.highest) * flag(adjust_head.supported),
        ),
        ("ah_sub", number(adjust_head.sure_front)),
        ("ah_add", number(adjust_head.sure_back)),
        ("fn_lookup", u64::from(helpers.map_lookup)),
        ("fn_update", u64::from(helpers.map_update)),
        ("fn_delete", u64::from(helpers.map_delete)),
        ("fn_event", u64::from(helpers.perf_event_output)),
        ("map_types", kinds),
        ("max_maps", number(maps.count)),
        ("max_elems", number(maps.elements)),
        ("max_key_sz", number(maps.key_bytes)),
        ("max_val_sz", number(maps.value_bytes)),
        ("max_elem_sz", number(maps.element_bytes)),
    ]
    .map(|(name, value)| format!("{name}={value}"))
    .join(" ")
}

/// Reads the loader's records, one a program and in their order, up to one that crashed the kernel.
fn read_answers(mut bytes: &[u8], programs: &[Program]) -> Result<Vec<Answer>, String> {
    let mut answers = Vec::with_capacity(programs.len());
    for program in programs {
        if bytes.is_empty() {
            break;
        }
        let begin = line(&mut bytes)?;
        if begin.strip_prefix('@') != Some(&program.id) {
            return Err(format!("{begin} instead of {}", program.id));
        }
        if bytes.is_empty() {
            answers.push(Answer {
                crashed: true,
                ..Answer::default()
            });
            break;
        }
        let mut fields = HashMap::new();
        loop {
            let head = line(&mut bytes)?;
            if head == "." {
                break;
            }
            let field = head.split_once(' ').and_then(|(key, length)| {
                let length = length.parse::<usize>().ok()?;
                let value = bytes.get(..length)?;
                bytes = bytes.get(length + 1..)?;
                Some((key.to_owned(), value.to_vec()))
            });
            let (key, value) = field.ok_or_else(|| format!("{} {head}", program.id))?;
            fields.insert(key, value);
        }
        let text = |key: &str| {
            let value = fields.get(key).map(Vec::as_slice).unwrap_or_default();
            String::from_utf8_lossy(value).into_owned()
        };
        let map = text("map")
            .split_once(' ')
            .and_then(|(_, map)| map.parse().ok());
        let words = words(fields.get("words").map(Vec::as_slice).unwrap_or_default())
            .ok_or_else(|| format!("{}: its words", program.id))?;
        answers.push(Answer {
            map,
            loaded: text("load") == "0",
            attached: text("attach") == "0",
            crashed: false,
            log: text("log"),
            kernel: text("kmsg"),
            words,
        });
    }
    Ok(answers)
}

/// The words of a dump; none where one of them cannot be.
fn words(bytes: &[u8]) -> Option<Vec<Word>> {
    let (words, _) = bytes.as_chunks::<8>();
    let word = |word: &[u8; 8]| Word::from_bits(u64::from_le_bytes(*word)).ok();
    words.iter().map(word).collect()
}

fn line(bytes: &mut &[u8]) -> Result<String, String> {
    let end = bytes
        .iter()
        .position(|byte| *byte == b'\n')
        .ok_or("the end, early")?;
    let text = String::from_utf8_lossy(&bytes[..end]).into_owned();
    *bytes = &bytes[end + 1..];
    Ok(text)
}
