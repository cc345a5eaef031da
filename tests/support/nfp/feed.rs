//! Packets for a program, one after the other.

use crate::Random;

use super::{Unlinked, lengths, packet};

/// Sets an element of a map wherever the program runs.
pub trait SetElement {
    /// Sets it where there is room for it.
    fn set(&mut self, map: usize, key: &[u8], value: &[u8]);
}

/// Packets for a program. Every other one comes again, once what the program looked for is in its maps.
pub struct Feed {
    random: Random,
    lengths: Vec<u32>,
    value_sizes: Vec<u32>,
    packet: Vec<u8>,
    looked_up: Vec<(usize, Vec<u8>)>,
    again: bool,
}

/// A seed for a program's packets.
pub fn seed_of(id: &str) -> u64 {
    id.bytes()
        .fold(1, |seed, byte| seed * 31 % 1_000_003 + u64::from(byte))
}

impl Feed {
    /// The packets of this seed.
    pub fn new(program: &Unlinked, seed: u64) -> Self {
        Self {
            random: Random::new(seed ^ 0x5eed),
            lengths: lengths(&program.code),
            value_sizes: program.maps.iter().map(|map| map.value_size).collect(),
            packet: Vec::new(),
            looked_up: Vec::new(),
            again: false,
        }
    }

    /// The next packet; what the last one looked for is set before.
    pub fn next(&mut self, machines: &mut dyn SetElement) -> Vec<u8> {
        self.again = !self.again && !self.looked_up.is_empty();
        if !self.again {
            self.looked_up.clear();
            self.packet = packet(&mut self.random, &self.lengths);
        }
        for (map, key) in self.looked_up.drain(..) {
            let value = self.random.bytes(self.value_sizes[map] as usize);
            machines.set(map, &key, &value);
        }
        self.packet.clone()
    }

    /// What the program looked for, given the last packet.
    pub fn looked_up(&mut self, looked_up: Vec<(usize, Vec<u8>)>) {
        self.looked_up = looked_up;
    }
}
