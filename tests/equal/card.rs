//! The lowered program's words, as the driver makes them, in the simulator of the card.

use std::collections::{BTreeMap, BTreeSet};

use nfp_target::driver_model::detect;
use nfp_target::isa::Word;
use nfp_target::profile::Profile;
use nfp_target::sim::{Exits, Image, Thread, Unset};
use offload_compiler::interp::{Machine, XdpRun};
use offload_compiler::isa::{Callee, Instruction};
use tests::nfp::Unlinked;

use crate::interpreter::Still;
use crate::pair::{Pair, Side};

/// `BPF_MAP_TYPE_PERF_EVENT_ARRAY`: stays on the host, its number in the words is the kernel's.
const PERF_EVENT_ARRAY: u32 = 4;

const ADJUST_HEAD: i32 = 44;
const ADJUST_TAIL: i32 = 65;

fn calls(side: &Side, helper: i32) -> bool {
    let wanted = Instruction::Call(Callee::Helper(helper));
    side.code
        .iter()
        .any(|(_, instruction)| *instruction == wanted)
}

/// A card with the words and the lowered program's maps.
pub(crate) struct Card<'a> {
    image: Image,
    pub(crate) machine: Machine,
    /// The machine's maps by their numbers in the words.
    maps: BTreeMap<u32, usize>,
    profile: &'a Profile,
    /// What the driver is known to translate wrongly there: names of `driver_model::WrongCode`.
    pub(crate) wrong: BTreeSet<&'static str>,
}

impl<'a> Card<'a> {
    /// None where there are no words, or some that name a map of the host.
    ///
    /// # Errors
    /// The words cannot be loaded.
    pub(crate) fn new(
        pair: &Pair,
        words: &[Word],
        profile: &'a Profile,
        machine: &Machine,
    ) -> Result<Option<Self>, String> {
        let maps = pair.lowered.maps();
        if words.is_empty() || maps.iter().any(|map| map.kind == PERF_EVENT_ARRAY) {
            return Ok(None);
        }
        let image =
            Image::load(words, Exits::find(words), profile).map_err(|error| error.to_string())?;
        let program = Unlinked::new(pair.lowered.code.clone(), maps.to_vec());
        let found = detect(&program.expect("its calls lead somewhere").input(), profile);
        let mut wrong: BTreeSet<_> = found.into_iter().map(|(_, wrong)| wrong.name()).collect();
        // The card's limits are others than the kernel's, and nothing can be done about it before it runs.
        if calls(&pair.lowered, ADJUST_HEAD) || calls(&pair.lowered, ADJUST_TAIL) {
            wrong.insert("limits of adjust_head and adjust_tail");
        }
        // The simulator's card numbers maps from 1 in the order in which they are made.
        Ok(Some(Self {
            image,
            machine: machine.clone(),
            maps: (1..).zip(0..maps.len()).collect(),
            profile,
            wrong,
        }))
    }

    /// Runs the words on a packet; what they do otherwise than the lowered program, in words.
    pub(crate) fn compare(
        &mut self,
        packet: &[u8],
        seed: u64,
        lowered: &XdpRun,
    ) -> Result<(), String> {
        let mut world = Still(seed);
        let outcome = Thread::new(
            &self.image,
            &mut self.machine,
            &self.maps,
            packet,
            self.profile.stack_bytes,
            Unset::new(seed as u32),
            &mut world,
        )
        .and_then(Thread::run)
        .map_err(|stop| format!("card: {stop}"))?;
        // It has no redirects: what is more than XDP_TX is an error.
        let verdict = if lowered.verdict() > 3 {
            0
        } else {
            lowered.verdict()
        };
        if (outcome.verdict as u32, &outcome.packet) == (verdict, &lowered.packet) {
            return Ok(());
        }
        Err(format!(
            "card:\n  lowered  {verdict} {:02x?}\n  words    {} {:02x?}",
            lowered.packet, outcome.verdict as u32, outcome.packet
        ))
    }
}
