//! The plugin of the public BPF conformance suite (github.com/Alan-Jowett/bpf_conformance): a program as
//! hex bytes on standard input, memory as hex bytes in the first argument; runs it with r1 the memory's
//! address and r2 its length, and prints r0 in hex.
//!
//! Options: `--engine interp` (the default) or `--engine nfp`, a simulated NFP (how a card can run such a program:
//! `card.rs`); `--elf` for a program that comes as an object: with maps, or as the suite wraps it, alone in `.text`;
//! `--program HEX` instead of standard input. A program that cannot run ends with code 1 and the reason on standard
//! error.

mod card;

use std::io::Read as _;
use std::process::ExitCode;

use object::read::elf::ElfFile64;
use object::{LittleEndian, Object as _, ObjectSection as _, SectionKind};
use offload_compiler::interp::{Fixed, Limits, Machine, Uninitialised};
use offload_compiler::isa::{Code, Insn};
use offload_compiler::object::{Environment, Object};

struct Options {
    memory: Vec<u8>,
    program: Option<Vec<u8>>,
    elf: bool,
    nfp: bool,
}

fn main() -> ExitCode {
    match run() {
        Ok(r0) => {
            println!("{r0:x}");
            ExitCode::SUCCESS
        }
        Err(reason) => {
            eprintln!("conformance-plugin: {reason}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<u64, String> {
    let mut options = Options::parse(std::env::args().skip(1))?;
    let program = if let Some(program) = options.program.take() {
        program
    } else {
        let mut text = String::new();
        let read = std::io::stdin().read_to_string(&mut text);
        read.map_err(|error| error.to_string())?;
        bytes(&text)?
    };
    if options.nfp {
        let code = if options.elf {
            text_alone(&program).ok_or("the engine nfp runs objects with text alone")?
        } else {
            &program
        };
        return card::run(code, &options.memory);
    }
    let limits = Limits {
        // The suite's programs read registers that nobody wrote.
        uninitialised: Uninitialised::Zero,
        ..Limits::default()
    };
    let (mut machine, number) = if !options.elf {
        raw(&program, limits)?
    } else if let Some(code) = text_alone(&program) {
        raw(code, limits)?
    } else {
        let object = Object::parse(&program).map_err(|error| error.to_string())?;
        let environment = Environment::default();
        let loaded = Machine::load(&object, 0, limits, |index| object.link(index, &environment))
            .map_err(|error| error.to_string())?;
        (loaded.machine, loaded.program)
    };
    machine
        .run_memory(number, &mut options.memory, &mut Fixed::new(0))
        .map_err(|fault| fault.to_string())
}

/// A machine with one program, and the program's number.
fn raw(program: &[u8], limits: Limits) -> Result<(Machine, usize), String> {
    if !program.len().is_multiple_of(Insn::SIZE) {
        return Err(format!("{} bytes are no whole instructions", program.len()));
    }
    let code = Code::decode(&Insn::read_all(program)).map_err(|error| error.to_string())?;
    let mut machine = Machine::new(limits);
    let number = machine.add_program(code);
    Ok((machine, number))
}

/// The code of an object that has it in `.text` only, with nothing to relocate. Such an object has no
/// program by libbpf's rules, which take `.text` for functions that programs call.
fn text_alone(object: &[u8]) -> Option<&[u8]> {
    let elf = ElfFile64::<LittleEndian>::parse(object).ok()?;
    let text = elf.section_by_name(".text")?;
    let mut all = elf.sections();
    let alone =
        all.all(|section| section.kind() != SectionKind::Text || section.index() == text.index());
    let data = text.data().ok()?;
    (alone && !data.is_empty() && text.relocations().next().is_none()).then_some(data)
}

impl Options {
    fn parse(arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self {
            memory: Vec::new(),
            program: None,
            elf: false,
            nfp: false,
        };
        let mut rest: Vec<String> = arguments.collect();
        // The runner hands all options over as one argument; the memory is one too, with blanks.
        let has_memory = rest.first().is_some_and(|first| !first.starts_with("--"));
        if has_memory {
            options.memory = bytes(&rest.remove(0))?;
        }
        let joined = rest.join(" ");
        let mut words = joined.split_whitespace().peekable();
        while let Some(word) = words.next() {
            match word {
                "--engine" => match words.next() {
                    Some("interp") => options.nfp = false,
                    Some("nfp") => options.nfp = true,
                    other => return Err(format!("no engine {}", other.unwrap_or("given"))),
                },
                "--elf" => options.elf = true,
                "--program" => {
                    let mut hex = String::new();
                    while let Some(word) = words.next_if(|word| !word.starts_with("--")) {
                        hex.push_str(word);
                    }
                    options.program = Some(bytes(&hex)?);
                }
                "--debug" => {}
                other => return Err(format!("unknown option {other}")),
            }
        }
        Ok(options)
    }
}

/// Bytes in hex, with or without blanks between them.
fn bytes(text: &str) -> Result<Vec<u8>, String> {
    let digits: Vec<u8> = text
        .chars()
        .filter(|character| !character.is_whitespace())
        .map(|digit| digit.to_digit(16).map(|digit| digit as u8))
        .collect::<Option<_>>()
        .ok_or("not hexadecimal")?;
    let (pairs, rest) = digits.as_chunks::<2>();
    if rest.is_empty() {
        Ok(pairs.iter().map(|[high, low]| high << 4 | low).collect())
    } else {
        Err("half a byte".to_owned())
    }
}
