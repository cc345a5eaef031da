//! What `attach` has a Netronome NIC run: the program lowered for it, or a part of it.

use crate::exit::Failure;
use crate::lowering;
use crate::map_halves::name_counters;
use crate::subject::Subject;
use crate::target::CardArgs;
use generic_fallback::NicProgram;
use generic_fallback::load::Loader;
use generic_fallback::nic_program::Made;
use nfp_target::target::Nfp;
use offload_compiler::lower::{Allow, Lowered, Options};
use offload_compiler::object::Object;
use offload_compiler::target::Target;
use offload_compiler::verify::Prepared;
use probe::Facts;
use std::collections::BTreeSet;

/// Whether the interface is a Netronome NIC, or runs its driver without a card.
pub(crate) fn is_nfp(facts: &Facts) -> bool {
    facts.driver_row().is_some_and(|row| row.name == "nfp")
}

/// How programs are made to fit.
#[derive(Debug, clap::Args)]
pub(crate) struct NicArgs {
    /// Rewrites for the NIC that change what user space sees: `xdp-offload explain NAME` says how
    #[arg(long, value_name = "NAME,..", value_delimiter = ',',
        value_parser = clap::builder::PossibleValuesParser::new(Allow::ALL.map(Allow::name)))]
    allow: Vec<String>,

    /// Give the NIC the program as it is: nothing is rewritten or judged before its driver does
    #[arg(long, conflicts_with_all = ["allow", "profile"])]
    as_is: bool,

    #[command(flatten)]
    card: CardArgs,
}

impl NicArgs {
    /// What the NIC behind an interface is given. NICs of other kinds get the program as it is, and so does this one
    /// where our verifier refuses the program: the kernel has the last word.
    ///
    /// # Errors
    /// The card's profile cannot be read; the lowered program cannot be written.
    pub(crate) fn program(
        &self,
        object: &Object,
        name: &str,
        program: usize,
        facts: &Facts,
    ) -> Result<NicProgram, Failure> {
        if self.as_is || !is_nfp(facts) {
            return Ok(NicProgram::AsIs);
        }
        let card = Nfp {
            mtu: facts.link.mtu,
            ..self.card.choose()?
        };
        let loader = Loader::for_trial(object, name);
        let Ok(subject) = Subject::of_object(object, &loader, program) else {
            return Ok(NicProgram::AsIs);
        };
        let Ok(prepared) = &subject.prepared else {
            return Ok(NicProgram::AsIs);
        };
        let options = Options {
            optimise: true,
            allow: lowering::allowed(&self.allow),
            ifindex: Some(facts.link.ifindex),
            mtu: Some(facts.link.mtu),
        };
        let Ok(lowered) = lowering::lowered(&subject, prepared, &card, &options) else {
            return Ok(NicProgram::AsIs);
        };
        if !lowered.is_accepted() {
            return Ok(refused(&subject, prepared, &card, &options, &lowered));
        }
        if lowered.rewrites.is_empty() {
            return Ok(NicProgram::AsIs);
        }
        let (mut object, program) = lowering::made(object, program, &subject, &lowered)?;
        if lowered.share.is_some()
            && let Ok(part) = &lowering::subject(&subject, prepared, &lowered).prepared
        {
            name_counters(&mut object, part);
        }
        Ok(NicProgram::Made(Box::new(Made {
            object,
            program,
            part: lowered.share.is_some(),
            notes: notes(&lowered),
        })))
    }
}

/// The first thing that stands in the way, at its source line.
fn refused(
    subject: &Subject,
    prepared: &Prepared,
    card: &Nfp,
    options: &Options,
    lowered: &Lowered,
) -> NicProgram {
    let obstacles = lowered.obstacles();
    let Some((first, others)) = obstacles.split_first() else {
        return NicProgram::AsIs;
    };
    let at = match subject.linked.source_line(first.insn) {
        Some(line) => format!(" ({}:{})", line.file, line.line),
        None => String::new(),
    };
    let others: BTreeSet<usize> = others.iter().map(|finding| finding.insn).collect();
    let more = match others.len() {
        0 => String::new(),
        more => format!(", and {more} more"),
    };
    let reason = format!(
        "{} would refuse it: {}{at}{more}",
        card.name(),
        first.message
    );
    let remedy = match lowering::needed(subject, prepared, card, options) {
        Some(names) => format!(
            "--allow {names} rewrites it so that the NIC takes it; `xdp-offload explain NAME` says what that changes"
        ),
        None => "`xdp-offload compile --emit report` shows all that stands in the way".to_owned(),
    };
    NicProgram::Refused {
        reason,
        remedy: Some(remedy),
    }
}

fn notes(lowered: &Lowered) -> Vec<String> {
    let names = lowering::names(lowered);
    let allowed = if names.is_empty() {
        String::new()
    } else {
        format!(" (--allow {names})")
    };
    let places = lowered.rewrites.len();
    let mut notes = vec![format!("rewritten for the NIC at {places} places{allowed}")];
    if lowered
        .rewrites
        .iter()
        .any(|rewrite| rewrite.pass == "interface-mtu")
    {
        notes.push(
            "it takes the interface's MTU to stay as it is now: attach it again after a change"
                .to_owned(),
        );
    }
    notes.extend(lowered.share.map(|share| {
        format!(
            "the NIC decides {} of {} paths, the program on the host the others",
            share.decided, share.paths
        )
    }));
    notes
}
