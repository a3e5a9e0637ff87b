//! Statistics where clients come in.

use std::sync::Mutex;

use tokio::sync::oneshot;

use super::{
    super::{Pages, WantedPage},
    *,
};
use crate::rules::{Reply, Rules};

/// At whose address statistics were asked for, and what came with that.
type Wanted = (Arc<str>, Result<String, &'static str>);

/// Makes pages that say nothing, and knows what was asked for.
#[derive(Debug, Default)]
struct Maker(Mutex<Vec<Wanted>>);

impl Pages for Maker {
    fn page(&self, wanted: WantedPage) -> oneshot::Receiver<Reply> {
        let form = wanted.form.map(|form| String::from_utf8(form).unwrap());
        self.0.lock().unwrap().push((wanted.of, form));
        let (sender, made) = oneshot::channel();
        sender.send(Reply::page(200, Vec::new(), b"page".to_vec())).unwrap();
        made
    }
}

impl Maker {
    /// A proxy for which it makes the pages.
    async fn before(
        server: &Server,
        adapt: impl FnOnce(&mut config::Frontend, &mut config::Backend),
    ) -> (Proxy, Arc<Self>) {
        let (proxy, maker) = (Proxy::with(&[server], adapt).await, Arc::new(Self::default()));
        proxy.core.reach(std::iter::empty(), &Rc::from([proxy.backend.clone()]), Some(maker.clone()));
        (proxy, maker)
    }
}

#[test]
fn statistics_are_those_of_whoever_has_the_address() {
    on_a_core(async {
        let server = Server::start().await;
        let (proxy, maker) = Maker::before(&server, |frontend, backend| {
            frontend.rules = Rules::of_statistics("/front").into();
            backend.rules = Rules::of_statistics("/back").into();
        })
        .await;
        for uri in ["/front", "/back"] {
            let mut client = proxy.send(format!("GET {uri} HTTP/1.1\r\nHost: h\r\n\r\n")).await;
            assert!(client.head().await.starts_with("HTTP/1.1 200 OK\r\n"));
        }
        let asked = maker.0.lock().unwrap();
        assert_eq!(asked.iter().map(|(of, _)| &**of).collect::<Vec<_>>(), ["web", "shop"]);
    });
}

#[test]
fn a_form_comes_with_the_request_or_is_asked_for() {
    on_a_core(async {
        let server = Server::start().await;
        let statistics = |frontend: &mut config::Frontend, _: &mut _| {
            frontend.rules = Rules::of_statistics("/").into();
        };
        let (proxy, maker) = Maker::before(&server, statistics).await;
        let order = |fields: &str| format!("POST / HTTP/1.1\r\nHost: h\r\n{fields}\r\n");
        let mut client = proxy.send(order("Content-Length: 3\r\n") + "a=1").await;
        assert!(client.head().await.starts_with("HTTP/1.1 200 OK\r\n"));
        let mut client = proxy.send(order("Content-Length: 3\r\nExpect: 100-continue\r\n")).await;
        client.expect("HTTP/1.1 100 Continue\r\n\r\n").await;
        client.send("b=2").await;
        assert!(client.head().await.starts_with("HTTP/1.1 200 OK\r\n"));
        for refused in ["Content-Length: 16385\r\n", "Transfer-Encoding: chunked\r\n"] {
            let mut client = proxy.send(order(refused)).await;
            assert!(client.head().await.starts_with("HTTP/1.1 200 OK\r\n"));
        }
        let asked = maker.0.lock().unwrap();
        let forms: Vec<_> = asked.iter().map(|(_, form)| form.as_deref().map_err(|word| *word)).collect();
        assert_eq!(forms, [Ok("a=1"), Ok("b=2"), Err("EXCD"), Err("IVAL")]);
    });
}

#[test]
fn a_form_that_does_not_come_is_the_clients_failure() {
    with_paused_time(async {
        let server = Server::start().await;
        let statistics = |frontend: &mut config::Frontend, _: &mut _| {
            frontend.rules = Rules::of_statistics("/").into();
        };
        let (proxy, maker) = Maker::before(&server, statistics).await;
        let order = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\na=";
        drop(proxy.send(order).await);
        assert_eq!(proxy.logged(1).await, ["-1 CR-- 0 POST / HTTP/1.1"]);
        let start = tokio::time::Instant::now();
        assert_eq!(proxy.send(order).await.rest().await, "");
        assert_eq!(start.elapsed().as_secs(), 9);
        assert_eq!(proxy.logged(2).await[1], "-1 cR-- 0 POST / HTTP/1.1");
        assert!(maker.0.lock().unwrap().is_empty());
    });
}
