//! Whether a connection carries a request, told from outside by what the kernel knows about its socket.

use std::time::Duration;

use super::diag::{Socket, State};
use crate::traffic::quiet::UNSURE_HOLDS;

/// What one of the server's sockets says about its connection.
///
/// | step | seen | verdict |
/// |---|---|---|
/// | 0 | the server has closed its side: `FIN_WAIT1`, `CLOSING`, `LAST_ACK` | see below |
/// | 1 | something waits to be read by the server | busy: a request, or a connection not accepted yet |
/// | 2 | something sent is not acknowledged by the peer | busy: a response on its way |
/// | 3 | nothing was ever received | fresh |
/// | 4 | something was received, nothing ever sent | busy: asked, not answered |
/// | 5 | the peer spoke last | busy: the server thinks, or an upload has stalled |
/// | 6 | the server spoke last | answered |
/// | 7 | both in the same tick; an acknowledgement came later | answered |
/// | 7 | both in the same tick | unsure |
///
/// A FIN counts as one byte in the queues and in what was received.
///
/// Step 0: what an ended process leaves in the kernel is still delivered, so a socket that belongs to no
/// process any more is closed, even with a full send queue. But a server may have closed one direction only
/// and still hold the socket, to read away the rest of a request that it has refused (nginx and Apache call
/// it lingering close). If it ends then, the kernel answers that rest with a reset, which can destroy the
/// response at the peer. So as long as it holds the socket and the response is not acknowledged, it is busy;
/// the server's own limit for lingering bounds that.
///
/// Known to look idle although it is not: a response that pauses (server-sent events, a WebSocket on which the
/// server spoke last), a pipelined request behind an answered one, a request multiplexed with an answered one.
/// Known to look busy although it is not: a WebSocket on which the client spoke last, an HTTP/2 connection after the
/// client's `WINDOW_UPDATE`, `SETTINGS` or `PING`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// A request is not finished.
    Busy,
    /// Nothing was ever asked.
    Fresh,
    /// The last request has been answered.
    Answered {
        /// Since the server last sent something.
        silent: Duration,
    },
    /// It can't be told.
    Unsure {
        /// Since something last came or went. Zero where the kernel does not say.
        silent: Duration,
    },
    /// The server is done with it: a restart does not harm it.
    Closed,
}

impl Verdict {
    /// The same; one of which it can't be told is answered once no tick explains it any more.
    pub(super) fn settled(self) -> Self {
        match self {
            Self::Unsure { silent } if silent >= UNSURE_HOLDS => Self::Answered { silent },
            verdict => verdict,
        }
    }

