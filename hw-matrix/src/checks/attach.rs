//! `attach`: a program is attached in just one mode, and detached again.

use super::program::{self, Subject};
use super::{Attempt, Report, Stop};
use crate::spec::Outcome;

pub(super) fn run(attempt: &mut Attempt<'_>, subject: &Subject<'_>) -> Result<Report, Stop> {
    program::attached(attempt, subject, |_, _| Ok(Report::of(Outcome::Attached)))
}
