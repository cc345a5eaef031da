//! Makes programs that are nearly safe: packet bounds checks, map lookups, stack use, loops, calls, with a constant,
//! register or operation changed here and there.

use offload_compiler::isa::{
    AluOp, AtomicOp, Callee, CmpOp, Code, Condition, Imm64, Instruction, Operand, Reg, Size, Width,
    functions,
};
use offload_compiler::verify::Function;

/// A map that programs may use.
pub(crate) struct MapOfProgram {
    pub(crate) name: &'static str,
    pub(crate) kind: u32,
    pub(crate) key_size: u32,
    pub(crate) value_size: u32,
    pub(crate) max_entries: u32,
}

/// The maps of all programs; `MapFd(n)` stands for the n-th.
pub(crate) const MAPS: &[MapOfProgram] = &[
    MapOfProgram {
        name: "array",
        kind: 2,
        key_size: 4,
        value_size: 48,
        max_entries: 3,
    },
    MapOfProgram {
        name: "hash",
        kind: 1,
        key_size: 8,
        value_size: 24,
        max_entries: 16,
    },
    MapOfProgram {
        name: "global",
        kind: 2,
        key_size: 4,
        value_size: 64,
        max_entries: 1,
    },
];

/// Numbers that look random and are the same everywhere (splitmix64).
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.roll() % limit
    }

    fn chance(&mut self, of_hundred: u64) -> bool {
        self.below(100) < of_hundred
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }
}

/// What a register is meant to hold.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Holds {
    Nothing,
    Number,
    Packet,
    PacketEnd,
    Value(usize),
    Context,
    Stack,
}

struct Builder {
    dice: Dice,
    out: Vec<Instruction>,
    slots: Vec<usize>,
    holds: [Holds; 10],
    /// Stack slots (offset / 8) that were written.
    saved: Vec<(i16, Holds)>,
    /// Indices of branches whose target is the end.
    to_end: Vec<usize>,
    /// The end: where r0 is set and the function exits.
    depth: u32,
    /// (index of the call, index of the function)
    calls: Vec<(usize, usize)>,
    wanted_functions: usize,
}

const R: [Reg; 11] = Reg::ALL;

/// The `number`-th program of a seed, and its functions.
pub(crate) fn generate(seed: u64, number: u64) -> (Code, Vec<Function>) {
    let dice = Dice(seed.wrapping_mul(0x1_0000_0000).wrapping_add(number));
    let builder = Builder {
        dice,
        out: Vec::new(),
        slots: vec![0],
        holds: [Holds::Nothing; 10],
        saved: Vec::new(),
        to_end: Vec::new(),
        depth: 0,
        calls: Vec::new(),
        wanted_functions: 0,
    };
    builder.program()
}

impl Builder {
    fn emit(&mut self, instruction: Instruction) -> usize {
        self.out.push(instruction);
        self.slots
            .push(self.slots[self.slots.len() - 1] + instruction.slots());
        self.out.len() - 1
    }

    fn alu(&mut self, op: AluOp, width: Width, dst: Reg, src: Operand) {
        self.emit(Instruction::Alu {
            width,
            op,
            dst,
            src,
        });
    }

    fn mov(&mut self, dst: Reg, src: Operand) {
        self.alu(AluOp::Mov, Width::W64, dst, src);
        self.holds[dst.index()] = match src {
            Operand::Imm(_) => Holds::Number,
            Operand::Reg(Reg::R10) => Holds::Stack,
            Operand::Reg(reg) => self.holds[reg.index()],
        };
    }

    fn program(mut self) -> (Code, Vec<Function>) {
        self.holds[1] = Holds::Context;
        self.mov(Reg::R6, Operand::Reg(Reg::R1));
        self.load(Reg::R7, Reg::R6, 0, Size::B32, Holds::Packet);
        self.load(Reg::R8, Reg::R6, 4, Size::B32, Holds::PacketEnd);
        self.mov(Reg::R9, Operand::Imm(0));
        let blocks = 2 + self.dice.below(7);
        for _ in 0..blocks {
            self.block();
        }
        self.finish_function(0);
        let mut functions = vec![Function {
            name: "main".into(),
            start: 0,
            len: self.slots[self.out.len()],
            global: None,
        }];
        for index in 0..self.wanted_functions.min(2) {
            let start = self.out.len();
            for (call, function) in self.calls.clone() {
                if function % 2 == index {
                    let distance = self.slots[start] as i32 - self.slots[call] as i32 - 1;
                    match &mut self.out[call] {
                        Instruction::Call(callee) => *callee = Callee::Local(distance),
                        Instruction::LoadImm64 { value, .. } => *value = Imm64::Function(distance),
                        _ => {}
                    }
                }
            }
            self.subprogram(index);
            functions.push(Function {
                name: format!("f{index}"),
                start: self.slots[start],
                len: self.slots[self.out.len()] - self.slots[start],
                global: None,
            });
        }
        let mutations = match self.dice.below(10) {
            0..=3 => 0,
            4..=7 => 1,
            _ => 2,
        };
        for _ in 0..mutations {
            self.mutate();
        }
        (Code::from_instructions(self.out), functions)
    }

