mod algorithms;
mod many;
mod queues;

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::fixture::{backend_of, checked, granted, limited, queued, server, settings};
use super::*;
use crate::config::WhenAllDrain;

fn backend(servers: Vec<config::Server>) -> Arc<Backend> {
    backend_of(settings(servers))
}

const ANY: Wish = Wish::ANY;

fn is_refused(admission: &Admission) -> bool {
    matches!(admission, Admission::Refused(Refusal::NoServer))
}

fn next_names(backend: &Arc<Backend>, count: usize) -> String {
    (0..count).map(|_| granted(backend.admit(ANY)).server().name().to_owned()).collect()
}

#[test]
fn requests_take_turns() {
    assert_eq!(next_names(&backend(vec![server("a"), server("b"), server("c")]), 6), "abcabc");
}

#[test]
fn a_server_that_just_failed_is_avoided_while_there_is_another() {
    let two = backend(vec![server("a"), server("b")]);
    for _ in 0..4 {
        assert_eq!(granted(two.admit(Wish::Balanced { avoid: Some(0), key: None })).server().name(), "b");
    }
    let one = backend(vec![server("a")]);
    assert_eq!(granted(one.admit(Wish::Balanced { avoid: Some(0), key: None })).server().name(), "a");
}

#[test]
fn soft_drain_keeps_pinned_users_and_takes_no_new_ones() {
    let backend = backend(vec![server("a"), server("b")]);
    backend.set_operation(0, Operation::Soft, true);
    assert_eq!(next_names(&backend, 3), "bbb");
    assert_eq!(granted(backend.admit(Wish::Pinned(0))).server().name(), "a");
}

#[test]
fn pinned_users_of_a_server_that_is_down_are_moved() {
    let backend = backend(vec![server("a"), server("b")]);
    backend.set_operation(0, Operation::Down, false);
    assert_eq!(granted(backend.admit(Wish::Pinned(0))).server().name(), "b");
}

#[test]
fn only_the_first_backup_serves_and_only_when_no_active_can() {
    let backup = |name| config::Server { backup: true, ..server(name) };
    let backend = backend(vec![server("a"), backup("x"), backup("y")]);
    assert_eq!(next_names(&backend, 2), "aa");
    backend.set_operation(0, Operation::Soft, true);
    assert_eq!(next_names(&backend, 3), "xxx");
    backend.set_operation(1, Operation::Down, false);
    assert_eq!(next_names(&backend, 2), "yy");
    backend.set_operation(2, Operation::Down, false);
    assert_eq!(next_names(&backend, 1), "a", "only soft ones are left");
    backend.set_operation(0, Operation::Down, true);
    assert!(is_refused(&backend.admit(ANY)), "hard ones never serve");
}

#[test]
fn where_draining_servers_do_not_serve_new_users_are_refused() {
    let backend =
        backend_of(config::Backend { when_all_drain: WhenAllDrain::Refuse, ..settings(vec![server("a")]) });
    backend.set_operation(0, Operation::Soft, true);
    assert!(is_refused(&backend.admit(ANY)));
    assert_eq!(granted(backend.admit(Wish::Pinned(0))).server().name(), "a");
}

#[test]
fn a_server_without_weight_keeps_its_users_and_takes_no_new_ones() {
    let backend = backend(vec![config::Server { weight: 0, ..server("a") }, server("b")]);
    assert_eq!(next_names(&backend, 2), "bb");
    assert_eq!(granted(backend.admit(Wish::Pinned(0))).server().name(), "a");
}

#[tokio::test]
async fn before_the_first_check_everybody_waits_and_then_goes() {
    let backend = backend(vec![checked("a")]);
    let new_user = queued(backend.admit(ANY));
    let pinned = queued(backend.admit(Wish::Pinned(0)));
    assert!(pinned.is_pinned() && !new_user.is_pinned());
    backend.set_operation(0, Operation::Up, false);
    assert_eq!(new_user.await.unwrap().server().name(), "a");
    assert_eq!(pinned.await.unwrap().server().name(), "a");
}

