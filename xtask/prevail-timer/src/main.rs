//! `prevail-timer OBJECT SECTION FUNCTION ROUNDS`: prints microseconds a round, one a line, of prevail's analysis from
//! the linked instructions to the verdict. Ends with 3 where prevail does not take the program.

use std::process::ExitCode;
use std::time::Duration;

use prevail::crab::ebpf_domain::DomainContext;
use prevail::crab::var_registry::VariableRegistry;
use prevail::elf_loader::ElfObject;
use prevail::fwd_analyzer;
use prevail::ir::program::Program;
use prevail::ir::unmarshal;
use prevail::linux::linux_platform::{LinuxPlatform, conformance_groups};
use prevail::spec::config::{EbpfRuntimeConfig, EbpfVerifierOptions, VerbosityOptions};
use rustix::time::{ClockId, clock_gettime};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [object, section, function, rounds] = arguments.as_slice() else {
        eprintln!("usage: prevail-timer OBJECT SECTION FUNCTION ROUNDS");
        return ExitCode::from(2);
    };
    match time(object, section, function, rounds.parse().unwrap_or(1)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::from(3)
        }
    }
}

/// CPU time of this thread.
fn cpu_time() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

/// What prevail's own command does, with its defaults.
fn time(object: &str, section: &str, function: &str, rounds: u32) -> Result<(), String> {
    let options = EbpfVerifierOptions {
        must_have_exit: true,
        mock_map_fds: true,
        runtime: EbpfRuntimeConfig {
            strict: false,
            allow_division_by_zero: true,
            setup_constraints: true,
            big_endian: false,
            check_for_termination: false,
            subprogram_stack_size: EbpfRuntimeConfig::DEFAULT_SUBPROGRAM_STACK_SIZE,
            max_call_stack_frames: 8,
            max_packet_size: 65535,
        },
        verbosity_opts: VerbosityOptions {
            simplify: true,
            print_invariants: false,
            print_failures: false,
            print_line_info: false,
            dump_btf_types_json: false,
            collect_instruction_deps: false,
        },
    };
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let mut platform = LinuxPlatform::new();
    platform.conformance_groups = conformance_groups::DEFAULT_GROUPS;
    let mut elf = ElfObject::new(object, options.clone()).map_err(|e| text(&e))?;
    let mut programs = elf
        .get_programs(section, function, &mut platform)
        .map_err(|e| text(&e))?;
    let [program] = programs.as_mut_slice() else {
        return Err("not one program".to_owned());
    };
    platform.map_descriptors = program.info.map_descriptors.clone();
    platform.set_program_type(&program.info.program_type);
    for _ in 0..rounds {
        let mut info = program.info.clone();
        let started = cpu_time();
        let mut notes = Vec::new();
        let instructions =
            unmarshal::unmarshal(&program.prog, &mut notes, &info, &platform, &options)
                .map_err(|e| text(&e))?;
        let analysed = Program::from_sequence(&instructions, &mut info, &platform, &options)
            .map_err(|e| text(&e))?;
        let context = DomainContext {
            program_info: &info,
            program: &analysed,
            runtime: &options.runtime,
            options: &options,
            platform: &platform,
        };
        let result = fwd_analyzer::analyze(&analysed, &context, &mut VariableRegistry::new());
        let took = cpu_time() - started;
        if result.failed {
            return Err("refused".to_owned());
        }
        println!("{}", took.as_nanos() as f64 / 1000.0);
    }
    Ok(())
}