    /// Sets r0 and exits; jumps to the end lead here.
    fn finish_function(&mut self, from: usize) {
        self.mov(Reg::R0, Operand::Imm(1));
        let jump = self.emit(Instruction::Exit);
        let end = jump - 1;
        for branch in std::mem::take(&mut self.to_end) {
            if branch >= from {
                self.aim(branch, end);
            }
        }
    }

    /// Makes the branch at an index lead to another index.
    fn aim(&mut self, branch: usize, there: usize) {
        let distance = self.slots[there] as i64 - self.slots[branch] as i64 - 1;
        match &mut self.out[branch] {
            Instruction::Branch { offset, .. } | Instruction::MayGoto { offset } => {
                *offset = distance as i16;
            }
            Instruction::Jump { offset, .. } => *offset = distance as i32,
            _ => {}
        }
    }

    fn subprogram(&mut self, index: usize) {
        let from = self.out.len();
        self.holds = [Holds::Nothing; 10];
        self.saved.clear();
        self.holds[1] = Holds::Number;
        self.holds[2] = if index == 0 {
            Holds::Number
        } else {
            Holds::Stack
        };
        self.mov(Reg::R9, Operand::Reg(Reg::R1));
        self.depth += 10;
        for _ in 0..=self.dice.below(3) {
            match self.dice.below(4) {
                0 => self.numbers(),
                1 => self.stack_numbers(),
                2 => self.branch_on_number(),
                _ => self.loop_block(),
            }
        }
        if self.dice.chance(50) {
            self.mov(Reg::R0, Operand::Imm(0));
            self.emit(Instruction::Exit);
        }
        let result = self.dice.pick(&[0, 1, 1, 2, 14]);
        self.mov(Reg::R0, Operand::Imm(result));
        if self.dice.chance(30) {
            self.alu(AluOp::Mov, Width::W64, Reg::R0, Operand::Reg(Reg::R9));
            let mask = self.dice.pick(&[1, 7, 31]);
            self.alu(AluOp::And, Width::W64, Reg::R0, Operand::Imm(mask));
        }
        let exit = self.emit(Instruction::Exit);
        for branch in std::mem::take(&mut self.to_end) {
            if branch >= from {
                self.aim(branch, exit);
            }
        }
    }

    fn load(&mut self, dst: Reg, base: Reg, off: i16, size: Size, holds: Holds) {
        self.emit(Instruction::Load {
            size,
            signed: false,
            dst,
            base,
            off,
        });
        self.holds[dst.index()] = holds;
    }

    fn size(&mut self) -> Size {
        self.dice.pick(&[Size::B8, Size::B16, Size::B32, Size::B64])
    }

    fn with(&mut self, wanted: impl Fn(Holds) -> bool) -> Option<Reg> {
        let all: Vec<Reg> = (0..10)
            .filter(|&index| wanted(self.holds[index]))
            .map(|index| R[index])
            .collect();
        (!all.is_empty()).then(|| self.dice.pick(&all))
    }

    fn number(&mut self) -> Reg {
        if let Some(reg) = self.with(|holds| holds == Holds::Number)
            && self.dice.chance(85)
        {
            return reg;
        }
        let reg = self.dice.pick(&[Reg::R9, Reg::R0, Reg::R2, Reg::R3]);
        if self.with(|holds| holds == Holds::Packet).is_some() && self.dice.chance(20) {
            self.checked_packet();
            if let Some(packet) = self.with(|holds| holds == Holds::Packet) {
                let size = self.size();
                self.load(reg, packet, 0, size, Holds::Number);
                return reg;
            }
        }
        let id = self.dice.pick(&["bpf_get_prandom_u32", "bpf_ktime_get_ns"]);
        self.call_helper(id);
        self.mov(reg, Operand::Reg(Reg::R0));
        self.holds[reg.index()] = Holds::Number;
        reg
    }

    fn call_helper(&mut self, name: &str) {
        let id = functions::id(name).unwrap();
        self.emit(Instruction::Call(Callee::Helper(id)));
        for index in 1..6 {
            self.holds[index] = Holds::Nothing;
        }
        self.holds[0] = Holds::Number;
    }

    fn comparison(&mut self) -> CmpOp {
        self.dice.pick(&[
            CmpOp::Eq,
            CmpOp::Ne,
            CmpOp::Gt,
            CmpOp::Ge,
            CmpOp::Lt,
            CmpOp::Le,
            CmpOp::SGt,
            CmpOp::SGe,
            CmpOp::SLt,
            CmpOp::SLe,
            CmpOp::Set,
        ])
    }

