//! What HAProxy does with a request's cookies and a response's, row by row.

mod users;

use std::iter;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use super::super::Admission;
use super::super::fixture::{backend_of, server, settings};
use super::CookieMode::{Insert, Passive, Prefix, Rewrite};
use super::*;
use crate::config::Matches;

const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

/// The wall clock of these tests, on the fifteenth part of a minute.
const NOW_S: u64 = 1_763_839_456;

fn wall() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(NOW_S)
}

fn insert() -> config::Cookie {
    config::Cookie { attributes: "; HttpOnly; Secure".into(), ..config::Cookie::inserted("SID") }
}

/// Servers a, b, c with the cookie of a, and a backup without one.
fn shop_with(cookie: config::Cookie, adapt: impl FnOnce(&mut config::Backend)) -> Arc<Backend> {
    let bare = config::Server { cookie: None, backup: true, ..server("bare") };
    let shared = config::Server { cookie: Some("a".into()), ..server("c") };
    let mut settings =
        config::Backend { cookie: Some(cookie), ..settings(vec![server("a"), server("b"), shared, bare]) };
    adapt(&mut settings);
    backend_of(settings)
}

fn shop(cookie: config::Cookie) -> Arc<Backend> {
    shop_with(cookie, |_| {})
}

fn read_for(backend: &Backend, target: &str, cookies: &[&str]) -> Persistence {
    let request = Request { target: target.as_bytes(), client: CLIENT, ruled: None };
    Persistence::read(backend, cookies.iter().map(|header| header.as_bytes()), request, wall).unwrap()
}

fn read(backend: &Backend, cookies: &[&str]) -> Persistence {
    read_for(backend, "/", cookies)
}

/// A response: POST or not, its fields.
#[derive(Clone, Copy)]
struct From<'a>(bool, &'a [(&'a str, &'a str)]);

const PLAIN: From<'_> = From(false, &[]);

/// What the client gets when `server` has answered so: the log's letters, the cookie that we give, what became of the
/// server's own, and whether caches are told to keep out.
fn answered(
    backend: &Backend,
    persistence: &Persistence,
    server: usize,
    From(is_post, fields): From<'_>,
) -> (String, Option<String>, Vec<Passage>, bool) {
    let pairs = || fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
    let server = &*backend.servers()[server];
    let reply = Answered { is_post, is_safe: !is_post, status: 200, fields: pairs, server };
    let answer = persistence.answer(backend, &reply, wall).unwrap();
    let cookies = fields.iter().filter(|(name, _)| *name == "set-cookie");
    let passages = cookies.map(|(_, value)| answer.passage(value.as_bytes())).collect();
    let given = answer.set_cookie().map(|value| String::from_utf8(value.to_vec()).unwrap());
    (String::from_utf8(answer.letters().to_vec()).unwrap(), given, passages, answer.is_private())
}

/// The log's letters, and the cookie that is given.
fn outcome(backend: &Backend, cookies: &[&str], server: usize) -> (String, Option<String>) {
    let (letters, given, ..) = answered(backend, &read(backend, cookies), server, PLAIN);
    (letters, given)
}

const COOKIE_OF_A: &str = "SID=a; path=/; HttpOnly; Secure";

