//! Texts that a person has read once, kept beside the tests; `BLESS=1` writes them anew.

use std::path::{Path, PathBuf};

/// Compares with probe/`path`.
#[track_caller]
pub(crate) fn expect(path: &str, actual: &str) {
    let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var_os("BLESS").is_some_and(|bless| bless == "1") {
        std::fs::write(&path, actual).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        return;
    }
    let expected = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert!(
        expected == actual,
        "{} differs (BLESS=1 writes it anew); expected:\n{expected}\nactual:\n{actual}",
        path.display()
    );
}
