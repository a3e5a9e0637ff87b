//! The proxy's numbers, as programs that nobody here wrote read them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Write,
    net::SocketAddr,
    path::Path,
    process::{Command, Stdio},
};

use drain_tests::{
    Agent, Haproxy, Nginx, PATIENCE, Place, Proxy, Server, child::Child, client::Connection, place::holds,
    port, scripted,
};

use crate::upstream::Upstream;

fn got(from: SocketAddr, path: &str) -> Result<String, String> {
    let fetch = |mut connection: Connection| connection.fetch("GET", path, &[], b"");
    let answer = Connection::open(from).and_then(fetch).map_err(|failure| failure.to_string())?;
    holds(answer.status == 200, || format!("status {}", answer.status))?;
    Ok(String::from_utf8_lossy(&answer.body).into_owned())
}

/// A proxy that has served a request, and its admin port.
fn served(place: &Place, keys: &str) -> (Proxy, SocketAddr) {
    let [a, b] = ["a", "b"].map(Upstream::start);
    let admin = port::free();
    let proxy = Proxy::new(place, "lb")
        .server("a", a.address, None)
        .server("b", b.address, None)
        .server_line("maxconn = 10")
        .section(&format!("[admin]\nlisten = \"{admin}\"\n{keys}"))
        .start();
    got(proxy.address(), "/").expect("a page");
    (proxy, admin)
}

/// The types of all metrics on a page, by name.
fn types(page: &str) -> BTreeMap<&str, &str> {
    page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' ')).collect()
}

const LONG_BYTES: usize = 8 << 20;
/// What comes with the head, and the last part of a body.
const BESIDE_BYTES: usize = 256 << 10;

#[test]
fn a_long_answer_goes_through_the_kernel_alone_and_is_counted_so() {
    let place = Place::new("metrics_spliced");
    let server = scripted::start(|_, connection| {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {LONG_BYTES}\r\n\r\n");
        connection.send(head.as_bytes()).ok()?;
        connection.send(&vec![b'x'; LONG_BYTES]).ok()
    });
    let admin = port::free();
    let section = format!("[admin]\nlisten = \"{admin}\"");
    let proxy = Proxy::new(&place, "lb").server("a", server, None).section(&section).start();
    let spliced = || -> usize {
        let page = got(admin, "/metrics").expect("the numbers");
        let line =
            page.lines().find_map(|line| line.strip_prefix("haproxy_process_spliced_bytes_out_total "));
        line.and_then(|number| number.parse().ok()).expect("a number")
    };
    let before = spliced();
    assert_eq!(got(proxy.address(), "/").expect("a long answer").len(), LONG_BYTES);
    let spliced = spliced() - before;
    assert!((LONG_BYTES - BESIDE_BYTES..=LONG_BYTES).contains(&spliced), "{spliced} of {LONG_BYTES} bytes");
}

#[test]
fn promtool_finds_nothing_wrong() {
    let place = Place::new("metrics_promtool");
    let (_proxy, admin) = served(&place, "");
    is_well_formed(&got(admin, "/metrics").expect("the numbers"));
}

#[test]
fn promtool_finds_nothing_wrong_with_the_agents_page_in_a_drain() {
    let place = Place::new("metrics_agent");
    let (server, metrics) = (Nginx::new(&place, "s1").start(), port::free());
    let agent = Agent::guarding(&place, "agent", server.address().port()).with_metrics(metrics).start();
    let balancer =
        Haproxy::new(&place, "lb").server(Server::new("s1", server.address()).checked_at(agent.address()));
    let mut balancer = balancer.start();
    // It is the only server.
    balancer.child().expect_error("has no server available");
    agent.wait_for_balancers(1, PATIENCE);
    assert!(agent.ctl(&["hard", "--force"]).status.success());
    is_well_formed(&got(metrics, "/metrics").expect("the numbers"));
}

/// Prometheus' own tool has nothing to say of this page.
fn is_well_formed(page: &str) {
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("start promtool");
    promtool.stdin.take().expect("a pipe").write_all(page.as_bytes()).expect("hand the page over");
    let output = promtool.wait_with_output().expect("promtool ends");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(output.status.success() && said.trim().is_empty(), "{said}\n{page}");
}

