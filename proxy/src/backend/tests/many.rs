//! Backends of so many servers that a choice is not prepared anew for each change of one.

use super::*;
use crate::config::{Balance, HashType};

/// Beyond what is cheap to prepare.
const SERVERS: usize = 10_000;

fn many(balance: Balance, weight: impl Fn(usize) -> u16) -> Arc<Backend> {
    let names: Vec<String> = (0..SERVERS).map(|server| format!("s{server}")).collect();
    let one =
        |(at, name): (usize, &String)| config::Server { weight: weight(at), cookie: None, ..server(name) };
    let servers = names.iter().enumerate().map(one).collect();
    backend_of(config::Backend { balance, hash_type: HashType::Consistent, ..settings(servers) })
}

fn all_methods() -> [Balance; 6] {
    let draws = 2.try_into().unwrap();
    [
        Balance::RoundRobin,
        Balance::StaticRoundRobin,
        Balance::LeastConn,
        Balance::First,
        Balance::Random(draws),
        Balance::Source,
    ]
}

fn next(backend: &Arc<Backend>, number: usize) -> Slot {
    let key = backend.settings().balance.is_hash().then(|| Key::new(&number.to_be_bytes()));
    granted(backend.admit(Wish::ANY.with_key(key)))
}

#[test]
fn changes_without_requests_prepare_nothing() {
    let backend = many(Balance::RoundRobin, |_| 1);
    let before = backend.selection.load_full();
    for number in 0..1_000 {
        backend.set_operation(number, Operation::Down, false);
    }
    assert!(Arc::ptr_eq(&before, &backend.selection.load_full()));
    assert_eq!(backend.usable().active, SERVERS - 1_000);
}

#[test]
fn changes_between_requests_prepare_an_order_far_less_often() {
    let backend = many(Balance::RoundRobin, |at| (at % 256) as u16 + 1);
    let mut last = backend.selection.load_full();
    let mut prepared = 0;
    for number in 0..1_000 {
        let operation = if number % 2 == 0 { Operation::Down } else { Operation::Up };
        backend.set_operation(number / 2, operation, false);
        next(&backend, number);
        let now = backend.selection.load_full();
        prepared += usize::from(!Arc::ptr_eq(&last, &now));
        last = now;
    }
    assert!(prepared <= 2, "{prepared} orders for 1,000 changes");
}

#[test]
fn who_leaves_gets_nobody_from_that_moment_on() {
    for balance in all_methods() {
        let backend = many(balance, |at| (at % 3) as u16 + 1);
        let mut random = fastrand::Rng::with_seed(7);
        for number in 0..200 {
            let (index, turn) = (random.usize(..SERVERS), random.u8(..4));
            match turn {
                0 => drop(backend.set_operation(index, Operation::Soft, true)),
                1 => drop(backend.set_operation(index, Operation::Down, false)),
                2 => drop(backend.set_weight(index, 0)),
                _ => drop(backend.set_operation(index, Operation::Up, false)),
            }
            // The very next in turn leaves, too.
            let next_index = next(&backend, number).server().index() + 1;
            if next_index < SERVERS {
                backend.set_ordered(next_index, Administration::Drain);
            }
            let slot = next(&backend, number);
            let server = slot.server();
            assert!(
                server.operation().takes_new_users() && server.weight() > 0,
                "{:?}: {} is {:?}",
                backend.settings().balance,
                server.name(),
                server.operation()
            );
            assert!(slot.stays(false));
        }
    }
}

#[test]
fn when_nearly_all_leave_the_others_serve() {
    for balance in all_methods() {
        let backend = many(balance, |_| 1);
        next(&backend, 0);
        for index in 0..SERVERS - 1 {
            backend.set_operation(index, Operation::Down, false);
        }
        for number in 0..3 {
            assert_eq!(next(&backend, number).server().index(), SERVERS - 1);
        }
        backend.set_operation(7, Operation::Up, false);
        backend.set_operation(SERVERS - 1, Operation::Soft, true);
        assert_eq!(next(&backend, 0).server().index(), 7, "{:?}", backend.settings().balance);
        backend.set_operation(7, Operation::Down, false);
        assert_eq!(next(&backend, 0).server().index(), SERVERS - 1, "only a soft one is left");
    }
}

#[test]
fn who_comes_back_has_a_turn_before_the_next_order_has_ended() {
    let backend = many(Balance::RoundRobin, |_| 1);
    next(&backend, 0);
    backend.set_operation(5_000, Operation::Down, false);
    for number in 0..SERVERS {
        assert_ne!(next(&backend, number).server().index(), 5_000);
    }
    backend.set_operation(5_000, Operation::Up, false);
    let turns = (0..SERVERS + SERVERS / 8).filter(|&number| next(&backend, number).server().index() == 5_000);
    assert!(turns.count() > 0);
}

#[tokio::test(start_paused = true)]
async fn with_ten_thousand_servers_a_change_and_a_choice_stay_cheap() {
    // Not a measurement: what takes the square of the number of servers for each would not end.
    const SERVERS: usize = 10_000;
    let names: Vec<String> = (0..SERVERS).map(|server| format!("s{server}")).collect();
    let servers = || {
        let one = |(at, name): (usize, &String)| config::Server {
            weight: (at % 256) as u16 + 1,
            cookie: None,
            ..server(name)
        };
        names.iter().enumerate().map(one).collect::<Vec<_>>()
    };
    for balance in [Balance::RoundRobin, Balance::LeastConn, Balance::Source] {
        let settings = config::Backend { balance, hash_type: HashType::Consistent, ..settings(servers()) };
        let backend = backend_of(settings);
        for index in 0..20 {
            backend.set_operation(index, Operation::Down, false);
            let key = backend.settings().balance.is_hash().then(|| Key::new(&index.to_be_bytes()));
            assert!(granted(backend.admit(Wish::ANY.with_key(key))).server().index() >= index);
        }
        assert_eq!(backend.usable().active, SERVERS - 20);
        tokio::time::advance(Duration::from_millis(1)).await;
    }
}
