use tokio::net::TcpListener;
use tokio::task::yield_now;

use super::*;
use crate::backend::{
    Administration, Operation, Wish,
    fixture::{self, granted, queued},
};
use crate::check::checker;

/// A server with an agent at this address, and another one.
fn settings(address: std::net::SocketAddr) -> config::Backend {
    let agent = config::Agent { address, send: "text\n".into(), inter: Duration::from_millis(1) };
    let spoken_for = config::Server { agent: Some(agent), weight: 10, ..fixture::limited("a", 2) };
    fixture::settings(vec![spoken_for, fixture::server("b")])
}

/// Plays the agent once.
async fn says(listener: &TcpListener, words: &[u8]) {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut asked = [0; 5];
    stream.read_exact(&mut asked).await.unwrap();
    assert_eq!(&asked, b"text\n");
    stream.write_all(words).await.unwrap();
}

#[tokio::test]
async fn what_an_agent_says_becomes_of_its_server() {
    use Operation::{Down, Soft, Unchecked};
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let backend = fixture::backend_of(settings(listener.local_addr().unwrap()));
    let server = backend.servers()[0].clone();
    let agent = server.settings().agent.clone().unwrap();
    let mut asker =
        Asker { task: Task { backend: backend.clone(), server: server.clone(), agent }, noted: None };
    for (words, operation, weight) in [
        ("up 50%\n", Unchecked, 5),
        ("drain\r\n", Soft, 5),
        ("", Soft, 5),
        ("down # but no end of line", Soft, 5),
        ("sideways down\n", Soft, 5),
        ("ready\n", Unchecked, 5),
        ("down 100%\n", Down, 10),
        ("ready\n", Down, 10),
        ("maint,up\n", Down, 10),
        ("ready\n", Unchecked, 10),
    ] {
        let began = clock::now();
        let (answer, ()) = tokio::join!(
            ask(&asker.task.agent, began + Duration::from_secs(20)),
            says(&listener, words.as_bytes())
        );
        asker.take_in(answer, Duration::ZERO);
        assert_eq!((server.operation(), server.weight()), (operation, weight), "after {words:?}");
    }
    asker.take_in(Reply::read(b"fail\n"), Duration::ZERO);
    drop(listener);
    let answer = ask(&asker.task.agent, clock::now() + Duration::from_secs(20)).await;
    assert!(matches!(answer, Err(Unusable::Silent(_))), "{answer:?}");
    asker.take_in(answer, Duration::ZERO);
    assert_eq!(server.operation(), Down, "who can't be reached changes nothing");
}

#[tokio::test]
async fn an_agent_that_drains_its_server_lets_pinned_users_stay() {
    let backend = fixture::backend_of(settings("127.0.0.1:1".parse().unwrap()));
    backend.set_asked(0, Asked { administration: Administration::Drain, down: false });
    let goes_to = |wish| granted(backend.admit(wish)).server().index();
    assert_eq!([goes_to(Wish::ANY), goes_to(Wish::ANY), goes_to(Wish::Pinned(0))], [1, 1, 0]);
    backend.set_asked(0, Asked { administration: Administration::Maintenance, down: false });
    assert_eq!(goes_to(Wish::Pinned(0)), 1);
}

#[tokio::test]
async fn the_maxconn_that_an_agent_asks_for_holds_and_lets_go_who_waits_when_it_rises() {
    let backend = fixture::backend_of(settings("127.0.0.1:1".parse().unwrap()));
    let server = backend.servers()[0].clone();
    let agent = server.settings().agent.clone().unwrap();
    let asker = Asker { task: Task { backend: backend.clone(), server: server.clone(), agent }, noted: None };
    let says = |words: &[u8]| assert_eq!(asker.obey(&Reply::read(words).unwrap(), Duration::ZERO), None);
    let pinned = || backend.admit(Wish::Pinned(0));
    let held = [granted(pinned()), granted(pinned())];
    let [first, second, third] = [(); 3].map(|()| queued(pinned()));
    says(b"maxconn:1\n");
    let [one, other] = held;
    drop(one);
    assert_eq!(server.in_flight(), 1, "a slot that is gone goes to nobody");
    drop(other);
    let first = first.await.unwrap();
    assert_eq!(server.in_flight(), 1);
    says(b"maxconn:3\n");
    let more = [second.await.unwrap(), third.await.unwrap()];
    assert_eq!(server.in_flight(), 3, "above what the configuration says, too");
    assert!([(); 3].map(|()| server.try_connection()).iter().all(Option::is_some));
    says(b"maxconn:0\n");
    let _many = [(); 9].map(|()| granted(pinned()));
    drop((first, more));
    // As a reload does that takes its agent away.
    backend.forget_agent(0);
    queued(pinned());
    assert_eq!(server.maxconn_asked(), None);
}

