//! Whose connections to servers are: everybody's, or one client's.

use super::*;
use crate::config::Reuse;

const CHALLENGE: &str = "HTTP/1.1 401 No\r\nWWW-Authenticate: Basic, NTLM\r\nContent-Length: 0\r\n\r\n";
const POST: &str = "POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n";

impl Wire {
    /// Answers the next request on a server's end, which `client` has sent.
    async fn serves(&mut self, client: &mut Self, request: &str, answer: &str) {
        client.send(request).await;
        self.head().await;
        self.send(answer).await;
        client.expect(answer).await;
    }
}

impl Proxy {
    async fn reusing(server: &Server, reuse: Reuse) -> Self {
        Self::with(&[server], |_, backend| backend.reuse = reuse).await
    }
}

#[test]
fn a_handshake_of_several_rounds_has_one_connection_and_so_has_what_follows() {
    on_a_core(async {
        let (one, two) = (Server::start().await, Server::start().await);
        let proxy = Proxy::before(&[&one, &two]).await;
        let mut client = proxy.send(GET).await;
        let (mut wire, _) = one.request().await;
        wire.send(CHALLENGE).await;
        client.expect(CHALLENGE).await;
        let negotiate = "GET / HTTP/1.1\r\nAuthorization: NTLM TlRMTVNTUAAB\r\n\r\n";
        wire.serves(&mut client, negotiate, CHALLENGE).await;
        wire.serves(&mut client, "POST / HTTP/1.1\r\nAuthorization: NTLM x\r\nContent-Length: 0\r\n\r\n", OK)
            .await;
        for request in [GET, POST, GET] {
            wire.serves(&mut client, request, OK).await;
        }
        assert!(two.is_left_alone().await && one.is_left_alone().await);
    });
}

#[test]
fn a_post_of_another_client_does_not_break_off_a_handshake() {
    on_a_core(async {
        let server = Server::start().await;
        let proxy = Proxy::before(&[&server]).await;
        let mut user = proxy.send(GET).await;
        let (mut wire, _) = server.request().await;
        wire.send(CHALLENGE).await;
        user.expect(CHALLENGE).await;
        let mut other = proxy.client().await;
        let mut before: Option<Wire> = None;
        for _ in 0..2 {
            other.send(POST).await;
            let (mut others, _) = server.request().await;
            others.send(OK).await;
            other.expect(OK).await;
            // Each new connection takes the place of the shared one before it.
            if let Some(mut before) = before.replace(others) {
                assert!(before.is_closed().await);
            }
        }
        wire.serves(&mut user, "GET / HTTP/1.1\r\nAuthorization: NTLM x\r\n\r\n", OK).await;
    });
}

#[test]
fn a_connection_that_belongs_to_a_user_serves_nobody_else_and_ends_with_its_client() {
    on_a_core(async {
        let proxies = "HTTP/1.1 407 No\r\nProxy-Authenticate: negotiate\r\nContent-Length: 0\r\n\r\n";
        for (field, answer) in [
            ("Authorization: NTLM TlRMTVNTUAAB\r\n", OK),
            ("Authorization: Negotiate YIIC\r\n", OK),
            ("Proxy-Authorization: Negotiate YIIC\r\n", OK),
            ("", CHALLENGE),
            ("", proxies),
        ] {
            let server = Server::start().await;
            let proxy = Proxy::before(&[&server]).await;
            let mut user = proxy.send(format!("GET / HTTP/1.1\r\n{field}\r\n")).await;
            let (mut wire, _) = server.request().await;
            wire.send(answer).await;
            user.expect(answer).await;
            let (mut other, mut others) = proxy.idle(&server).await;
            wire.serves(&mut user, GET, OK).await;
            drop(user);
            assert!(wire.is_closed().await, "{field:?} {answer:?}");
            // The shared one stays.
            others.serves(&mut other, GET, OK).await;
        }
    });
}