    fn width(&mut self) -> Width {
        if self.dice.chance(65) {
            Width::W64
        } else {
            Width::W32
        }
    }

    fn branch(&mut self, op: CmpOp, width: Width, dst: Reg, src: Operand) -> usize {
        self.emit(Instruction::Branch {
            condition: Condition {
                width,
                op,
                dst,
                src,
            },
            offset: 0,
        })
    }

    fn leave_if(&mut self, op: CmpOp, width: Width, dst: Reg, src: Operand) {
        let branch = self.branch(op, width, dst, src);
        self.to_end.push(branch);
    }

    fn block(&mut self) {
        if self.depth > 3 {
            return self.numbers();
        }
        self.depth += 1;
        match self.dice.below(18) {
            0 | 1 => self.packet_access(),
            2 | 3 => self.variable_packet_access(),
            4 => self.array_access(),
            5 => self.hash_access(),
            6 => self.global_access(),
            7 => self.numbers(),
            8 => self.stack_numbers(),
            9 => self.stack_pointers(),
            10 => self.variable_stack(),
            11 => self.loop_block(),
            12 => self.branch_on_number(),
            13 => self.linked(),
            14 => self.helper_with_memory(),
            15 => self.move_packet(),
            16 => self.call_subprogram(),
            _ => self.diamond(),
        }
        self.depth -= 1;
    }

    /// r4 = packet + n, checked against the end, in one of the ways that compilers write.
    fn checked_packet(&mut self) -> i32 {
        let Some(packet) = self.with(|holds| holds == Holds::Packet) else {
            return 0;
        };
        let Some(end) = self.with(|holds| holds == Holds::PacketEnd) else {
            return 0;
        };
        let bytes = self.dice.pick(&[1, 2, 4, 8, 14, 20, 34, 54]);
        let probe = Reg::R4;
        self.mov(probe, Operand::Reg(packet));
        self.alu(AluOp::Add, Width::W64, probe, Operand::Imm(bytes));
        self.holds[4] = Holds::Nothing;
        match self.dice.below(6) {
            0 => self.leave_if(CmpOp::Lt, Width::W64, end, Operand::Reg(probe)),
            1 => self.leave_if(CmpOp::Ge, Width::W64, probe, Operand::Reg(end)),
            2 => self.leave_if(CmpOp::Le, Width::W64, end, Operand::Reg(probe)),
            3 => {
                let skip = self.branch(CmpOp::Le, Width::W64, probe, Operand::Reg(end));
                let jump = self.emit(Instruction::Jump {
                    offset: 0,
                    long: false,
                });
                self.to_end.push(jump);
                let here = self.out.len();
                self.aim(skip, here);
            }
            _ => self.leave_if(CmpOp::Gt, Width::W64, probe, Operand::Reg(end)),
        }
        bytes
    }

    fn packet_access(&mut self) {
        let bytes = self.checked_packet();
        let Some(packet) = self.with(|holds| holds == Holds::Packet) else {
            return;
        };
        for _ in 0..=self.dice.below(2) {
            let size = self.size();
            let most = (bytes - size.bytes() as i32).max(0);
            let off = if self.dice.chance(50) {
                most
            } else {
                self.dice.below(most as u64 + 1) as i32
            };
            if self.dice.chance(60) {
                let dst = self.dice.pick(&[Reg::R0, Reg::R2, Reg::R3, Reg::R9]);
                self.load(dst, packet, off as i16, size, Holds::Number);
            } else {
                let src = Operand::Imm(self.dice.below(256) as i32);
                self.emit(Instruction::Store {
                    size,
                    base: packet,
                    off: off as i16,
                    src,
                });
            }
        }
    }

    /// Makes a number at most so large.
    fn bound(&mut self, reg: Reg, most: i32) {
        match self.dice.below(5) {
            0 | 1 => {
                let mask = (1 << (31 - most.max(1).leading_zeros())) - 1;
                let width = self.width();
                self.alu(AluOp::And, width, reg, Operand::Imm(mask.max(1)));
            }
            2 => {
                let width = self.width();
                self.leave_if(CmpOp::Gt, width, reg, Operand::Imm(most));
                if width == Width::W32 && self.dice.chance(60) {
                    self.alu(AluOp::Mov, Width::W32, reg, Operand::Reg(reg));
                }
            }
            3 => {
                self.leave_if(CmpOp::SGt, Width::W64, reg, Operand::Imm(most));
                self.leave_if(CmpOp::SLt, Width::W64, reg, Operand::Imm(0));
            }
            _ => {
                let modulus = most.max(1);
                if self.dice.chance(40) {
                    self.alu(AluOp::Mod, Width::W64, reg, Operand::Imm(modulus));
                } else {
                    let shift = 64 - (32 - modulus.leading_zeros() as i32);
                    self.alu(AluOp::Rsh, Width::W64, reg, Operand::Imm(shift.min(63)));
                }
            }
        }
    }

