//! A pair, run on packets in each of the machines there are for it.

use std::collections::BTreeMap;

use nfp_target::isa::Word;
use nfp_target::profile::Profile;
use offload_compiler::interp::{FaultKind, Machine};
use tests::Random;
use tests::packets::packet;

use crate::card::Card;
use crate::effects::Held;
use crate::interpreter::{
    Asked, contents, has_elements, machine, run, same_maps, set_lowered, set_original, told,
};
use crate::kernel::{Cpus, OnKernel, is_restful};
use crate::pair::Pair;

const PASS: u32 = 2;

/// How many packets were compared, in each machine.
#[derive(Debug, Clone, Default)]
pub(crate) struct Runs {
    pub(crate) interpreter: usize,
    /// Of these, packets that the card's part passed to the original.
    pub(crate) host: usize,
    pub(crate) kernel: usize,
    pub(crate) card: usize,
    /// Programs that the card runs otherwise, where the driver is known to translate wrongly, by what.
    pub(crate) wrong: BTreeMap<&'static str, usize>,
}

impl std::ops::AddAssign for Runs {
    fn add_assign(&mut self, other: Self) {
        self.interpreter += other.interpreter;
        self.host += other.host;
        self.kernel += other.kernel;
        self.card += other.card;
        for (wrong, programs) in other.wrong {
            *self.wrong.entry(wrong).or_default() += programs;
        }
    }
}

/// The machines.
struct Trial<'a> {
    pair: &'a Pair,
    original: Machine,
    lowered: Machine,
    /// Where the lowered program is the card's part: the original on the host, which sees what the card passes.
    host: Option<Machine>,
    kernel: Option<(OnKernel, OnKernel)>,
    card: Option<Card<'a>>,
}

/// Runs a pair on so many packets. `words` are the driver's translation of the lowered program.
///
/// # Errors
/// What differs.
pub(crate) fn compare(
    pair: &Pair,
    words: &[Word],
    profile: &Profile,
    cpus: Option<Cpus>,
    packets: usize,
    seed: u64,
) -> Result<Runs, String> {
    let mut runs = Runs::default();
    let (Some(original), Some(lowered)) = (machine(&pair.original), machine(&pair.lowered)) else {
        return Ok(runs); // maps that the interpreter does not have
    };
    let mut trial = Trial {
        pair,
        card: Card::new(pair, words, profile, &lowered)?,
        host: pair.split.then(|| original.clone()),
        original,
        lowered,
        kernel: kernel(pair, cpus)?,
    };
    trial.fill(&mut Random::new(seed));
    let mut random = Random::new(seed ^ 0x5eed);
    let mut bytes = packet(&mut random);
    let mut missed: Vec<(usize, Vec<u8>)> = Vec::new();
    for round in 0..packets {
        // Every other packet comes again, once what it looked for is there.
        if round % 2 == 1 && !missed.is_empty() {
            for (map, key) in missed.drain(..) {
                trial.set(map, &key, &random.bytes(4096));
            }
        } else {
            bytes = packet(&mut random);
        }
        let mut asked = Asked::new(&pair.original);
        let differs = trial.run(&bytes, seed + round as u64, &mut asked, &mut runs);
        missed = asked.keys;
        match differs {
            Ok(true) => {}
            // What the program does is not defined.
            Ok(false) => return Ok(runs),
            Err(differs) => return Err(format!("packet {bytes:02x?}\n{differs}")),
        }
    }
    trial.compare_maps(&mut runs)?;
    Ok(runs)
}

/// Both sides on the running kernel, where it takes the original and gives the same each time.
fn kernel(pair: &Pair, cpus: Option<Cpus>) -> Result<Option<(OnKernel, OnKernel)>, String> {
    let Some(cpus) = cpus.filter(|_| !pair.split && is_restful(&pair.original)) else {
        return Ok(None);
    };
    let Ok(original) = OnKernel::load(&pair.original, &pair.contents, cpus) else {
        return Ok(None); // it needs what only an object's loader gives
    };
    let mut contents = vec![None; pair.lowered.maps().len()];
    for twin in &pair.twins {
        let value = pair.contents[twin.original].as_deref();
        contents[twin.lowered] = value.map(|value| twin.translated(value));
    }
    let lowered = OnKernel::load(&pair.lowered, &contents, cpus)
        .map_err(|why| format!("the kernel refuses the lowered program: {why}"))?;
    Ok(Some((original, lowered)))
}

