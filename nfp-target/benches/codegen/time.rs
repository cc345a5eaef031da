//! eBPF instructions translated a second, in processor time: one core, whatever else the machine does.

use std::time::Duration;

use nfp_target::codegen::{Options, Verified, verify};
use nfp_target::profile::Profile;
use rustix::time::{ClockId, clock_gettime};
use tests::nfp::{Unlinked, translations};

use crate::{generated, judge};

/// Each figure is the best of so many: what disturbs a core only ever makes it slower.
const ROUNDS: usize = 15;
/// A round takes at least so long.
const LEAST: Duration = Duration::from_millis(100);
/// Lengths of generated programs.
const LENGTHS: [usize; 7] = [100, 200, 500, 1_000, 2_000, 4_000, 8_000];

fn now() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// The seconds that something takes.
fn seconds(mut what: impl FnMut()) -> f64 {
    let mut best = f64::INFINITY;
    for _ in 0..ROUNDS {
        let (start, mut times) = (now(), 0u32);
        let took = loop {
            what();
            times += 1;
            let took = now().saturating_sub(start);
            if took >= LEAST {
                break took;
            }
        };
        best = best.min(took.as_secs_f64() / f64::from(times));
    }
    best
}

/// The instructions of some programs, and the seconds of verification and of both translations.
struct Row {
    instructions: usize,
    verified: f64,
    plain: f64,
    optimised: f64,
}

impl Row {
    fn measure(programs: &[&Unlinked], profile: &Profile) -> Self {
        let inputs: Vec<_> = programs.iter().map(|program| program.input()).collect();
        let known: Vec<Verified<'_>> = inputs
            .iter()
            .filter_map(|input| verify(input).ok())
            .collect();
        assert_eq!(known.len(), programs.len(), "all are accepted");
        let translated = |optimise| {
            seconds(|| {
                for program in &known {
                    let image = program.compile(profile, Options { optimise });
                    std::hint::black_box(&image);
                    assert!(image.is_ok(), "{image:?}");
                }
            })
        };
        Self {
            instructions: programs
                .iter()
                .map(|program| program.code.iter().count())
                .sum(),
            verified: seconds(|| {
                for input in &inputs {
                    std::hint::black_box(verify(input).is_ok());
                }
            }),
            plain: translated(false),
            optimised: translated(true),
        }
    }

    fn a_second(&self, seconds: f64) -> f64 {
        f64::from(self.instructions as u32) / seconds
    }

    fn print(&self, name: &str) {
        let whole = [self.plain, self.optimised].map(|time| self.a_second(time + self.verified));
        println!(
            "{name:<18} {:>12} {:>12.0} {:>12.0} {:>12.0} {:>12.0} {:>12.0}",
            self.instructions,
            self.a_second(self.verified),
            self.a_second(self.plain),
            self.a_second(self.optimised),
            whole[0],
            whole[1],
        );
    }
}

pub(crate) fn run() {
    // Room for the longest program at -O0.
    let profile = Profile {
        code_words: 14_000,
        ..Profile::default()
    };
    println!("\neBPF instructions a second on one core");
    println!(
        "{:<18} {:>12} {:>12} {:>12} {:>12} {:>12} {:>12}",
        "", "", "", "codegen", "codegen", "with verification", ""
    );
    println!(
        "{:<18} {:>12} {:>12} {:>12} {:>12} {:>12} {:>12}",
        "programs", "instructions", "verification", "-O0", "optimised", "-O0", "optimised"
    );
    let golden = translations();
    let real: Vec<&Unlinked> = golden
        .iter()
        .filter(|program| program.profile == "full" && program.id.contains(':'))
        .map(|program| &program.ebpf)
        .collect();
    let row = Row::measure(&real, &profile);
    row.print("real (progs)");
    let mut growth = Vec::new();
    for length in LENGTHS {
        let program = generated::program(length);
        let row = Row::measure(&[&program], &profile);
        row.print("generated");
        growth.push(row);
    }
    let (first, last) = (&growth[0], &growth[growth.len() - 1]);
    println!();
    for (what, of, aim) in [
        ("codegen of real programs at -O0", row.plain, 1_000_000.0),
        (
            "codegen of real programs, optimised",
            row.optimised,
            100_000.0,
        ),
    ] {
        let speed = row.a_second(of);
        judge(
            what,
            &format!("{speed:.0} a second"),
            &format!("{aim:.0}"),
            speed >= aim,
        );
    }
    for (what, of) in [
        ("-O0", (|row: &Row| row.plain) as fn(&Row) -> f64),
        ("optimised", |row| row.optimised),
        ("verification", |row| row.verified),
    ] {
        let each = |row: &Row| of(row) / f64::from(row.instructions as u32);
        let times = each(last) / each(first);
        println!(
            "{what}: an instruction of {} takes {times:.2} times one of {}",
            last.instructions, first.instructions
        );
    }
}
