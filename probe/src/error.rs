//! What can go wrong while probing.

/// The result of every probing function that touches the system.
pub type Result<T> = std::result::Result<T, Error>;

/// A probe that did not end well.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The kernel refused a request, or its answer makes no sense.
    #[error(transparent)]
    Kernel(#[from] kernel::Error),
    /// No interface has that name in this network namespace.
    #[error("no interface named '{name}' in this network namespace")]
    NoSuchInterface {
        /// What was asked for.
        name: String,
        /// The existing name that is closest to it, if any is close.
        similar: Option<String>,
    },
}
