//! What the companion runs before its unit stops. It never fails: whatever is the matter, the stop goes on.

use std::{
    fmt,
    io::{self, Write},
    time::Duration,
};

use drain_agent::{
    control::api::{Options, Reply, Status, Then},
    guard::{self, AtStart, AtStop, Mode, UnitName, UnitState},
    lifecycle::Phase,
};
use tokio::time::{self, Instant};

use super::systemd::Systemd;
use crate::{
    client::Client,
    commands::{NOTHING, understood},
    show,
    verdict::{Done, Fault},
};

/// How often the agent is asked how far it is.
const LOOK: Duration = Duration::from_millis(250);

/// How often systemd is asked whether the unit is still to stop.
const LOOK_AT_UNIT: Duration = Duration::from_secs(1);

/// How long an agent may be away in mid-drain. It is not long: systemd starts it again only after this hook has ended.
const AWAY: Duration = Duration::from_secs(5);

/// The hook of one stop.
pub(super) struct Stop<'a> {
    pub(super) client: Client,
    pub(super) systemd: Systemd,
    pub(super) unit: &'a UnitName,
    pub(super) mode: Mode,
    pub(super) limit: Duration,
}

/// How it went.
#[derive(PartialEq, Debug)]
enum End {
    /// There was nobody to send away, and why.
    Nothing(&'static str),
    /// Nobody uses the server.
    Drained,
    /// Some still use it, or may.
    Cut(String),
    /// The stop was taken back, and the guard's own drain with it; somebody else's goes on.
    Cancelled { is_ours: bool },
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing(why) => write!(f, "nothing to drain: {why}"),
            Self::Drained => f.write_str("drained: nobody uses the server"),
            Self::Cut(why) => write!(f, "NOT DRAINED: {why}; the stop goes on"),
            Self::Cancelled { is_ours: true } => {
                f.write_str("the stop was taken back, and the drain with it")
            }
            Self::Cancelled { is_ours: false } => {
                f.write_str("the stop was taken back; the drain that it had joined goes on")
            }
        }
    }
}

impl Stop<'_> {
    pub(super) async fn run(&self) -> Done {
        let end = match self.drain().await {
            Ok(end) => end,
            Err(fault) => End::Cut(fault.to_string()),
        };
        let text = format!("{}: {end}", self.unit);
        match end {
            End::Cut(_) => {
                loudly(&text);
                Done::shown()
            }
            _ => Done::said(text),
        }
    }

    async fn drain(&self) -> Result<End, Fault> {
        let unit = self.systemd.state(self.unit).await?;
        let status = self.client.status().await;
        match guard::at_stop(unit, status.as_ref().ok()) {
            AtStop::Nothing(why) => Ok(End::Nothing(why)),
            AtStop::Undrained(why) => Ok(End::Cut(match status {
                Err(fault) => fault.to_string(),
                Ok(_) => why.to_owned(),
            })),
            AtStop::Drain => {
                let began = Instant::now();
                let (stop, start) = self.systemd.timeouts(self.unit).await?;
                let hold = guard::hold(self.limit, stop, start);
                let options = Options {
                    then: Some(Then::Hold),
                    reason: Some(guard::reason(self.unit)),
                    force: false,
                    for_seconds: Some(hold.as_secs()),
                    command: None,
                };
                let reply = self.client.ask(self.path(), Some(&options)).await?;
                self.wait(&reply, began).await
            }
            AtStop::Join => {
                // What was asked before goes on to its own end, and this stop with it.
                let reply = self.client.ask(self.path(), Some(&Options::default())).await?;
                self.wait(&reply, Instant::now()).await
            }
        }
    }

    fn path(&self) -> &'static str {
        match self.mode {
            Mode::Soft => "/v1/soft",
            Mode::Hard => "/v1/hard",
        }
    }

    /// Waits for the drain, at most as long as the limit says.
    async fn wait(&self, reply: &Reply, began: Instant) -> Result<End, Fault> {
        let (drain, text) = understood(reply);
        let Some(id) = drain else { return Ok(End::Cut(text.to_owned())) };
        let mut heard = Instant::now();
        let mut seen = Instant::now();
        let mut last = None;
        loop {
            time::sleep(LOOK).await;
            if seen.elapsed() >= LOOK_AT_UNIT {
                seen = Instant::now();
                if is_taken_back(self.systemd.state(self.unit).await) {
                    return self.take_back().await;
                }
            }
            match self.client.status().await {
                Ok(status) => {
                    heard = Instant::now();
                    if let Some(end) = judge(id, &status) {
                        return Ok(end);
                    }
                    let is_late = began.elapsed() >= guard::soft_part(self.limit);
                    if self.mode == Mode::Soft && is_late && guard::is_soft(&status) {
                        self.client.ask("/v1/hard", Some(&Options::default())).await?;
                    }
                    last = Some(status);
                }
                Err(_away) if heard.elapsed() < AWAY => {}
                Err(fault) => return Ok(End::Cut(fault.to_string())),
            }
            if began.elapsed() >= self.limit {
                let left = last.map_or_else(String::new, |status| format!(": {}", still(&status)));
                return Ok(End::Cut(format!("the limit of {:?} has passed{left}", self.limit)));
            }
        }
    }

    /// The unit stays: so does the server with the balancers, unless somebody else has taken it out. The companion is
    /// started again, or the next stop would not drain.
    async fn take_back(&self) -> Result<End, Fault> {
        let is_ours = is_ours(self.unit, &self.client.status().await?);
        if is_ours {
            self.client.ask("/v1/up", NOTHING).await?;
        }
        self.systemd.start_later(&self.unit.companion()).await?;
        Ok(End::Cancelled { is_ours })
    }
}

