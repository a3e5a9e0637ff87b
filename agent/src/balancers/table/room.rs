//! Room in the table, and those for whom there is none.

use std::{net::IpAddr, time::Duration};

use super::{Key, Moment, Rhythm, Table, UNKNOWN};

/// How many balancers are kept. A server with more is not known; each takes about 600 bytes.
pub(super) const BALANCERS: usize = 256;
/// How many of them may come from one address: a balancer may have the server in many backends, but none may fill the
/// table.
pub(super) const PER_SOURCE: usize = 64;

/// Who asks more rarely than that has no rhythm here: balancers ask every few seconds, and the rarest once a minute.
const RAREST: Duration = Duration::from_mins(5);

/// What has no room for one more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Full {
    /// The table.
    Table,
    /// The part of it that one address may have.
    Source(IpAddr),
}

/// Those for whom there was no room. Nobody knows what they do, so that no drain is acknowledged as long as they ask.
#[derive(Clone, Debug)]
pub(super) struct TurnedAway {
    full: Full,
    /// When they have asked, all together.
    rhythm: Rhythm,
}

impl Table {
    /// Room for this one more: those that are gone make it. One that is expected takes the place of who came last, if
    /// nobody is gone. Where there is none, that is noted.
    pub(super) fn has_room(&mut self, newcomer: &Key, now: Moment) -> bool {
        let Err(full) = self.make_room(newcomer, now) else { return true };
        let before = self.turned_away.take().filter(|before| before.full == full && before.is_recent(now));
        let mut away = before.unwrap_or_else(|| TurnedAway { full, rhythm: Rhythm::default() });
        away.rhythm.beat(now);
        self.turned_away = Some(away);
        false
    }

    fn make_room(&mut self, newcomer: &Key, now: Moment) -> Result<(), Full> {
        let source = newcomer.source;
        let crowded = self.balancers.keys().filter(|key| key.source == source).count() >= PER_SOURCE;
        if !crowded && self.balancers.len() < BALANCERS {
            return Ok(());
        }
        let among = || self.balancers.values().filter(|balancer| !crowded || balancer.key.source == source);
        let gone = among()
            .filter(|balancer| self.is_gone(balancer, now) && !self.stands_for_expected(balancer))
            .min_by_key(|balancer| balancer.rhythm.last());
        let last = || {
            let strangers = among().filter(|balancer| !self.expects(&balancer.key));
            strangers.max_by_key(|balancer| balancer.since_unix).filter(|_| self.expects(newcomer))
        };
        let Some(gives_way) = gone.or_else(last).map(|balancer| balancer.key.clone()) else {
            return Err(if crowded { Full::Source(source) } else { Full::Table });
        };
        self.balancers.remove(&gives_way);
        Ok(())
    }

    /// Who asks lately and has no room, for people.
    pub(super) fn turned_away(&self, now: Moment) -> Option<String> {
        let away = self.turned_away.as_ref().filter(|away| away.lately(now))?;
        Some(match away.full {
            Full::Table => format!(
                "more balancers ask than the {BALANCERS} that are known: name the networks of yours in balancers.trust, or \
                 the others in balancers.ignore"
            ),
            Full::Source(source) => format!(
                "{source} asks as more than the {PER_SOURCE} balancers that are known of one address: if it has the server \
                 in so many backends, let some of them `track` another's server, whose checks they share"
            ),
        })
    }

    /// When those for whom there was no room will have been silent for long enough.
    pub(super) fn turned_away_until(&self) -> Option<Moment> {
        self.turned_away.as_ref().map(TurnedAway::until)
    }
}

impl TurnedAway {
    /// Whether what asks now is the same as before, as far as that can be told.
    fn is_recent(&self, now: Moment) -> bool {
        now.since(self.rhythm.last().unwrap_or_default()) < RAREST
    }

    fn lately(&self, now: Moment) -> bool {
        now < self.until()
    }

    fn until(&self) -> Moment {
        self.rhythm.last().unwrap_or_default() + self.rhythm.patience().max(UNKNOWN)
    }
}
