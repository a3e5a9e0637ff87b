//! What the kernel's sockets say of a connection, held against the truth: each connection here has a script that
//! knows, because it plays both ends, whether a request is in flight. Prints how often the verdict was wrong.

use std::{
    collections::{BTreeMap, HashMap},
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    num::NonZeroU16,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use drain_agent::traffic::sockets::{Doors, Own, Sockets, Verdict};
use drain_tests::clock;
use socket2::SockRef;

/// So many looks are taken, with every script before them.
const LOOKS: usize = 120;
/// Between two looks.
const EVERY: Duration = Duration::from_millis(20);
/// Each script is played by so many connections at once.
const PLAYERS: usize = 3;
/// How long a state lasts: several looks.
const WHILE: Duration = Duration::from_millis(70);
/// Longer than two ticks of any kernel's clock: what is so far apart has different ages.
const APART: Duration = Duration::from_millis(25);
/// More than the kernel's buffers hold of a response that nobody reads.
static CHUNK: [u8; 64 * 1024] = [b'x'; 64 * 1024];

/// What a user's kernel holds of what it has not read, and a server's of what it has sent, before it takes no more.
const RECEIVED: usize = 32 * 1024;
const SENT: usize = 200 * 1024;

/// What a connection does at the moment; `None` while that changes.
type Truth = Option<(&'static str, u64)>;

/// What each connection does, by its user's address.
#[derive(Clone, Default)]
struct Book(Arc<Mutex<HashMap<SocketAddr, Truth>>>);

impl Book {
    fn pages(&self) -> MutexGuard<'_, HashMap<SocketAddr, Truth>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection whose both ends are here.
struct Player {
    user: TcpStream,
    server: TcpStream,
    at: SocketAddr,
    book: Book,
    steps: u64,
}

impl Player {
    fn new(listener: &TcpListener, book: &Book) -> Self {
        // One at a time, so that the two ends belong together.
        static ONE: Mutex<()> = Mutex::new(());
        let one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        let user = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (server, at) = listener.accept().unwrap();
        drop(one);
        user.set_nodelay(true).unwrap();
        server.set_nodelay(true).unwrap();
        // What a stalled reader's kernel takes must stay less than what the server's holds, however it makes room.
        SockRef::from(&user).set_recv_buffer_size(RECEIVED).unwrap();
        SockRef::from(&server).set_send_buffer_size(SENT).unwrap();
        Self { user, server, at, book: book.clone(), steps: 0 }
    }

    /// From now on nothing is said about it.
    fn changes(&self) {
        self.book.pages().insert(self.at, None);
    }

    /// It does this for a while.
    fn does(&mut self, what: &'static str) {
        self.steps += 1;
        self.book.pages().insert(self.at, Some((what, self.steps)));
        clock::pause(WHILE);
        self.changes();
    }

    fn ask(&mut self) {
        self.user.write_all(b"ask!").unwrap();
        self.server.read_exact(&mut [0; 4]).unwrap();
    }

    /// A part of a response, of which its user reads all.
    fn say(&mut self) {
        self.server.write_all(b"say!").unwrap();
        self.user.read_exact(&mut [0; 4]).unwrap();
    }

    fn answer(&mut self) {
        clock::pause(APART);
        self.say();
        self.does("idle");
        clock::pause(APART);
    }
}

/// What is idle; all else is in flight.
const IDLE: [&str; 2] = ["idle", "never asked"];
/// In flight, and known to look answered: the server spoke last, or an earlier answer hides it.
const KNOWN_TO_LOOK_IDLE: [&str; 3] =
    ["a response that pauses", "WebSocket, server spoke last", "pipelined request"];

/// How many different things the scripts do.
const TRUTHS: usize = 12;
/// So many samples there are at least, of the 2,000 that there are on a machine that has nothing else to do, and of each
/// thing.
const LEAST_SAMPLES: u32 = 500;
const LEAST_OF_EACH: u32 = 10;
/// At most one in so many that are asked in the tick of the last answer may be taken for idle.
const SAME_TICK_IDLE: u32 = 10;

/// How many scripts there are.
const SCRIPTS: usize = 8;

/// One round of each script, by its number.
fn play(script: usize, listener: &TcpListener, book: &Book, player: &mut Player) {
    match script {
        0 => {
            player.ask();
            player.does("long poll, or the server thinks");
            player.answer();
        }
        1 => {
            player.ask();
            for _ in 0..4 {
                clock::pause(APART);
                player.say();
                player.does("a response that pauses");
            }
            player.answer();
        }
        2 => {
            player.ask();
            player.server.set_nonblocking(true).unwrap();
            let mut sent = 0;
            while let Ok(more) = player.server.write(&CHUNK) {
                sent += more;
            }
            player.server.set_nonblocking(false).unwrap();
            player.does("download, reader stalled");
            player.user.read_exact(&mut vec![0; sent]).unwrap();
            player.answer();
        }
        3 => {
            player.ask();
            player.does("upload, stalled after its head");
            player.user.write_all(b"half").unwrap();
            player.does("upload, unread by the server");
            player.server.read_exact(&mut [0; 4]).unwrap();
            player.does("upload, stalled in its body");
            player.answer();
        }
        4 => {
            player.ask();
            clock::pause(APART);
            player.say();
            player.does("WebSocket, server spoke last");
            clock::pause(APART);
            player.ask();
            player.does("WebSocket, user spoke last");
            player.answer();
        }
        5 => {
            let mut fresh = Player::new(listener, book);
            fresh.does("never asked");
        }
        6 => {
            // Two at once; the answer to the first is all that is seen of the second.
            player.user.write_all(b"ask!ask!").unwrap();
            player.server.read_exact(&mut [0; 8]).unwrap();
            clock::pause(APART);
            player.say();
            player.does("pipelined request");
            player.answer();
        }
        _ => {
            // At once after the answer, as a pool under load does it.
            player.ask();
            player.say();
            player.ask();
            player.does("asked in the tick of the last answer");
            player.answer();
        }
    }
}

/// How often each verdict was given.
#[derive(Default)]
struct Given {
    busy: u32,
    unsure: u32,
    idle: u32,
}

#[test]
fn no_request_is_taken_for_idle_but_those_of_which_it_is_known() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = NonZeroU16::new(listener.local_addr().unwrap().port()).unwrap();
    let sockets = Sockets::new(Doors::at_ports(&[port]), Own::default());
    let (book, over) = (Book::default(), AtomicBool::new(false));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut given: BTreeMap<&str, Given> = BTreeMap::new();
    thread::scope(|scope| {
        for script in (0..SCRIPTS).flat_map(|script| [script; PLAYERS]) {
            let (listener, book, over) = (&listener, &book, &over);
            scope.spawn(move || {
                let mut player = Player::new(listener, book);
                while !over.load(Ordering::Relaxed) {
                    play(script, listener, book, &mut player);
                }
            });
        }
        for _ in 0..LOOKS {
            clock::pause(EVERY);
            let before = book.pages().clone();
            let peers = runtime.block_on(sockets.verdicts(usize::MAX)).unwrap();
            let after = book.pages().clone();
            for (peer, verdict) in peers {
                // What has changed while it was looked at is no sample.
                let Some(Some(truth)) = before.get(&peer).copied() else { continue };
                if after.get(&peer) != Some(&Some(truth)) {
                    continue;
                }
                let given = given.entry(truth.0).or_default();
                match verdict {
                    Verdict::Busy => given.busy += 1,
                    Verdict::Unsure { .. } => given.unsure += 1,
                    Verdict::Answered { .. } | Verdict::Fresh | Verdict::Closed => given.idle += 1,
                }
            }
        }
        over.store(true, Ordering::Relaxed);
    });

    println!("{:<40} {:>6} {:>7} {:>6} {:>6}", "truth", "busy", "unsure", "idle", "wrong");
    let (mut samples, mut wrong) = (0, 0);
    for (truth, given) in &given {
        let is_idle = IDLE.contains(truth);
        let errors = if is_idle { given.busy } else { given.idle };
        println!("{truth:<40} {:>6} {:>7} {:>6} {errors:>6}", given.busy, given.unsure, given.idle);
        samples += given.busy + given.unsure + given.idle;
        wrong += errors;
    }
    println!("{samples} samples, {wrong} wrong");
    assert!(samples >= LEAST_SAMPLES, "{samples} samples are too few to say anything");
    assert_eq!(given.len(), TRUTHS, "each has samples");
    for (truth, given) in given {
        let all = given.busy + given.unsure + given.idle;
        assert!(all >= LEAST_OF_EACH, "{truth}: {all} samples are too few to say anything");
        let may_look_idle = IDLE.contains(&truth) || KNOWN_TO_LOOK_IDLE.contains(&truth);
        // Its answer may be acknowledged late, which says the same as an idle connection's late acknowledgement.
        let same_tick = truth == "asked in the tick of the last answer";
        let may_be = if same_tick { all / SAME_TICK_IDLE } else { 0 };
        assert!(may_look_idle || given.idle <= may_be, "{truth}: {} times taken for idle", given.idle);
    }
}