/// Whether nothing stops the unit any more. Where systemd does not answer, the stop goes on.
fn is_taken_back(state: Result<UnitState, Fault>) -> bool {
    state.is_ok_and(|state| state.runs && !state.leaves())
}

/// Whether what keeps the server out is the guard's own drain, and nothing that somebody has made of it since.
fn is_ours(unit: &UnitName, status: &Status) -> bool {
    status.asked.is_some() && guard::at_start(status, &guard::reason(unit)) == AtStart::Return
}

/// Whether the drain `id` is at its end, as the agent says; nothing while it is to be waited for.
fn judge(id: u64, status: &Status) -> Option<End> {
    if matches!(status.phase, Phase::Restarting | Phase::Warming) {
        return Some(End::Nothing("the agent itself restarts the server"));
    }
    if let Some(drain) = status.ended(id) {
        return Some(End::Cut(drain.text.clone()));
    }
    let asked = status.asked.as_ref()?;
    if !(asked.drain == id && asked.reached && status.phase == Phase::Hard) {
        return None;
    }
    // Nobody in flight is not enough: that counts sockets, and a gauge, a log or a balancer may tell of more, or be lost.
    Some(if status.traffic.quiet_seconds.is_some() {
        End::Drained
    } else {
        End::Cut(format!("the agent's limit has passed: {}", still(status)))
    })
}

/// Who is still there.
fn still(status: &Status) -> String {
    format!("acknowledged: {}, {}", show::acknowledged(status), show::traffic(&status.traffic))
}

/// A line that the journal shows as a warning.
pub(super) fn loudly(text: &str) {
    // The prefix is systemd's (sd-daemon(3)); whoever has closed our output does not want to know.
    let prefix = if std::env::var_os("JOURNAL_STREAM").is_some() { "<4>" } else { "" };
    let _closed = writeln!(io::stderr(), "{prefix}{text}");
}

#[cfg(test)]
mod tests {
    use drain_agent::control::api::{Drain, Outcome};

    use super::*;
    use crate::sample::soft;

    fn hard(reached: bool) -> Status {
        let mut status = Status { phase: Phase::Hard, ..soft() };
        let asked = status.asked.as_mut().unwrap();
        (asked.reached, asked.then) = (reached, Some(Then::Hold));
        status
    }

    #[test]
    fn a_drain_is_waited_for_until_it_is_reached_in_hard() {
        assert_eq!(judge(7, &soft()), None);
        assert_eq!(judge(7, &hard(false)), None);
        assert_eq!(judge(8, &hard(true)), None, "another drain");
        let mut reached = hard(true);
        reached.traffic.quiet_seconds = Some(3.0);
        assert_eq!(judge(7, &reached), Some(End::Drained));
    }

    #[test]
    fn whoever_is_cut_is_told() {
        let mut reached = hard(true);
        (reached.traffic.quiet_seconds, reached.traffic.in_flight) = (None, Some(3));
        let Some(End::Cut(why)) = judge(7, &reached) else { panic!("expected that it is told") };
        assert!(why.contains("3 in flight"), "{why}");
        reached.traffic.in_flight = Some(0);
        assert!(matches!(judge(7, &reached), Some(End::Cut(_))), "no socket, and yet not quiet");
        let mut withdrawn = soft();
        withdrawn.asked = None;
        let last = withdrawn.drains[0].clone();
        let text = "not acknowledged in time".to_owned();
        withdrawn.drains.push(Drain { id: 7, outcome: Outcome::Withdrawn, text, ..last });
        assert_eq!(judge(7, &withdrawn), Some(End::Cut("not acknowledged in time".to_owned())));
    }

    #[test]
    fn only_the_guards_own_drain_ends_with_a_stop_that_is_taken_back() {
        let unit: UnitName = "apache2".parse().unwrap();
        let mut status = hard(false);
        let mut of = |reason: Option<String>, then| {
            let asked = status.asked.as_mut().unwrap();
            (asked.reason, asked.then) = (reason, Some(then));
            is_ours(&unit, &status)
        };
        assert!(of(Some(guard::reason(&unit)), Then::Hold));
        assert!(!of(Some(guard::reason(&unit)), Then::Restart), "somebody has made a restart of it");
        assert!(!of(Some("new disk".to_owned()), Then::Hold));
        assert!(!of(None, Then::Hold));
        let failed = Status { phase: Phase::Failed, asked: None, ..soft() };
        assert!(!is_ours(&unit, &failed), "no drain");
    }

    #[test]
    fn a_restart_by_the_agent_itself_is_not_waited_for() {
        for phase in [Phase::Restarting, Phase::Warming] {
            assert!(matches!(judge(7, &Status { phase, ..soft() }), Some(End::Nothing(_))), "{phase}");
        }
    }
}