#[test]
fn numbers_have_the_names_and_types_of_haproxys_own_exporter() {
    let place = Place::new("metrics_names");
    let (_proxy, admin) = served(&place, "");
    let own = got(admin, "/metrics").expect("the numbers");
    let theirs = port::free();
    let dir = place.subdir("haproxy");
    let config = dir.join("haproxy.cfg");
    let text = format!(
        "defaults\n mode http\n timeout client 5s\n timeout server 5s\n timeout connect 5s\n\
         frontend web\n bind {theirs}\n http-request use-service prometheus-exporter if {{ path /metrics }}\n \
         default_backend shop\n\
         backend shop\n option httpchk\n server a 127.0.0.1:1 check inter 1s\n"
    );
    fs::write(&config, text).expect("write haproxy.cfg");
    let mut command = place.command("haproxy");
    command.arg("-db").arg("-f").arg(&config);
    let mut haproxy = Child::start(&place, &dir, "haproxy", command, |_| false);
    let known = place.wait_for("HAProxy's numbers", PATIENCE, || got(theirs, "/metrics"));
    haproxy.may_end();
    let (own, known) = (types(&own), types(&known));
    let ours: Vec<_> = own.iter().filter(|(name, _)| name.starts_with("haproxy_")).collect();
    assert!(ours.len() > 100, "{} of HAProxy's metrics", ours.len());
    for (name, kind) in ours {
        assert_eq!(known.get(name), Some(kind), "{name}");
    }
}

#[test]
fn the_old_exporter_reads_the_statistics_by_http() {
    let place = Place::new("metrics_exporter_http");
    let (_proxy, admin) = served(&place, "");
    exported(&place, &format!("http://{admin}/haproxy?stats;csv"));
}

#[test]
fn the_old_exporter_reads_the_statistics_by_socket() {
    let place = Place::new("metrics_exporter_socket");
    let socket = place.dir().join("s");
    let (_proxy, _admin) = served(&place, &format!("socket = \"{}\"", socket.display()));
    exported(&place, &format!("unix:{}", socket.display()));
}

/// Has the exporter read from there, and looks at what it says.
fn exported(place: &Place, from: &str) {
    let dir = place.subdir("exporter");
    let web = port::free();
    let mut command = place.command("prometheus-haproxy-exporter");
    command.arg(format!("--haproxy.scrape-uri={from}"));
    command.arg(format!("--web.listen-address={web}"));
    let mut exporter = Child::start(place, &dir, "exporter", command, |_| false);
    let page = place.wait_for("its numbers of the proxy", PATIENCE, || {
        let page = got(web, "/metrics")?;
        holds(page.contains("\nhaproxy_up 1\n"), || page.clone())?;
        Ok(page)
    });
    exporter.may_end();
    for line in [
        "haproxy_server_up{backend=\"shop\",server=\"a\"} 1",
        "haproxy_server_up{backend=\"shop\",server=\"b\"} 1",
        "haproxy_backend_up{backend=\"shop\"} 1",
        "haproxy_server_limit_sessions{backend=\"shop\",server=\"b\"} 10",
    ] {
        assert!(page.lines().any(|own| own == line), "{line}\n{page}");
    }
}

#[test]
fn every_number_of_the_dashboard_is_there() {
    let place = Place::new("metrics_dashboard");
    let (_proxy, admin) = served(&place, "");
    let page = got(admin, "/metrics").expect("the numbers");
    let known = types(&page);
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../proxy/dashboards/grafana.json");
    let dashboard = fs::read_to_string(file).expect("read the dashboard");
    let words = dashboard.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    let wanted: BTreeSet<&str> =
        words.filter(|word| word.starts_with("haproxy_") || word.starts_with("drain_proxy_")).collect();
    assert!(wanted.len() > 15, "{wanted:?}");
    for name in wanted {
        assert!(known.contains_key(name), "{name}");
    }
}
