//! Health without an answer to a check: a bare connection, and what users meet.

use std::time::Duration;

use drain_tests::{
    Nginx, Place, Proxy,
    client::{Connection, Response},
    place::holds,
};

/// Intervals are 100 ms; a loaded machine may need longer.
const NOTICED_WITHIN: Duration = Duration::from_secs(10);

/// A page, as the user of this server.
fn fetch(proxy: &Proxy, user_of: &str) -> Response {
    let mut connection = Connection::open(proxy.address()).expect("a connection");
    connection.fetch("GET", "/page", &[&format!("Cookie: SERVERID={user_of}")], b"").expect("an answer")
}

#[test]
fn a_server_that_takes_no_connection_is_down_for_its_tcp_check() {
    let place = Place::new("tcp_check");
    let [mut one, two] = ["s1", "s2"].map(|name| Nginx::new(&place, name).start());
    let mut proxy = Proxy::new(&place, "lb")
        .check(r#"type = "tcp", inter = "100ms", fall = 2, rise = 1"#)
        .server("s1", one.address(), None)
        .server("s2", two.address(), None)
        .start();
    assert_eq!(fetch(&proxy, "s1").header("x-server"), Some("s1"));
    proxy.child().expect_error("Server shop/s1 is DOWN");
    one.child().stop();
    place.wait_for("the user of s1 to be moved", NOTICED_WITHIN, || {
        let log = proxy.child().log_text();
        holds(log.contains("Server shop/s1 is DOWN, reason: Layer4 connection problem"), || log)
    });
    let moved = fetch(&proxy, "s1");
    assert_eq!((moved.status, moved.header("x-server")), (200, Some("s2")));
    assert!(moved.header("set-cookie").is_some_and(|cookie| cookie.starts_with("SERVERID=s2;")));
}

#[test]
fn a_server_whose_users_meet_errors_is_down_long_before_its_next_check() {
    let place = Place::new("observe");
    let [mut one, two] = ["s1", "s2"].map(|name| Nginx::new(&place, name).start());
    let mut proxy = Proxy::new(&place, "lb")
        .check(r#"type = "tcp", inter = "10m""#)
        .server("s1", one.address(), None)
        .server_line("observe = \"layer4\"\nerror_limit = 3\non_error = \"mark-down\"")
        .server("s2", two.address(), None)
        .backend_line("retry_interval = \"10ms\"")
        .start();
    proxy.child().expect_error("Server shop/s1 is DOWN");
    one.child().stop();
    // Its retries meet the errors; the last of them goes elsewhere.
    let moved = fetch(&proxy, "s1");
    assert_eq!((moved.status, moved.header("x-server")), (200, Some("s2")));
    place.wait_for("s1 to be marked down", NOTICED_WITHIN, || {
        let log = proxy.child().log_text();
        let wanted = "Server shop/s1 is DOWN, reason: Health analyze, info: \
                      \"Detected 3 consecutive errors, last one was: L4 unsuccessful connection\".";
        holds(log.contains(wanted), || log)
    });
}
