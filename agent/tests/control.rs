//! The control socket, asked by something that is not `drainctl`.

mod sample;
mod steady;

use std::{path::PathBuf, sync::Arc, time::Duration};

use drain_agent::{
    clock::Moment,
    config::Control,
    control::{
        Ask, Owner, Server,
        api::{Options, Origin, Reply, Status, Then, Traffic},
    },
    faults::Faults,
    lifecycle::Request,
    report::{History, Reports},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    sync::{mpsc, oneshot, watch},
    time,
};

struct Rig {
    directory: PathBuf,
    status: watch::Sender<Arc<Status>>,
    asks: mpsc::Receiver<Ask>,
    looks: mpsc::Receiver<oneshot::Sender<()>>,
}

impl Rig {
    fn start(test: &str) -> Self {
        let directory = std::env::temp_dir().join(format!("drain-control-{test}-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let (status, statuses) = watch::channel(Arc::new(sample::up()));
        let (ask, asks) = mpsc::channel(8);
        let (look, looks) = mpsc::channel(8);
        let control = Control { socket: directory.join("a.sock"), group: None, look: None, remote: None };
        let server = Server::open(&control, &Faults::default()).unwrap();
        let reports = Reports::new(History::at(&directory.join("a.history.jsonl")));
        let owner = Owner { status: statuses, asks: ask, looks: look, reports, doctor: None };
        tokio::spawn(server.run(owner, steady::config()));
        Self { directory, status, asks, looks }
    }

    async fn connect(&self) -> UnixStream {
        UnixStream::connect(self.directory.join("a.sock")).await.unwrap()
    }

    async fn ask(&self, head: &str, body: &str) -> String {
        let mut stream = self.connect().await;
        let request = format!("{head} HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut text = String::new();
        // What is refused unread may be reset behind the answer.
        let _end = stream.read_to_string(&mut text).await;
        text
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        let _removed = std::fs::remove_dir_all(&self.directory);
    }
}

fn seen(answer: &str) -> Status {
    serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
}

/// What a look has found that was made so long ago.
fn in_flight(count: u32, age_seconds: f64) -> Traffic {
    Traffic { in_flight: Some(count), age_seconds: Some(age_seconds), ..Traffic::default() }
}

#[tokio::test]
async fn a_request_carries_the_peers_credentials() {
    let mut rig = Rig::start("credentials");
    let ((), text) = tokio::join!(
        async {
            let ask = rig.asks.recv().await.unwrap();
            let expected =
                Options { then: Some(Then::Restart), reason: Some("x".to_owned()), ..Options::default() };
            assert_eq!(ask.request, Request::Soft(expected));
            let uid = rustix::process::geteuid().as_raw();
            let gid = rustix::process::getegid().as_raw();
            let pid = i32::try_from(std::process::id()).unwrap();
            assert_eq!(ask.origin, Origin::Control { pid: Some(pid), uid, gid });
            ask.reply.send(Reply::Accepted { drain: Some(3), text: "announced".to_owned() }).unwrap();
        },
        async {
            let mut stream = UnixStream::connect(rig.directory.join("a.sock")).await.unwrap();
            let request =
                "POST /v1/restart HTTP/1.1\r\nhost: a\r\ncontent-length: 14\r\n\r\n{\"reason\":\"x\"}";
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut text = String::new();
            stream.read_to_string(&mut text).await.unwrap();
            text
        }
    );
    assert!(text.starts_with("HTTP/1.1 202 Accepted\r\n"), "{text}");
    assert!(text.ends_with(r#"{"reply":"accepted","drain":3,"text":"announced"}"#), "{text}");
}

#[tokio::test]
async fn what_is_not_understood_is_told_and_does_not_reach_the_owner() {
    let mut rig = Rig::start("bad");
    let long = format!("{{\"reason\":\"{}\"}}", "x".repeat(20_000));
    for (head, body, status, says) in [
        ("GET /", "", "404", "no_such_path"),
        ("GET /v1/soft", "", "404", "no_such_path"),
        ("POST /v1/soft", "{", "400", "bad_request"),
        ("POST /v1/soft", "{\"than\":\"hold\"}", "400", "unknown field `than`"),
        ("POST /v1/hard", "{\"then\":\"reboot\"}", "400", "unknown variant `reboot`"),
        ("POST /v1/soft", &long, "400", "at most 16384 bytes"),
    ] {
        let text = rig.ask(head, body).await;
        assert!(text.starts_with(&format!("HTTP/1.1 {status} ")) && text.contains(says), "{head}: {text}");
    }
    assert!(rig.asks.try_recv().is_err());
}

#[tokio::test]
async fn an_owner_that_has_gone_is_told() {
    let mut rig = Rig::start("gone");
    rig.asks.close();
    let text = rig.ask("POST /v1/up", "").await;
    assert!(text.starts_with("HTTP/1.1 503 ") && text.contains("no_answer"), "{text}");
}

#[tokio::test]
async fn running_times_run_between_two_publications() {
    let rig = Rig::start("times");
    rig.status.send_modify(|status| {
        let status = Arc::make_mut(status);
        let now = Moment::now().since_boot();
        status.taken = Moment::from_boot(now.saturating_sub(Duration::from_secs(100)));
    });
    let seen = seen(&rig.ask("GET /v1/status", "").await);
    assert!(seen.agent.uptime_seconds >= 101.0, "{}", seen.agent.uptime_seconds);
}

#[tokio::test]
async fn who_asks_for_the_status_gets_a_fresh_look() {
    let mut rig = Rig::start("fresh");
    rig.status.send_modify(|status| Arc::make_mut(status).traffic = in_flight(5, 8.0));
    let looked = rig.looks.recv();
    let ask = async {
        let mut stream = UnixStream::connect(rig.directory.join("a.sock")).await.unwrap();
        stream.write_all(b"GET /v1/status HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
        stream
    };
    let (looked, mut stream) = tokio::join!(looked, ask);
    rig.status.send_modify(|status| {
        let status = Arc::make_mut(status);
        status.traffic = in_flight(0, 0.1);
        // So that its age stays what it is, however slow the machine.
        status.taken = Moment::now() + Duration::from_mins(1);
    });
    looked.unwrap().send(()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    assert_eq!(seen(&text).traffic.in_flight, Some(0), "{text}");
    rig.ask("GET /v1/status", "").await;
    assert!(rig.looks.try_recv().is_err(), "a look of a tenth of a second ago is fresh");
}

#[tokio::test]
async fn a_look_that_does_not_come_leaves_the_old_one_with_its_age() {
    let rig = Rig::start("old");
    rig.status.send_modify(|status| Arc::make_mut(status).traffic = in_flight(5, 8.0));
    let text = time::timeout(Duration::from_secs(20), rig.ask("GET /v1/status", "")).await.expect("soon");
    let traffic = seen(&text).traffic;
    assert_eq!(traffic.in_flight, Some(5));
    assert!(traffic.age_seconds.unwrap() >= 8.3, "{traffic:?}");
}

#[tokio::test]
async fn silent_connections_make_room_after_a_while() {
    let rig = Rig::start("silent");
    let mut silent = Vec::new();
    for _ in 0..40 {
        silent.push(rig.connect().await);
    }
    let asked = rig.ask("GET /v1/balancers", "");
    let text = time::timeout(Duration::from_secs(20), asked).await.expect("room in good time");
    assert!(text.ends_with("\r\n\r\n[]"), "{text}");
}

#[tokio::test]
async fn watchers_leave_room_for_those_who_ask() {
    let rig = Rig::start("watchers");
    let mut watchers = Vec::new();
    let mut refused = 0;
    for _ in 0..40 {
        let mut stream = rig.connect().await;
        stream.write_all(b"GET /v1/watch HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
        let mut head = [0; 12];
        time::timeout(Duration::from_secs(10), stream.read_exact(&mut head))
            .await
            .expect("an answer")
            .unwrap();
        refused += u32::from(&head == b"HTTP/1.1 503");
        watchers.push(stream);
    }
    assert_eq!(refused, 40 - 16);
    let asked = rig.ask("GET /v1/balancers", "");
    let answer = time::timeout(Duration::from_secs(10), asked).await.expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    drop(watchers);
    let watched = async {
        loop {
            let mut stream = rig.connect().await;
            stream.write_all(b"GET /v1/watch HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
            let mut head = [0; 12];
            stream.read_exact(&mut head).await.unwrap();
            if &head == b"HTTP/1.1 200" {
                return;
            }
        }
    };
    time::timeout(Duration::from_secs(10), watched).await.expect("room where others have gone");
}

#[tokio::test]
async fn a_watcher_sees_the_latest_and_is_never_behind() {
    let rig = Rig::start("watch");
    let mut stream = rig.connect().await;
    stream.write_all(b"GET /v1/watch HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    for generation in 2..=5000 {
        rig.status.send_modify(|status| Arc::make_mut(status).generation = generation);
    }
    let mut seen = String::new();
    while !seen.contains("\"generation\":5000,") {
        let mut chunk = [0; 4096];
        let read = stream.read(&mut chunk).await.unwrap();
        assert!(read > 0, "the watch ended: {seen}");
        seen.push_str(std::str::from_utf8(&chunk[..read]).unwrap());
    }
    assert!(seen.matches("\"generation\"").count() < 100, "changes in between are left out");
}
