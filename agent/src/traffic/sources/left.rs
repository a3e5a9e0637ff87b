//! What all sources say of the moment at which what was to follow zero begins: what is cut, and what stays open that
//! nobody waits for.

use super::{Kind, Source, Sources};
use crate::{
    clock::Moment,
    config::LongLived,
    report::{Cut, LeftOpen, Peer},
    traffic::{Reading, Silence, quiet::Found, sockets::Left},
};

impl Sources {
    /// What is cut now, as a look at the sockets has found it, and the others at their last readings. A look that could
    /// not be made leaves what the one before has found.
    pub fn cut(&self, at: Moment, left: &Result<Left, String>) -> Cut {
        let mut cut = Cut::default();
        let (mut counted, mut unknown) = (Vec::new(), Vec::new());
        if let Err(why) = left {
            unknown.push(self.sockets.unknown(why));
        }
        if let Some(reading) = self.open(left) {
            counted.push(match self.sockets.long_lived {
                LongLived::Wait => reading.open(),
                LongLived::IgnoreAfter(_) if self.awaits_answered(&reading) => {
                    reading.in_flight().saturating_add(reading.answered.count)
                }
                LongLived::Quiet | LongLived::IgnoreAfter(_) => reading.in_flight(),
            });
            cut.held_by.extend(self.sockets.quiet.held_by(at, reading));
        }
        for source in [&self.balancers].into_iter().chain(&self.configured) {
            match source.quiet.found() {
                Found::Unknown(why) => unknown.push(source.unknown(why)),
                Found::Busy(what) => cut.held_by.push(source.holds(what)),
                Found::Clear => {}
            }
            counted.extend(self.counted(source));
        }
        let peers = peers_of(left).iter().map(|peer| match self.sockets.long_lived {
            LongLived::Wait => Peer { in_flight: peer.in_flight.saturating_add(peer.idle), idle: 0, ..*peer },
            LongLived::Quiet | LongLived::IgnoreAfter(_) => *peer,
        });
        cut.peers = peers.filter(|peer| peer.in_flight > 0).collect();
        let most = counted.into_iter().max();
        // Zero is known only where all can tell.
        cut.in_flight = most.filter(|most| *most > 0 || unknown.is_empty());
        cut.unknown = (!unknown.is_empty()).then(|| unknown.join("; "));
        cut
    }

    /// What stays open now although it is not waited for, likewise. `waited`: what may be in flight was waited for until a
    /// limit.
    pub fn left_open(&self, left: &Result<Left, String>, waited: bool) -> Option<LeftOpen> {
        let rule = self.sockets.long_lived;
        let reading = self.open(left).filter(|_| rule != LongLived::Wait)?;
        let Reading { unsure, opaque, answered, fresh, .. } = reading;
        let untold = [unsure, opaque].iter().filter(|_| !waited).map(|Silence { count, .. }| count).sum();
        let peers = peers_of(left).iter().filter(|peer| peer.idle > 0).copied().collect();
        let answered = if waited && self.awaits_answered(&reading) { 0 } else { answered.count };
        let open = LeftOpen { answered, fresh, untold, long_lived: rule.to_string(), peers };
        (open.count() > 0).then_some(open)
    }

    /// Whether connections that look answered hold a drain: by `long_lived` they do until all have been silent for so long.
    fn awaits_answered(&self, reading: &Reading) -> bool {
        let LongLived::IgnoreAfter(after) = self.sockets.long_lived else { return false };
        reading.answered.shortest.is_some_and(|silent| silent < after)
    }

    /// Whether anything was open at the last look.
    pub fn any_open(&self) -> bool {
        self.last_look().is_some_and(|reading| reading.open() > 0)
    }

    /// The connections that are open.
    fn open(&self, left: &Result<Left, String>) -> Option<Reading> {
        left.as_ref().map_or_else(|_| self.last_look(), |left| Some(left.reading))
    }

    fn last_look(&self) -> Option<Reading> {
        self.sockets.last_reading()
    }

    /// How many requests are in flight, as the one source says that has seen most of them, each at its last reading.
    /// `None` before the first look at the sockets, and where one can't be read and the others see none.
    pub fn in_flight(&self) -> Option<u32> {
        self.sockets.last.as_ref()?;
        let most = self.all().filter_map(|source| self.counted(source)).max();
        let all_looked =
            self.all().all(|source| !matches!(source.kind, Kind::InFlight) || source.last.is_some());
        most.filter(|most| *most > 0 || (all_looked && self.unknown().is_empty()))
    }

