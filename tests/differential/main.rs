//! The interpreter against the kernel: the same program, the same packets, the same maps. Verdict, packet
//! bytes and map contents must be equal, without exception.
//!
//! `DIFFERENTIAL_PROGRAMS=100000` makes the random test longer, `DIFFERENTIAL_SEED=N` begins elsewhere.

mod compare;
mod corpus;

use compare::{Maps, Twins};
use offload_compiler::isa::assemble;
use tests::{Random, packets, random_programs, stay_on_one_cpu};

/// Programs of the random test: with the packets of each, and about 2 % refused, 200,000 pairs.
const PROGRAMS: u64 = 4_100;
const PACKETS: u64 = 50;

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable)
        .ok()
        .map_or(default, |text| text.parse().expect("a number"))
}

#[test]
fn random_programs_do_the_same_on_the_kernel_and_in_the_interpreter() {
    if !tests::require_root() {
        return;
    }
    let programs = number("DIFFERENTIAL_PROGRAMS", PROGRAMS);
    let first = number("DIFFERENTIAL_SEED", 1);
    let (cpu, cpus) = stay_on_one_cpu();
    let mut maps = Maps::create(&random_programs::MAPS);
    let (mut pairs, mut refused) = (0, Vec::new());
    for seed in first..first + programs {
        let source = random_programs::program(seed);
        let code = assemble(&source).unwrap_or_else(|error| panic!("{error}\n{source}"));
        maps.clear();
        let mut twins = match Twins::load(&code.encode(), &maps, cpu, cpus) {
            Ok(twins) => twins,
            Err(reason) => {
                refused.push(format!("seed {seed}: {reason}"));
                continue;
            }
        };
        let slot = random_programs::DEVICE_SLOT.to_ne_bytes();
        twins.set(random_programs::DEVICES, &slot, &1u32.to_ne_bytes());
        let mut random = Random::new(seed ^ 0x5eed);
        for _ in 0..PACKETS {
            let packet = packets::packet(&mut random);
            pairs += 1;
            let compared = twins.run(&packet);
            let compared = compared.and_then(|()| {
                // Maps are compared after the first packet too, near the cause of a difference.
                let all = pairs % PACKETS <= 1;
                if all { twins.compare_maps() } else { Ok(()) }
            });
            if let Err(difference) = compared {
                panic!("{source}\npacket {packet:02x?}\nseed {seed}: {difference}");
            }
        }
    }
    println!(
        "{pairs} pairs equal; the verifier refused {} of {programs} programs",
        refused.len()
    );
    assert!(
        refused.len() as u64 * 20 < programs,
        "too many generated programs are refused:\n{}",
        refused[..refused.len().min(20)].join("\n")
    );
}
