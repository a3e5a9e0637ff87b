//! The endpoint that balancers ask, over real sockets.

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use drain_agent::{
    agent_check::{Ledger, Speaker},
    clock::Moment,
    health::{Answer, Check, Endpoint, Way, bind},
    lifecycle::Phase,
    systemd::watchdog::Pulse,
};
use rustix::process::{Resource, getrlimit, setrlimit};
use socket2::{Domain, Socket, Type};
use tokio::sync::{mpsc, watch};

const CHECK: &[u8] = b"OPTIONS / HTTP/1.0\r\n\r\n";

/// Longer than anything here may take on a busy machine.
const DEADLINE: Duration = Duration::from_secs(10);

struct Rig {
    endpoint: Endpoint,
    address: SocketAddr,
    answer: watch::Sender<Option<Answer>>,
    checks: mpsc::Receiver<Check>,
}

impl Rig {
    fn new(answer: impl Into<Option<Answer>>) -> Self {
        Self::with_room(answer, 1024)
    }

    fn with_room(answer: impl Into<Option<Answer>>, room: usize) -> Self {
        let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let (answer, answers) = watch::channel(answer.into());
        let (report, checks) = mpsc::channel(room);
        let endpoint = Endpoint::start(vec![listener], answers, report).unwrap();
        Self { endpoint, address, answer, checks }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream
    }

    /// Sends a request, and reads up to the close.
    fn ask(&self, request: &[u8]) -> String {
        let mut stream = self.connect();
        stream.write_all(request).unwrap();
        rest(&mut stream)
    }
}

fn rest(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("an answer and an orderly close");
    text
}

fn answer(status: u16, phase: Phase, generation: u64) -> Answer {
    Answer { status, phase, reason: format!("{phase} it is"), since_unix: 1_700_000_000, generation }
}

fn up() -> Answer {
    answer(200, Phase::Up, 1)
}

#[test]
fn every_method_gets_every_answer_on_every_path() {
    let mut rig = Rig::new(None);
    let answers = [
        (200, "OK", Phase::Up),
        (404, "Not Found", Phase::Soft),
        (500, "Internal Server Error", Phase::Hard),
    ];
    for (generation, (status, name, phase)) in answers.into_iter().enumerate() {
        rig.answer.send_replace(Some(answer(status, phase, generation as u64)));
        for method in ["GET", "HEAD", "OPTIONS"] {
            for head in ["/ HTTP/1.0\r\n", "/any/path?x HTTP/1.1\r\nHost: a\r\n", "* HTTP/1.1\r\n"] {
                let text = rig.ask(format!("{method} {head}\r\n").as_bytes());
                assert!(
                    text.starts_with(&format!("HTTP/1.1 {status} {name}\r\n")),
                    "{method} {head}: {text}"
                );
                let state = format!("x-drain-state: {phase}; reason=\"{phase} it is\"; since=1700000000\r\n");
                assert!(text.contains(&state) && text.contains("connection: close\r\n"), "{text}");
                let body = format!("{phase} it is\n");
                assert!(text.contains(&format!("content-length: {}\r\n", body.len())), "{text}");
                let expected = if method == "HEAD" { "" } else { &body };
                assert_eq!(text.split_once("\r\n\r\n").unwrap().1, expected);
                let check = rig.checks.blocking_recv().unwrap();
                assert_eq!((check.status, check.generation), (status, generation as u64));
                assert_eq!(check.source.ip(), rig.address.ip());
            }
        }
    }
}

#[test]
fn the_agent_protocol_is_spoken_on_a_port_of_its_own() {
    let (http, spoken) =
        (bind("127.0.0.1:0".parse().unwrap()).unwrap(), bind("127.0.0.1:0".parse().unwrap()).unwrap());
    let address = spoken.local_addr().unwrap();
    let (answer, answers) = watch::channel(None);
    let (report, mut checks) = mpsc::channel(1024);
    let speaker = Speaker::new(Ledger::default(), watch::channel(None).1);
    let endpoint =
        Endpoint::start_with(vec![http], Some((vec![spoken], speaker)), answers, report, Pulse::default());
    let _endpoint = endpoint.unwrap();
    // What `agent-send` sends, or somebody else, must not destroy the answer.
    let ask = |sends: &[u8]| {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.write_all(sends).unwrap();
        rest(&mut stream)
    };
    assert_eq!(ask(b""), "", "nothing is known yet");
    let flood = vec![b'x'; 30_000];
    for (phase, says) in [
        (Phase::Up, "up\n"),
        (Phase::Soft, "up drain\n"),
        (Phase::Hard, "down #hard it is\n"),
        (Phase::Up, "up ready\n"),
    ] {
        answer.send_replace(Some(self::answer(200, phase, 7)));
        for sends in [&b""[..], b"shop/s1\n", &flood] {
            assert_eq!(ask(sends), says);
            let check = checks.blocking_recv().unwrap();
            assert_eq!((check.way, check.generation, check.state), (Way::AgentCheck, 7, None));
        }
    }
}

