//! Golden files: what a command printed once, read by a person, kept.

use std::fs;

use crate::workspace;

/// Compares with tests/golden/NAME.expected; with `BLESS=1` in the environment writes it instead.
///
/// # Panics
/// With both texts if they differ, and if the file cannot be read or written.
#[track_caller]
pub fn golden(name: &str, actual: &str) {
    let path = workspace().join(format!("tests/golden/{name}.expected"));
    if std::env::var_os("BLESS").is_some_and(|bless| bless == "1") {
        fs::create_dir_all(path.parent().expect("the file lies in a folder"))
            .and_then(|()| fs::write(&path, actual))
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        return;
    }
    let expected = fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}; BLESS=1 writes it", path.display()));
    assert!(
        expected == actual,
        "{} differs (BLESS=1 accepts the new text)\n--- expected\n{expected}\n--- actual\n{actual}",
        path.display()
    );
}
