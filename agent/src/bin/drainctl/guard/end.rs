//! How the hook at a stop ended.

use std::fmt;

use drain_agent::{control::api::Status, guard, lifecycle::Phase};

use crate::show;

/// How it went.
#[derive(PartialEq, Debug)]
pub(super) enum End {
    /// There was nobody to send away, and why.
    Nothing(&'static str),
    /// Nobody uses the server.
    Drained,
    /// Some still use it, or may.
    Cut(String),
    /// The stop was taken back.
    Cancelled(Left),
}

/// What has become of the drain when the stop was taken back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Left {
    /// It had not begun.
    Nothing,
    /// It was the guard's own, and is taken back, too.
    Ours,
    /// It is somebody else's, and goes on.
    Joined,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing(why) => write!(f, "nothing to drain: {why}"),
            Self::Drained => f.write_str("drained: nobody uses the server"),
            Self::Cut(why) => write!(f, "NOT DRAINED: {why}; the stop goes on"),
            Self::Cancelled(Left::Nothing) => f.write_str("the stop was taken back before a drain had begun"),
            Self::Cancelled(Left::Ours) => f.write_str("the stop was taken back, and the drain with it"),
            Self::Cancelled(Left::Joined) => {
                f.write_str("the stop was taken back; the drain that it had joined goes on")
            }
        }
    }
}

/// Whether the drain `id` is at its end, as the agent says; nothing while it is to be waited for. That the agent's own
/// limit has passed is none: the agent holds on, and goes on looking whether anybody is left.
pub(super) fn judge(id: u64, status: &Status) -> Option<End> {
    if matches!(status.phase, Phase::Restarting | Phase::Warming) {
        return Some(End::Nothing("the agent itself restarts the server"));
    }
    if let Some(drain) = status.ended(id) {
        return Some(End::Cut(drain.text.clone()));
    }
    let asked = status.asked.as_ref()?;
    // Nobody in flight is not enough: that counts sockets, and a gauge, a log or a balancer may tell of more, or be lost.
    (asked.drain == id && guard::is_out(status, asked)).then_some(End::Drained)
}

/// Who is still there.
pub(super) fn still(status: &Status) -> String {
    format!("acknowledged: {}, {}", show::acknowledged(status), show::traffic(&status.traffic))
}

#[cfg(test)]
mod tests {
    use drain_agent::control::api::{Drain, Outcome};

    use super::*;
    use crate::sample::{hard, soft};

    #[test]
    fn a_drain_is_waited_for_until_nobody_is_left_in_hard() {
        assert_eq!(judge(7, &soft()), None);
        assert_eq!(judge(7, &hard(false)), None);
        let mut reached = hard(true);
        reached.traffic.quiet_seconds = Some(3.0);
        assert_eq!(judge(8, &reached), None, "another drain");
        assert_eq!(judge(7, &reached), Some(End::Drained));
        (reached.traffic.quiet_seconds, reached.traffic.in_flight) = (None, Some(3));
        assert_eq!(judge(7, &reached), None, "the agent's limit has passed");
        reached.traffic.in_flight = Some(0);
        assert_eq!(judge(7, &reached), None, "no socket, and yet not quiet");
        reached.asked.as_mut().unwrap().stopped = true;
        assert_eq!(judge(7, &reached), Some(End::Drained));
    }

    #[test]
    fn whoever_is_cut_is_told() {
        let mut reached = hard(true);
        (reached.traffic.quiet_seconds, reached.traffic.in_flight) = (None, Some(3));
        assert!(still(&reached).contains("3 in flight"), "{}", still(&reached));
        let mut withdrawn = soft();
        withdrawn.asked = None;
        let last = withdrawn.drains[0].clone();
        let text = "not acknowledged in time".to_owned();
        withdrawn.drains.push(Drain { id: 7, outcome: Outcome::Withdrawn, text, ..last });
        assert_eq!(judge(7, &withdrawn), Some(End::Cut("not acknowledged in time".to_owned())));
    }

    #[test]
    fn a_restart_by_the_agent_itself_is_not_waited_for() {
        for phase in [Phase::Restarting, Phase::Warming] {
            assert!(matches!(judge(7, &Status { phase, ..soft() }), Some(End::Nothing(_))), "{phase}");
        }
    }
}
