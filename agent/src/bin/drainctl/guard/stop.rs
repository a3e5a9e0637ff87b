//! What the companion runs before its unit stops. It never fails: whatever is the matter, the stop goes on.

use std::{
    io::{self, Write},
    ops::ControlFlow,
    time::Duration,
};

use drain_agent::{
    control::api::{Options, Reply, Status, Then},
    guard::{self, AtStart, AtStop, Mode, UnitName, UnitState},
};
use tokio::time::{self, Instant};

use super::{
    end::{End, Left, judge, still},
    systemd::Systemd,
};
use crate::{
    client::Client,
    commands::{NOTHING, understood},
    verdict::{Done, Fault},
};

/// How often the agent is asked how far it is.
const LOOK: Duration = Duration::from_millis(250);

/// How often a refused drain is asked for anew though nothing shows that it would be granted; the agent logs each.
const ASK: Duration = Duration::from_secs(2);

/// So much later at most, by chance, a refused drain is asked for anew: several hosts wait for the same server.
const JITTER: Duration = Duration::from_millis(250);

/// How often systemd is asked whether the unit is still to stop.
const LOOK_AT_UNIT: Duration = Duration::from_secs(1);

/// How long an agent may be away in mid-drain. It is not long: systemd starts it again only after this hook has ended.
const AWAY: Duration = Duration::from_secs(5);

/// The names of the refusals that others end by coming back: `drain.min_remaining`'s and `drain.exclusive`'s.
const TOO_FEW_REMAIN: &str = "too_few_remain";
const OTHERS_OUT: &str = "others_out";

/// The hook of one stop.
pub(super) struct Stop<'a> {
    pub(super) client: Client,
    pub(super) systemd: Systemd,
    pub(super) unit: &'a UnitName,
    pub(super) mode: Mode,
    pub(super) limit: Duration,
}

/// How long the hook has been at work.
#[derive(Clone, Copy, Debug)]
struct Course {
    began: Instant,
    /// When the unit was last looked at.
    seen: Instant,
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
        let now = Instant::now();
        let mut course = Course { began: now, seen: now };
        // Where systemd does not answer, whoever uses the server is sent away all the same.
        let unit = self.systemd.state(self.unit).await.ok();
        let status = self.client.status().await;
        let reply = match guard::at_stop(unit, status.as_ref().ok()) {
            AtStop::Nothing(why) => return Ok(End::Nothing(why)),
            AtStop::Undrained(why) => {
                return Ok(End::Cut(match status {
                    Err(fault) => fault.to_string(),
                    Ok(_) => why.to_owned(),
                }));
            }
            AtStop::Drain => match self.begin(unit, &mut course).await? {
                ControlFlow::Continue(reply) => reply,
                ControlFlow::Break(end) => return Ok(end),
            },
            // What was asked before goes on to its own end, and this stop with it.
            AtStop::Join => self.client.ask(self.path(), Some(&Options::default())).await?,
        };
        self.wait(&reply, course).await
    }

    fn path(&self) -> &'static str {
        match self.mode {
            Mode::Soft => "/v1/soft",
            Mode::Hard => "/v1/hard",
        }
    }

    /// Asks for the drain. While it is refused for the sake of users, who would find too few other servers, the stop
    /// waits: meanwhile this server serves.
    async fn begin(
        &self,
        unit: Option<UnitState>,
        course: &mut Course,
    ) -> Result<ControlFlow<End, Reply>, Fault> {
        let mut options = self.options(unit).await;
        let mut has_told = false;
        loop {
            let (name, text) = match self.client.ask(self.path(), Some(&options)).await {
                Err(Fault::Refused { name, text }) if [TOO_FEW_REMAIN, OTHERS_OUT].contains(&&*name) => {
                    (name, text)
                }
                reply => return reply.map(ControlFlow::Continue),
            };
            if name == TOO_FEW_REMAIN && !options.force && guard::is_alone(&self.client.status().await?) {
                // There is nobody to wait for: what is in flight ends at least.
                options.force = true;
                continue;
            }
            if !has_told {
                told(&format!("{}: waits for others to come back: {text}", self.unit));
                has_told = true;
            }
            if let Some(end) = self.wait_for_others(&name, &text, course).await? {
                return Ok(ControlFlow::Break(end));
            }
        }
    }

    /// What the drain is asked for with.
    async fn options(&self, unit: Option<UnitState>) -> Options {
        // One that has not told how it is would not tell this either, and take its time.
        let (stop, start) = match unit {
            Some(_) => self.systemd.timeouts(self.unit).await.unwrap_or_default(),
            None => (None, None),
        };
        Options {
            then: Some(Then::Hold),
            reason: Some(guard::reason(self.unit)),
            force: false,
            for_seconds: Some(guard::hold(self.limit, stop, start).as_secs()),
            command: None,
        }
    }

    /// Waits until a drain that was refused by this name may be asked for anew, or gives how this ends without one.
    async fn wait_for_others(
        &self,
        name: &str,
        text: &str,
        course: &mut Course,
    ) -> Result<Option<End>, Fault> {
        let asked = Instant::now();
        loop {
            time::sleep(LOOK + JITTER.mul_f64(fastrand::f64())).await;
            if let Some(end) = self.look_at_unit(course).await? {
                return Ok(Some(end));
            }
            if course.began.elapsed() >= self.limit {
                return Ok(Some(End::Cut(format!("the limit of {:?} has passed: {text}", self.limit))));
            }
            let are_back = name == TOO_FEW_REMAIN && !guard::too_few_remain(&self.client.status().await?);
            if are_back || asked.elapsed() >= ASK {
                return Ok(None);
            }
        }
    }

    /// Waits for the drain, at most as long as the limit says.
    async fn wait(&self, reply: &Reply, mut course: Course) -> Result<End, Fault> {
        let (drain, text) = understood(reply);
        let Some(id) = drain else { return Ok(End::Cut(text.to_owned())) };
        let mut heard = Instant::now();
        let mut last = None;
        loop {
            time::sleep(LOOK).await;
            if let Some(end) = self.look_at_unit(&mut course).await? {
                return Ok(end);
            }
            match self.client.status().await {
                Ok(status) => {
                    heard = Instant::now();
                    if let Some(end) = judge(id, &status) {
                        return Ok(end);
                    }
                    let is_late = course.began.elapsed() >= guard::soft_part(self.limit);
                    if self.mode == Mode::Soft && is_late && guard::is_soft(&status) {
                        self.client.ask("/v1/hard", Some(&Options::default())).await?;
                    }
                    last = Some(status);
                }
                Err(_away) if heard.elapsed() < AWAY => {}
                Err(fault) => return Ok(End::Cut(fault.to_string())),
            }
            if course.began.elapsed() >= self.limit {
                let left = last.map_or_else(String::new, |status| format!(": {}", still(&status)));
                return Ok(End::Cut(format!("the limit of {:?} has passed{left}", self.limit)));
            }
        }
    }

    /// Looks, where it is time to, whether the unit still runs and is to stop, and gives how this ends where it does not.
    /// Where systemd does not answer, the stop goes on.
    async fn look_at_unit(&self, course: &mut Course) -> Result<Option<End>, Fault> {
        if course.seen.elapsed() < LOOK_AT_UNIT {
            return Ok(None);
        }
        let state = self.systemd.state(self.unit).await;
        course.seen = Instant::now();
        match state {
            Ok(state) if !state.runs => Ok(Some(End::Nothing("the server does not run any more"))),
            Ok(state) if !state.leaves() => self.take_back().await.map(Some),
            Ok(_) | Err(_) => Ok(None),
        }
    }

    /// The unit stays: so does the server with the balancers, unless somebody else has taken it out. The companion is
    /// started again, or the next stop would not drain.
    async fn take_back(&self) -> Result<End, Fault> {
        self.systemd.start_later(&self.unit.companion()).await?;
        let left = left(self.unit, &self.client.status().await?);
        if left == Left::Ours {
            self.client.ask("/v1/up", NOTHING).await?;
        }
        Ok(End::Cancelled(left))
    }
}

