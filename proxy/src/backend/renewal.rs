//! The same backend by a newer configuration: what is known of servers that stay is kept.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::server::Surroundings;
use super::users::Users;
use super::{Administration, Asked, Backend, Operation, Server};
use crate::{clock, config};

impl Backend {
    /// The same backend by a newer configuration. Servers that keep name and address keep all that is known of them;
    /// those that are gone are unknown to requests that begin from now on. Requests that are under way end under the
    /// configuration that they began with, which may leave them no other server than one that is gone.
    pub fn renewed(self: &Arc<Self>, settings: config::Backend) -> Arc<Self> {
        // What is gone may come back while it still has requests: the newest of a name stands last.
        let generations = self.lineage.all();
        let of_all = generations.iter().chain([self]).flat_map(|generation| &generation.servers);
        let known: HashMap<_, _> = of_all.map(|server| (server.key(), server)).collect();
        let around = Surroundings { lineage: self.lineage.clone(), fullconn: settings.fullconn };
        let server = |(index, server): (usize, &config::Server)| {
            let known = known.get(&(&*server.name, server.address));
            Arc::new(known.map_or_else(
                || {
                    let users = Users::new(clock::now(), settings.users_window);
                    Server::new(index, server.clone(), users, &around)
                },
                |known| known.renewed(index, server.clone(), &around),
            ))
        };
        let servers = settings.servers.iter().enumerate().map(server).collect();
        let renewed = Self::of(settings, servers, self.lineage.clone());
        let before: HashMap<_, _> = self.servers.iter().map(|server| (server.key(), server)).collect();
        let stays: HashSet<_> = renewed.servers.iter().map(|server| server.key()).collect();
        let leaves = self.servers.iter().filter(|server| !stays.contains(&server.key()));
        let leaves: HashMap<_, _> = leaves.map(|server| (server.name(), server)).collect();
        for server in &renewed.servers {
            let operation = match (before.get(&server.key()), server.settings().check.is_some()) {
                (None, true) => Operation::Starting,
                (_, false) => Operation::Unchecked,
                // It has served without a check; nobody waits for its first one.
                (Some(_), true) if server.checks() == Operation::Unchecked => Operation::Up,
                (Some(_), true) => server.checks(),
            };
            server.users().set_window(renewed.settings.users_window);
            if operation != server.checks() {
                renewed.set_operation(server.index(), operation, false);
            }
            if !before.contains_key(&server.key()) && server.asked() != Asked::default() {
                renewed.set_asked(server.index(), Asked::default());
            }
            // An operator's order is for a name, wherever its server moves, unless the configuration says something else
            // than before.
            let old = before.get(&server.key()).or_else(|| leaves.get(server.name()));
            let old = old.filter(|old| old.settings().disabled == server.settings().disabled);
            let ordered =
                old.map_or_else(|| Administration::configured(server.settings()), |old| old.ordered());
            if server.ordered() != ordered {
                renewed.set_ordered(server.index(), ordered);
            }
            if !before.contains_key(&server.key()) && server.maxconn_asked().is_some() {
                renewed.set_maxconn(server.index(), None);
            }
        }
        self.check_no_more(|server| !stays.contains(&server.key()));
        renewed
    }

    /// It is in no newer configuration. Requests that are under way go on.
    pub fn retire(self: &Arc<Self>) {
        self.check_no_more(|_| true);
    }

