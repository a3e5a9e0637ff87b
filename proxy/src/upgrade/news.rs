//! What becomes of servers after a takeover, for the earlier process: it still has requests and clients, and makes no
//! checks.
//!
//! The process that has taken over looks at its servers every [`TELL_EVERY`] and says what is another than it said
//! last. The earlier one makes its own servers the same, so that its users are sent where those of the other are.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::knowledge::{servers, without_users};
use super::message::{Known, News, Standing};
use crate::backend::{Administration, Asked, Backend, Operation, Server};

/// How often servers are looked at: a server says that it goes and is believed to have been heard not before its next
/// check, which is later than this.
pub const TELL_EVERY: Duration = Duration::from_millis(50);

/// How often all is said anew: a check of the earlier process that ended while it was relieved may have said something
/// else afterwards.
const ALL_EVERY: Duration = Duration::from_secs(10);

/// Says what is another than it said last.
#[derive(Debug, Default)]
pub(super) struct Teller {
    said: Vec<(usize, Said)>,
    all_due: Option<Instant>,
}

/// What is said of a server.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Said {
    checks: Operation,
    draining: bool,
    asked: Asked,
    ordered: Administration,
    weight: u16,
    maxconn: Option<u32>,
}

impl Said {
    fn of(server: &Server) -> Self {
        Self {
            checks: server.checks(),
            draining: server.is_draining(),
            asked: server.asked(),
            ordered: server.ordered(),
            weight: server.weight(),
            maxconn: server.maxconn_asked(),
        }
    }
}

impl Teller {
    /// What is to be said now, if anything.
    pub(super) fn news(&mut self, backends: &[Arc<Backend>], now: Instant) -> Option<News> {
        // Another configuration has other servers: they are all told anew.
        let is_same = servers(backends).map(|(_, server)| server.identity());
        let is_same = is_same.eq(self.said.iter().map(|(identity, _)| *identity));
        let complete = !is_same || self.all_due.is_none_or(|due| now >= due);
        if complete {
            self.all_due = Some(now + ALL_EVERY);
            self.said = servers(backends).map(|(_, server)| (server.identity(), Said::of(server))).collect();
            let all = servers(backends).map(|(backend, server)| without_users(backend, server, now));
            return Some(News { complete, servers: all.collect() });
        }
        let mut others = Vec::new();
        for ((backend, server), (_, said)) in servers(backends).zip(&mut self.said) {
            let is = Said::of(server);
            if is != *said {
                *said = is;
                others.push(without_users(backend, server, now));
            }
        }
        (!others.is_empty()).then_some(News { complete, servers: others })
    }
}

/// Makes servers what another process says of them. Those that it does not know, and whose first check has not come
/// back, are taken for up: there will be none.
pub fn follow(backends: &[Arc<Backend>], news: &News) {
    let known: HashMap<(&str, &str, SocketAddr), &Known> = news
        .servers
        .iter()
        .map(|known| ((&*known.name.backend, &*known.name.server, known.name.address), known))
        .collect();
    for (backend, server) in servers(backends) {
        if let Some(known) = known.get(&key(backend, server)) {
            make(backend, server, known);
        }
    }
    if news.complete {
        for backend in backends {
            backend.check_no_more(|server| !known.contains_key(&key(backend, server)));
        }
    }
}

/// What tells a server from all others, in both processes.
fn key<'a>(backend: &'a Backend, server: &'a Server) -> (&'a str, &'a str, SocketAddr) {
    (backend.name(), server.name(), server.settings().address)
}