#[tokio::test(flavor = "local")]
async fn what_was_asked_outlasts_a_new_configuration_as_long_as_there_is_an_agent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let settings = settings(listener.local_addr().unwrap());
    let backend = fixture::backend_of(settings.clone());
    let (mut running, turns) = (Running::default(), Rc::default());
    follow(&mut running, std::slice::from_ref(&backend), &turns);
    says(&listener, b"drain 30%\n").await;
    while backend.servers()[0].operation() != Operation::Soft || backend.servers()[0].weight() != 3 {
        yield_now().await;
    }
    let renewed = backend.renewed(settings);
    follow(&mut running, std::slice::from_ref(&renewed), &turns);
    let server = &renewed.servers()[0];
    assert_eq!((server.operation(), server.weight()), (Operation::Soft, 3));
    let plain = config::Server { weight: 10, ..fixture::server("a") };
    let without = renewed.renewed(fixture::settings(vec![plain]));
    follow(&mut running, std::slice::from_ref(&without), &turns);
    let server = &without.servers()[0];
    assert_eq!((running.0.len(), server.operation(), server.weight()), (0, Operation::Unchecked, 10));
}

#[test]
fn changes_read_as_in_haproxy() {
    let backend = fixture::backend_of(settings("127.0.0.1:1".parse().unwrap()));
    let server = &backend.servers()[0];
    for (words, expected) in [
        (
            "drain",
            "Server shop/a enters drain state. 1 active and 0 backup servers online. 0 sessions requeued, 0 total in queue.",
        ),
        (
            "maint",
            "Server shop/a is going DOWN for maintenance. 1 active and 0 backup servers left. 0 sessions active, 0 requeued, 0 remaining in queue.",
        ),
        ("drain", "Server shop/a is UP/DRAIN (leaving forced maintenance)."),
        ("ready", "Server shop/a is UP (leaving forced drain)."),
        (
            "maint",
            "Server shop/a is going DOWN for maintenance. 1 active and 0 backup servers left. 0 sessions active, 0 requeued, 0 remaining in queue.",
        ),
        ("ready", "Server shop/a is UP/READY (leaving forced maintenance)."),
    ] {
        let before = (server.administration(), server.operation());
        let asked = Reply::read(format!("{words}\n").as_bytes()).unwrap().over(server.asked());
        let moved = backend.set_asked(0, asked);
        assert_eq!(notice::administration(&backend, server, before, moved).as_deref(), Some(expected));
    }
    let before = server.operation();
    let moved = backend.set_asked(0, Asked { down: true, ..Asked::default() });
    let reply = Reply::read(b"down #too busy\n").unwrap();
    let report =
        Report { code: Some(0), ..Report::without_answer(Status::Unexpected, reply.info().unwrap()) };
    let (level, line) = notice::change(&backend, server, before, &report, moved).unwrap();
    assert_eq!(level, config::Level::Alert);
    assert_eq!(
        line,
        "Server shop/a is DOWN, reason: Layer7 wrong status, code: 0, info: \"via agent : down (too busy)\", check \
         duration: 0ms. 1 active and 0 backup servers left. 0 sessions active, 0 requeued, 0 remaining in queue."
    );
}

#[tokio::test(flavor = "local")]
async fn a_server_in_maintenance_is_not_checked() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let soon = Duration::from_millis(1);
    let check = config::Check {
        address: listener.local_addr().unwrap(),
        inter: Duration::from_secs(20),
        fastinter: soon,
        downinter: soon,
        ..fixture::check()
    };
    let server = config::Server { check: Some(check), ..fixture::server("a") };
    let backend = fixture::backend_of(fixture::settings(vec![server]));
    let mut checks = Running::default();
    checker::follow(&mut checks, std::slice::from_ref(&backend), &Arc::from("lb1"), &Rc::default());
    // Connections that are closed without an answer: it is down, and checked each millisecond.
    drop(listener.accept().await.unwrap());
    drop(listener.accept().await.unwrap());
    backend.set_asked(0, Asked { administration: Administration::Maintenance, down: false });
    let mut asked = 0;
    while let Ok(connection) = tokio::time::timeout(200 * soon, listener.accept()).await {
        drop(connection.unwrap());
        asked += 1;
        assert!(asked < 100, "it is checked all the same");
    }
    backend.set_asked(0, Asked::default());
    drop(listener.accept().await.unwrap());
}