#[test]
fn never_shares_no_connection() {
    on_a_core(async {
        let server = Server::start().await;
        let proxy = Proxy::reusing(&server, Reuse::Never).await;
        let (mut first, mut wire) = proxy.idle(&server).await;
        let (mut second, mut others) = proxy.idle(&server).await;
        wire.serves(&mut first, GET, OK).await;
        others.serves(&mut second, GET, OK).await;
        // A POST needs a new one, which takes the place of the old one.
        first.send(POST).await;
        let (mut new, _) = server.request().await;
        new.send(OK).await;
        first.expect(OK).await;
        assert!(wire.is_closed().await);
        new.serves(&mut first, GET, OK).await;
        drop(first);
        assert!(new.is_closed().await);
        others.serves(&mut second, GET, OK).await;
    });
}

#[test]
fn safe_gives_a_first_request_a_new_connection_and_later_ones_any() {
    on_a_core(async {
        let server = Server::start().await;
        let proxy = Proxy::reusing(&server, Reuse::Safe).await;
        let (mut first, _wire) = proxy.idle(&server).await;
        let (mut second, mut new) = proxy.idle(&server).await;
        // The youngest.
        new.serves(&mut first, GET, OK).await;
        new.serves(&mut second, GET, OK).await;
    });
}

#[test]
fn aggressive_gives_a_first_request_only_a_connection_that_has_been_used_again() {
    on_a_core(async {
        let server = Server::start().await;
        let proxy = Proxy::reusing(&server, Reuse::Aggressive).await;
        let (_first, _wire) = proxy.idle(&server).await;
        let (mut second, mut new) = proxy.idle(&server).await;
        new.serves(&mut second, GET, OK).await;
        let mut third = proxy.client().await;
        new.serves(&mut third, GET, OK).await;
    });
}

#[test]
fn a_client_that_leaves_takes_its_request_along_where_that_is_wanted() {
    on_a_core(async {
        let server = Server::start().await;
        let proxy = Proxy::with(&[&server], |_, backend| {
            backend.abort_on_close = true;
            backend.servers[0].maxconn = 1.try_into().ok();
        })
        .await;
        let mut first = proxy.send(GET).await;
        let (mut wire, _) = server.request().await;
        let mut queued = proxy.send("GET /queued HTTP/1.1\r\n\r\n").await;
        while proxy.backend.queued() == 0 {
            tokio::task::yield_now().await;
        }
        queued.half_close().await;
        assert!(queued.is_closed().await);
        assert_eq!(proxy.backend.queued(), 0);
        first.half_close().await;
        assert!(first.rest().await.starts_with("HTTP/1.1 400 "));
        assert!(wire.is_closed().await);
        assert_eq!(proxy.logged(2).await, ["-1 CQ-- 0 GET /queued HTTP/1.1", "400 CH-- 0 GET / HTTP/1.1"]);
    });
}

#[test]
fn half_of_a_tunnel_has_a_time_of_its_own() {
    const UPGRADE: &str = "GET / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n";
    const SWITCH: &str = "HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n";
    let second = Duration::from_secs(1);
    for (client_leaves, limit) in [(true, 3 * second), (false, 2 * second)] {
        with_paused_time(async {
            let server = Server::start().await;
            let proxy = Proxy::with(&[&server], |frontend, backend| {
                frontend.timeout.client_fin = Some(2 * second);
                backend.timeout.server_fin = Some(3 * second);
                backend.timeout.tunnel = Some(60 * second);
            })
            .await;
            let mut client = proxy.send(UPGRADE).await;
            let (mut wire, _) = server.request().await;
            wire.send(SWITCH).await;
            client.expect(SWITCH).await;
            let (leaves, stays) =
                if client_leaves { (&mut client, &mut wire) } else { (&mut wire, &mut client) };
            tokio::time::sleep(30 * second).await;
            leaves.half_close().await;
            assert!(stays.is_closed().await);
            let began = crate::clock::now();
            assert!(leaves.is_closed().await);
            let took = crate::clock::now().duration_since(began);
            assert!(took >= limit && took < limit + second, "{took:?}");
        });
    }
}