fn make(backend: &Arc<Backend>, server: &Server, known: &Known) {
    let index = server.index();
    let orders = known.orders.unwrap_or_default();
    let checks = match (orders.checks, server.checks()) {
        (Standing::Soft, _) => Operation::Soft,
        (Standing::Down, _) => Operation::Down,
        (Standing::Unchecked, Operation::Unchecked) => Operation::Unchecked,
        (Standing::Up | Standing::Unchecked, _) => Operation::Up,
        (Standing::Unknown, checks) => checks,
    };
    if checks != server.checks() || known.draining != server.is_draining() {
        backend.set_operation(index, checks, known.draining);
    }
    let ordered = orders.ordered.into();
    if ordered != server.ordered() {
        backend.set_ordered(index, ordered);
    }
    // After the order, which may take back what the agent has asked.
    let asked = Asked { administration: orders.administration.into(), down: orders.down };
    if asked != server.asked() {
        backend.set_asked(index, asked);
    }
    if orders.maxconn != server.maxconn_asked() {
        backend.set_maxconn(index, orders.maxconn);
    }
    if let Some([weight, _]) = known.weights
        && weight != server.weight()
    {
        // By an algorithm that takes no other weights it has those of its own configuration.
        let _ = backend.set_weight(index, weight);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::{Admission, Wish, fixture};
    use crate::{clock, config};

    fn backend(servers: Vec<config::Server>) -> [Arc<Backend>; 1] {
        [fixture::backend_of(fixture::settings(servers))]
    }

    /// As it is told over the wire.
    fn pass_on(
        teller: &mut Teller,
        from: &[Arc<Backend>],
        now: Instant,
        to: &[Arc<Backend>],
    ) -> Option<usize> {
        let news = teller.news(from, now)?;
        let text = serde_json::to_string(&news).unwrap();
        follow(to, &serde_json::from_str(&text).unwrap());
        Some(news.servers.len())
    }

    #[test]
    fn the_earlier_process_makes_of_a_server_what_the_other_has_found() {
        let now = clock::now();
        let [old, new] = [(); 2].map(|()| backend(vec![fixture::checked("a"), fixture::checked("b")]));
        let mut teller = Teller::default();
        let mut pass = |now| pass_on(&mut teller, &new, now, &old);
        old[0].set_operation(0, Operation::Down, false);
        old[0].set_operation(1, Operation::Up, false);
        // Where no check has come back yet, what the earlier one knows holds.
        assert_eq!(pass(now), Some(2));
        let is = |index: usize| Said::of(&old[0].servers()[index]);
        assert_eq!((is(0).checks, is(1).checks), (Operation::Down, Operation::Up));
        new[0].set_operation(0, Operation::Up, false);
        assert_eq!(pass(now), Some(1));
        assert_eq!(is(0).checks, Operation::Up);
        new[0].set_operation(1, Operation::Soft, true);
        new[0].set_ordered(0, Administration::Maintenance);
        new[0].set_asked(0, Asked { administration: Administration::Drain, down: false });
        new[0].set_weight(0, 7).unwrap();
        new[0].set_maxconn(0, Some(3));
        assert_eq!(pass(now), Some(2));
        for index in 0..2 {
            assert_eq!(is(index), Said::of(&new[0].servers()[index]));
        }
        assert!(matches!(old[0].admit(Wish::ANY), Admission::Granted(slot) if slot.server().name() == "b"));
        new[0].set_ordered(0, Administration::Ready);
        assert_eq!(pass(now), Some(1));
        assert_eq!(is(0), Said::of(&new[0].servers()[0]));
        assert_eq!(pass(now), None);
    }

    #[test]
    fn what_was_lost_is_said_again_and_so_is_everything_after_a_reload() {
        let now = clock::now();
        let [old, new] = [(); 2].map(|()| backend(vec![fixture::checked("a")]));
        let mut teller = Teller::default();
        new[0].set_operation(0, Operation::Up, false);
        assert_eq!(pass_on(&mut teller, &new, now, &old), Some(1));
        old[0].set_operation(0, Operation::Down, false);
        assert_eq!(pass_on(&mut teller, &new, now + ALL_EVERY / 2, &old), None);
        assert_eq!(pass_on(&mut teller, &new, now + ALL_EVERY, &old), Some(1));
        assert_eq!(old[0].servers()[0].checks(), Operation::Up);
        let servers = vec![fixture::checked("b"), fixture::checked("a")];
        let renewed = [new[0].renewed(fixture::settings(servers))];
        assert_eq!(pass_on(&mut teller, &renewed, now + ALL_EVERY, &old), Some(2));
    }

    #[test]
    fn nobody_waits_for_a_first_check_that_nobody_makes() {
        let now = clock::now();
        let old = backend(vec![fixture::checked("a"), fixture::checked("b"), fixture::server("c")]);
        let new = backend(vec![fixture::server("b"), fixture::server("c")]);
        old[0].set_operation(1, Operation::Down, false);
        pass_on(&mut Teller::default(), &new, now, &old);
        let is = |index: usize| old[0].servers()[index].checks();
        assert_eq!([is(0), is(1), is(2)], [Operation::Up, Operation::Up, Operation::Unchecked]);
    }
}
