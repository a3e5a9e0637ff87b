//! One balancer, and whether it acts on what is announced.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    Header, Heard, Key, Rhythm, Standing, State,
    namesakes::{Namesakes, proves},
    rhythm,
};
use crate::{clock::Moment, health::Check, lifecycle::Level};

/// One balancer.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Balancer {
    /// Who it is.
    pub key: Key,
    /// When it first asked, in seconds since 1970.
    pub since_unix: u64,
    /// When it asks.
    pub rhythm: Rhythm,
    /// What it said last, where it says anything that is believed.
    pub header: Option<Header>,
    /// What it was last answered.
    pub answer: u16,
    /// The largest total weight that it has reported for long: what "per cent" counts from.
    pub full_weight: u32,
    /// When it last reported so much.
    #[serde(default)]
    pub full_at: Option<Moment>,
    /// It has shown a new process: sessions of its old one may be open that it does not report.
    pub restarted: bool,
    /// So many headers in a row have shown that it gives this server no new user.
    #[serde(default)]
    pub shown_out: u32,
    /// So many headers in a row have shown it as failed.
    #[serde(default)]
    pub shown_down: u32,
    /// It was told by the agent protocol to give this server no new user: its header says UP then, as before, but
    /// its total holds this server's weight no more.
    #[serde(default)]
    pub told_drain: bool,
    /// Whether it is more than one process.
    #[serde(default)]
    pub namesakes: Namesakes,
    /// The last sessions on this server that it has reported, and when: of several, another may report none since.
    #[serde(default)]
    pub in_use: Option<Reported>,
    /// The same of users.
    #[serde(default)]
    pub used: Option<Reported>,
    /// What has happened between it and the present announcement.
    pub heard: Heard,
}

/// So many of something were reported, at least one, and when.
type Reported = (Moment, u32);

impl Balancer {
    /// Somebody who has just been found to be one.
    pub fn new(key: Key, since_unix: u64) -> Self {
        Self {
            key,
            since_unix,
            rhythm: Rhythm::default(),
            header: None,
            answer: 0,
            full_weight: 0,
            full_at: None,
            restarted: false,
            shown_out: 0,
            shown_down: 0,
            told_drain: false,
            namesakes: Namesakes::default(),
            in_use: None,
            used: None,
            heard: Heard::default(),
        }
    }

    /// It has asked; `says` is what is announced, if the answer said so.
    pub fn asked(&mut self, check: &Check, header: Option<Header>, says: Option<Level>) {
        self.rhythm.beat(check.at);
        if let Some(header) = &header {
            self.weigh(header, check.at);
            let is_down = header.state == State::Down;
            self.shown_down = if is_down { self.shown_down.saturating_add(1) } else { 0 };
            self.restarted |= self.shows_restart(header, says);
            let is_out = matches!(header.state, State::Nolb | State::Down);
            self.shown_out = if is_out { self.shown_out.saturating_add(1) } else { 0 };
            let reported = |n: Option<u32>| n.filter(|n| *n > 0).map(|n| (check.at, n));
            self.in_use = reported(header.scur).or(self.in_use);
            self.used = reported(header.users).or(self.used);
            self.compare(header, says);
            if self.heard.proven && header.state == State::Up {
                // A new process, or somebody's hand: what the one before has shown is no longer so. Of several it is
                // the other one, which may never act.
                let refused = if self.namesakes.are_several() { self.heard.refused } else { 0 };
                self.heard = Heard { refused, ..Heard::default() };
            }
            let down = |header: &Header| header.state == State::Down;
            let before =
                self.heard.was_down || self.heard.given == 0 && self.header.as_ref().is_some_and(down);
            self.heard.was_down = before && down(header) && says.is_some();
            if let Some(level) = says {
                let acts = proves(header.state, level);
                self.heard.proven |= acts;
                if !acts {
                    self.heard.otherwise = Some(check.at);
                    let is_final = header.progress.is_none();
                    self.heard.refused = self.heard.refused.saturating_add(u32::from(is_final));
                }
                self.heard.zero = self.heard.proven && header.scur == Some(0);
            }
        }
        self.header = header;
        self.answer = check.status;
        if says.is_some() {
            self.heard.given = self.heard.given.saturating_add(1);
            self.heard.first.get_or_insert(check.at);
        }
    }

    /// What it says now, held against what was said in its name before.
    fn compare(&mut self, header: &Header, says: Option<Level>) {
        match says {
            // It is on its way.
            _ if header.progress.is_some() => {}
            Some(level) => {
                self.namesakes.told(level, header.state, self.heard.given > 0, self.heard.proven);
            }
            None if header.state == State::Up => self.namesakes.heard_up(&self.rhythm),
            None => {}
        }
    }

