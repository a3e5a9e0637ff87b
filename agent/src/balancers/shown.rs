//! The table as `drainctl` shows it.

use super::{Balancer, Key, Standing, Table};
use crate::{clock::Moment, config::MinRemaining, control::api, lifecycle::Level};

impl Table {
    /// All balancers, as they stand `now`; `least`: what the guard wants to remain.
    pub fn shown(&self, least: MinRemaining, now: Moment) -> Vec<api::Balancer> {
        self.balancers().map(|balancer| self.show(balancer, least, now)).collect()
    }

    /// Where each balancer stands to what is announced; nobody where nothing is.
    pub fn standings(&self, now: Moment) -> impl Iterator<Item = (&Key, Standing)> {
        self.balancers().filter_map(move |balancer| Some((&balancer.key, self.standing(balancer, now)?)))
    }

    /// How many have acknowledged, of how many that are known or expected.
    pub fn count(&self, now: Moment) -> (u32, u32) {
        let all = self.balancers().count() + self.absent().count();
        let acting = self
            .balancers()
            .filter(|balancer| self.standing(balancer, now) != Some(Standing::Pending))
            .count();
        (if self.announced().is_some() { acting as u32 } else { 0 }, all as u32)
    }

    fn show(&self, balancer: &Balancer, least: MinRemaining, now: Moment) -> api::Balancer {
        let standing = self.standing(balancer, now);
        let header = balancer.header.as_ref();
        let last = balancer.rhythm.last().unwrap_or(now);
        api::Balancer {
            source: balancer.key.source,
            node: balancer.key.node.clone(),
            name: balancer.key.name.clone(),
            since_unix: balancer.since_unix,
            interval_seconds: balancer.rhythm.longest().map(|longest| longest.as_secs_f64()),
            last_seconds: now.since(last).as_secs_f64(),
            answer: balancer.answer,
            view: header.map(super::Header::view),
            weight: header.and_then(|header| header.weight).map(|(own, total)| format!("{own}/{total}")),
            scur: header.and_then(|header| header.scur),
            users: header.and_then(|header| header.users),
            acknowledged: standing.is_some_and(|standing| standing != Standing::Pending),
            why: why(balancer, standing, self.announced()),
            gone: self.is_gone(balancer, now),
            remaining: balancer.remaining(),
            too_few: balancer.too_few(least),
            alone: balancer.is_alone(),
        }
    }
}

fn why(balancer: &Balancer, standing: Option<Standing>, level: Option<Level>) -> String {
    let view = balancer.header.as_ref().map(super::Header::view);
    let answers = match balancer.heard.given {
        1 => "1 answer".to_owned(),
        given => format!("{given} answers"),
    };
    match (standing, view) {
        (None, _) => "nothing is announced".into(),
        (Some(Standing::Proven), Some(view)) => format!("says {view}"),
        (Some(Standing::Proven), None) => "has said so".into(),
        (Some(Standing::TookForFailure), _) => "takes soft for a failure, and has moved the users".into(),
        (Some(Standing::Answered), _) => format!("was given {answers}"),
        (Some(Standing::Gone), _) => "does not ask any more".into(),
        (Some(Standing::Unproven), _) if balancer.namesakes.have_shown() => {
            let refused = balancer.heard.refused;
            format!("one of those that call themselves the same does not act on it, after {refused} answers")
        }
        (Some(Standing::Unproven), view) => {
            format!("still says {} after {answers}", view.unwrap_or_default())
        }
        (Some(Standing::Pending), _) if balancer.heard.given == 0 => {
            "has not asked since the announcement".into()
        }
        (Some(Standing::Pending), Some(view)) if balancer.heard.proven => {
            format!("says {view}; others that call themselves the same may not have said so yet")
        }
        (Some(Standing::Pending), Some(view)) => {
            let wanted = if level == Some(Level::Soft) { "NOLB" } else { "DOWN" };
            format!("says {view}, not yet {wanted}, after {answers}")
        }
        (Some(Standing::Pending), None) => format!("was given only {answers}"),
    }
}
