//! Properties that hold for every instruction.

use proptest::prelude::*;

use super::{
    AtomicOp, Code, DecodeErrorKind, Insn, Instruction, Reg, ReservedField, Size, assemble,
};
use super::{DecodeError, Imm64, text};
use DecodeErrorKind as Kind;
use ReservedField::{Dst, Imm, Off, Src};

/// Slots near the border of what decodes: each opcode with field values that some instruction uses.
fn slots_of_interest() -> impl Iterator<Item = Insn> {
    const OFFS: [i16; 7] = [0, 1, 8, 16, 32, -1, -8];
    const IMMS: [i32; 15] = [
        0, 1, -1, 16, 32, 64, 0x40, 0x41, 0x50, 0xa0, 0xe1, 0xf1, 0x100, 0x110, 0x1_0000,
    ];
    (0..=255u8).flat_map(|code| {
        (0..8u8).flat_map(move |src| {
            OFFS.into_iter().flat_map(move |off| {
                IMMS.into_iter().flat_map(move |imm| {
                    [0, 3].into_iter().map(move |dst| Insn {
                        code,
                        dst,
                        src,
                        off,
                        imm,
                    })
                })
            })
        })
    })
}

#[test]
fn what_decodes_encodes_to_the_same_slots() {
    let mut decoded = 0;
    for slot in slots_of_interest() {
        for second in [
            Insn::default(),
            Insn {
                imm: 7,
                ..Insn::default()
            },
        ] {
            let slots = [slot, second];
            let slots = &slots[..if slot.is_ld_imm64() { 2 } else { 1 }];
            if let Ok(code) = Code::decode(slots) {
                decoded += 1;
                assert_eq!(code.encode(), slots);
            }
        }
    }
    assert!(decoded > 10_000, "only {decoded} slots decode");
}

#[test]
fn the_text_of_what_decodes_assembles_to_the_same_slots() {
    for slot in slots_of_interest() {
        let slots = [slot, Insn::default()];
        let slots = &slots[..if slot.is_ld_imm64() { 2 } else { 1 }];
        let Ok(code) = Code::decode(slots) else {
            continue;
        };
        let is_module_call = slot.code == Insn::CALL && slot.off != 0; // its text has no module
        if is_module_call {
            continue;
        }
        let listing = text::listing(slots, &text::Plain, true);
        assert_eq!(assemble(&listing).as_ref(), Ok(&code), "{listing}");
    }
}

proptest! {
    #[test]
    fn decoding_and_printing_any_bytes_ends_without_a_panic(bytes in prop::collection::vec(any::<[u8; 8]>(), 0..12)) {
        let insns: Vec<Insn> = bytes.into_iter().map(Insn::from_bytes).collect();
        if let Ok(code) = Code::decode(&insns) {
            prop_assert_eq!(code.encode(), insns.clone());
        }
        text::listing(&insns, &text::Plain, true);
    }

    #[test]
    fn assembling_any_text_ends_without_a_panic(source in "[-rw0-9a-z*()+= \\[\\]#:,>x\n]{0,60}") {
        let _ = assemble(&source);
    }
}

#[track_caller]
fn refused(slot: Insn) -> DecodeErrorKind {
    let filler = Insn {
        code: Insn::EXIT,
        ..Insn::default()
    };
    let Err(DecodeError {
        slot: 1,
        kind,
        opcode,
    }) = Code::decode(&[filler, slot])
    else {
        panic!("{slot:?} was accepted or blamed on the wrong slot");
    };
    assert_eq!(opcode, slot.code);
    kind
}

