//! The mid-level form: 32 bit values in SSA.
//!
//! An eBPF register is two values. A packet pointer is its distance from the packet's start, so that a comparison with
//! the packet's end needs no address. The stack is gone: its words are values, and what a helper takes from memory is
//! listed with its call.

/// A value, as an index of [`Mir::ops`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Value(pub u32);

impl Value {
    /// As an index.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// Arithmetic on two values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Binary {
    /// Wrapping.
    Add,
    /// Wrapping.
    Sub,
    /// Bitwise.
    And,
    /// Bitwise.
    Or,
    /// Bitwise.
    Xor,
    /// Low half of the product.
    Mul,
    /// High half of the product.
    MulHigh,
}

/// Kinds of shifts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ShiftKind {
    /// To the left.
    Left,
    /// To the right with zeros.
    Right,
    /// To the right with copies of the sign.
    Arithmetic,
    /// Rotated to the right.
    Rotate,
}

/// Where memory is accessed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Address {
    /// The packet: this 32 bit address, and so many bytes after it.
    Packet {
        /// Address.
        base: Value,
        /// Bytes after it.
        offset: i32,
    },
    /// A map's value: this 40 bit address, and so many bytes after it.
    MapValue {
        /// Bits 31..0.
        low: Value,
        /// Bits 39..32.
        high: Value,
        /// Bytes after it.
        offset: i32,
    },
}

impl Address {
    /// The values it is made of.
    pub fn operands(&self) -> Vec<Value> {
        match *self {
            Self::Packet { base, .. } => vec![base],
            Self::MapValue { low, high, .. } => vec![low, high],
        }
    }

    /// The constant part.
    pub fn offset(&self) -> i32 {
        match *self {
            Self::Packet { offset, .. } | Self::MapValue { offset, .. } => offset,
        }
    }

    /// The same base with another constant part.
    #[must_use]
    pub fn at(self, offset: i32) -> Self {
        match self {
            Self::Packet { base, .. } => Self::Packet { base, offset },
            Self::MapValue { low, high, .. } => Self::MapValue { low, high, offset },
        }
    }
}

/// A call of a firmware helper.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Call {
    /// The BPF helper's number: 1 lookup, 2 update, 3 delete, 25 event.
    pub helper: u16,
    /// The map, by its index in the input.
    pub map: u32,
    /// Words of the key, or of an event's data.
    pub key: Vec<Value>,
    /// Words of the value of an update.
    pub value: Vec<Value>,
    /// Flags, lower word first.
    pub flags: Option<[Value; 2]>,
    /// An event's length in bytes.
    pub length: u32,
}

/// What a value is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Op {
    /// A number.
    Const(u32),
    /// The packet's length now.
    Length,
    /// The packet's address now.
    Base,
    /// Arithmetic.
    Binary(Binary, Value, Value),
    /// A shift by 1 to 31.
    Shift(ShiftKind, Value, u8),
    /// A shift by the low five bits of a value. No rotation.
    ShiftBy(ShiftKind, Value, Value),
    /// The low word of (high : low) shifted to the right by 1 to 31.
    Double(Value, Value, u8),
    /// Upper word of a 64 bit sum: both lower words, both upper words.
    AddHigh([Value; 2], [Value; 2]),
    /// Upper word of a 64 bit difference.
    SubHigh([Value; 2], [Value; 2]),
    /// Some bytes of the value rotated to the right, the others 0.
    Field {
        /// What is rotated.
        source: Value,
        /// By how many bits, 0 to 31.
        rotate: u8,
        /// Bit 0 is the lowest byte.
        mask: u8,
    },
    /// `old` with some bytes from the rotated source.
    Insert {
        /// What keeps the other bytes.
        old: Value,
        /// What is rotated.
        source: Value,
        /// By how many bits.
        rotate: u8,
        /// The bytes that are replaced.
        mask: u8,
    },
    /// Reads memory, for [`Op::Word`].
    Read {
        /// Where.
        address: Address,
        /// How many words, 1 to 32.
        words: u8,
        /// How many bytes from the address on are proved to be there.
        sure: u32,
        /// Number of the state of the memory that is read.
        version: u32,
        /// Number of the stretch without calls, which leave nothing in transfer registers.
        stretch: u32,
    },
    /// A word of a read.
    Word(Value, u8),
    /// Writes bytes.
    Write {
        /// Where.
        address: Address,
        /// How many, 1 to 32.
        bytes: u8,
        /// The words that hold them, lowest byte first.
        words: Vec<Value>,
        /// Number of the state of the packet before.
        version: u32,
    },
    /// Adds to a word or two of a map's value.
    AddMemory {
        /// Where.
        address: Address,
        /// 64 bits instead of 32.
        wide: bool,
        /// Low and high word.
        value: [Value; 2],
    },
    /// Calls a helper.
    Call(Box<Call>),
    /// Result of a call: low (0) or high (1) word.
    Result(Value, u8),
    /// A random number. Also where nothing uses it: the next one depends on how many there were.
    Random,
    /// Moves the packet's start.
    AdjustHead(Value),
    /// Moves the packet's end.
    AdjustTail(Value),
    /// Chooses the receive queue.
    Queue(Value),
    /// The value that came with the edge from each predecessor.
    Phi(Vec<Value>),
}

