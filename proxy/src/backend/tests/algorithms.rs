//! Who is chosen by which algorithm.

use std::collections::{HashMap, HashSet};
use std::num::NonZeroUsize;

use super::*;
use crate::config::{Balance, HashType};

fn balanced(balance: Balance, servers: Vec<config::Server>) -> Arc<Backend> {
    backend_of(config::Backend { balance, ..settings(servers) })
}

fn hashed(hash_type: HashType, servers: Vec<config::Server>) -> Arc<Backend> {
    backend_of(config::Backend { balance: Balance::Source, hash_type, ..settings(servers) })
}

fn weighing(name: &str, weight: u16) -> config::Server {
    config::Server { weight, ..server(name) }
}

fn by(key: u32) -> Wish {
    Wish::ANY.with_key(Some(Key::new(&key.to_be_bytes())))
}

fn name_of(backend: &Arc<Backend>, wish: Wish) -> String {
    granted(backend.admit(wish)).server().name().to_owned()
}

#[test]
fn static_turns_have_the_order_of_haproxy() {
    let backend =
        balanced(Balance::StaticRoundRobin, vec![weighing("a", 3), weighing("b", 1), weighing("c", 1)]);
    assert_eq!(next_names(&backend, 10), "aabacaabac");
}

#[test]
fn leastconn_takes_the_least_loaded_for_its_weight_and_turns_among_equals() {
    let backend = balanced(Balance::LeastConn, vec![weighing("a", 3), weighing("b", 1), weighing("c", 1)]);
    assert_eq!(next_names(&backend, 6), "abcabc", "idle servers are equal, whatever their weight");
    let mut held: Vec<Slot> = (0..10).map(|_| granted(backend.admit(ANY))).collect();
    let count = |name: &str| backend.servers().iter().find(|s| s.name() == name).unwrap().in_flight();
    assert_eq!((count("a"), count("b"), count("c")), (6, 2, 2));
    held.retain(|slot| slot.server().name() != "b");
    assert_eq!(name_of(&backend, ANY), "b");
}

#[test]
fn first_fills_the_first_server_before_the_next() {
    let backend = balanced(Balance::First, vec![limited("a", 2), limited("b", 1), server("c")]);
    let mut held: Vec<Slot> = (0..5).map(|_| granted(backend.admit(ANY))).collect();
    let names: String = held.iter().map(|slot| slot.server().name()).collect();
    assert_eq!(names, "aabcc");
    held.remove(0);
    assert_eq!(name_of(&backend, ANY), "a");
}

#[test]
fn of_two_drawn_servers_the_less_loaded_is_taken() {
    let draws = NonZeroUsize::new(2).unwrap();
    let servers = vec![server("a"), server("b"), server("c"), server("d")];
    let backend = balanced(Balance::Random(draws), servers);
    let held: Vec<Slot> = (0..400).map(|_| granted(backend.admit(ANY))).collect();
    for server in backend.servers() {
        assert!((85..=115).contains(&server.in_flight()), "{} of {}", server.in_flight(), held.len());
    }
}

#[test]
fn a_random_choice_follows_the_weights() {
    let draws = NonZeroUsize::MIN;
    let backend = balanced(Balance::Random(draws), vec![weighing("a", 3), weighing("b", 1)]);
    let heavy = (0..4000).filter(|_| name_of(&backend, ANY) == "a").count();
    assert!((2850..=3150).contains(&heavy), "{heavy} of 4000");
}

#[test]
fn a_hash_keeps_a_user_at_its_server_and_without_one_requests_take_turns() {
    for hash_type in [HashType::MapBased, HashType::Consistent] {
        let backend = hashed(hash_type, vec![server("a"), server("b"), server("c")]);
        let all: HashSet<String> = (0..100).map(|user| name_of(&backend, by(user))).collect();
        assert_eq!(all.len(), 3);
        for user in 0..100 {
            assert_eq!(name_of(&backend, by(user)), name_of(&backend, by(user)));
        }
        assert_eq!(next_names(&backend, 6).chars().collect::<HashSet<_>>().len(), 3);
    }
}

