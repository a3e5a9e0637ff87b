//! The sources of a server's traffic, and what they say together.
//!
//! | a source | is |
//! |---|---|
//! | `sockets` | the kernel's socket table; read at every look |
//! | `balancers` | the sessions and users that balancers report with their checks; read at every look |
//! | `access_log …`, `journal …`, `gauge …` | what `[[traffic]]` names; each read by itself |
//!
//! It is quiet when all of them agree, for the time that is needed: each has been read twice since then, and none has
//! found anything. One that can't be read holds a drain whatever the others say.

mod left;
mod shown;

use std::{sync::Arc, time::Duration};

use super::{
    Reading,
    quiet::{During, Quiet},
};
use crate::{
    balancers::Sessions,
    clock::Moment,
    config::{Config, LongLived},
    lifecycle::Traffic,
};

/// All of a server's sources.
#[derive(Clone, Debug)]
pub struct Sources {
    sockets: Source,
    balancers: Source,
    /// What the balancers report, as it was at the last look.
    sessions: Sessions,
    /// What `[[traffic]]` names, in its order.
    configured: Vec<Source>,
}

/// What a source can see.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// The server's connections, busy or idle.
    Connections,
    /// Sessions and users, as balancers report them.
    Sessions,
    /// Only how many requests are in flight.
    InFlight,
    /// Only that requests have ended.
    Ends,
}

/// One source.
#[derive(Clone, Debug)]
struct Source {
    /// As people know it.
    name: Arc<str>,
    kind: Kind,
    long_lived: LongLived,
    quiet: Quiet,
    /// When it was last read, and what it said.
    last: Option<(Moment, Result<Reading, String>)>,
    /// When it last showed that somebody used the server.
    activity: Option<Moment>,
}

/// What has become of a source since it was read before.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum News {
    /// It can't be read any more.
    Lost {
        /// Its name.
        source: Arc<str>,
        /// What was expected, what was found, what to do.
        why: String,
    },
    /// It can be read again.
    Back {
        /// Its name.
        source: Arc<str>,
    },
}

impl Sources {
    /// The sockets, the balancers, and the configured ones by their names.
    pub fn new(long_lived: LongLived, configured: impl IntoIterator<Item = (Arc<str>, Kind)>) -> Self {
        // A connection that stays open is the sockets' business alone.
        let other = |(name, kind)| Source::new(name, kind, LongLived::Quiet);
        Self {
            sockets: Source::new("sockets".into(), Kind::Connections, long_lived),
            balancers: other(("balancers".into(), Kind::Sessions)),
            sessions: Sessions::default(),
            configured: configured.into_iter().map(other).collect(),
        }
    }

    /// Those of a configuration.
    pub fn of(config: &Config) -> Self {
        let configured = config.traffic.iter().map(|traffic| (traffic.name(), traffic.into()));
        Self::new(config.drain.long_lived, configured)
    }

    /// A drain begins: what was seen before says nothing of it.
    pub fn begin_anew(&mut self) {
        for source in [&mut self.sockets, &mut self.balancers].into_iter().chain(&mut self.configured) {
            source.quiet = Quiet::new(source.long_lived);
        }
    }

    /// The configured sources are read by others from now on, which know nothing of what was before.
    pub fn read_anew(&mut self) {
        for source in &mut self.configured {
            source.quiet = Quiet::new(source.long_lived);
        }
    }

    /// Takes a look at the sockets, and what the balancers report at the same time. Users hold `soft` alone.
    pub fn look(
        &mut self,
        at: During,
        reading: Result<Reading, String>,
        sessions: Sessions,
        soft: bool,
    ) -> Option<News> {
        let in_flight =
            sessions.in_flight.filter(|count| *count > 0).map(|count| format!("{count} in flight"));
        let users = sessions.users.filter(|count| soft && *count > 0).map(|count| format!("{count} users"));
        // Not as a reading, so that users are named as such.
        let _always_read = self.balancers.read(at, Ok(Reading::default()), in_flight.or(users));
        self.sessions = sessions;
        self.sockets.read(at, reading, None)
    }

    /// Takes a reading of the configured source `index`.
    pub fn read(&mut self, index: usize, at: During, reading: Result<Reading, String>) -> Option<News> {
        self.configured.get_mut(index)?.read(at, reading, None)
    }

    /// The last look at the sockets.
    pub fn sockets(&self) -> Option<&(Moment, Result<Reading, String>)> {
        self.sockets.last.as_ref()
    }