    /// How many requests a source has seen in flight; nothing of one that does not count them.
    fn counted(&self, source: &Source) -> Option<u32> {
        match source.kind {
            Kind::Sessions => self.sessions.in_flight,
            Kind::InFlight | Kind::Connections => source.last_reading().map(|reading| reading.in_flight()),
            Kind::Ends => None,
        }
    }
}

fn peers_of(left: &Result<Left, String>) -> &[Peer] {
    left.as_ref().map_or(&[], |left| &left.peers)
}

impl Source {
    fn last_reading(&self) -> Option<Reading> {
        let (_, reading) = self.last.as_ref()?;
        reading.as_ref().ok().copied()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::balancers::Sessions;

    fn at() -> Moment {
        Moment::from_boot(Duration::from_secs(100))
    }

    fn sources(long_lived: LongLived, sessions: Sessions, gauge: Result<Reading, String>) -> Sources {
        let configured = [("gauge http://g".into(), Kind::InFlight), ("access_log /l".into(), Kind::Ends)];
        let mut sources = Sources::new(long_lived, configured);
        sources.look(at().into(), Ok(Reading::default()), sessions, false);
        sources.read(0, at().into(), gauge);
        sources.read(1, at().into(), Ok(Reading { requests: Some(9), ..Reading::EMPTY }));
        sources
    }

    fn quiet_others(long_lived: LongLived) -> Sources {
        sources(long_lived, Sessions::default(), Ok(Reading::EMPTY))
    }

    fn silent(count: u32) -> Silence {
        Silence { count, shortest: Some(Duration::from_mins(1)) }
    }

    fn peer(in_flight: u32, idle: u32) -> Peer {
        Peer { address: [10, 0, 0, 9].into(), in_flight, idle }
    }

    fn left(reading: Reading, peers: &[Peer]) -> Left {
        Left { reading, peers: peers.to_vec() }
    }

    const EMPTY: Reading = Reading::EMPTY;

    #[test]
    fn requests_on_sockets_are_cut_by_peer_and_idle_connections_are_not() {
        let found = Ok(left(Reading { busy: 3, answered: silent(2), ..EMPTY }, &[peer(3, 2)]));
        let cut = quiet_others(LongLived::Quiet).cut(at(), &found);
        assert_eq!((cut.in_flight, cut.unknown), (Some(3), None));
        assert_eq!((cut.held_by, cut.peers), (vec!["3 in flight".to_owned()], vec![peer(3, 2)]));
        let idle = Ok(left(Reading { answered: silent(2), ..EMPTY }, &[peer(0, 2)]));
        assert!(quiet_others(LongLived::Quiet).cut(at(), &idle).peers.is_empty());
    }

    #[test]
    fn connections_to_a_unix_socket_are_no_zero() {
        let found = Ok(left(Reading { opaque: silent(2), ..EMPTY }, &[]));
        let cut = quiet_others(LongLived::Quiet).cut(at(), &found);
        assert_eq!(cut.in_flight, Some(2));
        assert_eq!(cut.held_by, ["2 open on a unix socket, perhaps in flight"]);
    }

    #[test]
    fn where_every_open_connection_holds_each_is_cut() {
        let found = Ok(left(Reading { answered: silent(4), fresh: 1, ..EMPTY }, &[peer(0, 5)]));
        let sources = quiet_others(LongLived::Wait);
        let cut = sources.cut(at(), &found);
        assert_eq!((cut.in_flight, cut.peers), (Some(5), vec![peer(5, 0)]));
        assert_eq!(cut.held_by, ["5 open"]);
        assert_eq!(sources.left_open(&found, true), None, "told once");
    }

    #[test]
    fn what_was_not_silent_for_long_enough_is_cut_and_not_told_as_ignored() {
        let spoke = Silence { count: 2, shortest: Some(Duration::from_secs(5)) };
        let found = Ok(left(Reading { answered: spoke, ..EMPTY }, &[]));
        let sources = quiet_others(LongLived::IgnoreAfter(Duration::from_secs(30)));
        assert_eq!(sources.cut(at(), &found).in_flight, Some(2));
        assert_eq!(sources.left_open(&found, true), None);
    }

    #[test]
    fn what_balancers_and_gauges_count_is_cut_although_the_sockets_look_idle() {
        let sessions = Sessions { in_flight: Some(2), ..Sessions::default() };
        let sources = sources(LongLived::Quiet, sessions, Ok(Reading { busy: 4, ..EMPTY }));
        let cut = sources.cut(at(), &Ok(left(EMPTY, &[])));
        assert_eq!((cut.in_flight, cut.unknown), (Some(4), None));
        assert_eq!(cut.held_by, ["balancers report 2 in flight", "gauge http://g: 4 in flight"]);
    }

    #[test]
    fn in_flight_is_what_the_source_says_that_sees_most() {
        let sessions = Sessions { in_flight: Some(2), ..Sessions::default() };
        let gauge = |busy| Ok(Reading { busy, ..EMPTY });
        assert_eq!(sources(LongLived::Quiet, sessions, gauge(0)).in_flight(), Some(2));
        assert_eq!(sources(LongLived::Quiet, sessions, gauge(4)).in_flight(), Some(4));
        assert_eq!(quiet_others(LongLived::Quiet).in_flight(), Some(0));
        let refused = || Err("refused".to_owned());
        assert_eq!(sources(LongLived::Quiet, sessions, refused()).in_flight(), Some(2), "at least");
        assert_eq!(sources(LongLived::Quiet, Sessions::default(), refused()).in_flight(), None);
        assert_eq!(Sources::new(LongLived::Quiet, []).in_flight(), None, "nobody has looked");
    }

    #[test]
    fn unknown_is_never_zero() {
        let refused = || sources(LongLived::Quiet, Sessions::default(), Err("refused".into()));
        let cut = refused().cut(at(), &Ok(left(EMPTY, &[])));
        assert_eq!((cut.in_flight, cut.unknown.as_deref()), (None, Some("gauge http://g: refused")));
        let cut = refused().cut(at(), &Ok(left(Reading { busy: 1, ..EMPTY }, &[])));
        assert_eq!(cut.in_flight, Some(1), "at least");
        let late = Err("late".to_owned());
        let cut = quiet_others(LongLived::Quiet).cut(at(), &late);
        assert_eq!((cut.in_flight, cut.unknown.as_deref()), (None, Some("sockets: late")));
    }

    #[test]
    fn a_look_that_fails_leaves_what_was_found_before() {
        let mut sources = quiet_others(LongLived::Quiet);
        let before = Reading { busy: 2, fresh: 1, ..EMPTY };
        sources.look(at().into(), Ok(before), Sessions::default(), false);
        let late = Err("late".to_owned());
        assert_eq!(sources.cut(at(), &late).in_flight, Some(2));
        assert_eq!(sources.left_open(&late, true).map(|open| open.fresh), Some(1));
    }

    #[test]
    fn only_where_all_agree_nothing_was_in_flight() {
        let cut = quiet_others(LongLived::Quiet).cut(at(), &Ok(left(EMPTY, &[])));
        assert_eq!(cut, Cut { in_flight: Some(0), ..Cut::default() });
    }

    #[test]
    fn what_is_not_waited_for_is_told_with_the_rule_and_its_peers() {
        let found = Ok(left(Reading { answered: silent(3), fresh: 2, ..EMPTY }, &[peer(0, 5)]));
        let open = quiet_others(LongLived::Quiet).left_open(&found, false).unwrap();
        assert_eq!((open.answered, open.fresh, open.peers.as_slice()), (3, 2, &[peer(0, 5)][..]));
        let told =
            "5 open, not waited for by drain.long_lived = \"quiet\": 3 answered, 2 never asked anything";
        assert_eq!(open.to_string(), told);
        assert_eq!(quiet_others(LongLived::Quiet).left_open(&Ok(left(EMPTY, &[])), false), None);
    }

    #[test]
    fn what_was_silent_for_so_long_that_it_is_ignored_is_told_as_what_may_be_in_flight() {
        let found = Ok(left(Reading { opaque: silent(2), ..EMPTY }, &[]));
        let sources = quiet_others(LongLived::IgnoreAfter(Duration::from_secs(30)));
        let told = "2 open, not waited for by drain.long_lived = \"ignore after 30s\": 2 perhaps in flight";
        assert_eq!(sources.left_open(&found, false).unwrap().to_string(), told);
        assert_eq!(sources.left_open(&found, true), None, "that is cut");
    }
}
