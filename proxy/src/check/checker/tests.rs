use super::*;

use std::cell::Cell;
use std::num::NonZeroU32;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::backend::{Admission, Wish, fixture};

/// The checker of the backend's only server.
fn checker(backend: &Arc<Backend>) -> Checker {
    let task = tasks(std::slice::from_ref(backend)).next().expect("a server that is checked");
    Checker::new(task, Arc::from("lb1"), Duration::ZERO, Rc::default())
}

/// A checked server whose checks are answered with these heads one after the other, and with the last one for
/// ever; tells what the server has become after each answer, and what the checks said.
async fn becomes(answers: &[&str]) -> Vec<(Operation, bool, String)> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let interval = Duration::from_millis(1);
    let check = config::Check {
        address: listener.local_addr().unwrap(),
        inter: Duration::from_secs(5),
        fastinter: interval,
        downinter: interval,
        fall: NonZeroU32::MIN,
        rise: NonZeroU32::MIN,
        ..fixture::check()
    };
    let server = config::Server { check: Some(check), ..fixture::server("a") };
    let backend = fixture::backend_of(fixture::settings(vec![server]));
    let mut checker = checker(&backend);
    let mut seen = Vec::new();
    for (number, answer) in answers.iter().enumerate() {
        let serve = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 1024];
            let length = stream.read(&mut request).await.unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
            request.truncate(length);
            String::from_utf8(request).unwrap()
        };
        let ask = async {
            if number == 0 {
                checker.first().await;
            } else {
                let report = checker.ask().await;
                checker.take_in(&report);
            }
        };
        let (request, ()) = tokio::join!(serve, ask);
        let state =
            request.split("x-haproxy-server-state: ").nth(1).unwrap().split(';').next().unwrap().to_owned();
        let server = &backend.servers()[0];
        seen.push((server.operation(), server.is_draining(), state));
    }
    seen
}

#[tokio::test]
async fn a_server_is_taken_through_its_drain_and_told_how_it_is_seen() {
    let up = "HTTP/1.0 200 OK\r\nx-drain-state: up; since=1\r\n\r\n";
    let soft = "HTTP/1.0 404 Soft\r\nx-drain-state: soft; since=2\r\n\r\n";
    let hard = "HTTP/1.0 500 Hard\r\nx-drain-state: hard; since=3\r\n\r\n";
    assert_eq!(
        becomes(&[up, soft, soft, hard, hard, up, up]).await,
        [
            (Operation::Up, false, "UP".to_owned()),
            (Operation::Soft, true, "UP".to_owned()),
            (Operation::Soft, true, "NOLB".to_owned()),
            (Operation::Down, true, "NOLB".to_owned()),
            (Operation::Down, true, "DOWN".to_owned()),
            (Operation::Up, false, "DOWN".to_owned()),
            (Operation::Up, false, "UP".to_owned()),
        ]
    );
}

#[tokio::test]
async fn a_server_whose_first_answer_is_late_is_taken_for_up_until_it_comes() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let check = config::Check {
        address: listener.local_addr().unwrap(),
        inter: Duration::from_millis(20),
        timeout: Some(Duration::from_secs(5)),
        ..fixture::check()
    };
    let server = config::Server { check: Some(check), ..fixture::server("a") };
    let backend = fixture::backend_of(fixture::settings(vec![server]));
    let server = backend.servers()[0].clone();
    let mut checker = checker(&backend);
    let serve = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        while server.operation() == Operation::Starting {
            sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(server.operation(), Operation::Up);
        stream.write_all(b"HTTP/1.0 500 No\r\n\r\n").await.unwrap();
        // Closing with the request unread would break the answer off.
        assert!(stream.read(&mut [0; 1024]).await.unwrap() > 0);
    };
    tokio::join!(serve, checker.first());
    assert_eq!(server.operation(), Operation::Down);
}

/// Makes the first check by a script of what each attempt comes to after how long; tells what became of the server,
/// and of a request that had waited for it.
async fn first_by(script: &[(Status, Duration)]) -> (Operation, bool) {
    let backend = fixture::backend_of(fixture::settings(vec![fixture::checked("a")]));
    let mut checker = checker(&backend);
    let Admission::Queued(ticket) = backend.admit(Wish::ANY) else {
        panic!("a request waits for the first check");
    };
    let attempt = Cell::new(0);
    let ask = async |start: Instant| {
        let (status, after) = script[attempt.replace(attempt.get() + 1).min(script.len() - 1)];
        sleep_until(start + after).await;
        Report::without_answer(status, String::new())
    };
    checker.first_by(ask).await;
    (backend.servers()[0].operation(), ticket.await.is_ok())
}

#[tokio::test(start_paused = true)]
async fn a_first_check_that_takes_all_of_its_time_sends_nobody_to_a_dead_server() {
    let inter = fixture::check().inter;
    for status in [Status::ConnectTimeout, Status::AnswerTimeout] {
        assert_eq!(first_by(&[(status, inter)]).await, (Operation::Down, false));
    }
}

