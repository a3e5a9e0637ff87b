//! Who waits for whom, and limits that change.

use std::num::{NonZeroU32, NonZeroUsize};

use proptest::prelude::*;

use super::*;
use crate::config::{Balance, HashType, Redispatch};

fn hashed(hash_type: HashType, servers: Vec<config::Server>) -> Arc<Backend> {
    backend_of(config::Backend { balance: Balance::Source, hash_type, ..settings(servers) })
}

/// A wish that is bound to this server.
fn bound_to(backend: &Arc<Backend>, index: usize) -> Wish {
    let wish = |user: u32| Wish::ANY.with_key(Some(Key::new(&user.to_be_bytes())));
    (0..1000)
        .map(wish)
        .find(|&wish| granted(backend.admit(wish)).server().index() == index)
        .expect("each server has users")
}

#[tokio::test]
async fn a_hashed_user_waits_for_its_own_server_even_if_others_are_idle() {
    let backend = hashed(HashType::MapBased, vec![limited("a", 1), limited("b", 1)]);
    let wish = bound_to(&backend, 0);
    let held = granted(backend.admit(wish));
    let waiting = queued(backend.admit(wish));
    assert!(waiting.is_pinned());
    assert_eq!((backend.queued(), backend.servers()[0].queued()), (0, 1));
    drop(held);
    assert_eq!(waiting.await.unwrap().server().index(), 0);
}

#[test]
fn what_an_earlier_process_has_takes_of_the_limit_until_it_has_ended() {
    let elsewhere = |backend: &Backend, in_flight: u32| {
        backend.servers()[0].note_elsewhere(Elsewhere { in_flight, ..Elsewhere::default() });
    };
    let backend = backend_of(settings(vec![limited("a", 2)]));
    elsewhere(&backend, 1);
    let held = granted(backend.admit(Wish::ANY));
    let mut waiting = queued(backend.admit(Wish::ANY));
    elsewhere(&backend, 0);
    backend.count_elsewhere();
    drop((waiting.answer.try_recv().unwrap().unwrap(), held));
    // However many those are, one is always served.
    elsewhere(&backend, 9);
    granted(backend.admit(Wish::ANY));
}

#[tokio::test]
async fn a_hashed_user_waits_for_nobody_who_has_left() {
    for hash_type in [HashType::MapBased, HashType::Consistent] {
        for operation in [Operation::Soft, Operation::Down] {
            let backend = hashed(hash_type, vec![limited("a", 1), limited("b", 1)]);
            let wish = bound_to(&backend, 0);
            let held = granted(backend.admit(wish));
            let waiting = queued(backend.admit(wish));
            let moved = backend.set_operation(0, operation, true);
            assert_eq!(moved, Moved { requeued: 1, remaining: 0, total: 0 });
            assert_eq!(waiting.await.unwrap().server().index(), 1, "{hash_type:?} {operation:?}");
            drop(held);
        }
    }
}

#[tokio::test]
async fn a_further_attempt_that_waits_for_its_server_waits_only_as_long_as_that_takes_new_users() {
    for hashed in [false, true] {
        for operation in [Operation::Soft, Operation::Down] {
            let key = hashed.then(|| Key::new(b"user"));
            let again = || Wish::Again { index: 0, key };
            let balance = if hashed { Balance::Source } else { Balance::RoundRobin };
            let servers = vec![limited("a", 1), server("b")];
            let backend = backend_of(config::Backend { balance, ..settings(servers) });
            let held = granted(backend.admit(again()));
            assert_eq!(held.server().index(), 0);
            let waiting = queued(backend.admit(again()));
            assert!(waiting.is_pinned());
            let moved = backend.set_operation(0, operation, true);
            assert_eq!(moved, Moved { requeued: 1, remaining: 0, total: 0 });
            assert_eq!(waiting.await.unwrap().server().index(), 1, "{operation:?}");
            assert_eq!(granted(backend.admit(again())).server().index(), 1, "{operation:?}");
        }
    }
}

