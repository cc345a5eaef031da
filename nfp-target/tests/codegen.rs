//! Our words against the interpreter: on every packet they do what the eBPF program does. No exceptions, and no model of
//! anyone's mistakes. The kernel as the third: `tests/nfp_code`. How much less they are than the driver's:
//! `cargo xtask bench nfp`.

use nfp_target::codegen::{Options, Refusal, compile};
use nfp_target::profile::Profile;
use tests::nfp::{Feed, Twins, seed_of, translations};

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
    assert!(
        !only.is_empty() || same > 50 * refused,
        "{same} translated, {refused} refused"
    );
}

#[test]
fn optimised_words_do_what_the_program_does() {
    run(Options { optimise: true });
}

#[test]
fn plain_words_do_what_the_program_does() {
    run(Options { optimise: false });
}
