//! The PROXY protocol with real programs on both sides: a balancer in front that names its clients, and a server behind
//! that is told of them.

use drain_tests::{
    Haproxy, Nginx, PATIENCE, Place, Proxy, child::output, haproxy::Server, place::holds, port,
};

/// From where the balancer connects: only who comes from there names its clients.
const BALANCER: &str = "127.0.0.5";

#[test]
fn a_clients_address_passes_from_haproxy_through_the_proxy_to_nginx() {
    for (name, word, version) in [("v1", "send-proxy", "v2"), ("v2", "send-proxy-v2", "v1")] {
        let place = Place::new(&format!("proxy_protocol_{name}"));
        let announced = port::free();
        let nginx = Nginx::new(&place, "s1")
            .saying(&format!(
                r#"listen {announced} proxy_protocol;
        return 200 "$proxy_protocol_addr $http_x_forwarded_for\n";"#
            ))
            .start();
        let proxy = Proxy::new(&place, "ours")
            .frontend_line(&format!("accept_proxy = {{ from = [\"{BALANCER}/32\"] }}\nforward_for = true"))
            .server("s1", announced, Some(nginx.address()))
            .server_line(&format!("send_proxy = \"{version}\""))
            .start();
        let ours = Server::new("ours", proxy.address()).with(&format!("{word} source {BALANCER}"));
        let balancer = Haproxy::new(&place, "theirs").server(ours).start();
        for client in ["127.0.0.2", "127.0.0.3"] {
            let mut curl = place.command("curl");
            curl.args(["-sS", "--max-time", "20", "--interface", client]);
            curl.arg(format!("http://{}/", balancer.address()));
            let said = output(curl);
            let body = String::from_utf8_lossy(&said.stdout).into_owned();
            place.check(
                body == format!("{client} {client}\n"),
                &format!("{word}, {version}: expected {client} twice, found {body:?} ({said:?})"),
            );
        }
        place.wait_for("the clients in the proxy's log", PATIENCE, || {
            let log = proxy.access_log();
            let named = ["127.0.0.2:", "127.0.0.3:"].iter().all(|client| log.contains(client));
            holds(named, || log)
        });
    }
}
