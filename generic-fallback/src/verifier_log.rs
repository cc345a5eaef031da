//! The useful line of a verifier log. The rest is the verifier's path to it: thousands of lines for a
//! real program.

use std::fmt;

/// What a verifier log says about the instruction that it refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The verifier's complaint, one to three lines, in its words.
    pub complaint: Vec<String>,
    /// The slot of the refused instruction in the loaded program, where the log shows one.
    pub insn: Option<usize>,
    /// How many lines of the log are not shown.
    pub omitted: usize,
}

/// More lines than these are a state dump, not a complaint.
const COMPLAINT_LINES: usize = 3;

impl Finding {
    /// Picks the complaint out of a log; `None` where the log holds nothing of the kind.
    pub fn of(log: &str) -> Option<Self> {
        let lines: Vec<&str> = log
            .lines()
            .map(str::trim_end)
            .filter(|line| !line.is_empty())
            .collect();
        let end = lines.iter().rposition(|line| !is_statistics(line))? + 1;
        let tail = lines[..end]
            .iter()
            .rev()
            .take(COMPLAINT_LINES)
            .take_while(|line| !is_trace(line))
            .count();
        if tail == 0 {
            return None;
        }
        let start = end - tail;
        Some(Self {
            complaint: lines[start..end].iter().map(|&l| l.to_owned()).collect(),
            insn: lines[..start]
                .iter()
                .rev()
                .find_map(|line| instruction(line))
                .or_else(|| lines[start..end].iter().find_map(|line| named_insn(line))),
            omitted: lines.len() - tail,
        })
    }

    /// Whether a driver had the last word: theirs begin with their name in brackets (`pr_vlog` of nfp and netdevsim).
    pub fn is_by_driver(&self) -> bool {
        self.complaint
            .last()
            .is_some_and(|line| line.starts_with('['))
    }
}

impl fmt::Display for Finding {
    /// `invalid access to packet, off=12 size=1, R1(id=0,off=12,r=0): R1 offset is outside of the packet (9 lines omitted)`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.complaint.join("; "))?;
        match self.omitted {
            0 => Ok(()),
            1 => f.write_str(" (1 line omitted)"),
            n => write!(f, " ({n} lines omitted)"),
        }
    }
}

/// The closing lines that every log has.
fn is_statistics(line: &str) -> bool {
    [
        "processed ",
        "verification time ",
        "stack depth ",
        "max_states",
    ]
    .iter()
    .any(|start| line.starts_with(start))
}

/// Lines that show the path: instructions, register states, source lines, jumps, live registers.
fn is_trace(line: &str) -> bool {
    let text = line.trim_start();
    let numbered = text
        .split_once(':')
        .is_some_and(|(n, _)| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()));
    numbered
        || text.starts_with(';')
        || text.starts_with("func#")
        || text.starts_with("from ")
        || text.starts_with("Live regs")
        || text.starts_with("last_idx ")
        || text.starts_with("regs=")
        || text.starts_with("mark_precise:")
        || text.starts_with("arg#")
}

/// `12: (71) r2 = *(u8 *)(r1 +12)` is about slot 12; `12: R1=ctx()` is a state and is about none.
fn instruction(line: &str) -> Option<usize> {
    let (number, rest) = line.split_once(':')?;
    rest.starts_with(" (").then(|| number.parse().ok())?
}

/// `unreachable insn 1`: what is found before any instruction is walked names it.
fn named_insn(line: &str) -> Option<usize> {
    let (_, rest) = line.split_once("insn ")?;
    let digits = rest.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::Finding;

    fn check(log: &str, complaint: &[&str], insn: Option<usize>, omitted: usize) {
        let finding = Finding::of(log).expect("the log has a complaint");
        assert_eq!(finding.complaint, complaint);
        assert_eq!(finding.insn, insn);
        assert_eq!(finding.omitted, omitted);
    }

    // The logs are Linux 6.18's for the programs of tests/corpus/bad, and 5.10's form.

    #[test]
    fn a_complaint_of_two_lines_about_an_instruction() {
        check(
            "func#0 @0\n\
             Live regs before insn:\n      0: .1........ (61) r1 = *(u32 *)(r1 +0)\n\
             0: R1=ctx() R10=fp0\n\
             ; return (void *)(long)ctx->data; @ packet.h:51\n\
             0: (61) r1 = *(u32 *)(r1 +0)          ; R1=pkt(r=0)\n\
             ; return eth->h_proto == bpf_htons(ETH_P_IP) ? XDP_PASS : XDP_DROP; @ no_bounds_check.bpf.c:8\n\
             1: (71) r2 = *(u8 *)(r1 +12)\n\
             invalid access to packet, off=12 size=1, R1(id=0,off=12,r=0)\n\
             R1 offset is outside of the packet\n\
             verification time 58 usec\nstack depth 0\n\
             processed 2 insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0 mark_read 0\n",
            &[
                "invalid access to packet, off=12 size=1, R1(id=0,off=12,r=0)",
                "R1 offset is outside of the packet",
            ],
            Some(1),
            11,
        );
    }

    #[test]
    fn a_complaint_before_any_instruction_was_walked() {
        check(
            "func#0 @0\nunreachable insn 1\nverification time 9 usec\nstack depth 0\nprocessed 0 insns\n",
            &["unreachable insn 1"],
            Some(1),
            4,
        );
    }

    #[test]
    fn an_old_kernel_prints_less() {
        check(
            "0: (bf) r0 = r8\nR8 !read_ok\nprocessed 1 insns (limit 1000000)\n",
            &["R8 !read_ok"],
            Some(0),
            2,
        );
    }

    #[test]
    fn a_driver_says_its_name() {
        let log = "0: R1=ctx() R10=fp0\n0: (b7) r0 = 2\n1: (95) exit\n[netdevsim] Hello from netdevsim!\nprocessed 2 insns\n";
        let finding = Finding::of(log).expect("a complaint");
        assert!(finding.is_by_driver());
        assert_eq!(finding.insn, Some(1));
        let verifier = Finding::of("0: (bf) r0 = r8\nR8 !read_ok\n").expect("a complaint");
        assert!(!verifier.is_by_driver());
    }

    #[test]
    fn a_log_without_complaint_gives_none() {
        assert_eq!(Finding::of(""), None);
        assert_eq!(Finding::of("processed 0 insns (limit 1000000)\n"), None);
        assert_eq!(Finding::of("0: R1=ctx() R10=fp0\n1: (95) exit\n"), None);
    }

    #[test]
    fn it_is_shown_in_one_line() {
        let finding = Finding::of("3: (85) call x#1\na\nb\n").expect("a complaint");
        assert_eq!(finding.to_string(), "a; b (1 line omitted)");
    }
}