#[test]
fn nobody_waits_for_what_another_process_has_while_somebody_else_is_free() {
    let backend = backend(vec![limited("a", 1), limited("b", 2)]);
    backend.servers()[0].keep_joint_limit(Some(JointLimit::new(0).unwrap()));
    let index = |slot: &Slot| slot.server().index();
    let slots: Vec<_> = (0..3).map(|_| granted(backend.admit(Wish::ANY))).collect();
    assert_eq!(slots.iter().map(index).collect::<Vec<_>>(), [1, 1, 0]);
}

#[test]
fn what_another_process_has_is_passed_over_by_every_algorithm_as_it_spreads() {
    let draws = NonZeroUsize::new(4).unwrap();
    for balance in [Balance::LeastConn, Balance::Random(draws), Balance::RoundRobin] {
        let servers = vec![limited("a", 30), limited("b", 30), limited("c", 30), limited("d", 30)];
        let backend = backend_of(config::Backend { balance: balance.clone(), ..settings(servers) });
        // Of its own requests none: to this process alone it looks least loaded.
        backend.servers()[0].keep_joint_limit(Some(JointLimit::new(0).unwrap()));
        let held: Vec<Slot> = (0..30).map(|_| granted(backend.admit(Wish::ANY))).collect();
        let counts: Vec<u32> = backend.servers().iter().map(|server| server.in_flight()).collect();
        let spread = counts[1..].iter().all(|count| (7..=13).contains(count));
        assert!(counts[0] == 0 && spread, "{balance:?}: {counts:?} of {}", held.len());
    }
}

#[tokio::test]
async fn a_hashed_user_that_waits_for_the_first_check_goes_to_its_own_server() {
    let servers = vec![checked("a"), checked("b")];
    let backend = hashed(HashType::Consistent, servers);
    let waiting = queued(backend.admit(Wish::ANY.with_key(Some(Key::new(b"user")))));
    assert!(!waiting.is_pinned());
    backend.set_operation(1, Operation::Up, false);
    assert_eq!(waiting.await.unwrap().server().index(), 1);
}

#[tokio::test]
async fn beyond_maxqueue_a_pinned_user_is_sent_elsewhere_or_refused() {
    let narrow = config::Server { maxqueue: NonZeroU32::new(1), ..limited("a", 1) };
    let mut settings = settings(vec![narrow, server("b")]);
    let backend = backend_of(settings.clone());
    let _held = granted(backend.admit(Wish::Pinned(0)));
    let _waiting = queued(backend.admit(Wish::Pinned(0)));
    assert_eq!(granted(backend.admit(Wish::Pinned(0))).server().name(), "b");

    settings.retry.redispatch = Redispatch::Never;
    let backend = backend_of(settings.clone());
    let _held = granted(backend.admit(Wish::Pinned(0)));
    let _waiting = queued(backend.admit(Wish::Pinned(0)));
    assert!(matches!(backend.admit(Wish::Pinned(0)), Admission::Refused(Refusal::QueueFull { .. })));

    settings.balance = Balance::Source;
    let backend = backend_of(settings);
    let wish = bound_to(&backend, 0);
    let _held = granted(backend.admit(wish));
    let _waiting = queued(backend.admit(wish));
    assert!(matches!(backend.admit(wish), Admission::Refused(Refusal::QueueFull { .. })), "a hash stays");
}

#[tokio::test]
async fn a_forced_user_waits_for_a_server_that_is_down_and_nobody_else_does() {
    let backend = backend(vec![limited("a", 1), server("b")]);
    let held = granted(backend.admit(Wish::Pinned(0)));
    let pinned = queued(backend.admit(Wish::Pinned(0)));
    backend.set_operation(0, Operation::Down, false);
    let first = queued(backend.admit(Wish::Forced(0)));
    let second = queued(backend.admit(Wish::Forced(0)));
    assert_eq!(pinned.await.unwrap().server().name(), "b");
    backend.set_operation(0, Operation::Soft, true);
    let moved = backend.set_operation(0, Operation::Down, false);
    assert_eq!(moved, Moved { requeued: 0, remaining: 2, total: 2 });
    drop(held);
    let first = first.await.unwrap();
    assert!(first.server().name() == "a" && first.stays(true), "a slot of the server that is down");
    drop(first);
    assert_eq!(second.await.unwrap().server().name(), "a");
}

