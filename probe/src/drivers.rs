//! The shipped driver table.
