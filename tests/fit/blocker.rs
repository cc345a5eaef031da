//! Reasons to refuse a program, sorted: what a person who wants it to fit would have to do away with.

use nfp_target::accept::{Judgement, Reason, Untranslatable};
use offload_compiler::isa::functions;
use offload_compiler::target::map_kind_name;

/// A call of a kernel function.
pub(crate) const KERNEL_FUNCTION: &str = "kernel function";

/// All that keeps a program from the card, each kind once, in the order in which the driver meets them.
pub(crate) fn blockers(judgement: Option<&Judgement>) -> Vec<String> {
    let Some(judgement) = judgement else {
        return vec!["does not decode".to_owned()];
    };
    let refusals = judgement
        .refusals
        .iter()
        .map(|refusal| kind(&refusal.reason));
    let verifier = judgement
        .verdict
        .error()
        .map(|error| format!("verifier: {}", error.code.name()));
    let mut kinds: Vec<String> = Vec::new();
    for kind in refusals.chain(verifier) {
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    kinds
}

/// The driver's text without what is particular to the place.
fn kind(reason: &Reason) -> String {
    let map = |kind: u32| map_kind_name(kind).map_or_else(|| format!("{kind}"), str::to_owned);
    match reason {
        Reason::NoMaps { .. } => "map: the card has none".to_owned(),
        Reason::MapKindNever { kind, .. } => format!("map of kind {}", map(*kind)),
        Reason::MapSizes { .. } => "map: its sizes".to_owned(),
        Reason::MapKind { .. } => "map: kind not on this card".to_owned(),
        Reason::MapFlags { flags, .. } => format!("map with flags {flags:#x}"),
        Reason::MapCount { .. } => "map: too many".to_owned(),
        Reason::MapElements { .. } => "map: too many elements".to_owned(),
        Reason::MapElementSize { .. } | Reason::MapKeySize { .. } | Reason::MapValueSize { .. } => {
            "map: elements too large".to_owned()
        }
        Reason::Opcode { code } => format!("opcode {code:#04x}"),
        Reason::Helper { id, .. } if functions::name(*id).is_none() => KERNEL_FUNCTION.to_owned(),
        Reason::Helper { name, .. } => format!("helper {name}"),
        Reason::HelperMissing { id } => format!("helper {id}, not on this card"),
        Reason::AdjustHeadMetadata => "adjust_head: metadata".to_owned(),
        Reason::ArgumentKind { helper, .. } => format!("{helper}: argument not on the stack"),
        Reason::ArgumentVariable { helper } => format!("{helper}: argument at a variable place"),
        Reason::ArgumentAlignment { helper, .. } => format!("{helper}: argument unaligned"),
        Reason::EventCpu { .. } => "event: not for the current CPU".to_owned(),
        Reason::EventPointer { .. } => "event: kind of pointer".to_owned(),
        Reason::EventPointerChanged { .. } => "event: two kinds of pointers".to_owned(),
        Reason::CounterSetNonZero { .. } | Reason::CounterMaybeNonZero { .. } => {
            "map value: counter may not begin at 0".to_owned()
        }
        Reason::UseConflict { was, is, .. } => {
            let mut uses = [*was, *is];
            uses.sort_unstable();
            format!("map value: word both {} and {}", uses[0], uses[1])
        }
        Reason::MapOffsetVariable => "map value: variable place".to_owned(),
        Reason::MapBounds => "map value: out of bounds".to_owned(),
        Reason::DriverOverrun(_) => "the driver reads outside of its memory".to_owned(),
        Reason::MapWrite { .. } => "map value: store".to_owned(),
        Reason::Pointer { kind } => format!("access through a pointer of kind {kind}"),
        Reason::PointerChanged { .. } => "access through two kinds of pointers".to_owned(),
        Reason::StackVariable => "stack: variable place".to_owned(),
        Reason::StackMoved { .. } => "stack: place with another alignment".to_owned(),
        Reason::ContextStore => "context: store".to_owned(),
        Reason::QueueSelect => "context: queue selection".to_owned(),
        Reason::Atomic { imm } => format!("atomic operation {imm:#x}"),
        Reason::AtomicPlace { .. } => "atomic addition not to a map value".to_owned(),
        Reason::AtomicOperand { .. } => "atomic addition of an address".to_owned(),
        Reason::Multiplier { .. } | Reason::Multiplicand { .. } | Reason::MultiplicandNegative => {
            "multiplication of large numbers".to_owned()
        }
        Reason::Dividend { .. } => "division of a large number".to_owned(),
        Reason::DivisorVariable { .. } => "division by a variable".to_owned(),
        Reason::DivisorLarge | Reason::DivisorNegative | Reason::DivisorZero => {
            "division by such a constant".to_owned()
        }
        Reason::Stack { .. } => "stack: too large".to_owned(),
        Reason::Untranslatable { what, .. } => match what {
            Untranslatable::StoreImmediate => "store of a constant".to_owned(),
            Untranslatable::ContextField => "context: another field".to_owned(),
            Untranslatable::Shift => "shift by too much".to_owned(),
            Untranslatable::CallerStack => "stack: narrow access to a caller's".to_owned(),
            Untranslatable::Other => "not translated".to_owned(),
        },
        Reason::CodeStore { .. } => "code store: full".to_owned(),
        Reason::PacketReach { .. } => "packet: too far".to_owned(),
    }
}
