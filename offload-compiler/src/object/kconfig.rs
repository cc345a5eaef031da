//! Values of the kernel's configuration for `__kconfig` variables.

use std::collections::{HashMap, HashSet};

use super::btf::{Btf, TypeBody};
use super::environment::Environment;
use super::externs::{Extern, ExternKind};

/// Most bytes that all `__kconfig` variables of an object may take together.
pub(super) const MAX_SIZE: u32 = 1 << 20;

/// The form of a `__kconfig` variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Bool,
    /// `enum libbpf_tristate`: no 0, yes 1, module 2.
    Tristate {
        size: u32,
    },
    /// One byte: a number, or the letter `y`, `m` or `n`.
    Char {
        signed: bool,
    },
    Integer {
        size: u32,
        signed: bool,
    },
    Text {
        size: u32,
    },
}

impl Shape {
    /// The form of a type; `None` if it is none of them.
    pub(super) fn of(btf: &Btf, type_id: u32) -> Option<Self> {
        let ty = btf.get(btf.resolve(type_id))?;
        match ty.body {
            TypeBody::Int {
                size: 1,
                bool: true,
                ..
            } => Some(Self::Bool),
            TypeBody::Int { bool: true, .. } => None,
            TypeBody::Int {
                size: 1, signed, ..
            } => Some(Self::Char { signed }),
            TypeBody::Int {
                size: size @ (2 | 4 | 8),
                signed,
                ..
            } => Some(Self::Integer { size, signed }),
            TypeBody::Enum {
                size: size @ (4 | 8),
                ..
            } if ty.name == "libbpf_tristate" => Some(Self::Tristate { size }),
            TypeBody::Array { element, count } if count > 0 => {
                let element = btf.get(btf.resolve(element))?;
                matches!(
                    element.body,
                    TypeBody::Int {
                        size: 1,
                        bool: false,
                        ..
                    }
                )
                .then_some(Self::Text { size: count })
            }
            _ => None,
        }
    }

    /// Bytes that it takes.
    pub(super) fn size(self) -> u32 {
        match self {
            Self::Bool | Self::Char { .. } => 1,
            Self::Tristate { size } | Self::Integer { size, .. } | Self::Text { size } => size,
        }
    }

    /// Its alignment in bytes.
    pub(super) fn align(self) -> u32 {
        match self {
            Self::Text { .. } => 1,
            _ => self.size(),
        }
    }
}

/// The settings that an object asks for, by name, as text.
#[derive(Debug, Default)]
pub(super) struct Settings<'a>(HashMap<&'a str, &'a str>);

impl<'a> Settings<'a> {
    /// Picks the settings that externs name out of a kernel's configuration.
    pub(super) fn pick(externs: &'a [Extern], environment: &Environment<'a>) -> Self {
        let wanted: HashSet<&str> = externs.iter().map(|ext| ext.name.as_str()).collect();
        let lines = environment.kconfig.unwrap_or_default().lines();
        Self(
            lines
                .filter_map(|line| line.split_once('='))
                .filter(|(name, _)| wanted.contains(name))
                .map(|(name, value)| (name, value.trim_end()))
                .collect(),
        )
    }
}

/// The bytes for a variable; `None` if the kernel does not say. An error says why what the kernel says does
/// not fit the variable.
pub(super) fn value(
    name: &str,
    shape: Shape,
    settings: &Settings<'_>,
    environment: &Environment<'_>,
) -> Result<Option<Vec<u8>>, String> {
    if name.starts_with("CONFIG_") {
        let text = settings.0.get(name);
        return text.map(|text| parse(text, shape)).transpose();
    }
    let number = match name {
        "LINUX_KERNEL_VERSION" => environment.kernel_version,
        // Programs of several sorts carry a cookie since 5.15.
        "LINUX_HAS_BPF_COOKIE" => environment
            .kernel_version
            .map(|version| u32::from(version >= 5 << 16 | 15 << 8)),
        // Where system calls have wrappers, their functions have the prefix of the architecture.
        "LINUX_HAS_SYSCALL_WRAPPER" => environment.kernel_symbols.map(|lookup| {
            u32::from(
                ["__x64_sys_bpf", "__arm64_sys_bpf", "__riscv_sys_bpf"]
                    .iter()
                    .any(|name| lookup(name).is_some()),
            )
        }),
        _ if name.starts_with("LINUX_") => None,
        _ => {
            return Err("only names that start with CONFIG_ or LINUX_ can be __kconfig".to_owned());
        }
    };
    number
        .map(|number| number_bytes(u64::from(number), &number.to_string(), shape))
        .transpose()
}

/// The content of the `.kconfig` map. What is missing or does not fit stays zero.
pub(super) fn content(
    externs: &[Extern],
    size: u32,
    settings: &Settings<'_>,
    environment: &Environment<'_>,
) -> Vec<u8> {
    let mut content = vec![0; size as usize];
    for ext in externs {
        let ExternKind::Kconfig {
            offset,
            value: shape,
        } = &ext.kind
        else {
            continue;
        };
        if let Ok(Some(bytes)) = value(&ext.name, *shape, settings, environment)
            && let Some(place) = content.get_mut(*offset as usize..)
        {
            let len = bytes.len().min(place.len());
            place[..len].copy_from_slice(&bytes[..len]);
        }
    }
    content
}