#[test]
fn the_cookie_decides_as_in_haproxy() {
    let backend = shop(insert());
    for (cookies, pinned_to, letters) in [
        (&[][..], None, "NI"),
        (&["x=1"], None, "NI"),
        (&["SID"], None, "NI"),
        (&["SID=zz"], None, "II"),
        (&["SID="], None, "II"),
        (&["SID=\"a\""], None, "II"),
        (&["SID=a"], Some(0), "VN"),
        (&["SID = b"], Some(1), "VN"),
        (&["SID=zz; SID=b"], Some(1), "VN"),
        (&["SID=zz", "x=1; SID=b"], Some(1), "VN"),
        (&["SID=b; SID=a"], Some(1), "VN"),
        (&["SID=b; SID=zz"], Some(1), "VN"),
        (&["SID=a|~x7Kq"], Some(0), "VN"),
        (&["SID=a|???"], Some(0), "VN"),
    ] {
        let expected = if pinned_to.is_some() { None } else { Some(COOKIE_OF_A.to_owned()) };
        let served_by = pinned_to.unwrap_or(0);
        assert_eq!(outcome(&backend, cookies, served_by), (letters.to_owned(), expected), "{cookies:?}");
        let wish = read(&backend, cookies).wish();
        match pinned_to {
            Some(index) => assert!(matches!(wish, Wish::Pinned(found) if found == index), "{cookies:?}"),
            None => assert!(matches!(wish, Wish::Balanced { .. }), "{cookies:?}"),
        }
    }
}