/// Walks over the operands of an operation, with the iterators of either kind of reference.
macro_rules! walk_operands {
    ($op:expr, $see:ident, $iter:ident) => {
        match $op {
            Op::Const(_) | Op::Length | Op::Base | Op::Random => {}
            Op::Binary(_, a, b) | Op::ShiftBy(_, a, b) | Op::Double(a, b, _) => {
                $see(a);
                $see(b);
            }
            Op::Shift(_, a, _)
            | Op::Word(a, _)
            | Op::Result(a, _)
            | Op::Queue(a)
            | Op::AdjustHead(a)
            | Op::AdjustTail(a)
            | Op::Field { source: a, .. } => $see(a),
            Op::AddHigh(low, high) | Op::SubHigh(low, high) => {
                low.$iter().for_each(&mut $see);
                high.$iter().for_each(&mut $see);
            }
            Op::Insert { old, source, .. } => {
                $see(old);
                $see(source);
            }
            Op::Read { address, .. } => walk_address!(address, $see),
            Op::Write { address, words, .. } => {
                walk_address!(address, $see);
                words.$iter().for_each(&mut $see);
            }
            Op::AddMemory { address, value, .. } => {
                walk_address!(address, $see);
                value.$iter().for_each(&mut $see);
            }
            Op::Call(call) => {
                call.key.$iter().for_each(&mut $see);
                call.value.$iter().for_each(&mut $see);
                call.flags.$iter().flatten().for_each(&mut $see);
            }
            Op::Phi(values) => values.$iter().for_each(&mut $see),
        }
    };
}

macro_rules! walk_address {
    ($address:expr, $see:ident) => {
        match $address {
            Address::Packet { base, .. } => $see(base),
            Address::MapValue { low, high, .. } => {
                $see(low);
                $see(high);
            }
        }
    };
}

impl Op {
    /// Whether it only depends on its operands and has no effect.
    pub fn is_pure(&self) -> bool {
        matches!(
            self,
            Op::Const(_)
                | Op::Binary(..)
                | Op::Shift(..)
                | Op::ShiftBy(..)
                | Op::Double(..)
                | Op::AddHigh(..)
                | Op::SubHigh(..)
                | Op::Field { .. }
                | Op::Insert { .. }
                | Op::Word(..)
                | Op::Result(..)
        )
    }

    /// Whether it may be left out where nothing uses its result.
    pub fn is_removable(&self) -> bool {
        self.is_pure() || matches!(self, Op::Length | Op::Base | Op::Read { .. } | Op::Phi(_))
    }

    /// Calls a function for each operand, which may change it.
    pub fn map_operands(&mut self, mut change: impl FnMut(&mut Value)) {
        walk_operands!(self, change, iter_mut);
    }

    /// Calls a function for each operand.
    pub fn each_operand(&self, mut see: impl FnMut(Value)) {
        let mut see = |value: &Value| see(*value);
        walk_operands!(self, see, iter);
    }

    /// Whether a value is one of the operands.
    pub fn takes(&self, value: Value) -> bool {
        let mut takes = false;
        self.each_operand(|operand| takes |= operand == value);
        takes
    }
}