    /// There will be no first check of those that have had none: nobody waits for it any more.
    pub(crate) fn check_no_more(self: &Arc<Self>, is_gone: impl Fn(&Server) -> bool) {
        let starting = |server: &&Arc<Server>| server.checks() == Operation::Starting && is_gone(server);
        for server in self.servers.iter().filter(starting) {
            self.set_operation(server.index(), Operation::Up, false);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Wish;
    use super::super::fixture::{backend_of, checked, granted, queued, server, settings};
    use super::*;

    const ANY: Wish = Wish::ANY;

    #[test]
    fn a_server_that_stays_keeps_what_is_known_of_it() {
        let old = backend_of(settings(vec![checked("a"), checked("b")]));
        old.set_operation(0, Operation::Up, false);
        old.set_operation(1, Operation::Soft, true);
        let _slot = granted(old.admit(Wish::Pinned(1)));
        let heavy = config::Server { weight: 9, ..checked("b") };
        let new = old.renewed(settings(vec![heavy, checked("c"), checked("a")]));
        let [b, c, a] = [0, 1, 2].map(|index| &new.servers()[index]);
        assert_eq!((b.operation(), b.is_draining(), b.in_flight()), (Operation::Soft, true, 1));
        assert_eq!((b.requests(), b.settings().weight), (1, 9));
        assert_eq!((c.operation(), a.operation()), (Operation::Starting, Operation::Up));
        assert_eq!(granted(new.admit(ANY)).server().name(), "a");
    }

    #[test]
    fn a_server_at_another_address_is_another_server() {
        let old = backend_of(settings(vec![checked("a")]));
        old.set_operation(0, Operation::Up, false);
        let moved = config::Server { address: "127.0.0.1:81".parse().unwrap(), ..checked("a") };
        let new = old.renewed(settings(vec![moved]));
        assert_eq!(new.servers()[0].operation(), Operation::Starting);
        // Requests that began before have no other.
        assert_eq!(granted(old.admit(ANY)).server().settings().address.port(), 80);
    }

    #[test]
    fn an_operators_order_stays_with_the_name_of_a_server_that_moves() {
        let old = backend_of(settings(vec![checked("a"), checked("b")]));
        for index in 0..2 {
            old.set_operation(index, Operation::Up, false);
            old.set_ordered(index, Administration::Maintenance);
        }
        let at = |port: u16| config::Server { address: ([127, 0, 0, 1], port).into(), ..checked("a") };
        let moved = old.renewed(settings(vec![at(81), checked("c")]));
        let ordered = |backend: &Backend, index: usize| backend.servers()[index].ordered();
        assert_eq!(
            (moved.servers()[0].checks(), ordered(&moved, 0)),
            (Operation::Starting, Administration::Maintenance)
        );
        assert_eq!(ordered(&moved, 1), Administration::Ready);
        moved.set_ordered(0, Administration::Ready);
        // And back, while the one before still has what was ordered for it then.
        let back = moved.renewed(settings(vec![at(80)]));
        assert_eq!(ordered(&back, 0), Administration::Ready);
    }

    #[test]
    fn a_server_begins_as_the_configuration_says_and_stays_as_an_operator_says() {
        use Administration::{Maintenance, Ready};
        let disabled = |disabled| settings(vec![config::Server { disabled, ..server("a") }, server("b")]);
        let ordered = |backend: &Backend| backend.servers()[0].ordered();
        let first = backend_of(disabled(true));
        assert_eq!((ordered(&first), first.usable().active), (Maintenance, 1));
        first.set_ordered(0, Ready);
        let second = first.renewed(disabled(true));
        assert_eq!((ordered(&second), second.usable().active), (Ready, 2));
        let third = second.renewed(disabled(false));
        third.set_ordered(0, Administration::Drain);
        let fourth = third.renewed(disabled(false));
        assert_eq!(ordered(&fourth), Administration::Drain);
        let fifth = fourth.renewed(disabled(true));
        assert_eq!((ordered(&fifth), fifth.usable().active), (Maintenance, 1));
        assert_eq!(ordered(&fifth.renewed(disabled(false))), Ready);
    }

    #[test]
    fn nobody_waits_for_the_first_check_of_a_server_that_is_gone() {
        let old = backend_of(settings(vec![checked("a")]));
        let mut waiting = queued(old.admit(ANY));
        let new = old.renewed(settings(vec![checked("b")]));
        assert_eq!(waiting.answer.try_recv().unwrap().unwrap().server().name(), "a");
        let mut waiting = queued(new.admit(ANY));
        new.retire();
        assert_eq!(waiting.answer.try_recv().unwrap().unwrap().server().name(), "b");
    }

    #[test]
    fn a_check_that_is_added_or_removed_does_not_stop_a_server() {
        let old = backend_of(settings(vec![server("a"), checked("b")]));
        old.set_operation(1, Operation::Down, false);
        let new = old.renewed(settings(vec![checked("a"), server("b")]));
        let operations = [0, 1].map(|index| new.servers()[index].operation());
        assert_eq!(operations, [Operation::Up, Operation::Unchecked]);
    }
}