    fn variable_packet_access(&mut self) {
        let index = self.number();
        let Some(packet) = self.with(|holds| holds == Holds::Packet) else {
            return;
        };
        let Some(end) = self.with(|holds| holds == Holds::PacketEnd) else {
            return;
        };
        let most = self.dice.pick(&[15, 63, 255, 1500, 65535]);
        self.bound(index, most);
        if self.dice.chance(30) {
            let shift = self.dice.pick(&[1, 2, 3]);
            self.alu(AluOp::Lsh, Width::W64, index, Operand::Imm(shift));
        }
        let moved = self.dice.pick(&[Reg::R2, Reg::R3, Reg::R5]);
        if moved == index || moved == packet || moved == end {
            return;
        }
        self.mov(moved, Operand::Reg(packet));
        self.alu(AluOp::Add, Width::W64, moved, Operand::Reg(index));
        let bytes = self.dice.pick(&[1, 2, 4, 8, 16]);
        let probe = Reg::R4;
        if [index, packet, end].contains(&probe) {
            return;
        }
        self.mov(probe, Operand::Reg(moved));
        self.alu(AluOp::Add, Width::W64, probe, Operand::Imm(bytes));
        let op = if self.dice.chance(80) {
            CmpOp::Gt
        } else {
            CmpOp::Ge
        };
        self.leave_if(op, Width::W64, probe, Operand::Reg(end));
        let size = self.size();
        let off = (bytes - size.bytes() as i32).max(0) as i16;
        let dst = self.dice.pick(&[Reg::R0, Reg::R9]);
        self.load(dst, moved, off, size, Holds::Number);
        self.holds[4] = Holds::Nothing;
        if self.dice.chance(60) {
            self.holds[moved.index()] = Holds::Nothing;
        }
    }

    fn map_pointer(&mut self, dst: Reg, map: i32) {
        self.emit(Instruction::LoadImm64 {
            dst,
            value: Imm64::MapFd(map),
        });
        self.holds[dst.index()] = Holds::Nothing;
    }

    /// A lookup with the key at fp-16; r0 has the result, checked most of the time.
    fn lookup(&mut self, map: usize) {
        self.map_pointer(Reg::R1, map as i32);
        self.mov(Reg::R2, Operand::Reg(Reg::R10));
        self.alu(AluOp::Add, Width::W64, Reg::R2, Operand::Imm(-16));
        self.call_helper("bpf_map_lookup_elem");
        self.holds[0] = Holds::Value(map);
        if self.dice.chance(92) {
            let op = if self.dice.chance(75) {
                CmpOp::Eq
            } else {
                CmpOp::Ne
            };
            if op == CmpOp::Eq {
                self.leave_if(op, Width::W64, Reg::R0, Operand::Imm(0));
            } else {
                let skip = self.branch(op, Width::W64, Reg::R0, Operand::Imm(0));
                let jump = self.emit(Instruction::Jump {
                    offset: 0,
                    long: false,
                });
                self.to_end.push(jump);
                let here = self.out.len();
                self.aim(skip, here);
            }
        }
        if self.dice.chance(40) {
            let keep = self.dice.pick(&[Reg::R9, Reg::R3]);
            self.mov(keep, Operand::Reg(Reg::R0));
        }
    }

    fn store_key(&mut self, off: i16, size: Size) {
        let src = if self.dice.chance(60) {
            Operand::Imm(self.dice.below(4) as i32)
        } else {
            Operand::Reg(self.number())
        };
        self.emit(Instruction::Store {
            size,
            base: Reg::R10,
            off,
            src,
        });
    }

    fn array_access(&mut self) {
        self.store_key(-16, Size::B32);
        self.lookup(0);
        self.value_access(0);
    }

    fn hash_access(&mut self) {
        if self.dice.chance(95) {
            self.store_key(-16, Size::B64);
        }
        self.lookup(1);
        self.value_access(1);
    }

    fn global_access(&mut self) {
        let dst = self.dice.pick(&[Reg::R0, Reg::R3, Reg::R9]);
        let offset = self.dice.pick(&[0, 0, 8, 60, 63]);
        self.emit(Instruction::LoadImm64 {
            dst,
            value: Imm64::MapValueFd { fd: 2, offset },
        });
        self.holds[dst.index()] = Holds::Value(2);
        self.value_access(2);
    }

