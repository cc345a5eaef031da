//! The ring buffer (kernel/bpf/ringbuf.c): records in the order of their reservation.

use std::collections::VecDeque;

use crate::interp::memory::CellId;

/// `BPF_RINGBUF_HDR_SZ`: bytes before each record.
const HEADER: u64 = 8;
/// Records' sizes have 30 bits (`RINGBUF_MAX_RECORD_SZ`).
const RECORD_MAX: u64 = u32::MAX as u64 / 4;

#[derive(Debug, Clone)]
enum State {
    Reserved(CellId),
    Submitted(Vec<u8>),
    Discarded,
}

#[derive(Debug, Clone)]
struct Record {
    bytes: u64,
    state: State,
}

/// A ring buffer.
#[derive(Debug, Clone)]
pub(in crate::interp) struct Ring {
    size: u64,
    consumed: u64,
    produced: u64,
    records: VecDeque<Record>,
}

impl Ring {
    pub(super) fn new(size: u32) -> Self {
        Self {
            size: u64::from(size),
            consumed: 0,
            produced: 0,
            records: VecDeque::new(),
        }
    }

    /// Whether a record of so many bytes fits now.
    pub(in crate::interp) fn fits(&self, bytes: u64) -> bool {
        bytes <= RECORD_MAX && self.produced - self.consumed + Self::taken(bytes) <= self.size
    }

    fn taken(bytes: u64) -> u64 {
        (bytes + HEADER).next_multiple_of(8)
    }

    /// Adds a reserved record that fits.
    pub(in crate::interp) fn reserve(&mut self, bytes: u64, cell: CellId) {
        self.produced += Self::taken(bytes);
        self.records.push_back(Record {
            bytes,
            state: State::Reserved(cell),
        });
    }

    /// Adds a finished record that fits.
    pub(in crate::interp) fn output(&mut self, data: &[u8]) {
        self.produced += Self::taken(data.len() as u64);
        self.records.push_back(Record {
            bytes: data.len() as u64,
            state: State::Submitted(data.to_vec()),
        });
    }

    /// Finishes the record in this cell: `Some(data)` submits, `None` discards. False if there is none.
    pub(in crate::interp) fn finish(&mut self, cell: CellId, data: Option<Vec<u8>>) -> bool {
        let record = self
            .records
            .iter_mut()
            .find(|record| matches!(record.state, State::Reserved(its) if its == cell));
        let Some(record) = record else {
            return false;
        };
        record.state = data.map_or(State::Discarded, State::Submitted);
        true
    }

    /// Discards what is still reserved; says whether there was any.
    pub(in crate::interp) fn drop_reserved(&mut self) -> bool {
        let mut any = false;
        for record in &mut self.records {
            if matches!(record.state, State::Reserved(_)) {
                record.state = State::Discarded;
                any = true;
            }
        }
        any
    }

    /// `bpf_ringbuf_query`: bytes not consumed yet, the size, and both positions.
    pub(in crate::interp) fn query(&self, what: u64) -> u64 {
        match what {
            0 => self.produced - self.consumed,
            1 => self.size,
            2 => self.consumed,
            3 => self.produced,
            _ => 0,
        }
    }

    /// Consumes finished records up to the first that is still reserved.
    pub(in crate::interp) fn consume(&mut self) -> Vec<Vec<u8>> {
        let mut data = Vec::new();
        while let Some(record) = self.records.pop_front() {
            match record.state {
                State::Reserved(_) => {
                    self.records.push_front(record);
                    break;
                }
                State::Submitted(bytes) => data.push(bytes),
                State::Discarded => {}
            }
            self.consumed += Self::taken(record.bytes);
        }
        data
    }
}
