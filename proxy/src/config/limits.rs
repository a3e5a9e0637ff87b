//! `[limits]`: limits of the whole process.

use std::num::NonZeroUsize;

/// Limits of the whole process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Client connections that may be open at once.
    pub connections: NonZeroUsize,
    /// Bytes of a request's or a response's head, first line included.
    pub head_bytes: usize,
    /// Threads, each with its own listener; the number of cores unless set.
    pub threads: NonZeroUsize,
}