    fn value_access(&mut self, map: usize) {
        let Some(base) = self.with(|holds| holds == Holds::Value(map)) else {
            return;
        };
        let value_size = MAPS[map].value_size as i32;
        let mut room = value_size;
        let mut pointer = base;
        if self.dice.chance(50)
            && let Some(index) = self.with(|holds| holds == Holds::Number)
        {
            let most = self.dice.pick(&[7, 15, 16, 23, 31, 40]);
            self.bound(index, most);
            if self.dice.chance(30) {
                self.alu(AluOp::Lsh, Width::W64, index, Operand::Imm(1));
                room -= most;
            }
            room -= most;
            pointer = self.dice.pick(&[Reg::R2, Reg::R4, Reg::R5]);
            if pointer == index || pointer == base {
                pointer = base;
            } else {
                self.mov(pointer, Operand::Reg(base));
            }
            let op = if self.dice.chance(92) {
                AluOp::Add
            } else {
                AluOp::Sub
            };
            self.alu(op, Width::W64, pointer, Operand::Reg(index));
        }
        let size = self.size();
        let most = (room - size.bytes() as i32).max(0);
        let off = if self.dice.chance(50) {
            most
        } else {
            self.dice.below(most as u64 + 1) as i32
        } as i16;
        match self.dice.below(5) {
            0 => {
                let src = Operand::Imm(7);
                self.emit(Instruction::Store {
                    size,
                    base: pointer,
                    off,
                    src,
                });
            }
            1 => {
                let src = self
                    .with(|holds| holds != Holds::Nothing)
                    .unwrap_or(Reg::R6);
                self.emit(Instruction::Store {
                    size,
                    base: pointer,
                    off,
                    src: Operand::Reg(src),
                });
            }
            2 => {
                let src = self.number();
                let size = self.dice.pick(&[Size::B32, Size::B64]);
                let fetch = self.dice.chance(30);
                self.emit(Instruction::Atomic {
                    op: AtomicOp::Add,
                    size,
                    base: pointer,
                    off: off & !7,
                    src,
                    fetch,
                });
            }
            _ => {
                let dst = self.dice.pick(&[Reg::R9, Reg::R3]);
                self.load(dst, pointer, off, size, Holds::Number);
            }
        }
        if pointer != base {
            self.holds[pointer.index()] = Holds::Nothing;
        }
    }

    fn numbers(&mut self) {
        for _ in 0..=self.dice.below(4) {
            let dst = self.number();
            let width = self.width();
            let op = self.dice.pick(&[
                AluOp::Add,
                AluOp::Add,
                AluOp::Sub,
                AluOp::Mul,
                AluOp::Div,
                AluOp::Or,
                AluOp::And,
                AluOp::And,
                AluOp::Lsh,
                AluOp::Rsh,
                AluOp::Mod,
                AluOp::Xor,
                AluOp::Mov,
                AluOp::Arsh,
                AluOp::SDiv,
                AluOp::SMod,
            ]);
            let shift = matches!(op, AluOp::Lsh | AluOp::Rsh | AluOp::Arsh);
            let src = if self.dice.chance(30)
                && let Some(reg) = self.with(|holds| holds == Holds::Number)
            {
                Operand::Reg(reg)
            } else if shift {
                Operand::Imm(self.dice.below(32) as i32)
            } else {
                Operand::Imm(self.dice.pick(&[
                    1,
                    2,
                    3,
                    7,
                    8,
                    15,
                    16,
                    255,
                    -1,
                    -8,
                    0x7fff_ffff,
                    1000,
                ]))
            };
            match self.dice.below(20) {
                0 => {
                    let from = self.dice.pick(&[Size::B8, Size::B16]);
                    self.emit(Instruction::MoveSigned {
                        width,
                        from,
                        dst,
                        src: dst,
                    });
                }
                1 => {
                    self.emit(Instruction::Negate { width, dst });
                }
                _ => self.alu(op, width, dst, src),
            }
        }
    }

    fn stack_offset(&mut self) -> i16 {
        -8 * self.dice.pick(&[3, 4, 5, 6, 7, 64])
    }

    fn stack_numbers(&mut self) {
        let slot = self.stack_offset();
        let number = self.number();
        let size = self.size();
        let within = self.dice.pick(&[0, 0, 0, 4, 2, 1]);
        let src = if self.dice.chance(70) {
            Operand::Reg(number)
        } else {
            Operand::Imm(self.dice.pick(&[0, 0, 1, -1, 300]))
        };
        self.emit(Instruction::Store {
            size,
            base: Reg::R10,
            off: slot + (within & !(size.bytes() as i16 - 1)),
            src,
        });
        if self.dice.chance(40) {
            let op = self.comparison();
            let width = self.width();
            let limit = self.dice.pick(&[0, 1, 7, 8, 100]);
            self.leave_if(op, width, number, Operand::Imm(limit));
        }
        let size = if self.dice.chance(60) {
            size
        } else {
            self.size()
        };
        let dst = self.dice.pick(&[Reg::R9, Reg::R3, Reg::R0]);
        let within = self.dice.pick(&[0, 0, 0, 4]);
        let off = slot + (within & !(size.bytes() as i16 - 1));
        let signed = size != Size::B64 && self.dice.chance(15);
        self.emit(Instruction::Load {
            size,
            signed,
            dst,
            base: Reg::R10,
            off,
        });
        self.holds[dst.index()] = Holds::Number;
        self.saved.push((slot, Holds::Number));
    }

