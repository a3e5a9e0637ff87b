//! `http_reuse`: whose idle connections a request may use.

use drain_config::Table;

/// Which idle connections to its server a request may use (HAProxy: `http-reuse`). Whatever is set, only what may be
/// sent twice goes out on a connection that has served before, unless that connection is authenticated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reuse {
    /// Those of its own client's connection.
    Never,
    /// The first request of a client's connection: none; the others: any.
    Safe,
    /// The first request: those that have been used again before, and so are kept by their server; the others: any.
    Aggressive,
    /// Any. Safe here, because what the server closes on the way is sent again.
    Always,
}

impl Reuse {
    pub(super) fn read(table: &Table<'_>) -> Self {
        let words = [
            ("never", Self::Never),
            ("safe", Self::Safe),
            ("aggressive", Self::Aggressive),
            ("always", Self::Always),
        ];
        table.choice("http_reuse", Self::Always, &words).copied()
    }
}