fn parse(text: &str, shape: Shape) -> Result<Vec<u8>, String> {
    let wrong = |wants: &str| Err(format!("the kernel's value {text} needs {wants}"));
    if let Some(rest) = text.strip_prefix('"') {
        let Some(value) = rest.strip_suffix('"') else {
            return Err(format!("the kernel's value {text} is no string"));
        };
        let Shape::Text { size } = shape else {
            return wrong("a char array");
        };
        // Longer values are cut, as libbpf does; the last byte stays 0.
        let mut bytes = value.as_bytes().to_vec();
        bytes.truncate(size as usize - 1);
        bytes.resize(size as usize, 0);
        return Ok(bytes);
    }
    match (text, shape) {
        ("y" | "n", Shape::Bool) => Ok(vec![u8::from(text == "y")]),
        ("m", Shape::Bool) => wrong("enum libbpf_tristate or char"),
        ("y" | "n" | "m", Shape::Tristate { size }) => {
            let number: u64 = match text {
                "n" => 0,
                "y" => 1,
                _ => 2,
            };
            Ok(number.to_le_bytes()[..size as usize].to_vec())
        }
        ("y" | "n" | "m", Shape::Char { .. }) => Ok(text.as_bytes().to_vec()),
        ("y" | "n" | "m", _) => wrong("bool, char or enum libbpf_tristate"),
        (_, Shape::Char { .. } | Shape::Integer { .. }) => match number(text) {
            Some(number) => number_bytes(number, text, shape),
            None => Err(format!("the kernel's value {text} is no number")),
        },
        _ => wrong("an integer"),
    }
}

/// A number as `strtoull` reads it with base 0.
fn number(text: &str) -> Option<u64> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let magnitude = if let Some(hex) = digits.strip_prefix("0x").or(digits.strip_prefix("0X")) {
        u64::from_str_radix(hex, 16)
    } else if digits.len() > 1 && digits.starts_with('0') {
        u64::from_str_radix(digits, 8)
    } else {
        digits.parse()
    }
    .ok()?;
    Some(if negative {
        magnitude.wrapping_neg()
    } else {
        magnitude
    })
}

fn number_bytes(number: u64, text: &str, shape: Shape) -> Result<Vec<u8>, String> {
    let (size, fits) = match shape {
        Shape::Bool => (1, number <= 1),
        Shape::Char { signed } => (1, in_range(number, 8, signed)),
        Shape::Integer { size, signed } => (size as usize, in_range(number, size * 8, signed)),
        Shape::Tristate { .. } | Shape::Text { .. } => {
            return Err(format!("the kernel's value {text} needs an integer"));
        }
    };
    if !fits {
        return Err(format!(
            "the kernel's value {text} does not fit {size} bytes"
        ));
    }
    Ok(number.to_le_bytes()[..size].to_vec())
}

fn in_range(number: u64, bits: u32, signed: bool) -> bool {
    match (bits, signed) {
        (64, _) => true,
        (bits, true) => {
            let half = 1_i64 << (bits - 1);
            (-half..half).contains(&(number as i64))
        }
        (bits, false) => number >> bits == 0,
    }
}

#[cfg(test)]
mod tests {
    use super::{Environment, Extern, ExternKind, Settings, Shape, content, parse, value};

    #[test]
    fn every_form_of_setting_reads_into_every_shape_that_can_hold_it() {
        let int = |size, signed| Shape::Integer { size, signed };
        for (text, shape, expected) in [
            ("y", Shape::Bool, Ok(vec![1])),
            ("n", Shape::Bool, Ok(vec![0])),
            ("m", Shape::Tristate { size: 4 }, Ok(vec![2, 0, 0, 0])),
            ("m", Shape::Char { signed: true }, Ok(vec![b'm'])),
            ("1000", int(4, true), Ok(vec![0xe8, 3, 0, 0])),
            ("0x10", int(2, false), Ok(vec![16, 0])),
            ("-1", int(2, true), Ok(vec![255, 255])),
            (
                "\"abc\"",
                Shape::Text { size: 6 },
                Ok(b"abc\0\0\0".to_vec()),
            ),
            ("\"abcdef\"", Shape::Text { size: 4 }, Ok(b"abc\0".to_vec())),
        ] {
            assert_eq!(parse(text, shape), expected, "{text} {shape:?}");
        }
        for (text, shape) in [
            ("m", Shape::Bool),
            ("y", int(4, true)),
            ("1000", Shape::Char { signed: false }),
            ("1000", Shape::Bool),
            ("\"abc\"", int(8, false)),
            ("70000", int(2, false)),
            ("abc", int(4, false)),
        ] {
            assert!(parse(text, shape).is_err(), "{text} {shape:?}");
        }
    }

    #[test]
    fn settings_are_found_by_their_whole_names_and_missing_ones_stay_zero() {
        let environment = Environment {
            kconfig: Some("# CONFIG_A is not set\nCONFIG_AB=y\nCONFIG_A_B=5\n"),
            kernel_version: Some(6 << 16 | 12 << 8 | 3),
            ..Environment::default()
        };
        let int = Shape::Integer {
            size: 4,
            signed: true,
        };
        let wanted = [
            ("CONFIG_A_B", int, 0),
            ("LINUX_KERNEL_VERSION", int, 4),
            ("CONFIG_A", Shape::Bool, 8),
            ("CONFIG_AB", Shape::Bool, 9),
        ];
        let externs = wanted.map(|(name, value, offset)| Extern {
            name: name.to_owned(),
            weak: false,
            kind: ExternKind::Kconfig { offset, value },
        });
        let settings = Settings::pick(&externs, &environment);
        assert_eq!(
            content(&externs, 10, &settings, &environment),
            [5, 0, 0, 0, 3, 12, 6, 0, 0, 1]
        );
        assert_eq!(
            value("CONFIG_A", Shape::Bool, &settings, &environment),
            Ok(None)
        );
        assert!(value("MY_OWN", int, &settings, &environment).is_err());
    }
}