#[tokio::test]
async fn a_limit_with_minconn_follows_the_load_of_the_backend() {
    let narrow = |name| config::Server { minconn: NonZeroU32::new(1), ..limited(name, 4) };
    let settings =
        config::Backend { fullconn: NonZeroU32::new(8).unwrap(), ..settings(vec![narrow("a"), server("b")]) };
    let backend = backend_of(settings);
    let first = granted(backend.admit(Wish::Pinned(0)));
    let second = queued(backend.admit(Wish::Pinned(0)));
    let on_b: Vec<Slot> = (0..4).map(|_| granted(backend.admit(Wish::Pinned(1)))).collect();
    // Seven requests of eight: three of four.
    let _third = granted_or_waiting(backend.admit(Wish::Pinned(0)));
    assert_eq!(backend.servers()[0].in_flight(), 3, "with the load the limit has grown");
    let second = second.await.unwrap();
    drop(on_b);
    let fourth = queued(backend.admit(Wish::Pinned(0)));
    drop(first);
    assert_eq!(backend.servers()[0].in_flight(), 2, "and nobody takes over a slot that is gone");
    drop(second);
    drop(fourth);
}

/// Keeps what it got, whatever that is.
fn granted_or_waiting(admission: Admission) -> Admission {
    assert!(!matches!(admission, Admission::Refused(_)));
    admission
}

#[test]
fn exactly_one_connection_is_closed_for_each_that_is_wanted() {
    let backend = backend(vec![limited("a", 2)]);
    let server = &backend.servers()[0];
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let mut idle: Vec<_> = (0..2).map(|_| server.try_connection().unwrap()).collect();
    let mut wanted = Box::pin(server.connection(|| true));
    assert!(wanted.as_mut().poll(&mut context).is_pending());
    // Each of two cores has an idle connection.
    let closed: Vec<_> = (0..2).filter(|_| server.take_claim()).collect();
    assert_eq!(closed.len(), 1);
    idle.pop();
    assert!(wanted.as_mut().poll(&mut context).is_ready());
    let mut given_up = Box::pin(server.connection(|| true));
    assert!(given_up.as_mut().poll(&mut context).is_ready(), "the first one is closed again");
    let mut given_up = Box::pin(async {
        let _one = server.try_connection();
        server.connection(|| true).await
    });
    assert!(given_up.as_mut().poll(&mut context).is_pending());
    drop(given_up);
    assert!(!server.take_claim(), "who waits no longer has nothing closed");
}

#[test]
fn who_waits_by_a_new_limit_is_rung_when_a_connection_from_before_it_closes() {
    let old = backend(vec![server("a")]);
    let before = old.servers()[0].try_connection().unwrap();
    let new = old.renewed(settings(vec![limited("a", 1)]));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let mut wanted = Box::pin(new.servers()[0].connection(|| true));
    assert!(wanted.as_mut().poll(&mut context).is_pending());
    drop(before);
    assert!(wanted.as_mut().poll(&mut context).is_ready());
}

/// What may happen next.
#[derive(Clone, Debug)]
enum Event {
    Ask { pinned_to: Option<usize>, user: u32 },
    Finish(usize),
    GiveUp(usize),
    Change(usize, Operation),
    Weigh(usize, u16),
}

fn event() -> impl Strategy<Value = Event> {
    let operation =
        prop::sample::select(vec![Operation::Up, Operation::Up, Operation::Soft, Operation::Down]);
    prop_oneof![
        6 => (prop::option::of(0usize..3), 0u32..50).prop_map(|(pinned_to, user)| Event::Ask { pinned_to, user }),
        5 => (0usize..100).prop_map(Event::Finish),
        1 => (0usize..100).prop_map(Event::GiveUp),
        1 => (0usize..3, operation).prop_map(|(index, operation)| Event::Change(index, operation)),
        1 => (0usize..3, 0u16..3).prop_map(|(index, weight)| Event::Weigh(index, weight)),
    ]
}

