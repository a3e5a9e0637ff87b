//! The endpoint when the process has no descriptors left. A test program of its own: the limit is the process's.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    os::fd::AsRawFd as _,
    time::Duration,
};

use drain_agent::{
    clock::Moment,
    health::{Answer, Endpoint, bind},
    lifecycle::Phase,
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::sync::{mpsc, watch};

#[test]
fn without_descriptors_it_neither_spins_nor_stops() {
    let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.local_addr().unwrap();
    let up = Answer { status: 200, phase: Phase::Up, reason: "up".to_owned(), since_unix: 0, generation: 1 };
    let (_answer, answers) = watch::channel(Some(up));
    let (report, _checks) = mpsc::channel(16);
    let endpoint = Endpoint::start(vec![listener], answers, report).unwrap();

    // One descriptor more, whatever numbers were inherited: for a client, and none for its other end.
    let limit = getrlimit(Resource::Nofile);
    let lowest_free = fs::File::open("/dev/null").unwrap().as_raw_fd() as u64;
    setrlimit(Resource::Nofile, Rlimit { current: Some(lowest_free + 1), ..limit }).unwrap();
    let start = Moment::now();
    let _client = TcpStream::connect(address).unwrap();
    while endpoint.counters().accept_errors() < 3 {
        assert!(Moment::now().since(start) < Duration::from_secs(10), "no error of accept was seen");
        std::thread::yield_now();
    }
    let spun = endpoint.counters().accept_errors();
    let took = Moment::now().since(start);
    assert!(u128::from(spun) <= took.as_millis() / 20 + 2, "{spun} errors in {took:?}");

    setrlimit(Resource::Nofile, limit).unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream.write_all(b"OPTIONS / HTTP/1.0\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert!(text.starts_with("HTTP/1.1 200 "), "{text}");
}
