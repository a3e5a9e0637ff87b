//! The PROXY protocol, towards clients and servers.

use super::*;
use crate::{
    config::AcceptProxy,
    proxy_protocol::{Passage, Version, write},
};

async fn announced(from: &[&str]) -> (Server, Proxy) {
    let server = Server::start().await;
    let from = from.iter().map(|net| net.parse().unwrap()).collect();
    let proxy = Proxy::with(&[&server], |frontend, backend| {
        frontend.accept_proxy = Some(AcceptProxy { from });
        let header = "X-Forwarded-For".into();
        frontend.forward_for = Some(config::AddressField { header, except: Vec::new(), if_none: false });
        backend.servers[0].send_proxy = Some(Version::V1);
    })
    .await;
    (server, proxy)
}

fn header(version: Version) -> Vec<u8> {
    let (source, destination) = ("192.0.2.1:5000".parse().unwrap(), "198.51.100.2:80".parse().unwrap());
    let mut header = Vec::new();
    write(version, Passage { source, destination }, &mut header);
    header
}

const LINE: &str = "PROXY TCP4 192.0.2.1 198.51.100.2 5000 80\r\n";
const NAMED: &str = "GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n";

#[test]
fn the_announced_address_is_the_clients_and_servers_are_told_it_once() {
    on_a_core(async {
        for version in [Version::V1, Version::V2] {
            let (server, proxy) = announced(&[]).await;
            let mut client = proxy.send([header(version), GET.into()].concat()).await;
            let mut wire = server.accept().await;
            wire.expect(LINE).await;
            wire.expect(NAMED).await;
            wire.send(OK).await;
            client.expect(OK).await;
            client.send(GET).await;
            wire.expect(NAMED).await;
            wire.send(OK).await;
            client.expect(OK).await;
            // Another client's is another connection, even of the same address.
            let mut other = proxy.send([header(version), GET.into()].concat()).await;
            let mut others = server.accept().await;
            others.expect(LINE).await;
            others.expect(NAMED).await;
            others.send(OK).await;
            other.expect(OK).await;
            drop(client);
            assert!(wire.is_closed().await);
        }
    });
}

#[test]
fn a_header_may_come_in_single_bytes() {
    on_a_core(async {
        let (server, proxy) = announced(&["127.0.0.0/8"]).await;
        let mut client = proxy.client().await;
        for byte in [header(Version::V2), GET.into()].concat() {
            client.send([byte]).await;
            tokio::task::yield_now().await;
        }
        let mut wire = server.accept().await;
        wire.expect(LINE).await;
    });
}

#[test]
fn who_must_announce_and_does_not_gets_no_answer() {
    on_a_core(async {
        let (server, proxy) = announced(&[]).await;
        for bytes in [GET.to_owned(), "PROXY TCP4 x\r\n".to_owned() + GET] {
            assert_eq!(proxy.send(bytes).await.rest().await, "");
        }
        let mut half = proxy.send("PROXY TCP4 192").await;
        half.half_close().await;
        assert_eq!(half.rest().await, "");
        assert!(server.is_left_alone().await);
        assert!(proxy.log().is_empty());
    });
}

#[test]
fn a_header_has_the_time_of_a_first_request() {
    with_paused_time(async {
        let (_server, proxy) = announced(&[]).await;
        let began = crate::clock::now();
        assert_eq!(proxy.send("PROXY").await.rest().await, "");
        assert_eq!(crate::clock::now().duration_since(began).as_secs(), 5);
    });
}

#[test]
fn who_is_not_among_those_that_announce_speaks_for_itself() {
    on_a_core(async {
        let (server, proxy) = announced(&["192.0.2.0/24"]).await;
        let client = proxy.send(GET).await;
        let (source, destination) = (client.0.local_addr().unwrap(), client.0.peer_addr().unwrap());
        let mut wire = server.accept().await;
        wire.expect(&format!("PROXY TCP4 127.0.0.1 127.0.0.1 {} {}\r\n", source.port(), destination.port()))
            .await;
        wire.expect(&NAMED.replace("192.0.2.1", "127.0.0.1")).await;
    });
}
