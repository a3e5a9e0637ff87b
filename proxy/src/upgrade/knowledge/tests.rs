//! What is handed on, and what becomes of it in another process.

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
fn no_server_with_users_seems_to_have_none_however_many_are_handed_on() {
    let now = clock::now();
    let old = backend(vec![fixture::server("a"), fixture::server("b"), fixture::server("c")]);
    for user in 0..10 {
        old[0].servers()[usize::from(user == 0)].users().touch(user << 32, now);
    }
    let mut room = 9;
    let handed = |server: &Arc<Server>| users(server, Duration::from_mins(5), now, &mut room).len();
    assert_eq!(old[0].servers().iter().map(handed).collect::<Vec<_>>(), [9, 1, 0]);
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
    let moved =
        |name: &str| config::Server { address: "127.0.0.1:81".parse().unwrap(), ..fixture::checked(name) };
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