impl Trial<'_> {
    /// Sets an element of the original's map, and of those that stand for it.
    fn set(&mut self, map: usize, key: &[u8], value: &[u8]) {
        if !has_elements(self.pair.original.maps()[map].kind) {
            return;
        }
        if !set_original(&mut self.original, map, key, value) {
            return;
        }
        if let Some(host) = &mut self.host {
            set_original(host, map, key, value);
        }
        if let Some((original, _)) = &self.kernel {
            original.set(map, key, value);
        }
        for twin in self.pair.twins.iter().filter(|twin| twin.original == map) {
            set_lowered(&mut self.lowered, twin, key, value);
            if let Some(card) = &mut self.card {
                set_lowered(&mut card.machine, twin, key, value);
            }
            if let Some((_, lowered)) = &self.kernel {
                lowered.set(twin.lowered, key, &twin.translated(value));
            }
        }
    }

    /// What maps hold at the beginning, and some elements.
    fn fill(&mut self, random: &mut Random) {
        for (map, shape) in self.pair.original.maps().iter().enumerate() {
            if let Some(content) = &self.pair.contents[map] {
                self.set(map, &0u32.to_ne_bytes(), content);
                continue;
            }
            // Global variables begin as zeros; others are whatever user space put there.
            if shape.name.starts_with('.') || shape.flags != 0 {
                continue;
            }
            for element in 0..shape.max_entries.min(4) {
                let key = match shape.key_size {
                    4 => element.to_ne_bytes().to_vec(),
                    size => (0..size).map(|_| *random.pick(&[0, 0, 1, 255])).collect(),
                };
                let value = random.bytes(shape.value_size as usize);
                self.set(map, &key, &value);
            }
        }
    }

    /// What all maps hold, where card and host have their own.
    fn held(&mut self) -> Option<Held> {
        let machines = [&mut self.original, &mut self.lowered, self.host.as_mut()?];
        Some(Held::now(self.pair, machines))
    }

    /// Whether all did the same; false where the program has no meaning on this packet.
    fn run(
        &mut self,
        packet: &[u8],
        seed: u64,
        asked: &mut Asked<'_>,
        runs: &mut Runs,
    ) -> Result<bool, String> {
        let before = self.held();
        let original = match run(&mut self.original, packet, seed, Some(asked)) {
            Ok(original) => original,
            Err(fault) if matches!(fault.kind, FaultKind::Undefined(_)) => return Ok(false),
            // What the interpreter does not know.
            Err(_) => return Ok(false),
        };
        let lowered = run(&mut self.lowered, packet, seed, None)
            .map_err(|fault| format!("the lowered program: {fault}"))?;
        runs.interpreter += 1;
        let on_host = match &mut self.host {
            Some(host) if lowered.verdict() == PASS => {
                runs.host += 1;
                if (&lowered.packet[..], lowered.metadata.len()) != (packet, 0) {
                    return Err("the card passes a packet that it changed".to_owned());
                }
                let run = run(host, packet, seed, None);
                Some(run.map_err(|fault| format!("the original on the host: {fault}"))?)
            }
            _ => None,
        };
        let both = on_host.as_ref().unwrap_or(&lowered);
        if told(&original) != told(both) {
            return Err(format!(
                "interpreter:\n  original {:02x?}\n  lowered  {:02x?}",
                told(&original),
                told(both)
            ));
        }
        if let (Some(before), Some(now)) = (before, self.held()) {
            before.once(&now, on_host.is_some())?;
        }
        if let Some((before, after)) = &self.kernel {
            let (before, after) = (before.run(packet)?, after.run(packet)?);
            runs.kernel += 1;
            if (before.verdict, &before.data) != (after.verdict, &after.data) {
                return Err(format!(
                    "kernel:\n  original {} {:02x?}\n  lowered  {} {:02x?}",
                    before.verdict, before.data, after.verdict, after.data
                ));
            }
        }
        if let Some(card) = &mut self.card {
            runs.card += 1;
            if let Err(differs) = card.compare(packet, seed, &lowered) {
                self.blame(differs, runs)?;
            }
        }
        Ok(true)
    }

    /// Where the driver is known to translate something in the program wrongly, that is why; else it is an error. The card
    /// is not asked again.
    fn blame(&mut self, differs: String, runs: &mut Runs) -> Result<(), String> {
        let wrong = self.card.take().map(|card| card.wrong).unwrap_or_default();
        if wrong.is_empty() {
            return Err(differs);
        }
        for name in wrong {
            *runs.wrong.entry(name).or_default() += 1;
        }
        Ok(())
    }

    fn compare_maps(&mut self, runs: &mut Runs) -> Result<(), String> {
        if self.host.is_some() {
            return Ok(()); // each side has maps of its own, looked at after each packet
        }
        let original = &mut self.original;
        let lowered = &mut self.lowered;
        same_maps(
            self.pair,
            |map| contents(original, map),
            |map| contents(lowered, map),
        )
        .map_err(|differs| format!("interpreter, {differs}"))?;
        if let Some((before, after)) = &self.kernel {
            same_maps(
                self.pair,
                |map| before.contents(map),
                |map| after.contents(map),
            )
            .map_err(|differs| format!("kernel, {differs}"))?;
        }
        if let Some(card) = &mut self.card {
            let original = &mut self.original;
            let machine = &mut card.machine;
            let same = same_maps(
                self.pair,
                |map| contents(original, map),
                |map| contents(machine, map),
            );
            if let Err(differs) = same {
                self.blame(format!("card, {differs}"), runs)?;
            }
        }
        Ok(())
    }
}