    fn stack_pointers(&mut self) {
        let slot = self.stack_offset();
        let Some(reg) = self.with(|holds| !matches!(holds, Holds::Nothing | Holds::Number)) else {
            return;
        };
        let holds = self.holds[reg.index()];
        self.emit(Instruction::Store {
            size: Size::B64,
            base: Reg::R10,
            off: slot,
            src: Operand::Reg(reg),
        });
        self.saved.push((slot, holds));
        if self.dice.chance(50) {
            self.block();
        }
        if self.dice.chance(10) {
            let size = self.size();
            self.emit(Instruction::Store {
                size,
                base: Reg::R10,
                off: slot,
                src: Operand::Imm(0),
            });
        }
        let dst = self.dice.pick(&[Reg::R9, Reg::R3, Reg::R5]);
        let size = if self.dice.chance(95) {
            Size::B64
        } else {
            Size::B32
        };
        self.load(dst, Reg::R10, slot, size, holds);
    }

    fn variable_stack(&mut self) {
        let index = self.number();
        let most = self.dice.pick(&[3, 7, 8, 15, 16]);
        self.bound(index, most);
        let align = self.dice.chance(40);
        if align {
            self.alu(AluOp::And, Width::W64, index, Operand::Imm(-8));
        }
        let pointer = self.dice.pick(&[Reg::R2, Reg::R4, Reg::R5]);
        if pointer == index {
            return;
        }
        self.mov(pointer, Operand::Reg(Reg::R10));
        self.alu(AluOp::Add, Width::W64, pointer, Operand::Reg(index));
        let low = self.dice.pick(&[-24, -32, -40, -16, -512]);
        let size = if align { Size::B64 } else { Size::B8 };
        if self.dice.chance(50) {
            let src = if self.dice.chance(50) {
                Operand::Imm(0)
            } else {
                Operand::Reg(index)
            };
            self.emit(Instruction::Store {
                size,
                base: pointer,
                off: low,
                src,
            });
        } else {
            let dst = self.dice.pick(&[Reg::R9, Reg::R3]);
            self.load(dst, pointer, low, size, Holds::Number);
        }
        self.holds[pointer.index()] = Holds::Nothing;
        if self.dice.chance(30) {
            let dst = self.dice.pick(&[Reg::R9, Reg::R0]);
            self.load(dst, Reg::R10, low & !7, Size::B64, Holds::Number);
        }
    }

    fn loop_block(&mut self) {
        let counter = self.dice.pick(&[Reg::R9, Reg::R9, Reg::R5, Reg::R0]);
        let rounds = self.dice.pick(&[2, 3, 5, 9, 20]);
        if self.dice.chance(85) {
            self.mov(counter, Operand::Imm(0));
        } else {
            self.holds[counter.index()] = Holds::Number;
        }
        let limit = if self.dice.chance(25)
            && let Some(reg) = self.with(|holds| holds == Holds::Number)
            && reg != counter
        {
            self.bound(reg, rounds);
            Operand::Reg(reg)
        } else {
            Operand::Imm(rounds)
        };
        let top = self.out.len();
        let before = self.holds;
        self.holds[counter.index()] = Holds::Nothing;
        match self.dice.below(6) {
            0 => self.numbers(),
            1 => self.packet_access(),
            2 => self.stack_numbers(),
            3 => self.variable_packet_access(),
            _ => {}
        }
        // What the body spoils, it must not need in the next round.
        for (now, before) in self.holds.iter_mut().zip(before) {
            if *now != before {
                *now = Holds::Nothing;
            }
        }
        self.holds[counter.index()] = Holds::Number;
        if self.dice.chance(25) {
            // What the loop counts is used as an index.
            let pointer = Reg::R4;
            self.mov(pointer, Operand::Reg(Reg::R10));
            self.alu(AluOp::Add, Width::W64, pointer, Operand::Reg(counter));
            self.emit(Instruction::Store {
                size: Size::B8,
                base: pointer,
                off: -48,
                src: Operand::Imm(0),
            });
            self.holds[4] = Holds::Nothing;
        }
        let step = self.dice.pick(&[1, 1, 1, 2, 3]);
        self.alu(AluOp::Add, Width::W64, counter, Operand::Imm(step));
        let op = self
            .dice
            .pick(&[CmpOp::Lt, CmpOp::Lt, CmpOp::Ne, CmpOp::SLt, CmpOp::Le]);
        let back = if self.dice.chance(10) {
            self.emit(Instruction::MayGoto { offset: 1 });
            self.emit(Instruction::Jump {
                offset: 0,
                long: false,
            })
        } else {
            self.branch(op, Width::W64, counter, limit)
        };
        self.aim(back, top);
        self.holds[counter.index()] = Holds::Number;
    }

