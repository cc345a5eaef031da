//! A program of the suite on a simulated NFP.
//!
//! The suite calls a program with a block of memory and asks for r0; a card runs XDP programs on packets and asks for
//! a verdict. So the program becomes the subprogram of one that is written here: the memory is the packet, r1 its
//! start and r2 its length, as the context and a comparison with the packet's end give them, and r0 is stored into 8
//! bytes behind the memory, which the program itself cannot reach. All of it is compiled by our code generator and run
//! by the simulator. What only memory that is no packet allows, or 64 bits that the card lacks, is refused.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use nfp_target::codegen::{self, Options};
use nfp_target::profile::Profile;
use nfp_target::sim::{Exits, Image, Thread, Unset, Verdict};
use offload_compiler::interp::{Fixed, Limits, Machine};
use offload_compiler::isa::{Callee, Code, Insn, Instruction, assemble};
use offload_compiler::verify::{Function, Input};

/// Bytes of r0.
const RESULT: usize = 8;

/// Runs a program on memory and gives r0.
///
/// # Errors
/// The card does not take the program, or does not run it to its end.
pub(crate) fn run(program: &[u8], memory: &[u8]) -> Result<u64, String> {
    if !program.len().is_multiple_of(Insn::SIZE) {
        return Err(format!("{} bytes are no whole instructions", program.len()));
    }
    let code = around(&Insn::read_all(program), memory.len())?;
    let functions = functions(&code);
    let map_at = HashMap::new();
    let input = Input::new(&code, &[], &map_at, &functions);
    let profile = Profile::default();
    let image = codegen::compile(&input, &profile, Options::default())
        .map_err(|error| format!("the card does not take it: {error}"))?;
    let image = Image::load(&image.words, Exits::find(&image.words), &profile)
        .map_err(|error| error.to_string())?;
    let mut machine = Machine::new(Limits::default());
    let maps = BTreeMap::new();
    let packet = [memory, &[0; RESULT]].concat();
    let mut world = Fixed::new(0);
    let outcome = Thread::new(
        &image,
        &mut machine,
        &maps,
        &packet,
        profile.stack_bytes,
        Unset::new(1),
        &mut world,
    )
    .and_then(Thread::run)
    .map_err(|stop| stop.to_string())?;
    match (outcome.verdict, outcome.packet.last_chunk::<RESULT>()) {
        (Verdict::Pass, Some(result)) => Ok(u64::from_le_bytes(*result)),
        (verdict, _) => Err(format!("the card ends with {verdict:?}")),
    }
}

/// The program as the subprogram of an XDP program.
fn around(program: &[Insn], memory: usize) -> Result<Code, String> {
    let end = memory + RESULT;
    let text = format!(
        "r6 = r1
        r2 = *(u32 *)(r6 +4)
        r1 = *(u32 *)(r6 +0)
        r3 = r1
        r3 += {memory}
        if r3 > r2 goto short
        r2 = {memory}
        call program
        r1 = *(u32 *)(r6 +0)
        r2 = *(u32 *)(r6 +4)
        r3 = r1
        r3 += {end}
        if r3 > r2 goto short
        *(u64 *)(r1 +{memory}) = r0
        r0 = 2
        exit
        short:
        r0 = 0
        exit
        program:
        exit"
    );
    let frame = assemble(&text).map_err(|error| error.to_string())?;
    let mut slots = frame.encode();
    // In place of the one instruction that the label needs.
    slots.pop();
    slots.extend_from_slice(program);
    Code::decode(&slots).map_err(|error| error.to_string())
}

/// Functions begin where calls lead.
fn functions(code: &Code) -> Vec<Function> {
    let mut starts = BTreeSet::from([0]);
    for (slot, instruction) in code.iter() {
        if let Instruction::Call(Callee::Local(distance)) = instruction {
            let start = (slot + 1).checked_add_signed(*distance as isize);
            starts.extend(start.filter(|&start| start < code.len()));
        }
    }
    let ends = starts.iter().skip(1).copied().chain([code.len()]);
    starts
        .iter()
        .zip(ends)
        .map(|(&start, end)| Function {
            name: String::new(),
            start,
            len: end - start,
            global: None,
        })
        .collect()
}
