//! The HTTPS control port, asked by something that is not `drainctl`.

mod sample;

use std::{
    fs,
    net::SocketAddr,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use drain_agent::{
    clock::Moment,
    config::Config,
    control::{
        Ask, Owner, Port,
        api::{Origin, Reply, Status},
        tls,
    },
    faults::{Faults, Part, Present},
    metrics::{self, Counters},
    report::{History, Reports},
};
use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::{mpsc, watch},
    time,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

/// Longer than anything here may take on a busy machine.
const DEADLINE: Duration = Duration::from_mins(1);

const DEPLOY: &str = "0123456789abcdef-deploy";
const MONITOR: &str = "0123456789abcdef-monitor";

/// A port before an owner that answers whatever it is asked.
struct Rig {
    directory: PathBuf,
    address: SocketAddr,
    asked: mpsc::Receiver<Origin>,
    config: watch::Sender<Arc<Config>>,
    _status: watch::Sender<Arc<Status>>,
}

impl Rig {
    fn start(test: &str) -> Self {
        Self::with(test, "")
    }

    /// `more` stands in `control.tls`.
    fn with(test: &str, more: &str) -> Self {
        Self::counting(test, more, Counters::default())
    }

    fn counting(test: &str, more: &str, counters: Counters) -> Self {
        let directory = files(test);
        let config = Arc::new(config(&directory, more));
        let port = Port::open(config.control.remote.as_ref().unwrap(), &Faults::default());
        let address = port.address().expect("its files can be used");
        Self::serve_counting(directory, config, port, address, counters)
    }

    fn serve(directory: PathBuf, config: Arc<Config>, port: Port, address: SocketAddr) -> Self {
        Self::serve_counting(directory, config, port, address, Counters::default())
    }

    fn serve_counting(
        directory: PathBuf,
        config: Arc<Config>,
        port: Port,
        address: SocketAddr,
        counters: Counters,
    ) -> Self {
        let (config, configs) = watch::channel(config);
        let (status, statuses) = watch::channel(Arc::new(sample::up()));
        let (asks, mut inlet) = mpsc::channel::<Ask>(8);
        let (origins, asked) = mpsc::channel(8);
        let (looks, _) = mpsc::channel(1);
        let reports = Reports::new(History::at(&directory.join("a.history.jsonl")));
        tokio::spawn(async move {
            while let Some(ask) = inlet.recv().await {
                origins.send(ask.origin).await.unwrap();
                let _gone = ask.reply.send(Reply::Accepted { drain: Some(3), text: "announced".to_owned() });
            }
        });
        tokio::spawn(port.run(
            Owner { status: statuses, asks, looks, reports, doctor: None },
            configs,
            counters,
        ));
        Self { directory, address, asked, config, _status: status }
    }

    async fn connect(&self, own: bool) -> std::io::Result<TlsStream<TcpStream>> {
        let file = |name: &str| self.directory.join(name);
        let own = own.then(|| (file("client.pem"), file("client.key")));
        let own = own.as_ref().map(|(cert, key)| (cert.as_path(), key.as_path()));
        let config = tls::client(Some(&file("ca.pem")), own).unwrap();
        let stream = TcpStream::connect(self.address).await?;
        TlsConnector::from(config).connect(ServerName::try_from("localhost").unwrap(), stream).await
    }

    /// The whole answer to a request with this token.
    async fn ask(&self, request: &str, token: &str) -> String {
        let mut stream = self.connect(false).await.unwrap();
        answer(&mut stream, request, &format!("authorization: Bearer {token}\r\n")).await.unwrap()
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        let _removed = fs::remove_dir_all(&self.directory);
    }
}

fn certificates() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tls")
}

/// A directory with what a port needs.
fn files(test: &str) -> PathBuf {
    let directory = std::env::temp_dir().join(format!("drain-port-{test}-{}", std::process::id()));
    fs::create_dir_all(&directory).unwrap();
    for entry in fs::read_dir(certificates()).unwrap() {
        let entry = entry.unwrap();
        secret(&directory.join(entry.file_name()), &fs::read(entry.path()).unwrap());
    }
    secret(&directory.join("tokens"), format!("deploy {DEPLOY}\nmonitor {MONITOR} look\n").as_bytes());
    directory
}

