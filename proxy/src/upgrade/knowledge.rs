//! What a process knows of its servers, as it is handed on.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::message::{FrontendRoom, Health, Known, Load, Name, Orders, Report, Rooms, Standing};
use crate::backend::{Administration, Asked, Backend, Elsewhere, Operation, Resumed, Server};
use crate::check::Machine;
use crate::config;
use crate::worker::{Generation, Room};

/// Users that are handed on at most, of all servers together: their list takes some 25 MiB then.
const MOST_USERS: usize = 1_000_000;

/// What is known of the servers of these backends.
pub fn of(backends: &[Arc<Backend>], now: Instant) -> Vec<Known> {
    let mut room = MOST_USERS;
    let known = |(backend, server): (&Arc<Backend>, &Arc<Server>)| Known {
        users: users(server, backend.settings().users_window, now, &mut room),
        ..without_users(backend, server, now)
    };
    servers(backends).map(known).collect()
}

/// What is known of this server, but for its users.
pub(super) fn without_users(backend: &Backend, server: &Server, now: Instant) -> Known {
    let health = server.settings().check.as_ref().zip(server.health());
    Known {
        name: name(backend.name(), server),
        standing: server.operation().into(),
        orders: Some(orders(server)),
        draining: server.is_draining(),
        health: health.map(|(check, steps)| Health { steps, rise: check.rise, fall: check.fall }),
        weights: Some([server.weight(), server.settings().weight]),
        slow_ms: server.slow_for(now).map(|elapsed| elapsed.as_millis() as u64),
        users: Vec::new(),
    }
}

fn orders(server: &Server) -> Orders {
    let Asked { administration, down } = server.asked();
    let (checks, administration) = (server.checks().into(), administration.into());
    let (ordered, paused) = (server.ordered().into(), server.forced().paused());
    let (disabled, maxconn) = (Some(server.settings().disabled), server.maxconn_asked());
    Orders { checks, administration, down, ordered, disabled, paused, maxconn }
}

/// Tells servers what another process knew of them: they go on from there, and nobody waits for a first check. A weight
/// that was changed at run time stays, unless the configuration says another one than before; what an agent has asked
/// stays as long as there is one. Where only the address is another, an operator's order stays, and nothing else.
pub fn resuming<'k>(known: &'k [Known], now: Instant) -> impl Fn(&config::Backend, &Server) + use<'k> {
    let named = |known: &'k Known| ((&*known.name.backend, &*known.name.server), known);
    let by_name: HashMap<(&str, &str), &Known> = known.iter().map(named).collect();
    let known: HashMap<&Name, &Known> = known.iter().map(|known| (&known.name, known)).collect();
    move |backend: &config::Backend, server: &Server| {
        let Some(known) = known.get(&name(&backend.name, server)) else {
            let moved = by_name.get(&(&*backend.name, server.name()));
            let stays = |known: &Known| {
                let Name { server, address, .. } = &known.name;
                backend.servers.iter().any(|other| *other.name == **server && other.address == *address)
            };
            if let Some(known) = moved.filter(|known| !stays(known)) {
                server.resume(Resumed {
                    checks: server.checks(),
                    draining: false,
                    weight: server.weight(),
                    asked: Asked::default(),
                    ordered: ordered(known.orders.unwrap_or_default(), server.settings()),
                    maxconn: None,
                    up_for: None,
                });
            }
            return;
        };
        for &(key, ago_s) in &known.users {
            server.users().recall(key, ago_s, now);
        }
        let weight = match known.weights {
            Some([weight, configured]) if configured == server.settings().weight => weight,
            _ => server.weight(),
        };
        let said = known.orders.map_or(known.standing, |orders| orders.checks);
        let checks = match (&server.settings().check, said) {
            (None, _) | (_, Standing::Unknown | Standing::Unchecked) => server.checks(),
            (Some(_), Standing::Up) => Operation::Up,
            (Some(_), Standing::Soft) => Operation::Soft,
            (Some(_), Standing::Down) => Operation::Down,
        };
        if let (Some(check), Some(Health { steps, rise, fall })) = (&server.settings().check, known.health) {
            let mut machine = Machine::resumed(rise, fall, checks, Some(steps));
            machine.adapt(check.rise, check.fall);
            server.note_health(machine.health());
        }
        let orders = known.orders.unwrap_or_default();
        let has_agent = server.settings().agent.is_some();
        let agents = Asked { administration: orders.administration.into(), down: orders.down };
        server.forced().pause(orders.paused);
        server.resume(Resumed {
            checks,
            draining: known.draining && checks != Operation::Unchecked,
            weight,
            asked: if has_agent { agents } else { Asked::default() },
            ordered: ordered(orders, server.settings()),
            maxconn: orders.maxconn,
            up_for: known.slow_ms.map(Duration::from_millis),
        });
    }
}

