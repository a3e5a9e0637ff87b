use tokio::net::UnixStream;
use tokio::task::LocalSet;

use super::super::edits::Edits;
use super::super::stats::{Facts, Statistics};
use super::*;
use crate::admin::log::Logs;
use crate::clock;
use crate::config::{AdminPlace, Config};
use crate::worker::{Generation, Roll};

fn desk() -> Rc<Desk> {
    let text = r#"
        frontend.web = { bind = ["127.0.0.1:0"], backend = "shop" }
        [[backend.shop.server]]
        name = "a"
        address = "127.0.0.1:80"
    "#;
    let config = Config::parse("test.toml", text, &|_, _| Ok(Vec::new())).unwrap();
    let generation = Generation::new(&config, &Logs::open(&config).unwrap());
    let facts =
        Facts { started: clock::now(), started_wall: clock::wall(), node: "lb1".to_owned(), threads: 1 };
    let statistics = Statistics::new(generation, facts);
    Rc::new(Desk {
        statistics,
        gate: Arc::default(),
        edits: Edits::nowhere(),
        roll: Roll::default(),
        sockets: Vec::new(),
    })
}

/// All that is said to a client that sends this and then ends.
async fn said(timeout: Duration, sent: &[u8], ends: bool) -> String {
    let settings = AdminSocket { timeout, ..AdminSocket::new(AdminPlace::Descriptor(0)) };
    let (mut client, server) = UnixStream::pair().unwrap();
    let peer = Peer::of(&server);
    let (_open, closed) = watch::channel(());
    let serving =
        spawn_local(async move { talk((Box::new(server), peer), &desk(), &settings, closed).await });
    client.write_all(sent).await.unwrap();
    if ends {
        client.shutdown().await.unwrap();
    }
    let mut text = String::new();
    client.read_to_string(&mut text).await.unwrap();
    let _ = serving.await.unwrap();
    text
}

const LONG: Duration = Duration::from_mins(1);

#[tokio::test]
async fn one_line_is_answered_and_the_connection_closed_unless_a_prompt_is_wanted() {
    LocalSet::new()
        .run_until(async {
            assert_eq!(said(LONG, b"get weight shop/a\n", false).await, "1 (initial 1)\n\n");
            assert_eq!(said(LONG, b"get weight shop/a\r\nignored\n", false).await, "1 (initial 1)\n\n");
            assert_eq!(said(LONG, b"get weight shop/a", true).await, "", "a line without an end is none");
            let sent = b"prompt\nget weight shop/a\nget weight shop/a\nquit\n";
            assert_eq!(said(LONG, sent, false).await, "\n> 1 (initial 1)\n\n> 1 (initial 1)\n\n> ");
        })
        .await;
}

#[tokio::test]
async fn a_line_that_is_too_long_or_never_comes_ends_the_connection() {
    LocalSet::new()
        .run_until(async {
            assert_eq!(said(LONG, &vec![b'a'; MAX_LINE_BYTES], false).await, "");
            assert_eq!(said(Duration::from_millis(10), b"prompt\n", false).await, "\n> ");
        })
        .await;
}

#[tokio::test]
async fn who_is_connected_has_to_come_anew_when_the_socket_is_closed() {
    LocalSet::new()
        .run_until(async {
            let settings = AdminSocket::new(AdminPlace::Descriptor(0));
            let (mut client, server) = UnixStream::pair().unwrap();
            let peer = Peer::of(&server);
            let (open, closed) = watch::channel(());
            let serving =
                spawn_local(async move { talk((Box::new(server), peer), &desk(), &settings, closed).await });
            client.write_all(b"prompt\n").await.unwrap();
            let mut prompt = [0; 3];
            client.read_exact(&mut prompt).await.unwrap();
            drop(open);
            let mut text = String::new();
            client.read_to_string(&mut text).await.unwrap();
            assert_eq!((&prompt, &*text), (b"\n> ", ""));
            serving.await.unwrap().unwrap();
        })
        .await;
}
