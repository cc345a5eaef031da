//! Our words beside those of the kernel driver's JIT, on the same packets in the same simulator.

use nfp_target::codegen::{Options, compile};
use nfp_target::profile::Profile;
use nfp_target::sim::Figures;
use tests::nfp::{FIXED_WORDS, Feed, Translation, Twins, seed_of, translations};

use crate::judge;

/// Packets a program.
const PACKETS: usize = 200;

/// Of an image and its runs.
#[derive(Clone, Copy)]
struct Taken {
    /// Words of the image, without those that every image has.
    words: f64,
    /// Words executed a packet.
    executed: f64,
    /// Slots after branches that passed empty, a packet.
    empty: f64,
    /// Memory commands a packet, helpers' apart.
    commands: f64,
}

impl Taken {
    fn new(words: usize, runs: &[Figures]) -> Self {
        let mean = |of: fn(&Figures) -> u64| {
            let sum: f64 = runs.iter().map(|run| f64::from(of(run) as u32)).sum();
            sum / f64::from(runs.len().max(1) as u32)
        };
        Self {
            words: f64::from((words - FIXED_WORDS) as u32),
            executed: mean(|run| run.words),
            empty: mean(|run| run.empty_slots),
            commands: mean(|run| run.packet_commands + run.value_commands),
        }
    }

    fn figures(self) -> [f64; 4] {
        [self.words, self.executed, self.empty, self.commands]
    }
}

/// The geometric mean of ratios, those apart where one side has none.
#[derive(Default, Clone, Copy)]
struct Mean {
    sum: f64,
    count: u32,
}

impl Mean {
    fn add(&mut self, ratio: f64) {
        if ratio.is_finite() && ratio > 0.0 {
            self.sum += ratio.ln();
            self.count += 1;
        }
    }

    fn value(self) -> f64 {
        (self.sum / f64::from(self.count)).exp()
    }
}

/// Runs words and the program; where the driver's words do something else, the packets until then count.
fn figures(
    program: &Translation,
    ours: Option<&[nfp_target::isa::Word]>,
    profile: &Profile,
) -> (Vec<Figures>, bool) {
    let (words, ids) = match ours {
        Some(words) => (words, None),
        None => (&*program.words, Some(&program.map_ids)),
    };
    let seed = seed_of(&program.id);
    let mut twins = Twins::new(&program.ebpf, words, ids, profile, seed);
    let mut feed = Feed::new(&program.ebpf, seed);
    let mut all = Vec::new();
    for _ in 0..PACKETS {
        let packet = feed.next(&mut twins);
        match twins.run(&packet) {
            Ok(run) => {
                all.push(run.figures);
                feed.looked_up(run.looked_up);
            }
            Err(_) => return (all, false),
        }
    }
    (all, true)
}

pub(crate) fn run() {
    let profile = Profile::default();
    let mut means = [[Mean::default(); 4]; 2];
    let (mut programs, mut refused, mut larger) = (0, Vec::new(), Vec::new());
    println!(
        "The driver's words are those of tests/golden/nfp, less the {FIXED_WORDS} that every image has; {PACKETS} packets a program"
    );
    println!(
        "{:<26} {:>13} {:>9} {:>13} {:>15} {:>13}",
        "", "words", "", "executed", "empty slots", "commands"
    );
    println!(
        "{:<26} {:>6} {:>6} {:>9} {:>6} {:>6} {:>8} {:>6} {:>6} {:>6}",
        "program", "driver", "ours", "ratio", "driver", "ours", "driver", "ours", "driver", "ours"
    );
    for program in translations() {
        // The programs that people wrote.
        if program.profile != "full" || !program.id.contains(':') {
            continue;
        }
        let input = program.ebpf.input();
        let images = [true, false].map(|optimise| compile(&input, &profile, Options { optimise }));
        let (theirs, right) = figures(&program, None, &profile);
        assert!(
            !theirs.is_empty(),
            "{}: the driver's words do not run",
            program.id
        );
        let theirs = Taken::new(program.words.len(), &theirs);
        for (level, image) in images.iter().enumerate() {
            let image = match image {
                Ok(image) => image,
                Err(error) => {
                    refused.push(format!("{}: {error}", program.id));
                    continue;
                }
            };
            let (ours, same) = figures(&program, Some(&image.words), &profile);
            assert!(same, "{}: our words are wrong", program.id);
            let ours = Taken::new(image.words.len(), &ours);
            let ratio = ours.words / theirs.words;
            for (mean, (ours, theirs)) in means[level]
                .iter_mut()
                .zip(ours.figures().into_iter().zip(theirs.figures()))
            {
                mean.add(ours / theirs);
            }
            if level > 0 {
                continue;
            }
            programs += 1;
            if ratio > 1.0 {
                larger.push(program.id.clone());
            }
            println!(
                "{:<26} {:>6} {:>6} {:>9.2} {:>6.1} {:>6.1} {:>8.1} {:>6.1} {:>6.1} {:>6.1}{}",
                program.id,
                theirs.words,
                ours.words,
                ratio,
                theirs.executed,
                ours.executed,
                theirs.empty,
                ours.empty,
                theirs.commands,
                ours.commands,
                if right {
                    ""
                } else {
                    "  (the driver's are wrong)"
                }
            );
        }
    }
    println!("\n{programs} builds; geometric means of ours to the driver's");
    let [optimised, plain] = means.map(|means| means.map(Mean::value));
    for (what, at, aim) in [
        ("words", 0, 0.6),
        ("words executed", 1, 0.6),
        ("memory commands", 3, 0.8),
    ] {
        let figure = format!("{:.3}, at -O0 {:.3}", optimised[at], plain[at]);
        judge(
            what,
            &figure,
            &format!("at most {aim:.2} optimised"),
            optimised[at] <= aim,
        );
    }
    println!(
        "empty slots after branches: {:.3}, at -O0 {:.3}",
        optimised[2], plain[2]
    );
    println!(
        "more words than the driver's: {}",
        if larger.is_empty() {
            "none".to_owned()
        } else {
            larger.join(", ")
        }
    );
    println!(
        "taken by the driver and not by us: {}",
        if refused.is_empty() {
            "none".to_owned()
        } else {
            refused.join("\n")
        }
    );
}
