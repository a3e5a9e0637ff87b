//! Health without an answer to a check: a bare connection, and what users meet.

use std::{fs, path::PathBuf, time::SystemTime};

use drain_tests::{
    Nginx, PATIENCE, Place, Proxy,
    client::{Connection, Response},
    place::holds,
};

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
    place.wait_for("the user of s1 to be moved", PATIENCE, || {
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
    place.wait_for("s1 to be marked down", PATIENCE, || {
        let log = proxy.child().log_text();
        let wanted = "Server shop/s1 is DOWN, reason: Health analyze, info: \
                      \"Detected 3 consecutive errors, last one was: L4 unsuccessful connection\".";
        holds(log.contains(wanted), || log)
    });
}

#[test]
fn a_server_whose_answers_are_errors_is_down_long_before_its_next_check() {
    let place = Place::new("observe_answers");
    let faulty = "location = /health { return 200; } location / { return 500; }";
    let one = Nginx::new(&place, "s1").saying(faulty).start();
    let two = Nginx::new(&place, "s2").start();
    let mut proxy = Proxy::new(&place, "lb")
        .check(r#"uri = "/health", inter = "10m""#)
        .server("s1", one.address(), None)
        .server_line("observe = \"layer7\"\nerror_limit = 3\non_error = \"mark-down\"")
        .server("s2", two.address(), None)
        .start();
    proxy.child().expect_error("Server shop/s1 is DOWN");
    for _ in 0..3 {
        let failed = fetch(&proxy, "s1");
        assert_eq!((failed.status, failed.header("x-server")), (500, Some("s1")));
    }
    place.wait_for("s1 to be marked down", PATIENCE, || {
        let log = proxy.child().log_text();
        let wanted = "Server shop/s1 is DOWN, reason: Health analyze, info: \
                      \"Detected 3 consecutive errors, last one was: Wrong http response\".";
        holds(log.contains(wanted), || log)
    });
    let moved = fetch(&proxy, "s1");
    assert_eq!((moved.status, moved.header("x-server")), (200, Some("s2")));
}

/// Much more than buffers hold.
const FILM_BYTES: usize = 20_000_000;

/// Of so many bytes in a second a film takes minutes.
const SLOW: &str = "100k";

/// It tells which of its bytes are missing.
fn film() -> Vec<u8> {
    (0..FILM_BYTES as u32 / 4).flat_map(u32::to_le_bytes).collect()
}

/// A server with a film, of which it sends so many bytes in a second, and which is healthy as long as there is a file
/// `alive`; and that file.
fn server(place: &Place, name: &str, rate: &str, is_up: bool) -> (Nginx, PathBuf) {
    let folder = place.public().join(name);
    fs::create_dir_all(&folder).expect("a folder for the server");
    fs::write(folder.join("film"), film()).expect("write the film");
    // By which it has the same tag everywhere.
    let file = fs::File::options().write(true).open(folder.join("film")).expect("open the film");
    file.set_modified(SystemTime::UNIX_EPOCH).expect("an old film");
    let alive = folder.join("alive");
    if is_up {
        fs::write(&alive, "").expect("write the file of its health");
    }
    let block = format!(
        "root {}; location = /health {{ try_files /alive =503; }} location = /film {{ limit_rate {rate}; }}",
        folder.display()
    );
    (Nginx::new(place, name).saying(&block).start(), alive)
}

/// Begins to download the film from this server, and has its health change by `change` when a part has come, which is
/// given.
fn begin(proxy: &Proxy, from: &str, change: impl FnOnce()) -> (Connection, Vec<u8>) {
    let mut connection = Connection::open(proxy.address()).expect("a connection");
    let request = format!("GET /film HTTP/1.1\r\nHost: shop\r\nCookie: SERVERID={from}\r\n\r\n");
    connection.send(request.as_bytes()).expect("ask for the film");
    let part = connection.take(10_000).expect("the beginning of the film");
    let head = part.windows(4).position(|four| four == b"\r\n\r\n").expect("the end of the head") + 4;
    let text = String::from_utf8_lossy(&part[..head]);
    assert!(text.starts_with("HTTP/1.1 200 ") && text.contains(&format!("X-Server: {from}\r\n")), "{text}");
    change();
    (connection, part[head..].to_vec())
}

/// Has the download be cut off; gives its line of the proxy's log.
fn cut_off(place: &Place, proxy: &Proxy, from: &str, change: impl FnOnce()) -> String {
    let (mut connection, _) = begin(proxy, from, change);
    let rest = connection.rest().len();
    assert!(rest < FILM_BYTES / 2, "it has been cut off: {rest}");
    logged(place, proxy)
}

/// The line of the proxy's log for the film.
fn logged(place: &Place, proxy: &Proxy) -> String {
    place.wait_for("the end of the download in the log", PATIENCE, || {
        let log = proxy.access_log();
        log.lines().find(|line| line.contains("/film ")).map(str::to_owned).ok_or(log)
    })
}

#[test]
fn sessions_of_a_server_that_goes_down_are_ended_where_that_is_wanted() {
    let place = Place::new("marked_down");
    let (one, alive) = server(&place, "s1", SLOW, true);
    let mut proxy = Proxy::new(&place, "lb")
        .check(r#"method = "GET", uri = "/health", inter = "100ms", fall = 2, rise = 2"#)
        .server("s1", one.address(), None)
        .server_line("on_marked_down = \"shutdown-sessions\"")
        .start();
    proxy.child().expect_error("Server shop/s1 is DOWN");
    proxy.child().expect_error("has no server available");
    let line = cut_off(&place, &proxy, "s1", || fs::remove_file(alive).expect("end its health"));
    assert!(line.contains(" DD"), "{line}");
}

#[test]
fn a_download_goes_on_elsewhere_when_the_sessions_of_its_server_are_ended() {
    let place = Place::new("marked_down_elsewhere");
    let (one, alive) = server(&place, "s1", SLOW, true);
    let (two, _alive) = server(&place, "s2", "0", true);
    let mut proxy = Proxy::new(&place, "lb")
        .check(r#"method = "GET", uri = "/health", inter = "100ms", fall = 2, rise = 2"#)
        .server("s1", one.address(), None)
        .server_line("on_marked_down = \"shutdown-sessions\"")
        .server("s2", two.address(), None)
        .start();
    proxy.child().expect_error("Server shop/s1 is DOWN");
    let (mut connection, mut found) = begin(&proxy, "s1", || fs::remove_file(alive).expect("end its health"));
    found.extend(connection.take(FILM_BYTES - found.len()).expect("the rest of the film"));
    place.check(found == film(), "all bytes are those of the film");
    let line = logged(&place, &proxy);
    assert!(line.contains(" shop/s2 ") && line.contains(" --VN ") && line.contains("/+1 "), "{line}");
    // The user's connection goes on, too.
    let next = connection.fetch("GET", "/health", &["Cookie: SERVERID=s1"], b"").expect("an answer");
    assert_eq!(next.header("x-server"), Some("s2"));
}

#[test]
fn sessions_of_a_backup_are_ended_when_a_server_comes_up_where_that_is_wanted() {
    let place = Place::new("marked_up");
    let (one, alive) = server(&place, "s1", SLOW, false);
    let (backup, _alive) = server(&place, "x", SLOW, true);
    let mut proxy = Proxy::new(&place, "lb")
        .check(r#"method = "GET", uri = "/health", inter = "100ms", fall = 1, rise = 2"#)
        .server("s1", one.address(), None)
        .server_line("on_marked_up = \"shutdown-backup-sessions\"")
        .server("x", backup.address(), None)
        .server_line("backup = true")
        .start();
    proxy.child().expect_error("Server shop/s1 is DOWN");
    let line = cut_off(&place, &proxy, "x", || fs::write(alive, "").expect("begin its health"));
    assert!(line.contains(" UD"), "{line}");
}