    /// Until when another process that asks in its name may yet say that it does not act on what is announced; `None` of
    /// one that is alone. Before `accepting` the agent could hear nobody.
    pub fn settles_at(&self, accepting: Moment) -> Option<Moment> {
        let heard = self.heard.otherwise.max(self.heard.first)?.max(accepting);
        self.namesakes.are_several().then(|| heard + self.rhythm.patience())
    }

    /// Whether of several that ask in its name one has said too often that it does not act on what is announced.
    pub fn one_refuses(&self, fall: u32) -> bool {
        let refused = self.heard.refused > fall.saturating_mul(UNPROVEN_TIMES);
        refused && self.namesakes.are_several() && !self.counts()
    }

    /// What counts of sessions or users: of several that ask in its name, what any has reported, for as long as it takes
    /// to be gone, although another has said since that it has none.
    pub fn in_all(&self, last: Option<u32>, reported: Option<Reported>, now: Moment) -> Option<u32> {
        let is_recent = |(at, _): &Reported| now < *at + self.rhythm.patience();
        let reported = reported.filter(|reported| self.namesakes.are_several() && is_recent(reported));
        reported.map(|(_, n)| n).or(last)
    }

    /// Whether it acts on `level`, in a balancer's usual time: `fall` answers.
    pub fn standing(&self, level: Level, fall: u32, silent: Duration) -> Standing {
        let state = self.header.as_ref().map(|header| header.state);
        if self.heard.proven {
            let failure = level == Level::Soft && state == Some(State::Down) && !self.heard.was_down;
            return if failure { Standing::TookForFailure } else { Standing::Proven };
        }
        let talks = matches!(state, Some(State::Up | State::Nolb | State::Down));
        if !talks && self.was_answered(fall) {
            return Standing::Answered;
        }
        if silent >= self.rhythm.patience() {
            return Standing::Gone;
        }
        if talks && !self.counts() && self.heard.given > fall.saturating_mul(UNPROVEN_TIMES) {
            return Standing::Unproven;
        }
        Standing::Pending
    }

    /// Whether it is on its way to another state.
    fn counts(&self) -> bool {
        self.header.as_ref().is_some_and(|header| header.progress.is_some())
    }

    /// `fall` answers, one for each of its longest intervals: the first comes at the end of one, so that they lie as many
    /// less one apart. That intervals are never quite even must not cost another answer.
    fn was_answered(&self, fall: u32) -> bool {
        let (Some(first), Some(last)) = (self.heard.first, self.rhythm.last()) else { return false };
        let Some(longest) = self.rhythm.longest() else { return false };
        let spanned = longest.saturating_mul(fall.saturating_sub(1));
        self.heard.given >= fall && last.since(first) + rhythm::slack(longest) >= spanned
    }

    /// Whether its weights can't show yet who goes at the same time. Another server's agent knows of this server from
    /// the first check on that comes after it was taken out, an interval later at most; until then that agent may
    /// announce a drain of its own, and this balancer's next header shows it.
    pub fn may_miss_others(&self) -> bool {
        self.header.as_ref().is_some_and(|header| header.weight.is_some()) && self.shown_out < SHOWS_OTHERS
    }

    /// Whether it asks by HAProxy's agent protocol alone.
    pub fn is_agent_check(&self) -> bool {
        self.key.is_agent_check()
    }

    /// Its name for people.
    pub fn called(&self) -> String {
        match (&self.key.node, &self.key.name) {
            (Some(node), Some(name)) => format!("{node} ({name}, {})", self.key.source),
            (Some(one), None) | (None, Some(one)) => format!("{one} ({})", self.key.source),
            (None, None) => self.key.source.to_string(),
        }
    }

    /// Whether its header can only come from a new process: a start's counter, a state that no answer explains, or
    /// checks out of their rhythm.
    fn shows_restart(&self, header: &Header, says: Option<Level>) -> bool {
        let Some(before) = &self.header else { return false };
        let (was, is) = (before.state, header.state);
        let fails = says.is_some() || self.answer != 200;
        let start = is == State::Up && matches!(header.progress, Some((1, of)) if of > 1);
        let counted_down = matches!(before.progress, Some((n, _)) if n <= 2 && was == State::Up)
            || (before.progress.is_none() && matches!(header.progress, Some((1, 2))));
        let back_without_cause = was != State::Up && is == State::Up && fails;
        let up = !fails && was == State::Up && is == State::Up && header.progress.is_none();
        // With `load-server-state-from-file` one begins as the one before has ended.
        let down = fails && self.shown_down >= STEADY_DOWN && header.progress.is_none();
        let steady = up || down;
        (start && !(fails && counted_down)) || back_without_cause || (steady && self.rhythm.is_broken())
    }
}

