//! Linux of some version as a target.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer};

use super::needs::{Feature, Need};
use super::{Availability, Limits, Program, Target, table};
use crate::isa::functions;
use crate::verify::{Input, Rules, Severity, Verdict, verify};

/// A kernel's release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// 6 of 6.12
    pub major: u16,
    /// 12 of 6.12
    pub minor: u16,
}

/// Not a kernel's release.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no kernel version such as 5.15")]
pub struct NoVersion(String);

impl FromStr for Version {
    type Err = NoVersion;

    /// "5.15", "6.12.117+deb12-amd64"; what follows the minor number does not count.
    fn from_str(text: &str) -> Result<Self, NoVersion> {
        let wrong = || NoVersion(text.chars().take(40).collect());
        let mut numbers = text.splitn(2, '.');
        let major = numbers.next().and_then(|major| major.parse().ok());
        let minor = numbers.next().and_then(|rest| {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            rest[..digits].parse().ok()
        });
        match (major, minor) {
            (Some(major), Some(minor)) => Ok(Self { major, minor }),
            _ => Err(wrong()),
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'_, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Since this release the privileged may load programs of a million instructions; before, it were 4096.
const LARGE_PROGRAMS: Version = Version { major: 5, minor: 2 };
/// Since this release stack bytes may be read that were never written (6715df8d5d24).
const UNINITIALISED_STACK: Version = Version { major: 6, minor: 3 };

/// Since this release a lookup with a known key in an array is known to succeed (d2102f2f5d75).
const KNOWN_LOOKUPS: Version = Version {
    major: 6,
    minor: 15,
};

/// At the latest since this release frames of programs that are compiled take multiples of 16 bytes of stack, not of 32.
const FINE_FRAMES: Version = Version {
    major: 6,
    minor: 10,
};

/// Since this release the verifier knows the range of a negated number.
const KNOWN_NEGATIONS: Version = Version {
    major: 6,
    minor: 18,
};

/// A kernel as a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kernel {
    version: Version,
}

impl Kernel {
    /// The kernel of this release, with its defaults, for a loader with CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN.
    pub const fn new(version: Version) -> Self {
        Self { version }
    }

    /// Its release.
    pub const fn version(&self) -> Version {
        self.version
    }

    fn since(self, since: Version, commit: &str) -> Availability {
        if self.version >= since {
            Availability::Yes
        } else {
            Availability::No {
                why: format!("needs Linux {since} or later"),
                source: format!("came with Linux {since}, commit {commit}"),
            }
        }
    }

    fn feature(self, feature: Feature) -> Availability {
        table::get()
            .feature
            .iter()
            .find(|row| row.name == feature.name())
            .map_or(Availability::Unknown, |row| {
                self.since(row.since, &row.commit)
            })
    }
}

impl Target for Kernel {
    fn name(&self) -> String {
        format!("Linux {}", self.version)
    }

    fn has(&self, need: Need) -> Availability {
        let table = table::get();
        match need {
            Need::Helper(id) => {
                let name = functions::name(id).unwrap_or_default();
                table
                    .helper
                    .iter()
                    .find(|row| row.name == name)
                    .map_or(Availability::Unknown, |row| {
                        self.since(row.since, &row.commit)
                    })
            }
            Need::Map { kind, .. } => table
                .map
                .iter()
                .find(|row| row.kind == kind)
                .map_or(Availability::Unknown, |row| {
                    self.since(row.since, &row.commit)
                }),
            Need::MapFlag { bit, .. } => table
                .map_flag
                .iter()
                .find(|row| row.bit == bit)
                .map_or(Availability::Unknown, |row| {
                    self.since(row.since, &row.commit)
                }),
            Need::Feature(feature) => self.feature(feature),
        }
    }

    fn limits(&self) -> Limits {
        if self.version >= LARGE_PROGRAMS {
            Limits {
                instructions: 1_000_000,
                complexity: 1_000_000,
                stack: 512,
            }
        } else {
            Limits {
                instructions: 4096,
                complexity: 131_072,
                stack: 512,
            }
        }
    }

    /// The verifier is modelled on the newest kernel; an older one may be less patient, and refuse what this accepts.
    fn check(&self, program: &Program<'_>) -> Verdict {
        let input = Input {
            rules: Rules {
                instructions: program
                    .input
                    .rules
                    .instructions
                    .min(self.limits().complexity as usize),
                uninitialised_stack_allowed: program.input.rules.uninitialised_stack_allowed
                    && self.version >= UNINITIALISED_STACK,
                known_negations: program.input.rules.known_negations
                    && self.version >= KNOWN_NEGATIONS,
                fine_frames: program.input.rules.fine_frames && self.version >= FINE_FRAMES,
                known_lookups: program.input.rules.known_lookups && self.version >= KNOWN_LOOKUPS,
                ..program.input.rules
            },
            ..program.input.clone()
        };
        let mut verdict = verify(&input);
        verdict.findings.extend(super::map::findings(program.input));
        verdict.findings.extend(self.lacks(program));
        verdict
            .findings
            .sort_by_key(|finding| (std::cmp::Reverse(finding.severity), finding.insn));
        verdict.findings.dedup();
        debug_assert!(
            verdict
                .findings
                .iter()
                .is_sorted_by_key(|f| f.severity == Severity::Warning)
        );
        verdict
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isa::assemble;
    use crate::verify::Function;
    use std::collections::HashMap;

    fn version(text: &str) -> Version {
        text.parse().expect("a version")
    }

    #[test]
    fn versions_are_read_as_the_kernel_prints_them() {
        assert_eq!(version("6.12.117+deb12-amd64"), version("6.12"));
        assert_eq!(version("5.2-rc3"), version("5.2"));
        assert!(version("5.4") < version("5.15"));
        for wrong in ["", "5", "x.1", "5.x", "99999.1", "5."] {
            assert!(wrong.parse::<Version>().is_err(), "{wrong}");
        }
    }

    fn codes(kernel: &str, text: &str) -> Vec<String> {
        let code = assemble(text).expect("assembles");
        let functions = [Function {
            name: "test".to_owned(),
            start: 0,
            len: code.len(),
            global: None,
        }];
        let maps_at = HashMap::new();
        let input = Input::new(&code, &[], &maps_at, &functions);
        let program = Program {
            input: &input,
            frags: false,
        };
        Kernel::new(version(kernel))
            .check(&program)
            .findings
            .iter()
            .map(|finding| format!("{}@{}", finding.message, finding.insn))
            .collect()
    }

    #[test]
    fn what_came_later_is_refused_with_the_release_that_brought_it() {
        let text = "r0 = 0\nif w0 == 0x0 goto +0\nexit\n";
        assert_eq!(
            codes("5.0", text),
            ["32 bit comparisons (-mcpu=v3): needs Linux 5.1 or later@1"]
        );
        assert_eq!(codes("5.1", text), [""; 0]);
        let call = "r1 = 0\ncall 5\nr0 = 2\nexit\n";
        assert_eq!(codes("4.8", call), [""; 0]);
        let boot = "call 125\nr0 = 2\nexit\n";
        assert_eq!(
            codes("5.7", boot),
            ["bpf_ktime_get_boot_ns: needs Linux 5.8 or later@0"]
        );
    }
}