/// A date so many seconds ago.
fn ago(seconds: i64) -> String {
    let mut out = Vec::new();
    Date::of(UNIX_EPOCH + Duration::from_secs(NOW_S.saturating_add_signed(-seconds))).write(&mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn dates_are_checked_renewed_and_taken_out() {
    let seconds = |seconds: u64| (seconds > 0).then(|| Duration::from_secs(seconds));
    let (now, then, early) = (ago(0), ago(20), ago(500));
    let given = |rest: &str| Some(format!("SID=a{rest}; path=/; HttpOnly; Secure"));
    let fresh = given(&format!("|{now}"));
    let both = given(&format!("|{now}|{now}"));
    for (maxidle, maxlife, cookie, letters, expected) in [
        // Neither is set: dates are taken out.
        (0, 0, "a".to_owned(), "VN", None),
        (0, 0, format!("a|{then}"), "VU", given("")),
        (0, 0, format!("a|{then}|{then}"), "VU", given("")),
        (0, 0, format!("a||{then}"), "VU", given("")),
        (0, 0, "a|ZxY".to_owned(), "VN", None),
        // Only the time without use counts.
        (60, 0, String::new(), "II", fresh.clone()),
        (60, 0, "a".to_owned(), "VU", fresh.clone()),
        (60, 0, format!("a|{now}"), "VN", None),
        (60, 0, format!("a|{then}"), "VU", fresh.clone()),
        (60, 0, format!("a|{}", ago(60)), "VU", fresh.clone()),
        (60, 0, format!("a|{}", ago(64)), "EI", fresh.clone()),
        (60, 0, format!("a|{now}|{now}"), "VU", fresh.clone()),
        (60, 0, format!("a|{}", ago(-86_400)), "VN", None),
        (60, 0, format!("a|{}", ago(-86_404)), "EI", fresh.clone()),
        // Only the age counts, but the last use is written as well.
        (0, 100, "a".to_owned(), "VU", both.clone()),
        (0, 100, format!("a|{then}"), "VU", both.clone()),
        (0, 100, format!("a|{now}|{then}"), "VN", None),
        (0, 100, format!("a|{then}|{then}"), "VU", given(&format!("|{now}|{then}"))),
        (0, 100, format!("a|{then}|{early}"), "OI", both.clone()),
        (0, 100, format!("a|{then}|{}", ago(-86_404)), "OI", both.clone()),
        (0, 100, format!("a|{early}|{then}"), "VU", given(&format!("|{now}|{then}"))),
        // Both: the age is looked at first.
        (60, 100, format!("a|{early}|{early}"), "OI", both.clone()),
        (60, 100, format!("a|{early}|{then}"), "EI", both.clone()),
        (60, 100, format!("a|{then}|{then}"), "VU", given(&format!("|{now}|{then}"))),
    ] {
        let cookie_of = config::Cookie { maxidle: seconds(maxidle), maxlife: seconds(maxlife), ..insert() };
        let found = outcome(&shop(cookie_of), &[&format!("SID={cookie}")], 0);
        assert_eq!(found, (letters.to_owned(), expected), "maxidle {maxidle}, maxlife {maxlife}, {cookie}");
    }
}

#[test]
fn an_old_cookie_is_told_before_an_unknown_one_and_hides_no_good_one() {
    let backend = shop(config::Cookie { maxidle: Some(Duration::from_mins(1)), ..insert() });
    let old = format!("SID=a|{}", ago(500));
    let current = format!("SID=b|{}", ago(0));
    assert_eq!(outcome(&backend, &["SID=zz", &old], 0).0, "EI");
    assert_eq!(outcome(&backend, &[&old, "SID=zz"], 0).0, "EI");
    assert_eq!(outcome(&backend, &[&old, &current], 1), ("VN".to_owned(), None));
}

#[test]
fn a_server_that_is_down_loses_its_users_to_one_that_shares_its_id() {
    let backend = shop(insert());
    backend.set_operation(0, Operation::Down, false);
    assert!(matches!(read(&backend, &["SID=a"]).wish(), Wish::Pinned(2)));
    backend.set_operation(2, Operation::Down, false);
    assert!(matches!(read(&backend, &["SID=a"]).wish(), Wish::Balanced { .. }));
    assert_eq!(outcome(&backend, &["SID=zz; SID=a"], 1).0, "DI");
    assert_eq!(outcome(&backend, &["SID=a; SID=zz"], 1).0, "DI");
    assert_eq!(outcome(&backend, &["SID=a; SID=b"], 1).0, "VN");
}

#[test]
fn persist_sends_users_to_a_server_that_is_down() {
    let by_path = || Condition::Any(Matches { path_beg: vec!["/admin".into()], ..Matches::default() });
    let settings: [fn(&mut config::Backend, Condition); 3] = [
        |backend, _| backend.persist = true,
        |backend, condition| backend.force_persist = condition,
        |backend, condition| backend.servers[1].force_persist = condition,
    ];
    for (number, set) in settings.into_iter().enumerate() {
        let backend = shop_with(insert(), |backend| set(backend, by_path()));
        backend.set_operation(0, Operation::Down, false);
        backend.set_operation(1, Operation::Down, false);
        let persistence = read_for(&backend, "/admin/x", &["SID=b"]);
        assert!(matches!(persistence.wish(), Wish::Forced(1)), "{number}");
        let (letters, given, ..) = answered(&backend, &persistence, 1, PLAIN);
        assert_eq!((letters.as_str(), given), ("DN", None), "{number}");
        let elsewhere = read_for(&backend, "/", &["SID=b"]).wish();
        assert_eq!(matches!(elsewhere, Wish::Forced(1)), number == 0, "{number}");
    }
}

#[test]
fn an_ignored_cookie_is_neither_looked_at_nor_given() {
    let condition = Condition::Any(Matches { path_end: vec![".png".into()], ..Matches::default() });
    let backend = shop_with(insert(), |backend| backend.ignore_persist = condition);
    for (target, cookie, expected) in
        [("/a.png", "SID=b", "UN"), ("/a.png", "SID=zz", "UN"), ("/a.png", "x=1", "NN"), ("/", "SID=b", "DI")]
    {
        let persistence = read_for(&backend, target, &[cookie]);
        let own = [("set-cookie", "SID=own")];
        let (letters, given, passed, _) = answered(&backend, &persistence, 0, From(false, &own));
        assert_eq!(letters, expected, "{target} {cookie}");
        assert_eq!(given.is_some(), target == "/");
        assert_eq!(passed == [Passage::Unchanged], target != "/", "{target} {cookie}");
    }
    assert_eq!(cookie_passage(&backend, b"SID=b; x=1"), Passage::Replaced(b"x=1".to_vec()));
}

#[test]
fn a_user_who_is_moved_on_retry_gets_a_new_cookie() {
    let (letters, value) = outcome(&shop(insert()), &["SID=a"], 1);
    assert_eq!((letters.as_str(), value.as_deref()), ("DI", Some("SID=b; path=/; HttpOnly; Secure")));
}

#[test]
fn a_server_without_a_cookie_deletes_the_clients() {
    let deletion = "SID=; Expires=Thu, 01-Jan-1970 00:00:01 GMT; path=/; HttpOnly; Secure";
    for cookie in
        [insert(), config::Cookie { count_users: true, maxidle: Some(Duration::from_mins(1)), ..insert() }]
    {
        assert_eq!(outcome(&shop(cookie), &[], 3), ("NI".to_owned(), Some(deletion.to_owned())));
    }
}

#[test]
fn soft_drain_and_start_keep_pinned_users() {
    let backend = shop(insert());
    backend.set_operation(1, Operation::Soft, true);
    assert_eq!(outcome(&backend, &["SID=b"], 1), ("VN".to_owned(), None));
}

#[test]
fn each_mode_does_its_own_to_the_cookies_of_servers() {
    let dropped = || Passage::Dropped;
    let kept = || Passage::Unchanged;
    let replaced = |value: &str| Passage::Replaced(value.as_bytes().to_vec());
    let cookie = |mode, indirect, preserve| config::Cookie { mode, indirect, preserve, ..insert() };
    // mode, indirect, preserve, the request's cookie, answering server, letters, the server's cookie, ours
    for (mode, indirect, preserve, has, by, letters, passage, gives) in [
        (Passive, false, false, "SID=a", 0, "--", kept(), false),
        (Passive, true, false, "SID=a", 0, "VD", dropped(), false),
        (Passive, true, false, "SID=zz", 0, "IP", kept(), false),
        (Passive, true, true, "SID=a", 0, "VP", kept(), false),
        (Rewrite, false, false, "", 0, "NR", replaced("SID=a; path=/x"), false),
        (Rewrite, false, false, "SID=a", 1, "DR", replaced("SID=b; path=/x"), false),
        (Rewrite, false, false, "", 3, "NP", kept(), false),
        (Insert, true, false, "", 0, "NI", dropped(), true),
        (Insert, false, false, "SID=a", 0, "VD", dropped(), false),
        (Insert, true, true, "", 0, "NP", kept(), false),
        (Insert, true, true, "SID=zz", 0, "IP", kept(), false),
        (Prefix, false, false, "", 0, "NR", replaced("SID=a~own; path=/x"), false),
        (Prefix, false, false, "SID=b~own", 0, "DR", replaced("SID=a~own; path=/x"), false),
        (Prefix, true, false, "SID=a~own", 0, "VD", dropped(), false),
        (Prefix, false, false, "", 3, "NP", kept(), false),
    ] {
        let backend = shop(cookie(mode, indirect, preserve));
        let own = [("set-cookie", "SID=own; path=/x"), ("set-cookie", "other=1")];
        let found = answered(&backend, &read(&backend, &[has]), by, From(false, &own));
        let row = (mode, indirect, preserve, has, by);
        assert_eq!((found.0.as_str(), found.1.is_some()), (letters, gives), "{row:?}");
        assert_eq!(found.2, [passage, Passage::Unchanged], "{row:?}");
        // A server that sets none leaves nothing to rewrite.
        let found = answered(&backend, &read(&backend, &[has]), by, PLAIN);
        assert_eq!(found.1.is_some(), mode == Insert && has != "SID=a", "{row:?}");
    }
}

#[test]
fn requests_go_on_as_the_mode_says() {
    let kept = || Passage::Unchanged;
    let replaced = |value: &str| Passage::Replaced(value.as_bytes().to_vec());
    for (mode, indirect, header, expected) in [
        (Passive, true, "SID=a", kept()),
        (Rewrite, false, "SID=a; x=1", kept()),
        (Insert, false, "SID=a; x=1", kept()),
        (Insert, true, "SID=a; x=1", replaced("x=1")),
        (Insert, true, "SID=a", Passage::Dropped),
        (Insert, true, "x=1", kept()),
        (Prefix, false, "SID=zz~own; x=1", replaced("SID=own; x=1")),
        (Prefix, false, "SID=own", kept()),
    ] {
        let backend = shop(config::Cookie { mode, indirect, ..insert() });
        assert_eq!(cookie_passage(&backend, header.as_bytes()), expected, "{mode:?} {header}");
    }
}

#[test]
fn a_prefixed_cookie_pins_by_its_prefix() {
    let backend = shop(config::Cookie { mode: Prefix, indirect: false, ..insert() });
    for (cookie, expected) in
        [("SID=b~own", Some(1)), ("SID=b", Some(1)), ("SID=b|x~own", None), ("SID=~own", None)]
    {
        let wish = read(&backend, &[cookie]).wish();
        let found = if let Wish::Pinned(index) = wish { Some(index) } else { None };
        assert_eq!(found, expected, "{cookie}");
    }
}

#[test]
fn postonly_gives_to_those_who_post() {
    let backend = shop(config::Cookie { postonly: true, ..insert() });
    assert_eq!(outcome(&backend, &["SID=zz"], 0), ("IN".to_owned(), None));
    let (letters, given, ..) = answered(&backend, &read(&backend, &["SID=zz"]), 0, From(true, &[]));
    assert_eq!((letters.as_str(), given.as_deref()), ("II", Some(COOKIE_OF_A)));
}

#[test]
fn nocache_keeps_caches_off_where_a_cookie_is_given_with_what_they_would_keep() {
    let backend = shop(config::Cookie { nocache: true, ..insert() });
    let tagged = [("etag", "x")];
    for (cookie, fields, expected) in
        [("SID=zz", &tagged[..], true), ("SID=zz", &[], false), ("SID=a", &tagged, false)]
    {
        let found = answered(&backend, &read(&backend, &[cookie]), 0, From(false, fields));
        assert_eq!(found.3, expected, "{cookie} {fields:?}");
    }
    let found = answered(&shop(insert()), &read(&backend, &["SID=zz"]), 0, From(false, &tagged));
    assert!(!found.3);
}

#[test]
fn the_log_tells_of_a_request_that_nobody_answered() {
    let backend = shop(insert());
    let servers = backend.servers();
    for (cookie, tried, expected) in [
        ("", None, *b"NN"),
        ("SID=zz", None, *b"IN"),
        ("SID=a", Some(0), *b"VN"),
        ("SID=a", Some(1), *b"DN"),
        ("SID=zz", Some(1), *b"IN"),
    ] {
        let tried = tried.map(|index: usize| &*servers[index]);
        assert_eq!(read(&backend, &[cookie]).unanswered(&backend, tried), expected, "{cookie}");
    }
}

#[test]
fn without_a_cookie_in_the_configuration_nothing_is_touched() {
    let backend = backend_of(settings(vec![server("a")]));
    let request = Request { target: b"/", client: CLIENT, ruled: None };
    assert!(Persistence::read(&backend, iter::empty(), request, wall).is_none());
    assert_eq!(cookie_passage(&backend, b"SID=a"), Passage::Unchanged);
}

#[test]
fn a_forced_request_goes_to_a_server_that_is_down_and_waits_for_a_slot_there() {
    let backend = shop_with(insert(), |backend| {
        backend.persist = true;
        backend.servers[1].maxconn = std::num::NonZeroU32::new(1);
    });
    backend.set_operation(1, Operation::Down, false);
    let Admission::Granted(held) = backend.admit(Wish::Forced(1)) else { panic!("there is one slot") };
    assert!(held.server().index() == 1 && held.stays(true));
    let Admission::Queued(waiting) = backend.admit(Wish::Forced(1)) else { panic!("and no second one") };
    assert!(waiting.is_pinned());
}
