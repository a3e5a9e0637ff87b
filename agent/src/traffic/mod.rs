//! Sources of traffic, and what quiet means.

use std::time::Duration;

/// What one source saw at one moment.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Reading {
    /// Requests that are not finished (busy sockets, and ties that can't be told apart yet).
    pub in_flight: u32,
    /// Open connections without a request in flight.
    pub idle: u32,
    /// How long ago the last sign of traffic was, over all connections that are still open; `None` where
    /// nothing is open.
    pub silent_for: Option<Duration>,
}
