//! Another process takes over from the proxy: no connection is refused or reset.

use std::{
    fs,
    io::{Read as _, Write as _},
    os::{fd::OwnedFd, unix::net::UnixStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use drain_tests::{
    PATIENCE, Place, Proxy,
    child::{self, is_alive},
    client::{Connection, Failure},
    clock,
    haproxy::Runtime,
    place::built,
};
use rustix::process::Signal;

use crate::{
    crew::{Crew, all_go_on},
    upstream::{HALF_BYTES, HELD, Upstream},
};

const UPGRADES: usize = 20;
#[test]
fn twenty_upgrades_with_other_numbers_of_threads_refuse_and_reset_nobody() {
    let place = Place::new("upgrade_twenty");
    let [a, b] = ["a", "b"].map(Upstream::start);
    let mut proxy =
        Proxy::new(&place, "lb").server("a", a.address, None).server("b", b.address, None).start();
    let file = proxy.config_file();
    let text = fs::read_to_string(&file).expect("read proxy.toml");
    // About 1,000 connections a second where the machine is fast, and some that stay.
    let crews = [
        Crew::start(proxy.address(), 5, Duration::from_millis(5), false),
        Crew::start(proxy.address(), 3, Duration::from_millis(5), true),
    ];
    for number in 0..UPGRADES {
        all_go_on(&place, &crews, 5);
        let threads = [1, 3, 2, 4][number % 4];
        fs::write(&file, format!("{text}\n[limits]\nthreads = {threads}\n")).expect("write proxy.toml");
        proxy.upgrade();
    }
    all_go_on(&place, &crews, 20);
    for crew in crews {
        assert!(crew.finish_unharmed(&place) > 5 * UPGRADES);
    }
    proxy.end_newest();
}

#[test]
fn an_answer_ends_in_the_old_process_and_the_new_one_tells_the_server_of_it() {
    let place = Place::new("upgrade_held");
    let a = Upstream::start("a");
    let mut proxy = Proxy::new(&place, "lb").server("a", a.address, None).start();
    let entrance = proxy.address();
    let held = thread::spawn(move || {
        let mut connection = Connection::open(entrance)?;
        connection.fetch("GET", HELD, &[], b"")
    });
    place.wait_for("an answer in its middle", PATIENCE, || match a.holding() {
        0 => Err("none".to_owned()),
        _ => Ok(()),
    });

    proxy.upgrade();
    let seen = a.checks().len();
    a.wait_for_check(&place, seen, "scur=1/1");
    let old = proxy.child().pid();
    assert!(is_alive(old), "it finishes what it has");
    let states = a.checks();
    let known = states[seen..].iter().all(|state| state.starts_with("UP; "));
    place.check(known, &format!("the new one goes on from what the old one had found: {states:?}"));
    a.release();

    let answer = held.join().expect("a client's thread").expect("a whole answer");
    assert_eq!((answer.status, answer.body.len()), (200, 2 * HALF_BYTES));
    place.wait_for("the old process to end", PATIENCE, || match proxy.child().ended() {
        Some(_) => Ok(()),
        None => Err("it lives".to_owned()),
    });
    let seen = a.checks().len();
    a.wait_for_check(&place, seen, "scur=0/0");
    proxy.end_newest();
}

/// How long a server may take to accept a connection there.
const CONNECT: Duration = Duration::from_millis(500);

#[test]
fn who_waits_for_a_connection_of_the_old_process_stays_with_its_server_however_long() {
    let place = Place::new("upgrade_room");
    let [a, b] = ["a", "b"].map(Upstream::start);
    // Wherever the server were noted as one that does not accept, it would be down, which fails the test.
    let mut proxy = Proxy::new(&place, "lb")
        .check(r#"inter = "1h""#)
        .server("a", a.address, None)
        .server_line("maxconn = 1\nobserve = \"layer4\"\nerror_limit = 1\non_error = \"mark-down\"")
        .server("b", b.address, None)
        .backend_line(&format!("timeout.connect = \"{}ms\"", CONNECT.as_millis()))
        .backend_line(r#"timeout.queue = "1h""#)
        .start();
    let entrance = proxy.address();
    let user = |path| {
        thread::spawn(move || Connection::open(entrance)?.fetch("GET", path, &["Cookie: SERVERID=a"], b""))
    };
    let held = user(HELD);
    place.wait_for("an answer in its middle", PATIENCE, || match a.holding() {
        0 => Err("none".to_owned()),
        _ => Ok(()),
    });
    proxy.upgrade();
    let before = b.requests();
    let waiting = user("/later");
    clock::pause(CONNECT * 4);
    place.check(!waiting.is_finished(), "the old process has the only connection");
    a.release();

    held.join().expect("a client's thread").expect("a whole answer");
    let answer = waiting.join().expect("a client's thread").expect("an answer");
    assert_eq!((answer.status, answer.header("x-server")), (200, Some("a")));
    assert_eq!(b.requests(), before);
    let line = place.wait_for("the answer's line in the log", PATIENCE, || {
        let log = proxy.access_log();
        log.lines().find(|line| line.contains(" /later ")).map(str::to_owned).ok_or(log)
    });
    let phases = line.split(' ').find(|word| word.split('/').count() == 5).expect("five times");
    let in_queue: u128 = phases.split('/').nth(1).and_then(|time| time.parse().ok()).expect("milliseconds");
    place.check(in_queue > CONNECT.as_millis() && line.contains(" --VN ") && line.contains("/0 0/0 "), &line);
    proxy.end_newest();
}

#[test]
fn what_the_old_process_has_is_cut_off_after_the_limit_and_nothing_else() {
    let place = Place::new("upgrade_finish");
    let a = Upstream::start("a");
    let mut proxy =
        Proxy::new(&place, "lb").server("a", a.address, None).section("[limits]\nfinish = \"1s\"").start();
    let entrance = proxy.address();
    let hold = |expected: usize| {
        let held = thread::spawn(move || Connection::open(entrance)?.fetch("GET", HELD, &[], b""));
        place.wait_for("an answer in its middle", PATIENCE, || match a.holding() {
            count if count == expected => Ok(()),
            count => Err(count.to_string()),
        });
        held
    };
    let of_the_old = hold(1);
    proxy.upgrade();
    let of_the_new = hold(2);
    let failure = of_the_old.join().expect("a client's thread").expect_err("an answer that is cut off");
    let wanted = Failure::Truncated { got: HALF_BYTES, announced: Some(2 * HALF_BYTES) };
    assert_eq!(failure.to_string(), wanted.to_string());
    place.wait_for("the old process to end", PATIENCE, || match proxy.child().ended() {
        Some(_) => Ok(()),
        None => Err("it lives".to_owned()),
    });
    let log = proxy.child().log_text();
    place.check(log.contains("still under way after 1s (limits.finish) is cut off"), &log);
    a.release();
    let answer = of_the_new.join().expect("a client's thread").expect("a whole answer");
    assert_eq!((answer.status, answer.body.len()), (200, 2 * HALF_BYTES));
    proxy.end_newest();
}

/// More than are used up while a change becomes known, a tenth of a second each.
const IDLE_CLIENTS: usize = 200;

#[test]
fn users_of_the_old_process_go_where_those_of_the_new_one_go() {
    let place = Place::new("upgrade_health");
    let [a, b] = ["a", "b"].map(Upstream::start);
    let mut proxy =
        Proxy::new(&place, "lb").server("a", a.address, None).server("b", b.address, None).start();
    proxy.child().expect_error("Server shop/a is DOWN");
    let serves = |connection: &mut Connection| {
        let answer = connection.fetch("GET", "/", &["Cookie: SERVERID=a"], b"").map_err(|e| e.to_string())?;
        Ok::<_, String>(answer.header("x-server").unwrap_or("nobody").to_owned())
    };
    let entrance = proxy.address();
    // Each of them may send one more request to the old process.
    let open = |_| {
        let mut connection = Connection::open(entrance).expect("a connection");
        (serves(&mut connection).expect("an answer") == "a").then_some(connection).expect("the user's server")
    };
    let mut idle: Vec<Connection> = (0..IDLE_CLIENTS).map(open).collect();
    proxy.upgrade();
    for (fails, expected) in [(true, "b"), (false, "a")] {
        a.fail_checks(fails);
        place.wait_for(&format!("users to be served by {expected} in the old process"), PATIENCE, || {
            clock::pause(Duration::from_millis(100));
            let mut connection = idle.pop().expect("an idle client that is left");
            match serves(&mut connection)? {
                server if server == expected => Ok(()),
                server => Err(format!("{server}, {} clients left", idle.len())),
            }
        });
    }
    drop(idle);
    proxy.end_newest();
}

/// Orders without a pause, until `enough`: a weight after the other. Gives the last one that was accepted.
fn order(runtime: &Runtime, enough: &AtomicBool) -> u16 {
    let mut accepted = 1;
    for weight in (2..=200).cycle() {
        if enough.load(Ordering::Relaxed) {
            break;
        }
        match &*runtime.command(&format!("set weight shop/a {weight}")) {
            "\n" => accepted = weight,
            // Whoever was about to answer has gone.
            "" => {}
            refusal => assert!(refusal.starts_with("An upgrade is under way"), "{refusal}"),
        }
    }
    accepted
}

#[test]
fn no_order_is_forgotten_in_an_upgrade_and_sessions_come_anew() {
    let place = Place::new("upgrade_orders");
    let a = Upstream::start("a");
    let mut proxy = Proxy::new(&place, "lb").server("a", a.address, None).commanded("").start();
    for _ in 0..5 {
        let mut session = UnixStream::connect(proxy.runtime().path()).expect("a session");
        session.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        session.write_all(b"prompt\nset timeout cli 1h\n").expect("to say something");
        let enough = Arc::new(AtomicBool::new(false));
        let ordering = {
            let (runtime, enough) = (proxy.runtime(), enough.clone());
            thread::spawn(move || order(&runtime, &enough))
        };
        proxy.upgrade();
        enough.store(true, Ordering::Relaxed);
        let accepted = ordering.join().expect("a thread that orders");
        let weight = proxy.runtime().command("get weight shop/a");
        place.check(weight == format!("{accepted} (initial 1)\n\n"), &format!("{accepted}: {weight}"));
        let mut said = String::new();
        session.read_to_string(&mut said).expect("the session's end");
        assert_eq!(said, "\n> \n> ");
    }
    proxy.end_newest();
}

/// The old process's end of an upgrade.
struct Old(UnixStream);

impl Old {
    fn hear(&mut self) -> String {
        let mut length = [0; 4];
        self.0.read_exact(&mut length).expect("a message's length");
        let mut text = vec![0; u32::from_be_bytes(length) as usize];
        self.0.read_exact(&mut text).expect("a message");
        String::from_utf8(text).expect("JSON")
    }

    fn say(&mut self, text: &str) {
        let length = (text.len() as u32).to_be_bytes();
        self.0.write_all(&[&length, text.as_bytes()].concat()).expect("to say something");
    }
}

#[test]
fn a_new_process_takes_no_orders_before_the_old_one_has_let_go() {
    const ORDER: &str = "set weight shop/a 7";
    let place = Place::new("upgrade_unsure");
    let a = Upstream::start("a");
    let mut proxy = Proxy::new(&place, "lb").server("a", a.address, None).commanded("").start();
    proxy.child().stop();
    let (own, theirs) = UnixStream::pair().expect("a pair of sockets");
    own.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let mut command = place.command(built("drain-proxy"));
    command.arg("-f").arg(proxy.config_file()).arg("--take-over").stdin(OwnedFd::from(theirs));
    let mut new = command.spawn().expect("a new process");
    let mut old = Old(own);

    assert_eq!(old.hear(), r#"{"version":1,"joins":true}"#);
    old.say(r#"{"version":1}"#);
    assert_eq!(old.hear(), "{}", "it is ready");
    let refusal = proxy.runtime().command(ORDER);
    place.check(refusal.starts_with("An upgrade is under way"), &refusal);
    old.say("{}");
    place.wait_for("an order to be taken", PATIENCE, || match &*proxy.runtime().command(ORDER) {
        "\n" => Ok(()),
        refusal => Err(refusal.to_owned()),
    });
    place.check(proxy.runtime().command("get weight shop/a") == "7 (initial 1)\n\n", "it was obeyed");
    child::send(new.id(), Signal::TERM).expect("a proxy that runs");
    assert!(new.wait().expect("its end").success());
}

#[test]
fn a_new_process_that_cannot_start_changes_nothing() {
    let place = Place::new("upgrade_bad");
    let a = Upstream::start("a");
    let mut proxy = Proxy::new(&place, "lb").server("a", a.address, None).start();
    proxy.child().expect_error("has ended before it was ready");
    let crew = Crew::start(proxy.address(), 2, Duration::from_millis(5), false);
    let file = proxy.config_file();
    let text = fs::read_to_string(&file).expect("read proxy.toml");
    fs::write(&file, text.clone() + "wieght = 1\n").expect("write proxy.toml");

    proxy.child().signal(Signal::USR2);
    let log = place.wait_for("a word of the failure", PATIENCE, || {
        let log = proxy.child().log_text();
        if log.contains("has ended before it was ready") { Ok(log) } else { Err("none".to_owned()) }
    });
    place.check(log.contains("did you mean `weight`?") && log.contains("this process goes on"), &log);
    crew.go_on(&place, 20);
    fs::write(&file, text).expect("write proxy.toml");
    proxy.upgrade();
    crew.go_on(&place, 20);
    crew.finish_unharmed(&place);
    proxy.end_newest();
}
