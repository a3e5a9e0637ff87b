//! `users=` in the state that a server's checks tell: how many users it has, as an agent reads it.

use drain_tests::{PATIENCE, Place, Proxy, client::Connection};

use crate::upstream::Upstream;

/// A user with this token comes to the server that the cookie names.
fn comes(proxy: &Proxy, token: &str) {
    let cookie = format!("Cookie: SERVERID=a|~{token}");
    let answer = Connection::open(proxy.address())
        .and_then(|mut connection| connection.fetch("GET", "/", &[&cookie], b""))
        .expect("an answer");
    assert_eq!((answer.status, answer.header("x-server")), (200, Some("a")));
}

/// A proxy that counts users for so long, of which `a` gets no new ones; behind its name stands a backup without a
/// cookie.
fn proxy(place: &Place, window: &str, [a, b, backup]: [&Upstream; 3]) -> Proxy {
    let backup = format!(
        "[[backend.shop.server]]\nname = \"{}\"\naddress = \"{}\"\nbackup = true",
        backup.name, backup.address
    );
    Proxy::new(place, "lb")
        .cookie_keys("count_users = true")
        .check(r#"inter = "50ms""#)
        .backend_line(&format!("users_window = \"{window}\""))
        .server("a", a.address, None)
        .server_line("weight = 0")
        .server("b", b.address, None)
        .section(&backup)
        .start()
}

const TOKENS: [&str; 4] = ["abcDEF123456", "bbcDEF123456", "cbcDEF123456", "abcDEF123456"];

#[test]
fn checks_tell_how_many_users_a_server_has_and_that_they_have_gone() {
    let place = Place::new("users");
    let all = ["a", "b", "x"].map(Upstream::start);
    let [a, b, backup] = &all;
    let proxy = proxy(&place, "3s", [a, b, backup]);
    a.wait_for_check(&place, 0, "; users=0;");
    let seen = a.checks().len();
    for token in TOKENS {
        comes(&proxy, token);
    }
    a.wait_for_check(&place, seen, "; users=3;");
    let seen = a.checks().len();
    a.wait_for_check(&place, seen, "; users=0;");
    let states = a.checks();
    place
        .check(!states.iter().any(|state| state.contains("users=4")), &format!("one came twice: {states:?}"));
    let states = backup.checks();
    let knows = |state: &String| state.contains("users=");
    place.check(!states.is_empty() && !states.iter().any(knows), &format!("it has no cookie: {states:?}"));
}

#[test]
fn users_stay_known_through_an_upgrade() {
    let place = Place::new("users_upgrade");
    let all = ["a", "b", "x"].map(Upstream::start);
    let [a, b, backup] = &all;
    let mut proxy = proxy(&place, "1h", [a, b, backup]);
    for token in TOKENS {
        comes(&proxy, token);
    }
    a.wait_for_check(&place, 0, "; users=3;");
    proxy.upgrade();
    let seen = a.checks().len();
    place.wait_for("further checks", PATIENCE, || match a.checks().len() - seen {
        count if count > 5 => Ok(()),
        count => Err(count.to_string()),
    });
    let states = a.checks();
    place.check(states[seen..].iter().all(|state| state.contains("; users=3;")), &format!("{states:?}"));
    proxy.end_newest();
}
