//! What the code generator refuses, as people are told it.

use offload_compiler::verify::{Code, Finding};

use crate::codegen::{Refusal, Unsupported};

impl Unsupported {
    /// The refusal as a finding at its instruction.
    pub fn finding(&self) -> Finding {
        let finding = Finding::error(code(&self.why), self.slot, self.why.to_string());
        match &self.why {
            Refusal::MapWrite => finding
                .help("count with __sync_fetch_and_add(), or write a whole value with bpf_map_update_elem()"),
            Refusal::Arguments => finding.help("use a smaller key or value"),
            Refusal::Registers => {
                finding.help("use fewer variables at a time, or -O0, which keeps fewer in registers")
            }
            Refusal::Internal(_) => finding.help("this is a mistake of ours: please report it with the object"),
            _ => finding,
        }
    }
}

fn code(why: &Refusal) -> Code {
    match why {
        Refusal::Helper(_) => Code::OffloadHelper,
        Refusal::MixedPointer | Refusal::Pointer => Code::OffloadPointer,
        Refusal::StackVariable => Code::OffloadStack,
        Refusal::ContextField { .. } => Code::OffloadContext,
        Refusal::MapWrite | Refusal::AtomicPlace => Code::OffloadMapAccess,
        Refusal::MapUnknown | Refusal::ArgumentPlace | Refusal::Arguments | Refusal::EventForm => {
            Code::OffloadHelperArgument
        }
        Refusal::TooLong | Refusal::CodeStore { .. } | Refusal::Registers => Code::OffloadCodeSize,
        _ => Code::OffloadInstruction,
    }
}