#[test]
fn a_user_whose_hashed_server_fails_gets_another_one() {
    for hash_type in [HashType::MapBased, HashType::Consistent] {
        let backend = hashed(hash_type, vec![weighing("a", 100), weighing("b", 1), weighing("c", 1)]);
        for user in 0..50 {
            let failed = granted(backend.admit(by(user))).server().index();
            let key = Some(Key::new(&user.to_be_bytes()));
            let next = granted(backend.admit(Wish::Balanced { avoid: Some(failed), key }));
            assert_ne!(next.server().index(), failed);
        }
        let alone = hashed(hash_type, vec![server("a")]);
        assert_eq!(name_of(&alone, Wish::Balanced { avoid: Some(0), key: Some(Key::new(b"x")) }), "a");
    }
}

#[test]
fn consistent_hashing_moves_only_the_users_of_a_server_that_leaves_and_gives_them_back() {
    let servers = ["a", "b", "c", "d", "e"].map(|name| weighing(name, 10)).to_vec();
    let backend = hashed(HashType::Consistent, servers);
    let owners = || -> Vec<String> { (0..2000).map(|user| name_of(&backend, by(user))).collect() };
    let before = owners();
    backend.set_operation(2, Operation::Down, false);
    let after = owners();
    for (before, after) in before.iter().zip(&after) {
        assert!(before == after || before == "c", "{before} to {after}");
    }
    let moved = before.iter().filter(|name| *name == "c").count();
    assert!((200..=600).contains(&moved), "{moved} of 2000 moved, a fifth is 400");
    backend.set_operation(2, Operation::Up, false);
    assert_eq!(owners(), before);
}

#[test]
fn users_of_a_map_are_shared_by_weight() {
    let backend = hashed(HashType::MapBased, vec![weighing("a", 3), weighing("b", 1)]);
    let heavy = (0..4000).filter(|&user| name_of(&backend, by(user)) == "a").count();
    assert!((2850..=3150).contains(&heavy), "{heavy} of 4000");
}

#[test]
fn weights_change_at_run_time() {
    let backend = backend(vec![server("a"), server("b")]);
    backend.set_weight(0, 3).unwrap();
    let share = |count: usize| {
        let mut shares = HashMap::new();
        for name in next_names(&backend, count).chars() {
            *shares.entry(name).or_insert(0) += 1;
        }
        shares
    };
    assert_eq!(share(8), HashMap::from([('a', 6), ('b', 2)]));
    assert_eq!((backend.usable().weight, backend.effective_weight(&backend.servers()[0])), (4, 3));
    backend.set_weight(0, 0).unwrap();
    assert_eq!(next_names(&backend, 2), "bb");
    assert_eq!(name_of(&backend, Wish::Pinned(0)), "a", "who belongs to it stays");
    assert_eq!(backend.set_weight(0, 257), Err(WeightRefused::TooLarge(257)));
}

#[test]
fn static_algorithms_know_a_server_s_own_weight_and_none() {
    let backend = balanced(Balance::StaticRoundRobin, vec![weighing("a", 2), weighing("b", 2)]);
    assert_eq!(backend.set_weight(0, 1), Err(WeightRefused::Static));
    backend.set_weight(0, 0).unwrap();
    assert_eq!(next_names(&backend, 2), "bb");
    backend.set_weight(0, 2).unwrap();
    assert!(next_names(&backend, 2).contains('a'));
}

#[test]
fn a_ring_takes_a_weight_above_the_configured_one() {
    let backend = hashed(HashType::Consistent, vec![server("a"), server("b")]);
    backend.set_weight(0, 256).unwrap();
    let heavy = (0..1000).filter(|&user| name_of(&backend, by(user)) == "a").count();
    assert!(heavy > 950, "{heavy} of 1000");
}

#[test]
fn all_backups_serve_where_that_is_wanted() {
    let backup = |name| config::Server { backup: true, ..server(name) };
    let settings = settings(vec![server("a"), backup("x"), backup("y")]);
    let backend = backend_of(config::Backend { allbackups: true, ..settings });
    assert_eq!(next_names(&backend, 2), "aa");
    backend.set_operation(0, Operation::Down, false);
    assert_eq!(next_names(&backend, 4).chars().collect::<HashSet<_>>(), HashSet::from(['x', 'y']));
    assert_eq!(backend.usable(), Usable { active: 0, backup: 2, weight: 2 });
}

#[test]
fn turns_go_on_where_they_were_when_a_server_comes_or_goes() {
    let backend = backend(vec![server("a"), server("b"), server("c")]);
    let mut first = HashMap::new();
    for _ in 0..30 {
        *first.entry(next_names(&backend, 1)).or_insert(0) += 1;
        backend.set_operation(2, Operation::Up, false);
    }
    assert_eq!(first.len(), 3, "{first:?}: nobody is always first");
}
