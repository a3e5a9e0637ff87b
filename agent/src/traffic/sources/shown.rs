//! The sources as `drainctl` shows them.

use super::{Kind, Source, Sources};
use crate::{
    balancers::Sessions,
    clock::Moment,
    control::api,
    lifecycle::Traffic,
    traffic::{Reading, quiet::Found},
};

impl Sources {
    /// All sources, as they stand `now`. `draining`: something waits for their silence.
    pub fn shown(&self, now: Moment, draining: bool) -> Vec<api::Source> {
        let mut shown = vec![self.sockets.shown(now, draining)];
        let Sessions { in_flight, idle, users, .. } = self.sessions;
        if in_flight.is_some() || users.is_some() {
            shown.push(api::Source { in_flight, idle, users, ..self.balancers.shown(now, draining) });
        }
        shown.extend(self.configured.iter().map(|source| source.shown(now, draining)));
        shown
    }
}

impl Source {
    fn shown(&self, now: Moment, draining: bool) -> api::Source {
        let reading = self.last.as_ref().and_then(|(_, reading)| reading.as_ref().ok());
        let (verdict, why) = match self.quiet.found() {
            Found::Unknown(why) => (api::Verdict::Unknown, why),
            Found::Busy(what) => (api::Verdict::Holds, what),
            Found::Clear => (api::Verdict::Quiet, ""),
        };
        let quiet = match self.quiet.traffic(false) {
            Traffic::Quiet { since, .. } if draining => Some(now.since(since).as_secs_f64()),
            _ => None,
        };
        let kind = self.kind;
        api::Source {
            name: self.name.to_string(),
            in_flight: reading.filter(|_| kind != Kind::Ends).map(Reading::in_flight),
            idle: reading.filter(|_| kind == Kind::Connections).map(Reading::idle),
            users: None,
            requests: reading.and_then(|reading| reading.requests),
            last_seconds: self.activity.map(|at| now.since(at).as_secs_f64()),
            age_seconds: self.last.as_ref().map(|(at, _)| now.since(*at).as_secs_f64()),
            quiet_seconds: quiet,
            verdict,
            why: why.to_owned(),
        }
    }
}