/// What an operator has ordered, unless the configuration has the server begin otherwise than before.
fn ordered(orders: Orders, settings: &config::Server) -> Administration {
    if orders.disabled.unwrap_or_default() == settings.disabled {
        orders.ordered.into()
    } else {
        Administration::configured(settings)
    }
}

/// How many connections are taken.
pub fn rooms(generation: &Generation) -> Rooms {
    let frontends = generation.frontends().iter().map(|frontend| FrontendRoom {
        name: frontend.settings.name.to_string(),
        connections: [frontend.limit(), frontend.settings.maxconn.get()],
        paused: frontend.is_paused(),
    });
    Rooms {
        process: Some([generation.limit(), generation.configured_limit()]),
        frontends: frontends.collect(),
    }
}

/// As many connections are taken as another process took, unless the configuration says something else than before. Must
/// be called on a runtime.
pub fn reopen(generation: &Generation, rooms: &Rooms) {
    let resize = |room: &Room, [now, before]: [usize; 2], configured: usize| {
        if before == configured && now != before {
            room.resize(now);
        }
    };
    if let Some(connections) = rooms.process {
        resize(generation.room(), connections, generation.configured_limit());
    }
    for frontend in generation.frontends() {
        let known = rooms.frontends.iter().find(|known| *known.name == *frontend.settings.name);
        let Some(known) = known else { continue };
        resize(frontend.room(), known.connections, frontend.settings.maxconn.get());
        frontend.room().pause(known.paused);
    }
}

/// What this process, and any before it that reports to it, still has of its servers; users as far as they were seen
/// within `since`.
pub fn report(backends: &[Arc<Backend>], since: Duration, now: Instant) -> Report {
    let mut room = MOST_USERS;
    let load = |(backend, server): (&Arc<Backend>, &Arc<Server>)| {
        let before = server.elsewhere();
        Load {
            name: name(backend.name(), server),
            in_flight: server.in_flight() + before.in_flight,
            idle: server.idle() + before.idle,
            queued: server.queued() + before.queued,
            users: users(server, since, now, &mut room),
        }
    };
    let has_something = |load: &Load| load.in_flight + load.idle + load.queued > 0 || !load.users.is_empty();
    Report { servers: servers(backends).map(load).filter(has_something).collect() }
}

/// Notes what another process still has.
pub fn note(backends: &[Arc<Backend>], report: &Report, now: Instant) {
    let loads: HashMap<&Name, &Load> = report.servers.iter().map(|load| (&load.name, load)).collect();
    for (backend, server) in servers(backends) {
        let load = if loads.is_empty() { None } else { loads.get(&name(backend.name(), server)) };
        server.note_elsewhere(load.map_or_else(Elsewhere::default, |load| Elsewhere {
            in_flight: load.in_flight,
            idle: load.idle,
            queued: load.queued,
        }));
        for &(key, ago_s) in load.iter().flat_map(|load| &load.users) {
            server.users().recall(key, ago_s, now);
        }
    }
    for backend in backends {
        // Of the servers that there are: what the other one has of those that are gone is nobody's any more.
        backend.count_elsewhere();
    }
}

pub(super) fn servers(backends: &[Arc<Backend>]) -> impl Iterator<Item = (&Arc<Backend>, &Arc<Server>)> {
    backends.iter().flat_map(|backend| backend.servers().iter().map(move |server| (backend, server)))
}

pub(super) fn name(backend: &str, server: &Server) -> Name {
    let address = server.settings().address;
    Name { backend: backend.to_owned(), server: server.name().to_owned(), address }
}