    /// The verdict about `socket`.
    ///
    /// Facts that an older kernel does not tell skip their step; without any, a connection stays unsure.
    pub fn of(socket: &Socket) -> Self {
        let fin = u32::from(socket.state.peer_has_closed());
        if socket.state.server_has_closed() {
            // Our own FIN waits for its acknowledgement too.
            let response_unfinished = socket.send_queue > 1;
            return if socket.is_held() && response_unfinished { Self::Busy } else { Self::Closed };
        }
        if !matches!(socket.state, State::Established | State::CloseWait) {
            return Self::Closed;
        }
        if socket.receive_queue > fin || socket.send_queue > 0 {
            return Self::Busy;
        }
        let info = &socket.info;
        if info.bytes_received.is_some_and(|bytes| bytes <= u64::from(fin)) {
            return Self::Fresh;
        }
        if info.data_segments_out == Some(0) {
            return Self::Busy;
        }
        let (Some(received), Some(sent)) = (info.last_data_received, info.last_data_sent) else {
            return Self::Unsure { silent: Duration::ZERO };
        };
        if received < sent {
            return Self::Busy;
        }
        let acknowledged_since = info.last_ack_received.is_some_and(|ack| ack < received);
        if received > sent || acknowledged_since {
            Self::Answered { silent: sent }
        } else {
            Self::Unsure { silent: sent }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::traffic::sockets::diag::Info;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// A connection whose request was answered half a second ago.
    fn answered() -> Socket {
        Socket {
            inode: 4711,
            info: Info {
                bytes_received: Some(80),
                data_segments_out: Some(1),
                last_data_received: Some(ms(600)),
                last_data_sent: Some(ms(500)),
                last_ack_received: Some(ms(500)),
            },
            ..Socket::example(State::Established)
        }
    }

    fn close_wait() -> Socket {
        Socket { state: State::CloseWait, ..answered() }
    }

    #[test]
    fn a_closed_socket_without_an_owner_is_closed_even_if_its_data_is_not_acknowledged() {
        for state in [State::FinWait1, State::Closing, State::LastAck] {
            let socket = Socket { state, inode: 0, send_queue: 100_000, ..answered() };
            assert_eq!(Verdict::of(&socket), Verdict::Closed, "{state:?}");
        }
    }

    #[test]
    fn a_half_closed_socket_that_the_server_still_holds_is_busy_until_its_response_is_acknowledged() {
        for state in [State::FinWait1, State::Closing, State::LastAck] {
            let socket = Socket { state, send_queue: 2, ..answered() };
            assert_eq!(Verdict::of(&socket), Verdict::Busy, "{state:?}");
            let only_the_fin = Socket { send_queue: 1, ..socket };
            assert_eq!(Verdict::of(&only_the_fin), Verdict::Closed, "{state:?}");
        }
    }

    #[test]
    fn states_that_were_not_asked_for_are_closed() {
        assert_eq!(Verdict::of(&Socket { state: State::Other(6), ..answered() }), Verdict::Closed);
    }

    #[test]
    fn unread_bytes_are_busy() {
        assert_eq!(Verdict::of(&Socket { receive_queue: 1, ..answered() }), Verdict::Busy);
        assert_eq!(Verdict::of(&Socket { receive_queue: 2, ..close_wait() }), Verdict::Busy);
    }

    #[test]
    fn an_unread_fin_alone_is_no_request() {
        let socket = Socket { receive_queue: 1, ..close_wait() };
        assert_eq!(Verdict::of(&socket), Verdict::Answered { silent: ms(500) });
    }

    #[test]
    fn an_unacknowledged_response_is_busy() {
        assert_eq!(Verdict::of(&Socket { send_queue: 1, ..answered() }), Verdict::Busy);
        assert_eq!(Verdict::of(&Socket { send_queue: 1, ..close_wait() }), Verdict::Busy);
    }

    #[test]
    fn a_connection_that_never_asked_is_fresh() {
        let mut socket = answered();
        socket.info.bytes_received = Some(0);
        assert_eq!(Verdict::of(&socket), Verdict::Fresh);
    }

    #[test]
    fn a_connection_that_was_closed_without_asking_is_fresh() {
        let mut socket = close_wait();
        socket.info.bytes_received = Some(1);
        socket.info.data_segments_out = Some(0);
        assert_eq!(Verdict::of(&socket), Verdict::Fresh);
        socket.info.bytes_received = Some(2);
        assert_eq!(Verdict::of(&socket), Verdict::Busy);
    }

    #[test]
    fn a_first_request_without_any_answer_is_busy_even_in_the_tick_of_the_accept() {
        let mut socket = answered();
        socket.info.data_segments_out = Some(0);
        socket.info.last_data_sent = socket.info.last_data_received;
        assert_eq!(Verdict::of(&socket), Verdict::Busy);
    }

    #[test]
    fn when_the_peer_spoke_last_the_server_is_thinking() {
        let mut socket = answered();
        socket.info.last_data_received = Some(ms(499));
        assert_eq!(Verdict::of(&socket), Verdict::Busy);
    }

    #[test]
    fn when_the_server_spoke_last_the_request_is_answered() {
        assert_eq!(Verdict::of(&answered()), Verdict::Answered { silent: ms(500) });
        assert_eq!(Verdict::of(&close_wait()), Verdict::Answered { silent: ms(500) });
    }

    #[test]
    fn a_later_acknowledgement_tells_that_a_tie_was_answered() {
        let mut socket = answered();
        socket.info.last_data_received = Some(ms(500));
        socket.info.last_ack_received = Some(ms(460));
        assert_eq!(Verdict::of(&socket), Verdict::Answered { silent: ms(500) });
    }

    #[test]
    fn a_tie_without_a_later_acknowledgement_is_unsure() {
        let mut socket = answered();
        socket.info.last_data_received = Some(ms(500));
        assert_eq!(Verdict::of(&socket), Verdict::Unsure { silent: ms(500) });
        socket.info.last_ack_received = None;
        assert_eq!(Verdict::of(&socket), Verdict::Unsure { silent: ms(500) });
    }

    #[test]
    fn without_the_newer_facts_the_ages_decide() {
        let mut socket = answered();
        socket.info.bytes_received = None;
        socket.info.data_segments_out = None;
        assert_eq!(Verdict::of(&socket), Verdict::Answered { silent: ms(500) });
    }

    #[test]
    fn without_any_fact_a_connection_stays_unsure_and_young() {
        let socket = Socket { info: Info::default(), ..answered() };
        assert_eq!(Verdict::of(&socket), Verdict::Unsure { silent: Duration::ZERO });
    }
}
