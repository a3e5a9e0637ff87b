//! The proxy reads its configuration again: nobody loses a request, and a bad file changes nothing.

use std::{fs, sync::mpsc, thread, time::Duration};

use drain_tests::{PATIENCE, Place, Proxy, client::Connection, port, scripted};
use rustix::process::Signal;

use crate::{
    crew::{Crew, all_go_on},
    upstream::{HALF_BYTES, HELD, Upstream},
};

/// Writes the configuration anew and has it read; returns when the log says how that went.
fn reload(place: &Place, proxy: &mut Proxy, edit: impl FnOnce(String) -> String) {
    let file = proxy.config_file();
    let text = fs::read_to_string(&file).expect("read proxy.toml");
    fs::write(&file, edit(text)).expect("write proxy.toml");
    let reloads = |proxy: &mut Proxy| proxy.child().log_text().matches(" SIGHUP: ").count();
    let before = reloads(proxy);
    proxy.child().signal(Signal::HUP);
    place.wait_for("a word of the reload", PATIENCE, || {
        if reloads(proxy) > before { Ok(()) } else { Err("none".to_owned()) }
    });
}

fn server(upstream: &Upstream) -> String {
    format!("\n[[backend.shop.server]]\nname = \"{}\"\naddress = \"{}\"\n", upstream.name, upstream.address)
}

/// The configuration with these servers and no others.
fn only(text: &str, servers: &[&Upstream]) -> String {
    let (rest, _) = text.split_once("\n[[backend.shop.server]]").expect("servers at the end");
    rest.to_owned() + &servers.iter().map(|upstream| server(upstream)).collect::<String>()
}

#[test]
fn servers_come_go_and_change_under_load_and_no_request_is_lost() {
    let place = Place::new("reload_servers");
    let [a, b, c] = ["a", "b", "c"].map(Upstream::start);
    let mut proxy =
        Proxy::new(&place, "lb").server("a", a.address, None).server("b", b.address, None).start();
    let crews = [true, false].map(|keep| Crew::start(proxy.address(), 3, Duration::from_millis(2), keep));
    let entrance = proxy.address();
    let held = thread::spawn(move || Connection::open(entrance)?.fetch("GET", HELD, &[], b""));
    place.wait_for("an answer in its middle", PATIENCE, || match a.holding() + b.holding() {
        0 => Err("none".to_owned()),
        _ => Ok(()),
    });

    for round in 0..3 {
        reload(&place, &mut proxy, |text| only(&text, &[&b, &c]));
        all_go_on(&place, &crews, 20);
        reload(&place, &mut proxy, |text| only(&text, &[&c, &a]) + &format!("weight = {}\n", 2 + round));
        all_go_on(&place, &crews, 20);
    }
    // What was under way there ends.
    place.wait_for("nobody to come to a server that has gone", PATIENCE, || {
        let before = b.requests();
        all_go_on(&place, &crews, 20);
        if b.requests() == before { Ok(()) } else { Err(format!("{} more", b.requests() - before)) }
    });
    assert!(c.requests() > 0, "the server that came has served");
    a.release();
    b.release();

    let answer = held.join().expect("a client's thread").expect("a whole answer");
    assert_eq!(answer.body.len(), 2 * HALF_BYTES);
    for crew in crews {
        assert!(crew.finish_unharmed(&place) > 0);
    }
}

#[test]
fn a_bad_file_is_reported_with_its_places_and_changes_nothing() {
    let place = Place::new("reload_bad");
    let [a, b] = ["a", "b"].map(Upstream::start);
    let mut proxy = Proxy::new(&place, "lb").server("a", a.address, None).start();
    proxy.child().expect_error("nothing is changed");
    let crew = Crew::start(proxy.address(), 2, Duration::from_millis(2), true);

    reload(&place, &mut proxy, |text| only(&text, &[&b]) + "wieght = 1\n");
    crew.go_on(&place, 20);

    let log = proxy.child().log_text();
    place.check(log.contains("unknown key `backend.shop.server.wieght`"), &log);
    place.check(log.contains("did you mean `weight`?"), &log);
    assert_eq!(b.requests(), 0);

    // Nor does an address that another program has, with what else stands in the file.
    let taken = std::net::TcpListener::bind(port::free()).expect("listen on a free port");
    let theirs = taken.local_addr().expect("an address");
    reload(&place, &mut proxy, |text| {
        let text = only(&text, &[&b]);
        let own = format!("bind = [\"{}\"", proxy_address(&text));
        text.replace(&own, &format!("{own}, \"{theirs}\""))
    });
    crew.go_on(&place, 20);
    assert_eq!(b.requests(), 0);
    let log = proxy.child().log_text();
    place.check(log.contains(&format!("{theirs} is taken by another program")), &log);

    drop(taken);
    reload(&place, &mut proxy, |text| text);
    crew.go_on(&place, 20);
    assert!(b.requests() > 0, "the file is good now");
    crew.finish_unharmed(&place);
}