fn users(server: &Server, within: Duration, now: Instant, room: &mut usize) -> Vec<(u64, u32)> {
    let mut users = server.users().seen(within, now);
    users.truncate(*room);
    *room -= users.len();
    users
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::{Administration, Admission, Wish, fixture};
    use crate::clock;

    fn backend(servers: Vec<config::Server>) -> [Arc<Backend>; 1] {
        [fixture::backend_of(fixture::settings(servers))]
    }

    #[test]
    fn health_and_users_go_on_in_another_process() {
        let now = clock::now();
        let old = backend(vec![fixture::checked("a"), fixture::checked("b"), fixture::server("c")]);
        old[0].set_weight(0, 7).unwrap();
        old[0].set_operation(0, Operation::Down, true);
        old[0].servers()[0].note_health(1);
        old[0].set_operation(1, Operation::Soft, true);
        for user in 0..100_u64 {
            old[0].servers()[1].users().touch(user.wrapping_mul(0x9e37_79b9_7f4a_7c15), now);
        }
        let later = now + Duration::from_secs(100);
        let known = of(&old, later);
        let moved = config::Server { address: "127.0.0.1:81".parse().unwrap(), ..fixture::checked("a") };
        let heavy = config::Server { weight: 9, ..fixture::checked("b") };
        let servers = vec![heavy, moved, fixture::checked("a")];
        let new = [Backend::resumed(fixture::settings(servers), resuming(&known, later))];
        let [b, moved, a] = [0, 1, 2].map(|index| &new[0].servers()[index]);
        assert_eq!((b.operation(), b.is_draining()), (Operation::Soft, true));
        assert_eq!((a.operation(), a.health(), a.weight()), (Operation::Down, Some(1), 7));
        assert_eq!(b.weight(), 9);
        assert_eq!(moved.operation(), Operation::Starting);
        assert_eq!(b.users().count(later), 100);
        // They leave when they would have left.
        assert_eq!(b.users().count(now + Duration::from_secs(290)), 100);
        assert_eq!(b.users().count(now + Duration::from_secs(310)), 0);
    }

    #[test]
    fn an_operators_order_stays_with_the_name_of_a_server_that_moves() {
        let now = clock::now();
        let old = backend(vec![fixture::checked("a"), fixture::checked("b")]);
        for index in 0..2 {
            old[0].set_operation(index, Operation::Down, false);
            old[0].set_ordered(index, Administration::Maintenance);
        }
        let known = of(&old, now);
        let moved = |name: &str| config::Server {
            address: "127.0.0.1:81".parse().unwrap(),
            ..fixture::checked(name)
        };
        let servers = vec![moved("a"), moved("c"), moved("b"), fixture::checked("b")];
        let new = [Backend::resumed(fixture::settings(servers), resuming(&known, now))];
        let is = |index: usize| {
            let server = &new[0].servers()[index];
            (server.checks(), server.ordered())
        };
        assert_eq!(is(0), (Operation::Starting, Administration::Maintenance));
        assert_eq!(is(1), (Operation::Starting, Administration::Ready));
        // The one that was there is still there: this is another.
        assert_eq!(is(2), (Operation::Starting, Administration::Ready));
        assert_eq!(is(3), (Operation::Down, Administration::Maintenance));
    }

    #[test]
    fn an_operators_order_holds_until_the_configuration_has_the_server_begin_otherwise() {
        let disabled = |disabled| config::Server { disabled, ..fixture::server("a") };
        let old = backend(vec![disabled(true)]);
        old[0].set_ordered(0, Administration::Ready);
        let known = of(&old, clock::now());
        let next = |settings: config::Server| {
            let new = Backend::resumed(fixture::settings(vec![settings]), resuming(&known, clock::now()));
            new.servers()[0].ordered()
        };
        assert_eq!(next(disabled(true)), Administration::Ready);
        old[0].set_ordered(0, Administration::Drain);
        assert_eq!(next(disabled(false)), Administration::Ready);
        let known = of(&backend(vec![disabled(false)]), clock::now());
        let new = Backend::resumed(fixture::settings(vec![disabled(true)]), resuming(&known, clock::now()));
        assert_eq!(new.servers()[0].ordered(), Administration::Maintenance);
    }

    /// A server with an agent.
    fn spoken_for(name: &str) -> config::Server {
        let address = "127.0.0.1:1".parse().unwrap();
        let agent = config::Agent { address, send: "".into(), inter: Duration::from_secs(1) };
        config::Server { agent: Some(agent), ..fixture::checked(name) }
    }

    #[test]
    fn what_an_agent_has_asked_holds_in_another_process_as_long_as_there_is_an_agent() {
        let now = clock::now();
        let old = backend(vec![spoken_for("a"), spoken_for("b"), spoken_for("c")]);
        for index in 0..3 {
            old[0].set_operation(index, Operation::Up, false);
        }
        let drain = Asked { administration: Administration::Drain, down: false };
        old[0].set_asked(0, drain);
        old[0].set_maxconn(0, Some(3));
        old[0].set_asked(1, Asked { down: true, ..Asked::default() });
        old[0].set_asked(2, drain);
        let known = of(&old, now);
        let servers = vec![spoken_for("a"), spoken_for("b"), fixture::checked("c")];
        let new = [Backend::resumed(fixture::settings(servers), resuming(&known, now))];
        let is = |index: usize| {
            let server = &new[0].servers()[index];
            (server.checks(), server.asked(), server.operation(), server.maxconn_asked())
        };
        assert_eq!(is(0), (Operation::Up, drain, Operation::Soft, Some(3)));
        assert_eq!(is(1), (Operation::Up, Asked { down: true, ..Asked::default() }, Operation::Down, None));
        assert_eq!(is(2), (Operation::Up, Asked::default(), Operation::Up, None));
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_start_goes_on_in_another_process() {
        let slow = || config::Server { slowstart: Duration::from_secs(100), ..fixture::checked("a") };
        let old = backend(vec![slow(), fixture::server("b")]);
        old[0].set_operation(0, Operation::Down, false);
        old[0].set_operation(0, Operation::Up, false);
        tokio::time::sleep(Duration::from_secs(40)).await;
        let known = of(&old, clock::now());
        let servers = vec![slow(), fixture::server("b")];
        let new = [Backend::resumed(fixture::settings(servers), resuming(&known, clock::now()))];
        let server = &new[0].servers()[0];
        assert_eq!(server.throttle(clock::now()), Some(40));
        tokio::time::sleep(Duration::from_secs(20)).await;
        assert_eq!(server.throttle(clock::now()), Some(60));
        tokio::time::sleep(Duration::from_secs(45)).await;
        assert_eq!((server.throttle(clock::now()), server.slow_for(clock::now())), (None, None));
    }

    #[test]
    fn what_the_old_one_has_is_counted_until_it_has_it_no_more() {
        let now = clock::now();
        let [old, new] = [(); 2].map(|()| backend(vec![fixture::server("a"), fixture::server("b")]));
        let Admission::Granted(slot) = old[0].admit(Wish::Pinned(1)) else { panic!("a slot") };
        old[0].servers()[1].users().touch(7, now);
        note(&new, &report(&old, Duration::from_secs(1), now), now);
        let b = &new[0].servers()[1];
        assert_eq!(b.elsewhere(), Elsewhere { in_flight: 1, idle: 0, queued: 0 });
        assert_eq!((b.in_flight(), b.users().count(now)), (0, 1));
        // What was reported to the one in the middle is reported by it.
        let last = backend(vec![fixture::server("b")]);
        note(&last, &report(&new, Duration::from_secs(1), now), now);
        assert_eq!(last[0].servers()[0].elsewhere().in_flight, 1);
        drop(slot);
        note(&new, &report(&old, Duration::ZERO, now + Duration::from_secs(5)), now);
        assert_eq!(b.elsewhere(), Elsewhere::default());
    }

    #[test]
    fn a_server_that_a_reload_takes_away_counts_no_more_in_the_backends_total() {
        let now = clock::now();
        let [old, new] = [(); 2].map(|()| backend(vec![fixture::server("a"), fixture::server("b")]));
        let Admission::Granted(_slot) = old[0].admit(Wish::Pinned(1)) else { panic!("a slot") };
        let reported = report(&old, Duration::from_secs(1), now);
        note(&new, &reported, now);
        assert_eq!(new[0].in_flight_elsewhere(), 1);
        let renewed = [new[0].renewed(fixture::settings(vec![fixture::server("a")]))];
        note(&renewed, &reported, now);
        assert_eq!(renewed[0].in_flight_elsewhere(), 0);
    }

    #[tokio::test]
    async fn what_was_set_for_frontends_and_the_process_holds_unless_the_configuration_has_changed() {
        let generation = |most: usize| {
            let text = format!(
                r#"
                frontend.web = {{ bind = ["127.0.0.1:0"], backend = "shop", maxconn = {most} }}
                limits.connections = 100
                [[backend.shop.server]]
                name = "a"
                address = "127.0.0.1:80"
                "#
            );
            let config = config::Config::parse("test.toml", &text, &|_, _| Ok(Vec::new())).unwrap();
            Generation::new(&config, &crate::admin::log::Logs::open(&config).unwrap())
        };
        let old = generation(50);
        old.room().resize(70);
        old.frontends()[0].room().resize(20);
        old.frontends()[0].room().pause(true);
        let known = rooms(&old);
        let (same, other) = (generation(50), generation(40));
        reopen(&same, &known);
        reopen(&other, &known);
        let is = |generation: &Generation| {
            let frontend = &generation.frontends()[0];
            (generation.limit(), frontend.limit(), frontend.is_paused())
        };
        assert_eq!((is(&same), is(&other)), ((70, 20, true), (70, 40, true)));
    }
}