fn secret(path: &Path, bytes: &[u8]) {
    fs::write(path, bytes).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

fn config(directory: &Path, more: &str) -> Config {
    let directory = directory.display();
    let text = format!(
        "listen = '127.0.0.1:8404'\nserver.ports = [80]\nrestart.command = ['true']\n[control]\n\
         listen = '127.0.0.1:0'\ntoken_file = '{directory}/tokens'\n\
         tls = {{ cert = '{directory}/server.pem', key = '{directory}/server.key'{more} }}"
    );
    Config::parse("f", &text, Some("s")).unwrap()
}

async fn answer(stream: &mut TlsStream<TcpStream>, request: &str, headers: &str) -> std::io::Result<String> {
    let request = format!("{request} HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut text = String::new();
    time::timeout(DEADLINE, stream.read_to_string(&mut text)).await.expect("an answer")?;
    Ok(text)
}

#[tokio::test]
async fn a_token_says_who_asks_and_what_they_may() {
    let mut rig = Rig::start("tokens");
    assert!(rig.ask("POST /v1/restart", DEPLOY).await.starts_with("HTTP/1.1 202 "));
    let origin = rig.asked.recv().await.unwrap();
    assert_eq!(origin, Origin::Remote { token: "deploy".to_owned(), from: [127, 0, 0, 1].into() });
    assert!(rig.ask("GET /v1/status", DEPLOY).await.starts_with("HTTP/1.1 200 "));
    assert!(rig.ask("GET /v1/status", MONITOR).await.starts_with("HTTP/1.1 200 "));
    let refused = rig.ask("POST /v1/up", MONITOR).await;
    assert!(refused.starts_with("HTTP/1.1 403 "), "{refused}");
    assert!(refused.contains("the token monitor is for looking"), "{refused}");
    assert!(rig.asked.try_recv().is_err(), "who may only look asks for nothing");
}

#[tokio::test]
async fn without_a_token_nothing_is_told() {
    let mut rig = Rig::start("none");
    let wrong = DEPLOY.replace('0', "1");
    for request in ["GET /v1/status", "POST /v1/hard", "GET /v1/watch", "GET /nothing"] {
        for headers in [
            String::new(),
            format!("authorization: Bearer {wrong}\r\n"),
            format!("authorization: Basic {DEPLOY}\r\n"),
            format!("authorization: {DEPLOY}\r\n"),
            "authorization: Bearer\r\n".to_owned(),
        ] {
            let mut stream = rig.connect(false).await.unwrap();
            let refused = answer(&mut stream, request, &headers).await.unwrap();
            assert!(refused.starts_with("HTTP/1.1 401 "), "{request} {headers}: {refused}");
            assert!(refused.contains("www-authenticate: Bearer") && !refused.contains("shop"), "{refused}");
        }
    }
    assert!(rig.asked.try_recv().is_err());
}

#[tokio::test]
async fn without_tls_nothing_is_answered() {
    let rig = Rig::start("plain");
    let mut stream = TcpStream::connect(rig.address).await.unwrap();
    let request = format!("GET /v1/status HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {DEPLOY}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // An alert of TLS, or a reset.
    let _end = time::timeout(DEADLINE, stream.read_to_end(&mut answer)).await.expect("an end");
    assert!(!String::from_utf8_lossy(&answer).contains("HTTP"), "{answer:?}");
}

#[tokio::test]
async fn where_clients_need_a_certificate_a_token_is_not_enough() {
    let directory = std::env::temp_dir().join(format!("drain-port-mutual-{}", std::process::id()));
    let rig = Rig::with("mutual", &format!(", client_ca = '{}/ca.pem'", directory.display()));
    let headers = format!("authorization: Bearer {DEPLOY}\r\n");
    let mut stream = rig.connect(true).await.unwrap();
    let taken = answer(&mut stream, "GET /v1/status", &headers).await.unwrap();
    assert!(taken.starts_with("HTTP/1.1 200 "), "{taken}");
    // In TLS 1.3 the client learns of it with its first reading.
    let refused = match rig.connect(false).await {
        Ok(mut stream) => answer(&mut stream, "GET /v1/status", &headers).await,
        Err(error) => Err(error),
    };
    assert!(refused.is_err(), "{refused:?}");
}

#[tokio::test]
async fn who_says_nothing_keeps_nobody_out_for_long() {
    let rig = Rig::start("silent");
    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.push(TcpStream::connect(rig.address).await.unwrap());
    }
    // They are more than are served at once: theirs ends first, by the handshake's limit.
    let answer = time::timeout(DEADLINE, rig.ask("GET /v1/status", DEPLOY)).await.expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[tokio::test]
async fn a_reload_takes_new_tokens_and_keeps_the_old_ones_where_it_fails() {
    let rig = Rig::start("reload");
    let new = "fedcba9876543210-deploy";
    secret(&rig.directory.join("tokens"), format!("deploy {new}\n").as_bytes());
    rig.config.send_replace(Arc::new(config(&rig.directory, "")));
    let begun = Moment::now();
    while !rig.ask("GET /v1/status", new).await.starts_with("HTTP/1.1 200 ") {
        assert!(Moment::now().since(begun) < DEADLINE, "the new token is not taken");
    }
    assert!(rig.ask("GET /v1/status", DEPLOY).await.starts_with("HTTP/1.1 401 "), "the old one");
    // What everybody may read is taken from nobody; the task looks before the next connection is served.
    fs::set_permissions(rig.directory.join("tokens"), fs::Permissions::from_mode(0o644)).unwrap();
    rig.config.send_replace(Arc::new(config(&rig.directory, "")));
    assert!(rig.ask("GET /v1/status", new).await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn files_that_cant_be_used_keep_the_port_closed_until_they_are_mended() {
    let directory = files("closed");
    secret(&directory.join("server.key"), b"no key");
    let config = Arc::new(config(&directory, ""));
    let faults = Faults::default();
    let port = Port::open(config.control.remote.as_ref().unwrap(), &faults);
    assert_eq!(port.address(), None);
    let mut closed = faults.watch();
    let why = closed.borrow().get(&Part::ControlPort).cloned().unwrap_or_default();
    assert!(why.contains("server.key"), "{why}");
    let nowhere = ([127, 0, 0, 1], 0).into();
    let rig = Rig::serve(directory, Arc::clone(&config), port, nowhere);
    secret(&rig.directory.join("server.key"), &fs::read(certificates().join("server.key")).unwrap());
    secret(&rig.directory.join("tokens"), b"deploy short");
    rig.config.send_replace(Arc::clone(&config));
    let other =
        closed.wait_for(|faults| faults.get(&Part::ControlPort).is_some_and(|why| why.contains("tokens")));
    drop(time::timeout(DEADLINE, other).await.expect("the other file is named").unwrap());
    secret(&rig.directory.join("tokens"), format!("deploy {DEPLOY}").as_bytes());
    rig.config.send_replace(config);
    let open = closed.wait_for(Present::is_empty);
    drop(time::timeout(DEADLINE, open).await.expect("it is opened").unwrap());
}

#[tokio::test]
async fn an_address_that_cant_be_had_keeps_the_port_closed_until_it_is_free() {
    let directory = files("address");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let mut remote = config(&directory, "").control.remote.unwrap();
    remote.listen = address;
    let mut configured = config(&directory, "");
    configured.control.remote = Some(remote.clone());
    let faults = Faults::default();
    let port = Port::open(&remote, &faults);
    assert_eq!(port.address(), None);
    let mut watch = faults.watch();
    let why = watch.borrow_and_update().get(&Part::ControlPort).cloned().unwrap_or_default();
    assert!(why.contains(&address.to_string()) && why.contains("reload the agent"), "{why}");
    let configured = Arc::new(configured);
    let rig = Rig::serve(directory, Arc::clone(&configured), port, address);
    drop(taken);
    rig.config.send_replace(configured);
    let open = watch.wait_for(Present::is_empty);
    drop(time::timeout(DEADLINE, open).await.expect("it is opened").unwrap());
    assert!(rig.ask("GET /v1/status", DEPLOY).await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn the_metrics_tell_when_the_certificates_in_use_end() {
    let directory = std::env::temp_dir().join(format!("drain-port-ends-{}", std::process::id()));
    let counters = Counters::default();
    let rig =
        Rig::counting("ends", &format!(", client_ca = '{}/ca.pem'", directory.display()), counters.clone());
    let begun = Moment::now();
    let page = || metrics::page(&counters, &sample::up(), 0, Moment::now(), metrics::Form::OpenMetrics);
    for certificate in ["server", "client_ca"] {
        let line = format!(
            "drain_agent_control_certificate_expiry_timestamp_seconds{{certificate=\"{certificate}\"}} 32503679999.0"
        );
        while !page().lines().any(|own| own == line) {
            assert!(Moment::now().since(begun) < DEADLINE, "{line:?} in\n{}", page());
            time::sleep(Duration::from_millis(10)).await;
        }
    }
    drop(rig);
}