#[test]
fn idle_connections_outlive_a_reload_that_changes_another_server() {
    let place = Place::new("reload_idle");
    let (told, users) = mpsc::channel();
    let a = scripted::start(move |request, connection| {
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").ok()?;
        if request.line().starts_with("GET /page ") {
            told.send(connection.stream().peer_addr().ok()?).ok()?;
        }
        Some(())
    });
    let b = Upstream::start("b");
    // Each core has idle connections of its own.
    let mut proxy = Proxy::new(&place, "lb")
        .section("[limits]\nthreads = 1")
        .server("a", a, None)
        .server("b", b.address, None)
        .server_line("weight = 2")
        .start();
    let entrance = proxy.address();
    let connection = || {
        let answer = Connection::open(entrance)
            .and_then(|mut connection| connection.fetch("GET", "/page", &["Cookie: SERVERID=a"], b""))
            .expect("an answer");
        assert_eq!(answer.status, 200);
        users.recv_timeout(PATIENCE).expect("a request at the server")
    };
    let before = connection();
    reload(&place, &mut proxy, |text| text.replace("weight = 2", "weight = 3"));
    assert_eq!(connection(), before);
}

#[test]
fn who_waits_for_room_at_an_address_that_goes_is_served_and_it_may_come_back() {
    let place = Place::new("reload_waiting");
    let a = Upstream::start("a");
    // One client at a time: the others wait in the kernel.
    let mut proxy = Proxy::new(&place, "lb")
        .section("[limits]\nthreads = 1")
        .frontend_line("maxconn = 1")
        .server("a", a.address, None)
        .start();
    let (stays, goes) = (proxy.address(), port::free());
    let (one, both) = (format!("bind = [\"{stays}\"]"), format!("bind = [\"{stays}\", \"{goes}\"]"));
    reload(&place, &mut proxy, |text| text.replace(&one, &both));
    let user = |to, path| {
        let mut connection = Connection::open(to).expect("a connection");
        connection.set_patience(PATIENCE);
        let request = format!("GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
        connection.send(request.as_bytes()).expect("a request");
        connection
    };
    place.wait_for("the address to serve", PATIENCE, || {
        let answer = Connection::open(goes).and_then(|mut connection| connection.fetch("GET", "/", &[], b""));
        answer.map(drop).map_err(|error| error.to_string())
    });
    let mut held = user(stays, HELD);
    place.wait_for("an answer in its middle", PATIENCE, || match a.holding() {
        0 => Err("none".to_owned()),
        _ => Ok(()),
    });
    let waiting = [(); 3].map(|()| user(goes, "/"));

    reload(&place, &mut proxy, |text| text.replace(&both, &one));
    reload(&place, &mut proxy, |text| text.replace(&one, &both));
    let log = proxy.child().log_text();
    place.check(!log.contains("nothing is changed"), &log);
    reload(&place, &mut proxy, |text| text.replace(&both, &one));
    a.release();

    assert_eq!(held.receive("GET").expect("a whole answer").body.len(), 2 * HALF_BYTES);
    drop(held);
    for mut waiting in waiting {
        assert_eq!(waiting.receive("GET").expect("an answer").status, 200);
    }
    place.wait_for("the address to be closed", PATIENCE, || match Connection::open(goes) {
        Ok(_) => Err("it is open".to_owned()),
        Err(_) => Ok(()),
    });
}

/// The first address that the configuration binds.
fn proxy_address(text: &str) -> &str {
    let rest = text.split_once("bind = [\"").expect("an address").1;
    rest.split_once('"').expect("the end of an address").0
}

#[test]
fn an_address_comes_and_another_goes_while_a_request_is_under_way_there() {
    let place = Place::new("reload_bind");
    let a = Upstream::start("a");
    let mut proxy = Proxy::new(&place, "lb").server("a", a.address, None).start();
    let (old, new) = (proxy.address(), port::free());
    let held = thread::spawn(move || {
        let mut connection = Connection::open(old)?;
        connection.fetch("GET", HELD, &[], b"")
    });
    place.wait_for("an answer in its middle", PATIENCE, || match a.holding() {
        0 => Err("none".to_owned()),
        _ => Ok(()),
    });

    reload(&place, &mut proxy, |text| text.replace(&old.to_string(), &new.to_string()));
    place.wait_for("the new address to serve", PATIENCE, || {
        let answer = Connection::open(new).and_then(|mut connection| connection.fetch("GET", "/", &[], b""));
        answer.map(drop).map_err(|error| error.to_string())
    });
    place.wait_for("the old address to be closed", PATIENCE, || match Connection::open(old) {
        Ok(_) => Err("it is open".to_owned()),
        Err(_) => Ok(()),
    });
    a.release();

    let answer = held.join().expect("a client's thread").expect("a whole answer");
    assert_eq!((answer.status, answer.body.len()), (200, 2 * HALF_BYTES));
}
