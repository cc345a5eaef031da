//! What a program uses, read from its code.

use super::{Program, map_kind_name, table};
use crate::isa::{AluOp, AtomicOp, Imm64};
use crate::isa::{Callee, CmpOp, Instruction, Swap, Width, functions};
use crate::verify::{Code, Finding, Hook, Input};

/// Something that a program uses and a target may not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Need {
    /// A helper by its number.
    Helper(i32),
    /// A map of this kind (`enum bpf_map_type`).
    Map {
        /// Its kind.
        kind: u32,
        /// Its index in [`Input::maps`].
        map: u32,
    },
    /// A map with a flag.
    MapFlag {
        /// Which bit of `map_flags`.
        bit: u32,
        /// Its index in [`Input::maps`].
        map: u32,
    },
    /// Anything else.
    Feature(Feature),
}

macro_rules! features {
    ($($variant:ident $name:literal)*) => {
        /// An instruction, a field of the context, a property of a program.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Feature {
            $(#[doc = concat!("The row `", $name, "` of kernel.toml.")] $variant,)*
        }

        impl Feature {
            /// All features.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// Its name in kernel.toml.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

features! {
    Xdp "xdp"
    Metadata "metadata"
    LessThanJumps "less-than-jumps"
    Redirect "verdict-redirect"
    IngressFields "ingress-fields"
    Subprograms "subprograms"
    Jumps32 "jumps-32"
    GlobalData "global-data"
    LargePrograms "large-programs"
    BoundedLoops "bounded-loops"
    GlobalFunctions "global-functions"
    DevmapPrograms "devmap-programs"
    EgressField "egress-field"
    CpumapPrograms "cpumap-programs"
    Atomics "atomics"
    KernelFunctions "kernel-functions"
    Callbacks "callbacks"
    Frags "frags"
    SignedDivision "signed-division"
    SignExtendingMoves "sign-extending-moves"
    SignExtendingLoads "sign-extending-loads"
    ByteSwap "byte-swap"
    LongJumps "long-jumps"
    MayGoto "may-goto"
    AddressCasts "address-casts"
    LoadAcquire "load-acquire"
}

impl Feature {
    /// What it is, in words.
    pub fn what(self) -> &'static str {
        table::get()
            .feature
            .iter()
            .find(|row| row.name == self.name())
            .map_or(self.name(), |row| row.what.as_str())
    }
}

/// Programs of more slots were refused before Linux 5.2.
const SMALL_PROGRAM: usize = 4096;

impl Need {
    /// What a program needs, each at the first slot that shows it.
    pub fn of(program: &Program<'_>) -> Vec<(usize, Self)> {
        let input = program.input;
        let mut found: Vec<(usize, Self)> = Vec::new();
        let mut seen = std::collections::HashSet::new();
        let mut add = |slot: usize, need: Self| {
            if seen.insert(need) {
                found.push((slot, need));
            }
        };
        add(0, Self::Feature(Feature::Xdp));
        match input.hook {
            Hook::Interface => {}
            Hook::Devmap => add(0, Self::Feature(Feature::DevmapPrograms)),
            Hook::Cpumap => add(0, Self::Feature(Feature::CpumapPrograms)),
        }
        if program.frags {
            add(0, Self::Feature(Feature::Frags));
        }
        if input.code.len() > SMALL_PROGRAM {
            add(0, Self::Feature(Feature::LargePrograms));
        }
        for (slot, instruction) in input.code.iter() {
            for feature in features_of(slot, instruction) {
                add(slot, Self::Feature(feature));
            }
            match instruction {
                Instruction::Call(Callee::Helper(id)) => add(slot, Self::Helper(*id)),
                Instruction::Call(Callee::Local(distance)) => {
                    let start = usize::try_from(slot as i64 + 1 + i64::from(*distance));
                    if start
                        .ok()
                        .and_then(|start| input.function_at(start))
                        .is_some_and(|function| function.global.is_some())
                    {
                        add(slot, Self::Feature(Feature::GlobalFunctions));
                    }
                }
                Instruction::LoadImm64 { .. } => {
                    let Some(reference) = input.map_at.get(&slot) else {
                        continue;
                    };
                    let map = reference.map;
                    if reference.value_offset.is_some() {
                        add(slot, Self::Feature(Feature::GlobalData));
                    }
                    if let Some(shape) = input.maps.get(map as usize) {
                        add(
                            slot,
                            Self::Map {
                                kind: shape.kind,
                                map,
                            },
                        );
                        for bit in (0..32).filter(|bit| shape.flags & (1 << bit) != 0) {
                            add(slot, Self::MapFlag { bit, map });
                        }
                    }
                }
                _ => {}
            }
        }
        found
    }

    /// What it is, in words.
    pub fn what(self, input: &Input<'_>) -> String {
        let name = |map: u32| {
            input
                .maps
                .get(map as usize)
                .map_or("?", |shape| shape.name.as_str())
        };
        match self {
            Self::Helper(id) => {
                functions::name(id).map_or_else(|| format!("helper {id}"), str::to_owned)
            }
            Self::Map { kind, map } => match map_kind_name(kind) {
                Some(kind) => format!("map {} of kind {kind}", name(map)),
                None => format!("map {} of kind {kind}", name(map)),
            },
            Self::MapFlag { bit, map } => {
                let flag = table::get()
                    .map_flag
                    .iter()
                    .find(|row| row.bit == bit)
                    .map_or_else(
                        || format!("{:#x}", 1u32 << bit),
                        |row| format!("BPF_F_{}", row.name.replace('-', "_").to_uppercase()),
                    );
                format!("map {} with the flag {flag}", name(map))
            }
            Self::Feature(feature) => feature.what().to_owned(),
        }
    }

    /// The finding that a target does not have it.
    pub fn finding(self, slot: usize, input: &Input<'_>, why: &str) -> Finding {
        let help = match self {
            Self::Helper(_) => "guard the call with bpf_core_enum_value_exists(), or do without",
            Self::Map { .. } => "use a kind of map that the target has",
            Self::MapFlag { .. } => "leave the flag out",
            Self::Feature(
                Feature::Jumps32
                | Feature::LessThanJumps
                | Feature::Atomics
                | Feature::SignedDivision
                | Feature::SignExtendingLoads
                | Feature::SignExtendingMoves
                | Feature::ByteSwap
                | Feature::LongJumps,
            ) => "compile for an older instruction set: -mcpu=v1, v2 or v3",
            Self::Feature(Feature::BoundedLoops) => "unroll the loop: `#pragma unroll`",
            Self::Feature(Feature::Subprograms | Feature::GlobalFunctions) => {
                "inline the function: `static __always_inline`"
            }
            Self::Feature(_) => "do without, or ask for a newer kernel",
        };
        Finding::error(
            Code::TargetLacks,
            slot,
            format!("{}: {why}", self.what(input)),
        )
        .help(help)
    }
}

fn features_of(slot: usize, instruction: &Instruction) -> Vec<Feature> {
    let mut features = Vec::new();
    match *instruction {
        Instruction::Alu {
            op: AluOp::SDiv | AluOp::SMod,
            ..
        } => features.push(Feature::SignedDivision),
        Instruction::MoveSigned { .. } => features.push(Feature::SignExtendingMoves),
        Instruction::Swap {
            swap: Swap::Always, ..
        } => features.push(Feature::ByteSwap),
        Instruction::CastAddress { .. } => features.push(Feature::AddressCasts),
        Instruction::Load { signed: true, .. } => features.push(Feature::SignExtendingLoads),
        Instruction::Atomic { op, fetch, .. } if fetch || op != AtomicOp::Add => {
            features.push(Feature::Atomics);
        }
        Instruction::Exchange { .. } | Instruction::CompareExchange { .. } => {
            features.push(Feature::Atomics);
        }
        Instruction::LoadAcquire { .. } | Instruction::StoreRelease { .. } => {
            features.push(Feature::LoadAcquire);
        }
        Instruction::Jump { long: true, .. } => features.push(Feature::LongJumps),
        Instruction::MayGoto { .. } => features.push(Feature::MayGoto),
        Instruction::Branch { condition, .. } => {
            if condition.width == Width::W32 {
                features.push(Feature::Jumps32);
            }
            if matches!(
                condition.op,
                CmpOp::Lt | CmpOp::Le | CmpOp::SLt | CmpOp::SLe
            ) {
                features.push(Feature::LessThanJumps);
            }
        }
        Instruction::Call(Callee::Local(_)) => features.push(Feature::Subprograms),
        Instruction::Call(Callee::Kernel { .. }) => features.push(Feature::KernelFunctions),
        Instruction::LoadImm64 {
            value: Imm64::Function(_),
            ..
        } => features.push(Feature::Callbacks),
        _ => {}
    }
    if instruction
        .jump_offset()
        .is_some_and(|offset| offset < 0 && slot as i64 + 1 + i64::from(offset) >= 0)
    {
        features.push(Feature::BoundedLoops);
    }
    features
}
