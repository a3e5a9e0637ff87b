//! Servers that close and die while requests are on their way: each request is answered, and none is executed twice
//! that must not be.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use drain_tests::{PATIENCE, Place, Proxy, client::Connection};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    runtime::Runtime,
    time::timeout,
};

/// What the issue asks for, over so many connections.
const POSTS: usize = 10_000;
const CLIENTS: usize = 8;

const UPLOAD_BYTES: usize = 10_000_000;
/// What the first server reads of an upload before it dies.
const READ_OF_UPLOAD: usize = 9_000_000;

/// How long an idle connection lasts at most that is closed while it is idle: as long as requests are apart, so that
/// many meet the close.
const SHORT_IDLE_US: u64 = 3_000;

/// Servers that write down what they execute.
struct Recorders {
    addresses: Vec<SocketAddr>,
    executed: Arc<Executed>,
    /// Ends them.
    _runtime: Runtime,
}

#[derive(Default)]
struct Executed {
    posts: Mutex<Vec<Vec<u8>>>,
    uploads: Mutex<Vec<Vec<u8>>>,
    /// Uploads that were begun.
    begun: AtomicUsize,
}

impl Recorders {
    fn start(count: usize) -> Self {
        let runtime = Runtime::new().expect("a runtime for servers");
        let executed = Arc::new(Executed::default());
        let addresses = (0..count).map(|_| {
            let listener = runtime.block_on(TcpListener::bind(drain_tests::port::free())).expect("a port");
            let address = listener.local_addr().expect("its address");
            let executed = executed.clone();
            runtime.spawn(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(serve(stream, executed.clone()));
                }
            });
            address
        });
        Self { addresses: addresses.collect(), executed, _runtime: runtime }
    }

    fn proxy(&self, place: &Place) -> Proxy {
        // A user meets connections of several cores, on whatever machine.
        let proxy = Proxy::new(place, "proxy").section("[limits]\nthreads = 4");
        let servers = self.addresses.iter().enumerate();
        servers.fold(proxy, |proxy, (index, address)| proxy.server(&format!("s{index}"), *address, None))
    }
}

/// Answers requests until it closes: at once after an answer, while the connection is idle, or never.
async fn serve(mut stream: TcpStream, executed: Arc<Executed>) -> Option<()> {
    let mut input = Vec::new();
    loop {
        let (head, length) = loop {
            if let Some(end) = input.windows(4).position(|window| window == b"\r\n\r\n") {
                let head = String::from_utf8(input.drain(..end + 4).collect()).ok()?;
                let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
                break (head.clone(), length.map_or(Some(0), |length| length.parse::<usize>().ok())?);
            }
            more(&mut stream, &mut input).await?;
        };
        let is_upload = head.starts_with("PUT ");
        let dies = is_upload && executed.begun.fetch_add(1, Ordering::Relaxed) == 0;
        while input.len() < length {
            if dies && input.len() >= READ_OF_UPLOAD {
                return None;
            }
            more(&mut stream, &mut input).await?;
        }
        // One read may have brought the rest.
        if dies {
            return None;
        }
        let body: Vec<u8> = input.drain(..length).collect();
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len().min(20));
        let answer = [answer.as_bytes(), &body[..body.len().min(20)]].concat();
        if is_upload {
            locked(&executed.uploads).push(body);
        } else if head.starts_with("POST ") {
            locked(&executed.posts).push(body);
        }
        stream.write_all(&answer).await.ok()?;
        match fastrand::u8(0..4) {
            0 => return None,
            1 => {
                let idle = Duration::from_micros(fastrand::u64(0..SHORT_IDLE_US));
                timeout(idle, more(&mut stream, &mut input)).await.ok()??;
            }
            _ => {}
        }
    }
}

