//! What must never happen.

/// A promise of the proxy; each time that it is broken is a violation.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Rule {
    /// No POST is executed twice.
    Doubled,
    /// A POST that is answered has been executed; one that is refused with 503, or never ended, has not.
    Order,
    /// What a client gets is the answer to its own request.
    Mixed,
    /// A part of an answer does not look whole.
    Truncated,
    /// Every request ends with an answer or with a connection that breaks.
    Hung,
    /// A tunnel carries what was sent.
    Tunnel,
    /// What a server gets is what the client has sent.
    Altered,
    /// A user with a cookie leaves its server only when that is gone.
    Moved,
    /// Nothing fails as long as no server does.
    Failed,
}

impl Rule {
    /// Every rule, in the order of the table.
    pub(crate) const ALL: [Self; 9] = [
        Self::Doubled,
        Self::Order,
        Self::Mixed,
        Self::Truncated,
        Self::Hung,
        Self::Tunnel,
        Self::Altered,
        Self::Moved,
        Self::Failed,
    ];

    /// What is counted.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Doubled => "POSTs executed twice",
            Self::Order => "POSTs answered and not executed, or not sent and executed",
            Self::Mixed => "answers that belong to others, or are no answers",
            Self::Truncated => "parts of answers taken for whole",
            Self::Hung => "requests that never ended",
            Self::Tunnel => "tunnels that carried something else",
            Self::Altered => "requests that reached a server altered",
            Self::Moved => "users moved while their server was well",
            Self::Failed => "requests that failed while every server was alive",
        }
    }
}