    fn branch_on_number(&mut self) {
        let number = self.number();
        let op = self.comparison();
        let width = self.width();
        let src = if self.dice.chance(30)
            && let Some(other) = self.with(|holds| holds == Holds::Number)
        {
            Operand::Reg(other)
        } else {
            Operand::Imm(self.dice.pick(&[0, 1, 7, 8, 64, 255, -1, 1000]))
        };
        self.leave_if(op, width, number, src);
    }

    /// One number in two registers; the check of one tells about the other.
    fn linked(&mut self) {
        let number = self.number();
        let copy = self.dice.pick(&[Reg::R2, Reg::R3, Reg::R5, Reg::R9]);
        if copy == number {
            return;
        }
        let width = self.width();
        self.alu(AluOp::Mov, width, copy, Operand::Reg(number));
        self.holds[copy.index()] = Holds::Number;
        if self.dice.chance(50) {
            let by = self.dice.pick(&[1, 4, 8, -1, 100]);
            self.alu(AluOp::Add, Width::W64, copy, Operand::Imm(by));
        }
        let op = self.comparison();
        let width = self.width();
        let limit = self.dice.pick(&[4, 7, 8, 16]);
        self.leave_if(op, width, number, Operand::Imm(limit));
        if self.dice.chance(70) {
            let pointer = Reg::R4;
            self.mov(pointer, Operand::Reg(Reg::R10));
            self.alu(AluOp::Add, Width::W64, pointer, Operand::Reg(copy));
            self.load(Reg::R0, pointer, -32, Size::B8, Holds::Number);
            self.holds[4] = Holds::Nothing;
        }
    }

    fn helper_with_memory(&mut self) {
        let size = self.number();
        let most = self.dice.pick(&[8, 16, 24, 63]);
        match self.dice.below(4) {
            0 => {
                self.bound(size, most);
                self.mov(Reg::R3, Operand::Reg(Reg::R10));
                self.mov(Reg::R2, Operand::Reg(size));
                self.mov(Reg::R1, Operand::Reg(Reg::R10));
                let low = self.dice.pick(&[-8, -16, -24, -64]);
                self.alu(AluOp::Add, Width::W64, Reg::R1, Operand::Imm(low));
                self.call_helper("bpf_probe_read_kernel");
            }
            1 => {
                self.mov(Reg::R1, Operand::Imm(0));
                self.mov(Reg::R2, Operand::Imm(0));
                self.mov(Reg::R3, Operand::Reg(Reg::R10));
                let low = self.dice.pick(&[-8, -16, -24]);
                self.alu(AluOp::Add, Width::W64, Reg::R3, Operand::Imm(low));
                let bytes = self.dice.pick(&[4, 8, 16, 20, 28]);
                self.mov(Reg::R4, Operand::Imm(bytes));
                self.mov(Reg::R5, Operand::Imm(0));
                self.call_helper("bpf_csum_diff");
            }
            2 => {
                self.bound(size, most);
                self.mov(Reg::R4, Operand::Reg(size));
                self.mov(Reg::R1, Operand::Reg(Reg::R6));
                self.mov(Reg::R2, Operand::Imm(0));
                self.mov(Reg::R3, Operand::Reg(Reg::R10));
                let low = self.dice.pick(&[-8, -16, -24, -64]);
                self.alu(AluOp::Add, Width::W64, Reg::R3, Operand::Imm(low));
                if self.dice.chance(60) {
                    self.alu(AluOp::Or, Width::W64, Reg::R4, Operand::Imm(1));
                }
                self.call_helper("bpf_xdp_load_bytes");
            }
            _ => {
                self.map_pointer(Reg::R1, 1);
                self.mov(Reg::R2, Operand::Reg(Reg::R10));
                self.alu(AluOp::Add, Width::W64, Reg::R2, Operand::Imm(-16));
                self.mov(Reg::R3, Operand::Reg(Reg::R10));
                let low = self.dice.pick(&[-24, -40, -16, -48]);
                self.alu(AluOp::Add, Width::W64, Reg::R3, Operand::Imm(low));
                self.mov(Reg::R4, Operand::Imm(0));
                self.call_helper("bpf_map_update_elem");
            }
        }
        if self.dice.chance(40) {
            let slot = self.stack_offset();
            self.load(Reg::R9, Reg::R10, slot, Size::B64, Holds::Number);
        }
    }