#[test]
fn reserved_fields_are_refused_as_the_kernel_does() {
    let slot = |code, dst, src, off, imm| Insn {
        code,
        dst,
        src,
        off,
        imm,
    };
    for (slot, kind) in [
        (slot(0xb7, 1, 1, 0, 0), Kind::Reserved(Src)),
        (slot(0xbf, 1, 1, 0, 5), Kind::Reserved(Imm)),
        (slot(0x07, 1, 0, 2, 5), Kind::Reserved(Off)),
        (slot(0x37, 1, 0, 2, 5), Kind::UnknownVariant(2)),
        (slot(0xbc, 1, 2, 32, 0), Kind::UnknownVariant(32)),
        (slot(0x87, 1, 0, 0, 1), Kind::Reserved(Imm)),
        (slot(0x8f, 1, 0, 0, 0), Kind::UnknownOpcode),
        (slot(0xdc, 1, 0, 0, 8), Kind::SwapSize(8)),
        (slot(0x79, 1, 2, 0, 4), Kind::Reserved(Imm)),
        (slot(0x99, 1, 2, 0, 0), Kind::UnknownOpcode),
        (slot(0x7b, 1, 2, 0, 4), Kind::Reserved(Imm)),
        (slot(0x7a, 1, 2, 0, 4), Kind::Reserved(Src)),
        (slot(0xdb, 1, 2, 0, 4), Kind::UnknownAtomic(4)),
        (slot(0xd3, 1, 2, 0, 0), Kind::AccessSize(Size::B8)),
        (slot(0x05, 1, 0, 0, 0), Kind::Reserved(Dst)),
        (slot(0x06, 0, 0, 1, 0), Kind::Reserved(Off)),
        (slot(0x15, 1, 2, 0, 0), Kind::Reserved(Src)),
        (slot(0xe5, 0, 1, 0, 0), Kind::Reserved(Src)),
        (slot(0x85, 0, 3, 0, 0), Kind::UnknownCall(3)),
        (slot(0x95, 0, 0, 1, 0), Kind::Reserved(Off)),
        (slot(0x18, 0, 0, 0, 0), Kind::MissingSecondHalf),
        (slot(0xb7, 11, 0, 0, 0), Kind::InvalidRegister(11)),
        (slot(0x00, 0, 0, 0, 0), Kind::UnknownOpcode),
        (slot(0x20, 0, 1, 0, 0), Kind::Reserved(Src)),
    ] {
        assert_eq!(refused(slot), kind, "{slot:?}");
    }
}

#[test]
fn labels_and_helper_names_assemble() {
    let code = assemble(
        "
        r1 = map[fd:3]
        call bpf_map_lookup_elem
        if r0 == 0 goto miss
        r1 = 1
        lock *(u64 *)(r0 +0) += r1
        call count
    miss:
        r0 = 2
        exit
    count:
        r0 = subprog[count]
        exit
        ",
    )
    .unwrap();
    assert_eq!(
        code.at(0),
        Some(&Instruction::LoadImm64 {
            dst: Reg::R1,
            value: Imm64::MapFd(3)
        })
    );
    assert!(code.is_second_half(1));
    assert_eq!(code.at(1), None);
    assert_eq!(code.at(3).unwrap().jump_offset(), Some(3));
    assert_eq!(code.at(6).unwrap().to_string(), "call pc+2");
    assert_eq!(code.at(9).unwrap().to_string(), "r0 = subprog[-1]");
    assert_eq!(
        code.at(5),
        Some(&Instruction::Atomic {
            op: AtomicOp::Add,
            size: Size::B64,
            base: Reg::R0,
            off: 0,
            src: Reg::R1,
            fetch: false
        })
    );
}

#[test]
fn a_line_that_is_no_instruction_is_named() {
    let error = assemble("r0 = 0\nr1 = w2\nexit").unwrap_err();
    assert_eq!(
        error.to_string(),
        "line 2: mixes whole registers and halves: r1 = w2"
    );
}

/// One of each form, beside the kernel's text for it.
#[test]
fn every_form_has_the_kernels_text() {
    let source = include_str!("forms.txt");
    let code = assemble(source).unwrap();
    assert_eq!(text::listing(&code.encode(), &text::Plain, false), source);
}