#[test]
fn the_state_header_is_reported() {
    let mut rig = Rig::new(up());
    let state = "UP 1/3; address=127.0.0.1; port=80; name=shop/a; node=lb1; weight=1/2; scur=0/0; qcur=0";
    rig.ask(format!("OPTIONS / HTTP/1.0\r\nX-HAProxy-Server-STATE: {state}\r\n\r\n").as_bytes());
    assert_eq!(rig.checks.blocking_recv().unwrap().state.as_deref(), Some(state));
    rig.ask(CHECK);
    assert_eq!(rig.checks.blocking_recv().unwrap().state, None);
}

#[test]
fn what_is_no_check_is_told_so_and_not_counted() {
    let mut rig = Rig::new(up());
    let long = format!("GET / HTTP/1.1\r\ncookie: {}\r\n\r\n", "x".repeat(8000));
    for (request, status) in [
        (&b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc"[..], "405 Method Not Allowed"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "400 Bad Request"),
        (b"GET / HTTP/2.0\r\n\r\n", "400 Bad Request"),
        (long.as_bytes(), "431 Request Header Fields Too Large"),
    ] {
        let text = rig.ask(request);
        assert!(text.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{text}");
    }
    assert!(rig.checks.try_recv().is_err());
    assert!(rig.ask(CHECK).starts_with("HTTP/1.1 200 "));
}

#[test]
fn what_follows_the_request_does_not_destroy_the_answer() {
    let rig = Rig::new(up());
    let mut stream = rig.connect();
    stream.write_all(CHECK).unwrap();
    stream.write_all(&"x".repeat(30_000).into_bytes()).unwrap();
    stream.write_all(CHECK).unwrap();
    let text = rest(&mut stream);
    assert_eq!(text.matches("HTTP/1.1").count(), 1, "{text}");
    assert!(text.ends_with("up it is\n"), "{text}");
}

#[test]
fn a_half_closed_client_gets_its_answer() {
    let mut rig = Rig::new(up());
    let mut stream = rig.connect();
    stream.write_all(CHECK).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert!(rest(&mut stream).starts_with("HTTP/1.1 200 "));
    assert!(rig.checks.blocking_recv().is_some());
    let mut broken = rig.connect();
    broken.write_all(b"OPTIONS / HT").unwrap();
    broken.shutdown(Shutdown::Write).unwrap();
    assert!(rest(&mut broken).starts_with("HTTP/1.1 400 "));
    let mut silent = rig.connect();
    silent.shutdown(Shutdown::Write).unwrap();
    assert_eq!(rest(&mut silent), "");
}

#[test]
fn a_request_in_pieces_is_one_request() {
    let rig = Rig::new(up());
    let mut stream = rig.connect();
    stream.set_nodelay(true).unwrap();
    for byte in CHECK {
        stream.write_all(&[*byte]).unwrap();
    }
    assert!(rest(&mut stream).starts_with("HTTP/1.1 200 "));
}

#[test]
fn without_a_verdict_a_check_waits_for_a_moment_and_gets_500() {
    let mut rig = Rig::new(None);
    let start = Moment::now();
    let text = rig.ask(CHECK);
    let took = Moment::now().since(start);
    assert!(took >= Duration::from_millis(295) && took < DEADLINE, "{took:?}");
    assert!(text.starts_with("HTTP/1.1 500 ") && text.contains("reason=\"no verdict yet\""), "{text}");
    assert!(rig.checks.try_recv().is_err(), "there is no generation that could be acknowledged");
    let mut waiting = rig.connect();
    waiting.write_all(CHECK).unwrap();
    rig.answer.send_replace(Some(up()));
    assert!(rest(&mut waiting).starts_with("HTTP/1.1 200 "));
}

#[test]
fn an_owner_that_has_ended_does_not_silence_the_endpoint() {
    let Rig { endpoint: _endpoint, address, answer, checks } = Rig::new(up());
    drop((answer, checks));
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.write_all(CHECK).unwrap();
    assert!(rest(&mut stream).starts_with("HTTP/1.1 200 "));
}

#[test]
fn the_reported_generation_is_the_one_that_was_answered() {
    const CHECKS: usize = 300;
    let mut rig = Rig::new(up());
    let status = |generation: u64| [200, 404, 500][(generation % 3) as usize];
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut generation = 1;
            while !done.load(Ordering::Relaxed) {
                generation += 1;
                rig.answer.send_replace(Some(Answer {
                    reason: generation.to_string(),
                    ..answer(status(generation), Phase::Up, generation)
                }));
                thread::yield_now();
            }
        });
        // Waits for the first published by the thread, whose reason is its generation.
        while rig.answer.borrow().as_ref().is_some_and(|answer| answer.generation < 2) {
            thread::yield_now();
        }
        for _ in 0..CHECKS {
            let text = rig.ask(CHECK);
            let told: u64 = text.split_once("\r\n\r\n").unwrap().1.trim().parse().unwrap();
            let check = rig.checks.blocking_recv().unwrap();
            assert_eq!((check.generation, check.status), (told, status(told)));
            assert!(text.starts_with(&format!("HTTP/1.1 {} ", check.status)), "{text}");
        }
        done.store(true, Ordering::Relaxed);
    });
}