#[tokio::test]
async fn a_first_check_that_fails_refuses_those_who_wait() {
    let backend = backend(vec![checked("a")]);
    let waiter = queued(backend.admit(ANY));
    let pinned = queued(backend.admit(Wish::Pinned(0)));
    backend.set_operation(0, Operation::Down, false);
    assert_eq!(waiter.await.unwrap_err(), Refusal::NoServer);
    assert_eq!(pinned.await.unwrap_err(), Refusal::NoServer);
}

#[tokio::test]
async fn a_freed_slot_goes_to_the_older_of_the_two_queues() {
    let backend = backend(vec![limited("a", 1)]);
    let first = granted(backend.admit(ANY));
    let second = queued(backend.admit(ANY));
    let third = queued(backend.admit(Wish::Pinned(0)));
    let fourth = queued(backend.admit(ANY));
    assert_eq!((second.before(), third.before(), fourth.before()), (0, 0, 1));
    assert_eq!((backend.queued(), backend.servers()[0].queued()), (2, 1));
    drop(first);
    let second = second.await.unwrap();
    assert_eq!(backend.in_flight(), 1);
    drop(second);
    let third = third.await.unwrap();
    drop(third);
    drop(fourth.await.unwrap());
    assert_eq!((backend.in_flight(), backend.queued(), backend.servers()[0].queued()), (0, 0, 0));
}

#[tokio::test]
async fn pinned_users_wait_for_their_server_even_if_others_are_idle() {
    let backend = backend(vec![limited("a", 1), limited("b", 1)]);
    let held = granted(backend.admit(Wish::Pinned(0)));
    let waiting = queued(backend.admit(Wish::Pinned(0)));
    assert_eq!(granted(backend.admit(ANY)).server().name(), "b");
    drop(held);
    assert_eq!(waiting.await.unwrap().server().name(), "a");
}

#[tokio::test]
async fn who_waits_for_a_server_that_goes_down_is_moved_and_keeps_its_age() {
    let backend = backend(vec![limited("a", 1), limited("b", 1)]);
    let held = (granted(backend.admit(Wish::Pinned(0))), granted(backend.admit(Wish::Pinned(1))));
    let older = queued(backend.admit(Wish::Pinned(0)));
    let younger = queued(backend.admit(ANY));
    let moved = backend.set_operation(0, Operation::Down, false);
    assert_eq!(moved, Moved { requeued: 1, remaining: 0, total: 2 });
    drop(held.1);
    assert_eq!(older.await.unwrap().server().name(), "b");
    assert_eq!(younger.await.unwrap().server().name(), "b");
}

#[tokio::test]
async fn who_waits_for_a_server_in_soft_drain_stays() {
    let backend = backend(vec![limited("a", 1), limited("b", 1)]);
    let held = granted(backend.admit(Wish::Pinned(0)));
    let waiting = queued(backend.admit(Wish::Pinned(0)));
    backend.set_operation(0, Operation::Soft, true);
    drop(held);
    assert_eq!(waiting.await.unwrap().server().name(), "a");
}

#[tokio::test]
async fn new_users_that_wait_are_not_given_to_a_draining_server() {
    let backend = backend(vec![limited("a", 1), limited("b", 1)]);
    let on_a = granted(backend.admit(Wish::Pinned(0)));
    let on_b = granted(backend.admit(Wish::Pinned(1)));
    let mut waiting = queued(backend.admit(ANY));
    backend.set_operation(0, Operation::Soft, true);
    drop(on_a);
    assert!(tokio::time::timeout(Duration::ZERO, &mut waiting).await.is_err());
    assert_eq!(backend.servers()[0].in_flight(), 0);
    drop(on_b);
    assert_eq!(waiting.await.unwrap().server().name(), "b");
}

