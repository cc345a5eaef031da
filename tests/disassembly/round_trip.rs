//! Bytes to instructions and back, and text to instructions.

use std::io::Write as _;

use offload_compiler::isa::{Code, assemble, text};

use crate::sections::{sections, sources};

/// What a test of the verifier has to be refused for; the rest of its section is not looked at either.
const INVALID: (&str, &str) = (
    "verifier_uninit.o socket",
    "instruction 2 (opcode 0xbf): R15 is invalid",
);

#[test]
fn every_program_is_written_back_bit_by_bit() {
    let mut differences = Vec::new();
    for source in sources() {
        let (mut functions, mut instructions) = (0, 0);
        for path in &source.objects {
            for section in sections(path) {
                let file = path.file_name().expect("a file").display();
                let place = format!("{file} {}", section.name);
                if place == INVALID.0 {
                    let error = Code::decode(&section.insns).map_err(|error| error.to_string());
                    assert_eq!(error.err().as_deref(), Some(INVALID.1));
                    continue;
                }
                functions += section.functions;
                instructions += section.insns.len();
                match Code::decode(&section.insns) {
                    Ok(code) if code.encode() == section.insns => {}
                    Ok(_) => differences.push(format!("{place}: written back otherwise")),
                    Err(error) => differences.push(format!("{place}: {error}")),
                }
                match assemble(&text::listing(&section.insns, &text::Plain, true)) {
                    Ok(code) if code.encode() == section.insns => {}
                    Ok(_) => differences.push(format!("{place}: its text means something else")),
                    Err(error) => differences.push(format!("{place}: {error}")),
                }
            }
        }
        let _ = writeln!(
            std::io::stderr(),
            "{}: {} objects, {functions} functions, {instructions} instructions written back",
            source.name,
            source.objects.len(),
        );
        assert!(instructions > 0, "{}: nothing was read", source.name);
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}