    fn move_packet(&mut self) {
        self.mov(Reg::R1, Operand::Reg(Reg::R6));
        let by = self.dice.pick(&[-4, 4, 14]);
        self.mov(Reg::R2, Operand::Imm(by));
        let name = self
            .dice
            .pick(&["bpf_xdp_adjust_head", "bpf_xdp_adjust_tail"]);
        self.call_helper(name);
        if self.dice.chance(85) {
            self.load(Reg::R7, Reg::R6, 0, Size::B32, Holds::Packet);
            self.load(Reg::R8, Reg::R6, 4, Size::B32, Holds::PacketEnd);
        }
        for index in [0, 1, 2, 3, 4, 5, 9] {
            if matches!(self.holds[index], Holds::Packet | Holds::PacketEnd) {
                self.holds[index] = Holds::Nothing;
            }
        }
    }

    fn call_subprogram(&mut self) {
        let function = self.dice.below(2) as usize;
        let number = self.number();
        if self.dice.chance(30) {
            // As a callback of bpf_loop.
            let rounds = self.dice.pick(&[1, 4, 100]);
            if self.dice.chance(70) {
                self.mov(Reg::R1, Operand::Imm(rounds));
            } else {
                self.mov(Reg::R1, Operand::Reg(number));
            }
            let index = self.emit(Instruction::LoadImm64 {
                dst: Reg::R2,
                value: Imm64::Function(0),
            });
            self.calls.push((index, function));
            self.mov(Reg::R3, Operand::Imm(0));
            self.mov(Reg::R4, Operand::Imm(0));
            self.call_helper("bpf_loop");
        } else {
            self.mov(Reg::R1, Operand::Reg(number));
            if function == 0 {
                self.mov(Reg::R2, Operand::Imm(3));
            } else {
                self.mov(Reg::R2, Operand::Reg(Reg::R10));
                self.alu(AluOp::Add, Width::W64, Reg::R2, Operand::Imm(-32));
            }
            let index = self.emit(Instruction::Call(Callee::Local(0)));
            self.calls.push((index, function));
            for index in 1..6 {
                self.holds[index] = Holds::Nothing;
            }
            self.holds[0] = Holds::Number;
        }
        self.wanted_functions = 2;
    }

    /// Two ways that meet again.
    fn diamond(&mut self) {
        let number = self.number();
        let op = self.comparison();
        let width = self.width();
        let limit = self.dice.pick(&[0, 1, 8, 100]);
        let branch = self.branch(op, width, number, Operand::Imm(limit));
        let before = self.holds;
        self.block();
        let jump = self.emit(Instruction::Jump {
            offset: 0,
            long: false,
        });
        let here = self.out.len();
        self.aim(branch, here);
        let first = std::mem::replace(&mut self.holds, before);
        if self.dice.chance(60) {
            self.block();
        }
        let here = self.out.len();
        self.aim(jump, here);
        for (now, first) in self.holds.iter_mut().zip(first) {
            if *now != first {
                *now = Holds::Nothing;
            }
        }
    }

    /// Changes one thing somewhere.
    fn mutate(&mut self) {
        let at = self.dice.below(self.out.len() as u64) as usize;
        let near = self.dice.pick(&[1, -1, 1, -1, 2, -2, 4, -4, 8, -8]);
        let other = R[self.dice.below(10) as usize];
        let op = self.comparison();
        let what = self.dice.below(10);
        match &mut self.out[at] {
            Instruction::Alu {
                src, width, dst, ..
            } => match (src, what) {
                (Operand::Imm(imm), 0..=6) => *imm = imm.wrapping_add(near),
                (Operand::Reg(reg), 0..=3) => *reg = other,
                (_, 7) => {
                    *width = if *width == Width::W64 {
                        Width::W32
                    } else {
                        Width::W64
                    };
                }
                _ => *dst = other,
            },
            Instruction::Load {
                off, size, base, ..
            } => match what {
                0..=6 => *off = off.wrapping_add(near as i16),
                7 | 8 => *size = Size::B64,
                _ => *base = other,
            },
            Instruction::Store {
                off, size, base, ..
            } => match what {
                0..=6 => *off = off.wrapping_add(near as i16),
                7 | 8 => *size = Size::B64,
                _ => *base = other,
            },
            Instruction::Branch { condition, .. } => match (&mut condition.src, what) {
                (Operand::Imm(imm), 0..=5) => *imm = imm.wrapping_add(near),
                (Operand::Reg(reg), 0..=2) => *reg = other,
                (_, 9) => condition.dst = other,
                (_, 8) => {
                    condition.width = if condition.width == Width::W64 {
                        Width::W32
                    } else {
                        Width::W64
                    };
                }
                _ => condition.op = op,
            },
            Instruction::LoadImm64 {
                value: Imm64::MapValueFd { offset, .. },
                ..
            } => *offset = offset.wrapping_add(near as u32),
            _ => {}
        }
    }
}