#[test]
fn an_owner_that_does_not_keep_up_hears_of_less() {
    let mut rig = Rig::with_room(up(), 2);
    for _ in 0..10 {
        assert!(rig.ask(CHECK).starts_with("HTTP/1.1 200 "));
    }
    // The client may have its answer before it is counted.
    let counted = || (rig.endpoint.counters().answered(), rig.endpoint.counters().unreported());
    let deadline = Moment::now() + DEADLINE;
    while counted() != (10, 8) && Moment::now() < deadline {
        thread::yield_now();
    }
    assert_eq!(counted(), (10, 8));
    assert!(rig.checks.try_recv().is_ok() && rig.checks.try_recv().is_ok() && rig.checks.try_recv().is_err());
}

/// Connects from an address of 127.0.0.0/8.
fn connect_from(source: [u8; 4], to: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((source, 0)).into()).unwrap();
    socket.connect(&to.into()).unwrap();
    socket.into()
}

#[test]
fn a_flood_of_clients_that_hang_keeps_no_check_waiting() {
    // A client that hangs is held for five seconds: whoever had to wait for one would wait for so long.
    const WAITED: Duration = Duration::from_secs(4);
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, rustix::process::Rlimit { current: limit.maximum, ..limit }).unwrap();
    // Twice, with their other ends, and what the tests beside this one have open.
    let held_at_once = limit.maximum.map_or(2000, |most| (most as usize / 5).min(2000));
    let rig = Rig::new(up());
    let mut held = Vec::new();
    let kinds: [&[u8]; 5] = [b"", b"GET", b"GET / HTTP/1.1\r\na: b\r\n", b"\r\n\r\n\r\n", CHECK];
    for at in 0..held_at_once {
        let mut stream = connect_from([127, 0, (at % 7) as u8, (1 + at % 200) as u8], rig.address);
        // Some are closed on us at once, which is the point.
        let _closed = stream.write_all(kinds[at % kinds.len()]);
        held.push(stream);
    }
    let mut slowest = Duration::ZERO;
    for _ in 0..100 {
        let start = Moment::now();
        assert!(rig.ask(CHECK).starts_with("HTTP/1.1 200 "));
        slowest = slowest.max(Moment::now().since(start));
    }
    assert!(slowest < WAITED, "the slowest check took {slowest:?}");
    assert!(rig.endpoint.counters().pushed_out() > 0, "the number of held connections is bounded");
    // And the same from the source of the checks itself.
    for _ in 0..held_at_once {
        held.push(rig.connect());
    }
    assert!(rig.ask(CHECK).starts_with("HTTP/1.1 200 "));
}

#[test]
fn it_ends_when_it_is_dropped() {
    let rig = Rig::new(up());
    let address = rig.address;
    drop(rig);
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn an_address_in_use_is_told() {
    let rig = Rig::new(up());
    let error = bind(rig.address).unwrap_err().to_string();
    assert!(error.contains(&rig.address.to_string()) && error.contains("another agent"), "{error}");
}