proptest! {
    #[test]
    fn limits_hold_and_nobody_waits_in_vain(
        events in prop::collection::vec(event(), 1..120),
        algorithm in 0usize..4,
        minconn in prop::option::of(1u32..3),
    ) {
        let most = 3;
        let one = |name| config::Server { minconn: minconn.and_then(NonZeroU32::new), ..limited(name, most) };
        let (balance, hash_type) = [
            (Balance::RoundRobin, HashType::MapBased),
            (Balance::LeastConn, HashType::MapBased),
            (Balance::Source, HashType::MapBased),
            (Balance::Source, HashType::Consistent),
        ][algorithm].clone();
        let servers = vec![one("a"), one("b"), one("c")];
        let fullconn = NonZeroU32::new(6).unwrap();
        let backend = backend_of(config::Backend { balance: balance.clone(), hash_type, fullconn, ..settings(servers) });
        let (mut slots, mut tickets): (Vec<Slot>, Vec<Ticket>) = Default::default();
        for event in events {
            match event {
                Event::Ask { pinned_to, user } => {
                    let key = balance.is_hash().then(|| Key::new(&user.to_be_bytes()));
                    let wish = pinned_to.map_or(Wish::ANY, Wish::Pinned).with_key(key);
                    match backend.admit(wish) {
                        Admission::Granted(slot) => slots.push(slot),
                        Admission::Queued(ticket) => tickets.push(ticket),
                        Admission::Refused(_) => {}
                    }
                }
                Event::Finish(at) if !slots.is_empty() => drop(slots.swap_remove(at % slots.len())),
                Event::GiveUp(at) if !tickets.is_empty() => drop(tickets.swap_remove(at % tickets.len())),
                Event::Change(index, operation) => drop(backend.set_operation(index, operation, false)),
                Event::Weigh(index, weight) => {
                    // Static algorithms take few.
                    let _ = backend.set_weight(index, weight);
                }
                _ => {}
            }
            // Who has been answered has a slot, or has been refused.
            let mut waiting = Vec::new();
            for mut ticket in tickets {
                match ticket.answer.try_recv() {
                    Ok(Ok(slot)) => slots.push(slot),
                    Ok(Err(_)) => {}
                    Err(_) => waiting.push(ticket),
                }
            }
            tickets = waiting;
            for server in backend.servers() {
                prop_assert!(server.in_flight() <= most);
                let here = slots.iter().filter(|slot| slot.server().is(server)).count();
                prop_assert_eq!(here as u32, server.in_flight());
                let has_left = server.operation() == Operation::Down;
                prop_assert!(!has_left || server.queued() == 0, "somebody waits for {}, which is down", server.name());
            }
            let bound: u32 = backend.servers().iter().map(|server| server.queued()).sum();
            prop_assert_eq!((bound + backend.queued()) as usize, tickets.len());
            prop_assert_eq!(backend.queued_in_all() as usize, tickets.len());
        }
        // Without a change everybody goes in the end, as long as somebody is there.
        while let Some(slot) = slots.pop() {
            drop(slot);
            tickets.retain_mut(|ticket| match ticket.answer.try_recv() {
                Ok(Ok(slot)) => {
                    slots.push(slot);
                    false
                }
                Ok(Err(_)) => false,
                Err(_) => true,
            });
        }
        prop_assert!(tickets.is_empty(), "{} wait for nothing", tickets.len());
        prop_assert_eq!(backend.in_flight(), 0);
    }

    #[test]
    fn who_waits_longest_goes_first(waiters in 1usize..20, pinned in prop::collection::vec(any::<bool>(), 20)) {
        let backend = backend(vec![limited("a", 1)]);
        let mut held = granted(backend.admit(ANY));
        let wish = |at: usize| if pinned[at] { Wish::Pinned(0) } else { ANY };
        let mut tickets: Vec<Ticket> = (0..waiters).map(|at| queued(backend.admit(wish(at)))).collect();
        for at in 0..waiters {
            drop(held);
            for later in &mut tickets[at + 1..] {
                prop_assert!(later.answer.try_recv().is_err());
            }
            held = tickets[at].answer.try_recv().unwrap().unwrap();
        }
    }
}
