//! Our words against the interpreter: on every packet they do what the eBPF program does. No exceptions, and no model of
//! anyone's mistakes. The kernel as the third: `tests/nfp_code`. How much less they are than the driver's:
//! `cargo xtask bench nfp`.

use std::collections::BTreeSet;

use nfp_target::codegen::{Options, Refusal, compile};
use nfp_target::profile::Profile;
use offload_compiler::isa::assemble;
use offload_compiler::verify::MapShape;
use tests::nfp::{Feed, Twins, Unlinked, seed_of, translations};

/// Packets a program.
const PACKETS: usize = 50;

fn run(options: Options) {
    let only = std::env::var("NFP_ONLY").unwrap_or_default();
    let (mut same, mut refused, mut differ) = (0, 0, Vec::new());
    let profile = Profile::shipped("full").unwrap();
    for golden in translations() {
        if golden.profile != "full" || !golden.id.contains(&only) {
            continue;
        }
        let (id, ebpf) = (&golden.id, &golden.ebpf);
        let image = match compile(&ebpf.input(), &profile, options) {
            Ok(image) => image,
            Err(error) => {
                assert!(!matches!(error.why, Refusal::Internal(_)), "{id}: {error}");
                refused += 1;
                continue;
            }
        };
        let seed = seed_of(id);
        let mut twins = Twins::new(ebpf, &image.words, None, &profile, seed);
        let mut feed = Feed::new(ebpf, seed);
        let difference = (0..PACKETS).find_map(|number| {
            let packet = feed.next(&mut twins);
            match twins.run(&packet) {
                Ok(run) => {
                    feed.looked_up(run.looked_up);
                    None
                }
                Err(difference) => {
                    Some(format!("{id}: packet {number} {packet:02x?}: {difference}"))
                }
            }
        });
        same += usize::from(difference.is_none());
        differ.extend(difference);
    }
    println!("{same} do the same on {PACKETS} packets each, {refused} are refused");
    assert!(
        differ.is_empty(),
        "{} differ:\n{}",
        differ.len(),
        differ.join("\n")
    );
    assert_eq!(refused, 0, "the driver takes them");
    assert!(!only.is_empty() || same > 6_000, "{same} translated");
}

#[test]
fn optimised_words_do_what_the_program_does() {
    run(Options { optimise: true });
}

#[test]
fn plain_words_do_what_the_program_does() {
    run(Options { optimise: false });
}

const PACKET: &str = "r9 = r1\nr6 = *(u32 *)(r1 +0)\nr7 = *(u32 *)(r1 +4)\nr2 = r6\nr2 += 34\nr0 = 1\n\
    if r2 > r7 goto out\nr3 = *(u32 *)(r6 +12)\n";

/// What no golden program does, or few.
const RARE: [(&str, &str); 6] = [
    (
        "a pointer to the packet's first byte, or null",
        "r8 = 0\nif r3 & 1 goto none\nr8 = r6\nnone:\nif r8 == 0 goto out\nr0 = *(u8 *)(r8 +0)\nr0 &= 3\nout:\nexit",
    ),
    (
        "a place on the stack that is one of two",
        "r4 = 0\n*(u64 *)(r10 -8) = r4\n*(u64 *)(r10 -16) = r4\nr4 = r10\nr4 += -8\nif r3 & 256 goto other\nr4 += -8\n\
         other:\n*(u32 *)(r4 +0) = r3\nr0 = *(u8 *)(r10 -7)\nr5 = *(u8 *)(r10 -14)\nr0 ^= r5\nr5 = *(u16 *)(r4 +2)\n\
         r0 += r5\nr0 &= 3\nout:\nexit",
    ),
    (
        "a key that is at one of two places",
        "*(u32 *)(r10 -4) = r3\nr4 = *(u8 *)(r6 +20)\n*(u32 *)(r10 -8) = r4\nr2 = r10\nr2 += -4\nif r3 & 1 goto other\n\
         r2 += -4\nother:\nr1 = map[fd:0]\ncall bpf_map_lookup_elem\nif r0 == 0 goto out\nr0 = *(u32 *)(r0 +4)\nr0 &= 3\n\
         out:\nexit",
    ),
    (
        "the packet's start is moved by a number from it",
        "r2 = r3\nr2 &= 255\nr2 += -100\nr1 = r9\ncall bpf_xdp_adjust_head\nr0 &= 3\nout:\nexit",
    ),
    (
        "the packet's end is moved by a number from it",
        "r2 = r3\nr2 &= 255\nr2 += -128\nr1 = r9\ncall bpf_xdp_adjust_tail\nr0 &= 3\nout:\nexit",
    ),
    (
        "flags of an update that are a number from the packet",
        "*(u32 *)(r10 -4) = r3\n*(u64 *)(r10 -16) = r3\nr4 = r3\nr4 &= 3\nr1 = map[fd:0]\nr2 = r10\nr2 += -4\nr3 = r10\n\
         r3 += -16\ncall bpf_map_update_elem\nr0 &= 3\nout:\nexit",
    ),
];

#[test]
fn what_few_programs_do_is_right_too() {
    let profile = Profile::default();
    let map = MapShape {
        kind: 1,
        key_size: 4,
        value_size: 8,
        max_entries: 64,
        ..MapShape::default()
    };
    for (what, source) in RARE {
        let code = assemble(&format!("{PACKET}{source}")).unwrap();
        let program = Unlinked::new(code, vec![map.clone()]).unwrap();
        for optimise in [true, false] {
            let image = compile(&program.input(), &profile, Options { optimise });
            let image = image.unwrap_or_else(|error| panic!("{what}: {error}"));
            let mut twins = Twins::new(&program, &image.words, None, &profile, 1);
            let mut feed = Feed::new(&program, 1);
            let mut verdicts = BTreeSet::new();
            for _ in 0..10 * PACKETS {
                let packet = feed.next(&mut twins);
                let run = (twins.run(&packet))
                    .unwrap_or_else(|error| panic!("{what}, {packet:02x?}: {error}"));
                verdicts.insert(run.r0);
                feed.looked_up(run.looked_up);
            }
            assert!(verdicts.len() > 1, "{what}: always {verdicts:?}");
        }
    }
}
