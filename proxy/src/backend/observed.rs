//! What users find of a server: errors in a row, counted by whoever serves a request, told to the server's checker.

use std::fmt;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};

use tokio::sync::Notify;

use crate::config::{Layer, Observe};

/// What a request has found of its server. The words are HAProxy's.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub enum Observed {
    /// The connection was made, and nothing is known of an answer.
    Connected,
    /// An answer that is none of a broken server.
    Answered,
    /// No connection.
    NoConnection,
    /// A status of a broken server: from 500, but 501 and 505, and those below 100.
    BadStatus,
    /// Something that is no answer.
    BadAnswer,
    /// The connection broke before the head of the answer was there.
    Broken,
    /// No answer in time.
    Late,
}

impl Observed {
    /// What an answer of this status says.
    pub const fn of_status(status: u16) -> Self {
        match status {
            100..=499 | 501 | 505 => Self::Answered,
            _ => Self::BadStatus,
        }
    }

    /// Whether it is an error, as far as this layer sees it; `None`: it sees nothing.
    const fn is_error(self, layer: Layer) -> Option<bool> {
        match (self, layer) {
            (Self::NoConnection, _) => Some(true),
            // Whatever came, there was a connection.
            (_, Layer::Four) => Some(false),
            (Self::Connected, Layer::Seven) => None,
            (_, Layer::Seven) => Some(!matches!(self, Self::Answered)),
        }
    }

    const fn of(number: u8) -> Self {
        match number {
            0 => Self::Connected,
            1 => Self::Answered,
            2 => Self::NoConnection,
            3 => Self::BadStatus,
            4 => Self::BadAnswer,
            5 => Self::Broken,
            _ => Self::Late,
        }
    }
}

impl fmt::Display for Observed {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Connected => "L4 successful connection",
            Self::Answered => "Correct http response",
            Self::NoConnection => "L4 unsuccessful connection",
            Self::BadStatus => "Wrong http response",
            Self::BadAnswer => "Invalid http response (headers)",
            Self::Broken => "Close from server (http)",
            Self::Late => "Read timeout (http)",
        })
    }
}

/// The errors of one server in a row, over all cores.
#[derive(Debug, Default)]
pub struct Errors {
    in_a_row: AtomicU32,
    last: AtomicU8,
    /// Rung when there were too many.
    bell: Notify,
}

impl Errors {
    /// Notes what a request has found.
    pub fn note(&self, observed: Observed, settings: Observe) {
        let Some(is_error) = observed.is_error(settings.layer) else { return };
        if !is_error {
            // A healthy server's count is only read.
            if self.in_a_row.load(Ordering::Relaxed) > 0 {
                self.in_a_row.store(0, Ordering::Relaxed);
            }
            return;
        }
        if self.in_a_row.fetch_add(1, Ordering::Relaxed) + 1 >= settings.error_limit.get() {
            self.in_a_row.store(0, Ordering::Relaxed);
            self.last.store(observed as u8, Ordering::Relaxed);
            self.bell.notify_one();
        }
    }

    /// Waits until there are too many; gives the last one. To be called by the server's checker only.
    pub async fn too_many(&self) -> Observed {
        self.bell.notified().await;
        Observed::of(self.last.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;
    use crate::config::OnError;

    /// Whether the bell has been rung after each.
    async fn rings(layer: Layer, seen: &[Observed]) -> Vec<bool> {
        let settings =
            Observe { layer, error_limit: NonZeroU32::new(2).unwrap(), on_error: OnError::FailCheck };
        let errors = Errors::default();
        let mut rung = Vec::new();
        for &observed in seen {
            errors.note(observed, settings);
            rung.push(tokio::select! {
                biased;
                last = errors.too_many() => { assert_eq!(last, observed); true }
                () = std::future::ready(()) => false,
            });
        }
        rung
    }

    #[tokio::test]
    async fn errors_in_a_row_ring_the_bell_and_begin_anew() {
        use Observed::{Answered, BadStatus, Broken, Connected, Late, NoConnection};
        let seven = [BadStatus, Answered, NoConnection, Connected, Late, Broken, BadStatus];
        assert_eq!(rings(Layer::Seven, &seven).await, [false, false, false, false, true, false, true]);
        let four = [NoConnection, Connected, NoConnection, BadStatus, NoConnection, NoConnection];
        assert_eq!(rings(Layer::Four, &four).await, [false, false, false, false, false, true]);
    }

    #[test]
    fn statuses_of_broken_servers_are_haproxys() {
        for (status, expected) in [(99, false), (100, true), (200, true), (404, true), (499, true)] {
            assert_eq!(Observed::of_status(status) == Observed::Answered, expected, "{status}");
        }
        for (status, expected) in
            [(500, false), (501, true), (502, false), (505, true), (599, false), (600, false)]
        {
            assert_eq!(Observed::of_status(status) == Observed::Answered, expected, "{status}");
        }
    }

    #[test]
    fn what_was_seen_survives_its_number() {
        for number in 0..7 {
            assert_eq!(Observed::of(number) as u8, number);
        }
    }
}
