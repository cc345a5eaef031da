//! Our judgement of a program as the simulator loads it.

use nfp_target::accept::Judgement;
use nfp_target::profile::Profile;
use offload_compiler::isa::Code;

use super::Program;
use crate::nfp::Unlinked;

/// What we say of it; none where it does not decode, which the kernel refuses before it asks the driver.
pub fn judge(program: &Program, profile: &Profile) -> Option<Judgement> {
    let code = Code::decode(&program.code).ok()?;
    let program = Unlinked::new(code, program.maps.clone())?;
    Some(nfp_target::accept::judge(&program.input(), profile))
}