    /// What they say together. `all_zero`: every balancer has reported that it has no session here.
    ///
    /// | any unknown | any busy | |
    /// |---|---|---|
    /// | yes | | unknown |
    /// | no | yes | busy |
    /// | no | no | quiet since the last of them became so, as far as the one that was read longest ago tells |
    pub fn traffic(&self, all_zero: bool) -> Traffic {
        let mut together: Option<Traffic> = None;
        for source in self.all() {
            let says = source.says(all_zero);
            together = Some(match together {
                None => says,
                Some(before) => both(before, says),
            });
        }
        together.unwrap_or_else(|| Traffic::Unknown("there is no source".into()))
    }

    /// When readings of all sources may find what is waited for, as [`Quiet::due`] says it of each.
    pub fn due(&self, needed: Duration, acknowledged: Moment, all_zero: bool) -> Option<Moment> {
        let due = self.all().map(|source| source.quiet.due(needed, acknowledged, all_zero));
        due.collect::<Option<Vec<_>>>()?.into_iter().max()
    }

    /// Why sources can't be read; empty where all can.
    pub fn unknown(&self) -> Vec<String> {
        let failed = |source: &Source| {
            let (_, reading) = source.last.as_ref()?;
            reading.as_ref().err().map(|why| source.unknown(why))
        };
        self.all().filter_map(failed).collect()
    }

    /// What is not waited for although it is open, for people.
    pub fn ignored(&self) -> Option<String> {
        self.sockets.quiet.ignored()
    }

    fn all(&self) -> impl Iterator<Item = &Source> {
        [&self.sockets, &self.balancers].into_iter().chain(&self.configured)
    }
}

impl Source {
    fn new(name: Arc<str>, kind: Kind, long_lived: LongLived) -> Self {
        Self { name, kind, long_lived, quiet: Quiet::new(long_lived), last: None, activity: None }
    }

    fn read(&mut self, at: During, reading: Result<Reading, String>, held: Option<String>) -> Option<News> {
        let spoke = match &reading {
            Ok(reading) if reading.in_flight() > 0 || held.is_some() => Some(at.ended),
            Ok(reading) => reading.spoke().map(|ago| at.ended.before(ago)),
            Err(_) => None,
        };
        self.activity = self.activity.max(spoke);
        let failed = self.last.as_ref().is_some_and(|(_, last)| last.is_err());
        let news = match &reading {
            Err(why) if !failed => Some(News::Lost { source: Arc::clone(&self.name), why: why.clone() }),
            Ok(_) if failed => Some(News::Back { source: Arc::clone(&self.name) }),
            _ => None,
        };
        self.quiet.look(at, reading.clone(), held);
        self.last = Some((at.began, reading));
        news
    }

    /// What it says by itself.
    fn says(&self, all_zero: bool) -> Traffic {
        match self.quiet.traffic(all_zero) {
            Traffic::Unknown(why) => Traffic::Unknown(self.unknown(&why)),
            Traffic::Busy(what) => Traffic::Busy(self.holds(&what)),
            quiet @ Traffic::Quiet { .. } => quiet,
        }
    }

    /// That it can't be read, by its name.
    fn unknown(&self, why: &str) -> String {
        format!("{}: {why}", self.name)
    }

    /// What it holds by, by its name; the sockets' numbers need none.
    fn holds(&self, what: &str) -> String {
        match self.kind {
            Kind::Connections => what.to_owned(),
            Kind::Sessions => format!("{} report {what}", self.name),
            Kind::InFlight | Kind::Ends => format!("{}: {what}", self.name),
        }
    }
}

/// What two sources say together; the first one's words come first.
fn both(one: Traffic, other: Traffic) -> Traffic {
    match (one, other) {
        (unknown @ Traffic::Unknown(_), _) | (_, unknown @ Traffic::Unknown(_)) => unknown,
        (busy @ Traffic::Busy(_), _) | (_, busy @ Traffic::Busy(_)) => busy,
        (
            Traffic::Quiet { since, previous, last, empty, abandoned },
            Traffic::Quiet {
                since: since2,
                previous: previous2,
                last: last2,
                empty: empty2,
                abandoned: gone2,
            },
        ) => Traffic::Quiet {
            since: since.max(since2),
            previous: previous.min(previous2),
            last: last.min(last2),
            empty: empty.zip(empty2).map(|(one, other)| one.min(other)),
            // Only the sockets can tell, and nobody who is gone writes a log.
            abandoned: abandoned.or(gone2),
        },
    }
}

#[cfg(test)]
mod tests;
