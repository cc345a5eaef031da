//! Which target a program is checked or compiled for: `--target`, `--profile`.

use crate::exit::{Exit, Failure};
use kernel::host::KernelRelease;
use nfp_target::profile::{Profile, ProfileError};
use nfp_target::target::Nfp;
use offload_compiler::target::Target;
use offload_compiler::target::kernel::{Kernel, Version};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// A profile is a page of text.
const BIGGEST_PROFILE: u64 = 1 << 20;

/// The target's arguments.
#[derive(Debug, clap::Args)]
pub(crate) struct TargetArgs {
    /// What has to run it: kernel (the running one), kernel:VERSION, nfp, nfp:PROFILE
    #[arg(long, value_name = "TARGET")]
    target: Option<String>,

    /// A NIC's capabilities, as `xdp-probe caps` writes them; the target is that NIC
    #[arg(long, value_name = "FILE", conflicts_with = "target")]
    profile: Option<PathBuf>,
}

/// Which card.
#[derive(Debug, clap::Args)]
pub(crate) struct CardArgs {
    /// The card: full (the default), minimal, nomaps, ..., or a file of a card's capabilities
    #[arg(long, value_name = "FILE|NAME")]
    profile: Option<String>,
}

impl CardArgs {
    /// Whether one was asked for.
    pub(crate) fn is_given(&self) -> bool {
        self.profile.is_some()
    }

    /// The card that was asked for, one that has all if none was.
    pub(crate) fn choose(&self) -> Result<Nfp, Failure> {
        let Some(text) = &self.profile else {
            return Ok(Nfp::new(Profile::default()));
        };
        let path = Path::new(text);
        let profile = match Profile::shipped(text) {
            Some(profile) if !path.is_file() => profile,
            None if !path.exists() && !text.contains(['/', '.']) => return Err(no_profile(text)),
            _ => read_profile(path)?,
        };
        Ok(Nfp::new(profile))
    }
}

/// A target.
pub(crate) enum Chosen {
    /// The running kernel.
    Running(Kernel),
    /// A kernel by its version.
    Version(Kernel),
    /// An NFP.
    Nfp(Box<Nfp>),
}

impl Chosen {
    /// As a target.
    pub(crate) fn as_target(&self) -> &dyn Target {
        match self {
            Self::Running(kernel) | Self::Version(kernel) => kernel,
            Self::Nfp(nfp) => nfp.as_ref(),
        }
    }

    /// As scripts name it: what `--target` takes.
    pub(crate) fn spec(&self) -> String {
        match self {
            Self::Running(_) => "kernel".to_owned(),
            Self::Version(kernel) => format!("kernel:{}", kernel.version()),
            Self::Nfp(nfp) => format!("nfp:{}", nfp.profile.name),
        }
    }
}

impl TargetArgs {
    /// The target that was asked for, the running kernel if none was.
    pub(crate) fn choose(&self) -> Result<Chosen, Failure> {
        if let Some(path) = &self.profile {
            return Ok(Chosen::Nfp(Box::new(Nfp::new(read_profile(path)?))));
        }
        let text = self.target.as_deref().unwrap_or("kernel");
        let (family, detail) = match text.split_once(':') {
            Some((family, detail)) => (family, Some(detail)),
            None => (text, None),
        };
        match (family, detail) {
            ("kernel", None) => {
                let release = KernelRelease::read().text;
                let version = release.parse::<Version>().map_err(|error| {
                    Failure::new(Exit::Failed, "cannot tell which kernel is running").because(error)
                })?;
                Ok(Chosen::Running(Kernel::new(version)))
            }
            ("kernel", Some(version)) => version
                .parse()
                .map(|version| Chosen::Version(Kernel::new(version)))
                .map_err(|error| {
                    Failure::new(Exit::Usage, format!("no target '{text}'")).because(error)
                }),
            ("nfp", profile) => {
                let name = profile.unwrap_or("full");
                let profile = Profile::shipped(name).ok_or_else(|| no_profile(name))?;
                Ok(Chosen::Nfp(Box::new(Nfp::new(profile))))
            }
            _ => Err(Failure::new(Exit::Usage, format!("no target '{text}'"))
                .because("there is kernel, kernel:VERSION, nfp, nfp:PROFILE")),
        }
    }
}

fn no_profile(name: &str) -> Failure {
    let names: Vec<&str> = Profile::shipped_names().collect();
    Failure::new(Exit::Usage, format!("no profile '{name}'"))
        .because(format!("there is {}", names.join(", ")))
        .remedy("--profile FILE takes one of your own")
}

fn read_profile(path: &Path) -> Result<Profile, Failure> {
    let failure = |what: &str| Failure::new(Exit::Usage, format!("{what} {}", path.display()));
    let mut text = String::new();
    File::open(path)
        .and_then(|file| file.take(BIGGEST_PROFILE).read_to_string(&mut text))
        .map_err(|error| failure("cannot read").because(error))?;
    Profile::parse(&text).map_err(|error: ProfileError| failure("no profile:").because(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose(target: &str) -> Result<String, String> {
        let args = TargetArgs {
            target: Some(target.to_owned()),
            profile: None,
        };
        args.choose()
            .map(|chosen| format!("{} = {}", chosen.spec(), chosen.as_target().name()))
            .map_err(|failure| failure.to_string())
    }

    #[test]
    fn targets_are_named_with_their_variant() {
        assert_eq!(choose("kernel:5.15").unwrap(), "kernel:5.15 = Linux 5.15");
        assert_eq!(choose("nfp").unwrap(), "nfp:full = nfp (full)");
        assert_eq!(choose("nfp:card64").unwrap(), "nfp:card64 = nfp (card64)");
        assert!(choose("kernel").unwrap().starts_with("kernel = Linux "));
    }

    #[test]
    fn what_is_no_target_says_what_there_is() {
        assert!(choose("intel").unwrap_err().contains("nfp:PROFILE"));
        assert!(choose("nfp:huge").unwrap_err().contains("card64"));
        assert!(choose("kernel:new").unwrap_err().contains("5.15"));
    }
}