#[test]
fn a_ticket_that_is_dropped_leaves_the_queue_or_gives_its_slot_back() {
    let backend = backend(vec![limited("a", 1)]);
    let held = granted(backend.admit(ANY));
    drop(queued(backend.admit(ANY)));
    assert_eq!(backend.queued(), 0);
    let waiting = queued(backend.admit(ANY));
    drop(held);
    assert_eq!(backend.in_flight(), 1, "granted to the ticket, which nobody has polled");
    drop(waiting);
    assert_eq!(backend.in_flight(), 0);
}

#[test]
fn many_threads_never_exceed_maxconn_and_nobody_is_forgotten() {
    const THREADS: usize = 4;
    const TASKS: usize = 16;
    const ROUNDS: usize = 300;
    const MAXCONN: u32 = 3;
    let backend = backend(vec![limited("a", MAXCONN), limited("b", MAXCONN)]);
    let held = Arc::new([AtomicU32::new(0), AtomicU32::new(0)]);
    let served = Arc::new(AtomicU32::new(0));
    let threads: Vec<_> = (0..THREADS)
        .map(|thread| {
            let (backend, held, served) = (backend.clone(), held.clone(), served.clone());
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
                let tasks = tokio::task::LocalSet::new();
                for task in 0..TASKS {
                    let (backend, held, served) = (backend.clone(), held.clone(), served.clone());
                    tasks.spawn_local(async move {
                        for round in 0..ROUNDS {
                            let wish =
                                if (round + task + thread) % 3 == 0 { Wish::Pinned(task % 2) } else { ANY };
                            let slot = match backend.admit(wish) {
                                Admission::Granted(slot) => slot,
                                Admission::Refused(refusal) => panic!("{refusal}"),
                                Admission::Queued(ticket) if (round + task) % 7 == 0 => {
                                    tokio::task::yield_now().await;
                                    drop(ticket);
                                    continue;
                                }
                                Admission::Queued(ticket) => ticket.await.unwrap(),
                            };
                            let here = &held[slot.server().index()];
                            assert!(here.fetch_add(1, Ordering::SeqCst) < MAXCONN);
                            tokio::task::yield_now().await;
                            here.fetch_sub(1, Ordering::SeqCst);
                            served.fetch_add(1, Ordering::Relaxed);
                        }
                    });
                }
                let all = async { tokio::time::timeout(Duration::from_mins(1), tasks).await };
                runtime.block_on(all).expect("every waiter gets its slot");
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!((backend.in_flight(), backend.queued()), (0, 0));
    assert!(served.load(Ordering::Relaxed) > (THREADS * TASKS * ROUNDS / 2) as u32);
}

#[tokio::test]
async fn a_connection_beyond_maxconn_waits_until_an_idle_one_is_closed() {
    let backend = backend(vec![limited("a", 1)]);
    let server = &backend.servers()[0];
    let mut orders = server.idle_orders();
    let mut idle = server.try_connection().unwrap();
    idle.set_idle(true);
    assert_eq!((server.open(), server.idle()), (1, 1));
    assert!(server.try_connection().is_none());
    let pool = async {
        assert_eq!(orders.recv().await.unwrap(), IdleOrder { server: server.identity(), all: false });
        assert!(server.take_claim() && !server.take_claim(), "one connection is closed, and no more");
        drop(idle);
    };
    let (_open, ()) = tokio::join!(server.connection(|| true), pool);
    assert_eq!((server.open(), server.idle()), (1, 0));
}

#[test]
fn a_server_that_drains_has_its_idle_connections_closed() {
    let backend = backend(vec![server("a")]);
    let server = &backend.servers()[0];
    let mut orders = server.idle_orders();
    assert!(server.keeps_idle());
    backend.set_operation(0, Operation::Soft, true);
    assert!(!server.keeps_idle());
    assert_eq!(orders.try_recv().unwrap(), IdleOrder { server: server.identity(), all: true });
}