/// Whether what keeps the server out is the guard's own drain, and nothing that somebody has made of it since.
fn left(unit: &UnitName, status: &Status) -> Left {
    if status.asked.is_none() {
        return Left::Nothing;
    }
    match guard::at_start(status, &guard::reason(unit)) {
        AtStart::Return => Left::Ours,
        AtStart::Held | AtStart::Nothing => Left::Joined,
    }
}

/// A line of the journal.
fn told(text: &str) {
    let _closed = writeln!(io::stdout(), "{text}");
}

/// A line that the journal shows as a warning.
pub(super) fn loudly(text: &str) {
    // The prefix is systemd's (sd-daemon(3)); whoever has closed our output does not want to know.
    let prefix = if std::env::var_os("JOURNAL_STREAM").is_some() { "<4>" } else { "" };
    let _closed = writeln!(io::stderr(), "{prefix}{text}");
}

#[cfg(test)]
mod tests {
    use drain_agent::lifecycle::Phase;

    use super::*;
    use crate::sample::{hard, soft};

    #[test]
    fn only_the_guards_own_drain_ends_with_a_stop_that_is_taken_back() {
        let unit: UnitName = "apache2".parse().unwrap();
        let mut status = hard(false);
        let mut of = |reason: Option<String>, then| {
            let asked = status.asked.as_mut().unwrap();
            (asked.reason, asked.then) = (reason, Some(then));
            left(&unit, &status)
        };
        assert_eq!(of(Some(guard::reason(&unit)), Then::Hold), Left::Ours);
        let restart = of(Some(guard::reason(&unit)), Then::Restart);
        assert_eq!(restart, Left::Joined, "somebody has made a restart of it");
        assert_eq!(of(Some("new disk".to_owned()), Then::Hold), Left::Joined);
        assert_eq!(of(None, Then::Hold), Left::Joined);
        let failed = Status { phase: Phase::Failed, asked: None, ..soft() };
        assert_eq!(left(&unit, &failed), Left::Nothing, "no drain");
    }
}
