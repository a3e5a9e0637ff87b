//! Live progress: one line that is rewritten on a terminal, one line per change elsewhere.

use std::{
    io::{self, IsTerminal, Write},
    time::Duration,
};

use drain_agent::{
    clock::Moment,
    control::api::{Status, Wait},
    lifecycle::Phase,
};

use crate::show;

/// Where there is no terminal, how often a mere change of numbers is worth a line.
const NUMBERS: Duration = Duration::from_secs(5);

/// For a terminal that does not tell its width.
const WIDTH: u16 = 80;

/// The present state in one line.
pub(crate) fn line(status: &Status) -> String {
    let mut parts = vec![format!("{} {} {}", status.server, status.phase, status.answer)];
    match status.phase {
        Phase::Soft | Phase::Hard => {
            parts.push(format!("acknowledged: {}", show::acknowledged(status)));
            parts.push(show::traffic(&status.traffic));
        }
        _ => parts.push(status.reason.clone()),
    }
    if let Some(limit) = &status.limit {
        parts.push(format!("{} left, then: {}", show::span(limit.seconds_left), limit.then));
    }
    parts.join(" | ")
}

/// Shows progress as far as there is somebody to show it to.
#[derive(Debug)]
pub(crate) struct Progress {
    mode: Mode,
    status: Option<Status>,
    /// What the last line was about, and when it was written.
    last: Option<(Gist, Moment)>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Mode {
    Silent,
    Rewritten,
    Lines,
}

/// What makes a change worth a line of its own.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Gist {
    phase: Phase,
    generation: u64,
    acknowledged: (u32, u32),
    awaits: Option<String>,
    waits_for: Option<Wait>,
    unknown: Vec<String>,
}

impl Gist {
    fn of(status: &Status) -> Self {
        Self {
            phase: status.phase,
            generation: status.generation,
            acknowledged: (status.acknowledged.count, status.acknowledged.of),
            awaits: status.acknowledged.awaits.clone(),
            waits_for: status.limit.as_ref().map(|limit| limit.waits_for),
            unknown: status.traffic.unknown.clone(),
        }
    }
}

impl Progress {
    /// On standard error; nothing where JSON is wanted.
    pub(crate) fn new(json: bool) -> Self {
        let mode = match (json, io::stderr().is_terminal()) {
            (true, _) => Mode::Silent,
            (false, true) => Mode::Rewritten,
            (false, false) => Mode::Lines,
        };
        Self { mode, status: None, last: None }
    }

    /// There is news.
    pub(crate) fn news(&mut self, status: Status, now: Moment) {
        if self.mode == Mode::Rewritten {
            rewrite(&line(&status));
        } else if self.mode == Mode::Lines && is_worth_a_line(self.last.as_ref(), &status, now) {
            let _closed = writeln!(io::stderr(), "{}", line(&status));
            self.last = Some((Gist::of(&status), now));
        }
        self.status = Some(status);
    }

    /// Time has passed.
    pub(crate) fn tick(&self, now: Moment) {
        if let (Mode::Rewritten, Some(status)) = (self.mode, &self.status) {
            rewrite(&line(&status.seen_at(now)));
        }
    }

    /// Leaves the line for what follows.
    pub(crate) fn end(&mut self) {
        if self.mode == Mode::Rewritten && self.status.take().is_some() {
            let _closed = writeln!(io::stderr());
        }
    }
}

/// Whether a status gets a line of its own where lines can't be rewritten.
fn is_worth_a_line(last: Option<&(Gist, Moment)>, status: &Status, now: Moment) -> bool {
    last.is_none_or(|(gist, at)| *gist != Gist::of(status) || now.since(*at) >= NUMBERS)
}

fn rewrite(line: &str) {
    let columns = rustix::termios::tcgetwinsize(io::stderr()).map_or(0, |size| size.ws_col);
    let columns = if columns == 0 { WIDTH } else { columns };
    // One less than the width: a full line would wrap.
    let shown: String = line.chars().take(usize::from(columns) - 1).collect();
    let _closed = write!(io::stderr(), "\r\x1b[K{shown}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::soft;

    #[test]
    fn a_drain_shows_who_what_and_how_long() {
        assert_eq!(
            line(&soft()),
            "shop soft 404 | acknowledged: 1 of 2 (10.0.0.3: was given 1 of 3 answers) | \
             3 in flight, 12 idle, must be quiet for 5m | 4m 10s left, then: hard"
        );
    }

    #[test]
    fn a_restart_shows_its_reason() {
        let status = Status {
            phase: Phase::Restarting,
            answer: 500,
            reason: "restart by /usr/sbin/apachectl".to_owned(),
            limit: None,
            ..soft()
        };
        assert_eq!(line(&status), "shop restarting 500 | restart by /usr/sbin/apachectl");
    }

    #[test]
    fn numbers_alone_get_a_line_now_and_then() {
        let start = Moment::default();
        let before = soft();
        let last = (Gist::of(&before), start);
        let mut after = before;
        after.traffic.in_flight = Some(2);
        assert!(!is_worth_a_line(Some(&last), &after, start));
        assert!(is_worth_a_line(Some(&last), &after, start + NUMBERS));
        after.acknowledged.count = 2;
        assert!(is_worth_a_line(Some(&last), &after, start));
    }

    #[test]
    fn the_time_left_runs_between_two_news() {
        let later = soft().seen_at(Moment::default() + Duration::from_secs(50));
        assert!(line(&later).ends_with("| 3m 20s left, then: hard"), "{}", line(&later));
    }
}
