//! Object names, by the kernel's rules.

/// BPF_OBJ_NAME_LEN with the closing NUL.
const SIZE: usize = 16;

/// `name` as the kernel takes it: at most 15 bytes of letters, digits, '_' and '.' (kernel/bpf/
/// syscall.c, `bpf_obj_name_cpy`). Other characters become '_', one for one; the rest is cut off.
///
/// ```
/// assert_eq!(kernel::bpf::kernel_name("xdp-flow counters"), "xdp_flow_counte");
/// ```
pub fn kernel_name(name: &str) -> String {
    name.chars()
        .map(|c| match c {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '_' | '.' => c,
            _ => '_',
        })
        .take(SIZE - 1)
        .collect()
}

/// The fixed-size field of an attribute.
pub(super) fn to_field(name: &str) -> [u8; SIZE] {
    let mut field = [0; SIZE];
    for (slot, byte) in field.iter_mut().zip(kernel_name(name).bytes()) {
        *slot = byte;
    }
    field
}

/// A name out of an info: what stands before the first NUL.
pub(super) fn from_field(field: &[u8]) -> String {
    let end = field.iter().position(|b| *b == 0).unwrap_or(field.len());
    String::from_utf8_lossy(&field[..end]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_characters_are_replaced_and_the_rest_cut() {
        assert_eq!(kernel_name("xdp_pass"), "xdp_pass");
        assert_eq!(kernel_name(".rodata"), ".rodata");
        assert_eq!(kernel_name("naïve\0name"), "na_ve_name");
        assert_eq!(kernel_name(""), "");
        assert_eq!(kernel_name(&"é".repeat(40)), "_".repeat(15));
    }

    #[test]
    fn a_field_ends_in_nul_and_reads_back() {
        let field = to_field("a_name_of_more_than_sixteen");
        assert_eq!(field[15], 0);
        assert_eq!(from_field(&field), "a_name_of_more_");
        assert_eq!(from_field(b"full"), "full");
        assert_eq!(from_field(b"\0junk"), "");
    }
}