async fn more(stream: &mut TcpStream, input: &mut Vec<u8>) -> Option<()> {
    let count = stream.read_buf(input).await.ok()?;
    (count > 0).then_some(())
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn ten_thousand_posts_to_servers_that_close_at_random_are_ten_thousand_executions() {
    let place = Place::new("replay_posts");
    let servers = Recorders::start(3);
    let proxy = servers.proxy(&place).start();
    let entrance = proxy.address();
    let clients = (0..CLIENTS).map(|client| {
        thread::spawn(move || {
            let mut connection = Connection::open(entrance).map_err(|e| e.to_string())?;
            for number in (client..POSTS).step_by(CLIENTS) {
                let id = format!("order {number}");
                let answer = connection.fetch("POST", "/order", &[], id.as_bytes());
                let answer = answer.map_err(|e| format!("{id}: {e}"))?;
                if (answer.status, answer.body.as_slice()) != (200, id.as_bytes()) {
                    return Err(format!("{id} was answered with {}", answer.status));
                }
                // Leaves idle connections behind, of which a POST must not take one.
                let answer = connection.fetch("GET", "/", &[], b"").map_err(|e| format!("GET: {e}"))?;
                if answer.status != 200 {
                    return Err(format!("a GET was answered with {}", answer.status));
                }
            }
            Ok(())
        })
    });
    let clients: Vec<_> = clients.collect();
    for client in clients {
        if let Err(why) = client.join().expect("a client's thread") {
            place.fail(&why);
        }
    }

    let mut executed = locked(&servers.executed.posts).clone();
    executed.sort_unstable();
    let count = executed.len();
    executed.dedup();
    assert_eq!((count, executed.len()), (POSTS, POSTS), "executions, and different ones among them");
}

/// Bytes that differ everywhere.
fn upload() -> Vec<u8> {
    (0..UPLOAD_BYTES / 4).flat_map(|word| (word as u32).to_le_bytes()).collect()
}

#[test]
fn an_upload_whose_server_dies_shortly_before_its_end_succeeds_on_another() {
    let place = Place::new("replay_upload");
    let servers = Recorders::start(2);
    let proxy = servers.proxy(&place).start();
    let body = upload();
    let mut connection = Connection::open(proxy.address()).expect("a connection to the proxy");

    let answer = connection.fetch("PUT", "/upload", &[], &body).expect("an answer");

    place.check(answer.status == 200, &format!("status {}", answer.status));
    assert!(*locked(&servers.executed.uploads) == [body], "one upload, whole");
    assert_eq!(servers.executed.begun.load(Ordering::Relaxed), 2);
    let log = place.wait_for("a line of the log", PATIENCE, || {
        let log = proxy.access_log();
        let line = log.lines().find(|line| line.contains("PUT /upload")).map(str::to_owned);
        line.ok_or_else(|| format!("none among {} lines", log.lines().count()))
    });
    assert!(log.contains("/+1 "), "{log}");
}

#[test]
fn where_no_file_can_be_made_an_upload_passes_and_is_not_sent_again() {
    let place = Place::new("replay_no_disk");
    let servers = Recorders::start(2);
    let missing = place.dir().join("missing").display().to_string();
    let mut proxy = servers.proxy(&place).environment("TMPDIR", &missing).start();
    let (body, entrance) = (upload(), proxy.address());
    let put = || {
        let mut connection = Connection::open(entrance).expect("a connection to the proxy");
        connection.fetch("PUT", "/upload", &[], &body)
    };

    // Its server dies, and what it has read is nowhere else. Who still sends then may miss the answer.
    if let Ok(answer) = put() {
        place.check(answer.status == 502, &format!("status {}", answer.status));
    }
    assert_eq!(servers.executed.begun.load(Ordering::Relaxed), 1, "it has gone to one server");
    let answer = put().expect("an answer");

    place.check(answer.status == 200, &format!("status {}", answer.status));
    assert!(*locked(&servers.executed.uploads) == [body], "one upload, whole");
    let said = proxy.child().log_text();
    place.check(said.contains("WARN a request can't be sent again") && said.contains(&missing), &said);
}