#[tokio::test(start_paused = true)]
async fn a_first_check_without_a_socket_is_made_again_before_anybody_goes() {
    let none = (Status::SocketError, Duration::ZERO);
    let dead = (Status::ConnectFailed, Duration::ZERO);
    assert_eq!(first_by(&[none, none, dead]).await, (Operation::Down, false));
    let began = clock::now();
    assert_eq!(first_by(&[none]).await, (Operation::Up, true));
    let (waited, inter) = (clock::now().duration_since(began), fixture::check().inter);
    assert!(waited >= inter && waited <= inter + AGAIN_AFTER, "{waited:?}");
}

#[tokio::test(flavor = "local")]
async fn newer_settings_reach_a_check_that_goes_on_from_what_it_has_found() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let check = config::Check {
        address: listener.local_addr().unwrap(),
        inter: Duration::from_hours(1),
        fastinter: Duration::from_hours(1),
        fall: NonZeroU32::new(2).unwrap(),
        ..fixture::check()
    };
    let settings = |check: &config::Check, rest: Vec<config::Server>| {
        let checked = config::Server { check: Some(check.clone()), ..fixture::server("a") };
        fixture::settings(rest.into_iter().chain([checked]).collect())
    };
    let answer = async |head: &str| {
        let (mut stream, _) = listener.accept().await.unwrap();
        assert!(stream.read(&mut [0; 1024]).await.unwrap() > 0);
        stream.write_all(head.as_bytes()).await.unwrap();
    };
    let until = async |server: &Server, health: u32| {
        while server.health() != Some(health) {
            sleep(Duration::from_millis(1)).await;
        }
    };
    let backend = fixture::backend_of(settings(&check, Vec::new()));
    let (mut running, node, turns) = (Running::default(), Arc::from("lb1"), Rc::default());
    follow(&mut running, std::slice::from_ref(&backend), &node, &turns);
    answer("HTTP/1.0 200 OK\r\n\r\n").await;
    until(&backend.servers()[0], 3).await;
    // The second check would be an hour away, and its failure the first of two.
    let soon = config::Check { inter: Duration::from_millis(1), ..check.clone() };
    let renewed = backend.renewed(settings(&soon, vec![fixture::server("b")]));
    follow(&mut running, std::slice::from_ref(&renewed), &node, &turns);
    answer("HTTP/1.0 500 No\r\n\r\n").await;
    until(&renewed.servers()[1], 2).await;
    assert_eq!(renewed.servers()[1].operation(), Operation::Up);
    // Whoever is not checked any more is not asked: its checker has gone.
    let unchecked = renewed.renewed(fixture::settings(vec![fixture::server("a")]));
    follow(&mut running, std::slice::from_ref(&unchecked), &node, &turns);
    assert_eq!((running.0.len(), unchecked.servers()[0].operation()), (0, Operation::Unchecked));
}

/// A server that answers its checks, which are an hour apart, with this head; its settings.
async fn answering(head: &'static str) -> config::Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let an_hour = Duration::from_hours(1);
    let check = config::Check {
        address: listener.local_addr().unwrap(),
        inter: an_hour,
        fastinter: an_hour,
        downinter: an_hour,
        ..fixture::check()
    };
    tokio::task::spawn_local(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            assert!(stream.read(&mut [0; 1024]).await.unwrap() > 0);
            stream.write_all(head.as_bytes()).await.unwrap();
        }
    });
    config::Server { check: Some(check), ..fixture::server("a") }
}

async fn goes_down(server: &Server) {
    while server.checks() != Operation::Down {
        sleep(Duration::from_millis(1)).await;
    }
}

fn followed(backend: &Arc<Backend>) -> Running<Task> {
    let mut running = Running::default();
    follow(&mut running, std::slice::from_ref(backend), &Arc::from("lb1"), &Rc::default());
    running
}

#[tokio::test(flavor = "local")]
async fn a_server_is_checked_at_once_after_maintenance_and_one_failure_takes_it_down() {
    let settings = answering("HTTP/1.0 500 No\r\n\r\n").await;
    for pauses in [false, true] {
        let backend = fixture::backend_of(fixture::settings(vec![settings.clone()]));
        let server = &backend.servers()[0];
        server.note_health(4);
        backend.set_operation(0, Operation::Up, false);
        let _running = followed(&backend);
        tokio::task::yield_now().await;
        if pauses {
            server.forced().pause_checks(true);
            server.forced().pause_checks(false);
        } else {
            backend.set_ordered(0, Administration::Maintenance);
            backend.set_ordered(0, Administration::Ready);
        }
        goes_down(server).await;
    }
}

#[tokio::test(flavor = "local")]
async fn a_server_that_served_without_a_check_is_checked_at_once() {
    let settings = answering("HTTP/1.0 500 No\r\n\r\n").await;
    let unchecked = config::Server { check: None, ..settings.clone() };
    let backend = fixture::backend_of(fixture::settings(vec![unchecked]));
    let renewed = backend.renewed(fixture::settings(vec![settings]));
    assert_eq!(renewed.servers()[0].operation(), Operation::Up);
    let _running = followed(&renewed);
    goes_down(&renewed.servers()[0]).await;
}