/// What a branch asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Test {
    /// Equal.
    Equal(Value, Value),
    /// Unsigned below.
    Below(Value, Value),
    /// Signed below.
    Less(Value, Value),
    /// Some bit is set in both.
    Bits(Value, Value),
    /// The same of two words, lower first.
    EqualWide([Value; 2], [Value; 2]),
    /// Unsigned below.
    BelowWide([Value; 2], [Value; 2]),
    /// Signed below.
    LessWide([Value; 2], [Value; 2]),
    /// Some bit is set in both.
    BitsWide([Value; 2], [Value; 2]),
}

impl Test {
    /// Calls a function for each operand, which may change it.
    pub fn map_operands(&mut self, mut change: impl FnMut(&mut Value)) {
        match self {
            Self::Equal(a, b) | Self::Below(a, b) | Self::Less(a, b) | Self::Bits(a, b) => {
                change(a);
                change(b);
            }
            Self::EqualWide(a, b)
            | Self::BelowWide(a, b)
            | Self::LessWide(a, b)
            | Self::BitsWide(a, b) => a.iter_mut().chain(b).for_each(change),
        }
    }
}

/// How a block ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Not yet known.
    Open,
    /// Goes on.
    Jump(usize),
    /// Goes one way or the other.
    Branch(Test, usize, usize),
    /// Ends the program with this verdict.
    Exit(Value),
}

impl End {
    /// Where it leads.
    pub fn targets(&self) -> impl Iterator<Item = usize> + use<> {
        let (one, other) = match *self {
            Self::Open | Self::Exit(_) => (None, None),
            Self::Jump(to) => (Some(to), None),
            Self::Branch(_, yes, no) => (Some(yes), Some(no)),
        };
        one.into_iter().chain(other)
    }

    /// Calls a function for each operand, which may change it.
    pub fn map_operands(&mut self, mut change: impl FnMut(&mut Value)) {
        match self {
            Self::Branch(test, ..) => test.map_operands(change),
            Self::Exit(value) => change(value),
            _ => {}
        }
    }

    /// Calls a function for each operand.
    pub fn each_operand(&self, mut see: impl FnMut(Value)) {
        let mut copy = *self;
        copy.map_operands(|value| see(*value));
    }
}

/// A basic block.
#[derive(Debug, Clone)]
pub struct Block {
    /// Its values in order; phis first.
    pub body: Vec<Value>,
    /// How it ends.
    pub end: End,
    /// The blocks that lead here, in the order of phi operands.
    pub before: Vec<usize>,
}

/// A program.
#[derive(Debug, Clone, Default)]
pub struct Mir {
    /// What each value is.
    pub ops: Vec<Op>,
    /// The bits that are 0 in each value, whatever the packet is.
    pub zeros: Vec<u32>,
    /// The eBPF slot that each value came from.
    pub slots: Vec<u32>,
    /// Blocks; the first is the entry.
    pub blocks: Vec<Block>,
}

impl Mir {
    /// What a value is.
    pub fn op(&self, value: Value) -> &Op {
        &self.ops[value.index()]
    }

    /// The bits of a value that are always 0.
    pub fn zeros(&self, value: Value) -> u32 {
        self.zeros[value.index()]
    }

    /// The number that a value is, if it is one.
    pub fn constant(&self, value: Value) -> Option<u32> {
        match self.op(value) {
            Op::Const(number) => Some(*number),
            _ => None,
        }
    }

    /// Blocks that can be reached, each after those that lead to it, loops apart.
    pub fn order(&self) -> Vec<usize> {
        let mut seen = vec![false; self.blocks.len()];
        let mut order = Vec::with_capacity(self.blocks.len());
        let mut work = Vec::with_capacity(self.blocks.len() + 1);
        work.push((0, false));
        while let Some((block, done)) = work.pop() {
            if done {
                order.push(block);
                continue;
            }
            if std::mem::replace(&mut seen[block], true) {
                continue;
            }
            work.push((block, true));
            for target in self.blocks[block].end.targets() {
                if !seen[target] {
                    work.push((target, false));
                }
            }
        }
        order.reverse();
        order
    }
}