/// After so many headers in a row that show it as failed the last three intervals were all of that state (`downinter`),
/// and none of the way there (`fastinter`).
const STEADY_DOWN: u32 = 3;

/// A header that still says UP after more than so many times the answers that should have sufficed is believed to stay
/// so.
const UNPROVEN_TIMES: u32 = 2;

/// The first header that shows the server out comes an interval after it went; what others have announced until then
/// stands in the second.
const SHOWS_OTHERS: u32 = 2;

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::health::Way;

    pub(in super::super) fn balancer(checks: &[(u64, Option<&str>, Option<Level>)]) -> Balancer {
        let key = Key { source: [127, 0, 0, 1].into(), node: None, name: None };
        let mut balancer = Balancer::new(key, 0);
        for &(at_ms, state, says) in checks {
            let check = Check {
                at: Moment::from_boot(Duration::from_millis(at_ms)),
                source: ([127, 0, 0, 1], 5).into(),
                state: None,
                status: if says.is_some() { 500 } else { 200 },
                generation: 0,
                way: Way::Http,
                asks: None,
            };
            balancer.asked(&check, state.map(|state| Header::parse(state).unwrap()), says);
        }
        balancer
    }

    const SOFT: Option<Level> = Some(Level::Soft);
    const HARD: Option<Level> = Some(Level::Hard);

    fn standing(level: Level, checks: &[(u64, Option<&str>, Option<Level>)]) -> Standing {
        balancer(checks).standing(level, 3, Duration::ZERO)
    }

    #[test]
    fn soft_is_acknowledged_by_nolb() {
        let found = standing(Level::Soft, &[(0, Some("UP"), None), (500, Some("UP"), SOFT)]);
        assert_eq!(found, Standing::Pending);
        let found = standing(Level::Soft, &[(500, Some("UP"), SOFT), (1000, Some("NOLB"), SOFT)]);
        assert_eq!(found, Standing::Proven);
    }

    #[test]
    fn soft_seen_as_down_is_acknowledged_with_a_warning() {
        assert_eq!(standing(Level::Soft, &[(0, Some("DOWN"), SOFT)]), Standing::TookForFailure);
    }

    #[test]
    fn one_that_was_down_before_has_not_taken_soft_for_a_failure() {
        let was_down = [(0, Some("DOWN"), None), (500, Some("DOWN"), SOFT), (1000, Some("DOWN"), SOFT)];
        assert_eq!(standing(Level::Soft, &was_down), Standing::Proven);
        let goes_down = [(0, Some("UP"), None), (500, Some("UP"), SOFT), (1000, Some("DOWN"), SOFT)];
        assert_eq!(standing(Level::Soft, &goes_down), Standing::TookForFailure);
        let was_up_between =
            [&was_down[..], &[(1500, Some("UP"), SOFT), (2000, Some("DOWN"), SOFT)]].concat();
        assert_eq!(standing(Level::Soft, &was_up_between), Standing::TookForFailure);
    }

    #[test]
    fn hard_is_acknowledged_by_down_and_not_by_nolb() {
        assert_eq!(standing(Level::Hard, &[(0, Some("NOLB 1/3"), HARD)]), Standing::Pending);
        assert_eq!(standing(Level::Hard, &[(0, Some("DOWN 3/2"), HARD)]), Standing::Proven);
    }

    #[test]
    fn one_that_says_up_again_has_yet_to_act_anew() {
        let mut checks: Vec<_> = (0..10).map(|n| (n * 500, Some("DOWN"), HARD)).collect();
        assert_eq!(standing(Level::Hard, &checks), Standing::Proven);
        checks.push((5000, Some("UP"), HARD));
        assert_eq!(standing(Level::Hard, &checks), Standing::Pending);
        checks.push((5500, Some("DOWN"), HARD));
        assert_eq!(standing(Level::Hard, &checks), Standing::Proven);
    }

    #[test]
    fn without_header_fall_answers_suffice_one_for_each_interval() {
        let mut checks = vec![(0, None, None), (510, None, None), (1000, None, HARD), (1495, None, HARD)];
        assert_eq!(standing(Level::Hard, &checks), Standing::Pending);
        checks.push((1990, None, HARD));
        assert_eq!(standing(Level::Hard, &checks), Standing::Answered);
    }

    #[test]
    fn fast_checks_do_not_shorten_that_span() {
        let mut checks = vec![(0, None, None), (500, None, None), (1000, None, HARD)];
        checks.extend((1..5).map(|n| (1000 + n * 100, None, HARD)));
        assert_eq!(standing(Level::Hard, &checks), Standing::Pending);
    }

    #[test]
    fn a_silent_balancer_is_gone_after_its_patience() {
        let one = balancer(&[(0, Some("UP"), None), (500, Some("UP"), HARD)]);
        assert_eq!(one.standing(Level::Hard, 3, Duration::from_millis(4900)), Standing::Pending);
        assert_eq!(one.standing(Level::Hard, 3, Duration::from_secs(5)), Standing::Gone);
    }

    #[test]
    fn up_after_twice_the_answers_is_unproven() {
        let checks: Vec<_> = (0..7).map(|n| (n * 500, Some("UP"), SOFT)).collect();
        assert_eq!(standing(Level::Soft, &checks[..6]), Standing::Pending);
        assert_eq!(standing(Level::Soft, &checks), Standing::Unproven);
    }

    #[test]
    fn a_balancer_that_counts_down_is_waited_for() {
        let checks: Vec<_> = (0..20).map(|n| (n * 500, Some("UP 9/10"), HARD)).collect();
        assert_eq!(standing(Level::Hard, &checks), Standing::Pending);
    }

    #[test]
    fn who_goes_at_the_same_time_is_shown_by_the_second_header_without_this_server() {
        let misses = |checks: &[_]| balancer(checks).may_miss_others();
        let (up, out) = (Some("UP; weight=1/3"), Some("DOWN; weight=1/2"));
        assert!(misses(&[(0, up, None), (500, up, HARD), (1000, out, HARD)]));
        assert!(!misses(&[(0, up, None), (500, up, HARD), (1000, out, HARD), (1500, out, HARD)]));
        assert!(
            misses(&[(0, out, HARD), (500, out, HARD), (1000, up, None), (1500, out, HARD)]),
            "once more"
        );
        let soft = Some("NOLB; weight=1/2");
        assert!(!misses(&[(0, soft, SOFT), (500, soft, SOFT), (1000, soft, HARD)]), "out is out");
        assert!(!misses(&[(0, Some("DOWN"), HARD)]), "one without weights shows nobody at all");
    }

    #[test]
    fn zero_sessions_count_only_after_the_acknowledgement() {
        assert!(!balancer(&[(0, Some("UP; scur=0/1"), HARD)]).heard.zero);
        assert!(balancer(&[(0, Some("UP"), HARD), (500, Some("DOWN; scur=0/1"), HARD)]).heard.zero);
        assert!(!balancer(&[(500, Some("DOWN; scur=1/1"), HARD)]).heard.zero);
        assert!(!balancer(&[(500, Some("DOWN"), HARD)]).heard.zero);
    }

    #[test]
    fn a_new_process_shows_itself() {
        let restarted = |checks: &[_]| balancer(checks).restarted;
        // A start's counter.
        assert!(restarted(&[(0, Some("UP"), None), (500, Some("UP 1/3"), None)]));
        // Failures that count down are no start.
        let failing = [(0, Some("UP"), HARD), (1, Some("UP 2/3"), HARD), (2, Some("UP 1/3"), HARD)];
        assert!(!restarted(&failing));
        // Up again although it was told otherwise.
        assert!(restarted(&[(0, Some("DOWN"), HARD), (500, Some("UP"), HARD)]));
        // Out of rhythm.
        assert!(restarted(&[0, 500, 1000, 1200, 1700].map(|at| (at, Some("UP"), None))));
        assert!(!restarted(&[0, 500, 1000, 1500, 2000].map(|at| (at, Some("UP"), None))));
    }

    #[test]
    fn a_new_process_that_begins_with_the_state_of_the_one_before_shows_itself_by_its_rhythm() {
        let down = |at| (at, Some("DOWN; scur=0/1"), HARD);
        let way = [(0, Some("UP"), HARD), (500, Some("UP 2/3"), HARD), (600, Some("UP 1/3"), HARD)];
        let with = |after: &[u64]| {
            let checks: Vec<_> = way.into_iter().chain(after.iter().copied().map(down)).collect();
            balancer(&checks).restarted
        };
        assert!(!with(&[700, 1700, 2700, 3700]), "fast on the way, and slower then");
        assert!(with(&[700, 1700, 2700, 3000]));
        assert!(with(&[700, 1700, 2700, 3700, 4700, 5100]));
        assert!(!with(&[700, 900]), "whether that is a new one can't be told yet");
    }
}
