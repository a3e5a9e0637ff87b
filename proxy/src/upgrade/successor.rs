//! The old process's side: it starts the new one, and gives away what it has.

use std::ffi::OsString;
use std::net::TcpListener;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout};

use super::message::{Hello, Known, Listener, Name, News, Offer, Ready, Report, Rooms, VERSION};
use super::wire::{Wire, WireError};
use super::{REPORT_EVERY, START_LIMIT, UpgradeError};
use crate::backend::JointLimit;
use crate::cli::{self, TAKE_OVER};
use crate::clock;
use crate::listen::Listeners;

/// What the old process gives away.
#[derive(Debug)]
pub struct Legacy {
    listeners: Vec<Listener>,
    sockets: Vec<Arc<TcpListener>>,
    servers: Vec<Known>,
    rooms: Rooms,
    joint: Vec<(Name, JointLimit)>,
}

impl Legacy {
    /// These listeners, what is known of servers, how many connections are taken, and the limits on servers' connections.
    pub fn new(
        listeners: &Listeners,
        servers: Vec<Known>,
        rooms: Rooms,
        joint: Vec<(Name, JointLimit)>,
    ) -> Self {
        let listener = |bound: &crate::listen::Bound| Listener {
            configured: bound.configured,
            frontend: bound.frontend.to_string(),
            sockets: bound.sockets.len(),
        };
        let sockets = listeners.bound().iter().flat_map(|bound| bound.sockets.iter().cloned()).collect();
        Self { listeners: listeners.bound().iter().map(listener).collect(), sockets, servers, rooms, joint }
    }
}

/// What becomes of the new process.
#[derive(Debug)]
pub enum Event {
    /// It has read its configuration and waits for this.
    Greeted(oneshot::Sender<Legacy>),
    /// It accepts, but not at what was offered in these places.
    Ready(Vec<usize>),
    /// So it is with servers now.
    News(News),
    /// It does not take over.
    Failed(UpgradeError),
}

/// The new process, seen from the old one.
#[derive(Debug)]
pub struct Successor {
    pid: Option<Pid>,
    events: mpsc::Receiver<Event>,
    reports: mpsc::Sender<Report>,
    /// It knows of all users who were seen before this.
    told: Option<Instant>,
}

impl Successor {
    /// Starts this program anew. Must be called on a runtime.
    ///
    /// # Errors
    /// It can't be started.
    pub fn start() -> Result<Self, UpgradeError> {
        let (program, arguments) = command();
        let failed = |source| UpgradeError::Start { program: program.display().to_string(), source };
        let (own, theirs) = UnixStream::pair().map_err(failed)?;
        let mut command = Command::new(&program);
        command.args(arguments).stdin(Stdio::from(OwnedFd::from(theirs)));
        let child = command.spawn().map_err(failed)?;
        let wire = Wire::new(own).map_err(failed)?;
        tracing::info!("{} is started as process {}", program.display(), child.id().unwrap_or_default());
        Ok(Self::with(wire, Some(child)))
    }

    pub(super) fn with(wire: Wire, child: Option<Child>) -> Self {
        let pid = child.as_ref().and_then(|child| Pid::from_raw(child.id()?.cast_signed()));
        let (sender, events) = mpsc::channel(1);
        let (reports, to_send) = mpsc::channel(1);
        tokio::spawn(drive(wire, child, sender, to_send));
        Self { pid, events, reports, told: None }
    }

    /// Ends it while it has not taken over: this process ends as well, because somebody wants so.
    pub fn cancel(&self) {
        if let Some(pid) = self.pid {
            // Failing means that it has ended.
            let _ = kill_process(pid, Signal::TERM);
        }
    }

    /// What becomes of it next; `None`: there is nothing more to be said of it.
    pub async fn next(&mut self) -> Option<Event> {
        let event = self.events.recv().await;
        if matches!(event, Some(Event::Greeted(_))) {
            self.told = Some(clock::now());
        }
        event
    }

    /// Sends it a report, unless one is on its way: with the users who were seen within so long before now, since the last
    /// one or since it was told what there was, and a little more. A user whom it knows already is no other.
    pub fn report(&mut self, now: Instant, report: impl FnOnce(Duration) -> Report) {
        if let Ok(place) = self.reports.try_reserve() {
            let untold = self.told.map_or(Duration::ZERO, |told| now.duration_since(told));
            self.told = Some(now);
            place.send(report(untold + 10 * REPORT_EVERY));
        }
    }
}

/// This program, and what is said to it.
fn command() -> (PathBuf, Vec<OsString>) {
    let words = std::env::args_os().skip(1);
    // Behind `--` it would be a file.
    let arguments = [TAKE_OVER.into()].into_iter().chain(words.filter(|word| word != TAKE_OVER));
    (cli::program(), arguments.collect())
}

async fn drive(
    mut wire: Wire,
    mut child: Option<Child>,
    events: mpsc::Sender<Event>,
    mut reports: mpsc::Receiver<Report>,
) {
    let handed_over = timeout(START_LIMIT, hand_over(&mut wire, &events)).await;
    let left = match handed_over.map_err(|_| UpgradeError::Late).and_then(|result| result) {
        Ok(left) => left,
        Err(error) => {
            let error = end(child, error).await;
            // Nobody listens when this process ends.
            let _ = events.send(Event::Failed(error)).await;
            return;
        }
    };
    let _ = events.send(Event::Ready(left)).await;
    let (mut incoming, mut outgoing) = wire.into_halves();
    let report = async {
        while let Some(report) = reports.recv().await {
            if outgoing.send(&report).await.is_err() {
                return;
            }
        }
    };
    let hear = async {
        while let Ok(news) = incoming.receive().await {
            if events.send(Event::News(news)).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = report => {}
        () = hear => {}
    }
    if let Some(child) = &mut child {
        // It has ended, or this process does.
        let _ = child.wait().await;
    }
}

/// Gives what it has; tells in which places of it the other one does not listen.
async fn hand_over(wire: &mut Wire, events: &mpsc::Sender<Event>) -> Result<Vec<usize>, UpgradeError> {
    let hello: Hello = wire.receive().await?;
    if hello.version != VERSION {
        return Err(UpgradeError::Version { found: hello.version });
    }
    let (sender, legacy) = oneshot::channel();
    let ended = |()| WireError::from(std::io::Error::from(std::io::ErrorKind::BrokenPipe));
    events.send(Event::Greeted(sender)).await.map_err(|_| ended(()))?;
    let Legacy { listeners, sockets, servers, rooms, joint } = legacy.await.map_err(|_| ended(()))?;
    let joint = if hello.joins { joint } else { Vec::new() };
    let (joint, limits): (Vec<_>, Vec<_>) = joint.into_iter().unzip();
    wire.send(&Offer { version: VERSION, listeners, servers, rooms, joint }).await?;
    let listening = sockets.iter().map(|socket| socket.as_fd());
    let sockets: Vec<_> = listening.chain(limits.iter().map(AsFd::as_fd)).collect();
    wire.send_sockets(&sockets).await?;
    let Ready { left } = wire.receive().await?;
    Ok(left)
}

/// Ends a process that does not take over; tells better why, where its own end is the reason.
async fn end(child: Option<Child>, error: UpgradeError) -> UpgradeError {
    let Some(mut child) = child else { return error };
    let is_gone = matches!(&error, UpgradeError::Wire(WireError::Io(_)));
    if !is_gone {
        // Failing means that it has ended.
        let _ = child.start_kill();
    }
    match timeout(START_LIMIT, child.wait()).await {
        Ok(Ok(how)) if is_gone => UpgradeError::Ended { how: how.to_string() },
        Err(_) => {
            let _ = child.start_kill();
            error
        }
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::super::Predecessor;
    use super::super::message::{Load, Name};
    use super::*;
    use crate::backend::fixture;
    use crate::config::Config;

    fn pair() -> (Wire, UnixStream) {
        let (own, theirs) = UnixStream::pair().unwrap();
        (Wire::new(own).unwrap(), theirs)
    }

    fn listeners() -> Listeners {
        let text = "frontend.web = { bind = [\"127.0.0.1:0\"], backend = \"shop\" }\n\
                    [[backend.shop.server]]\nname = \"a\"\naddress = \"127.0.0.1:1\"\n";
        let config = Config::parse("test.toml", text, &|_, _| Ok(Vec::new())).unwrap();
        Listeners::open(&config, 3, &Listeners::default(), false).unwrap()
    }

    fn name() -> Name {
        Name { backend: "shop".into(), server: "a".into(), address: "127.0.0.1:1".parse().unwrap() }
    }

    fn addresses(listeners: &Listeners) -> Vec<SocketAddr> {
        listeners.bound()[0].sockets.iter().map(|socket| socket.local_addr().unwrap()).collect()
    }

    #[tokio::test]
    async fn the_new_one_gets_the_sockets_and_is_told_what_the_old_one_has() {
        let (own, theirs) = pair();
        let old = listeners();
        let give = async {
            let mut successor = Successor::with(own, None);
            let Some(Event::Greeted(sender)) = successor.next().await else { panic!("a greeting") };
            let joint = vec![(name(), JointLimit::new(2).unwrap())];
            sender.send(Legacy::new(&old, Vec::new(), Rooms::default(), joint)).unwrap();
            let event = successor.next().await;
            assert!(matches!(&event, Some(Event::Ready(left)) if *left == [0]), "{event:?}");
            successor
        };
        let take = async {
            let (predecessor, inheritance) = Predecessor::greet_at(theirs).await.unwrap();
            (predecessor.relieve(vec![0]).await, inheritance)
        };
        let (mut successor, (mut relieved, inheritance)) = tokio::join!(give, take);
        assert_eq!(addresses(&inheritance.listeners), addresses(&old));
        assert_eq!(inheritance.listeners.bound()[0].configured, old.bound()[0].configured);
        let [(of, limit)] = &inheritance.joint[..] else { panic!("{:?}", inheritance.joint) };
        assert_eq!((of, [limit.take(), limit.take(), limit.take()]), (&name(), [true, true, false]));
        let load = Load { name: name(), in_flight: 3, idle: 1, queued: 0, users: Vec::new() };
        successor.report(clock::now(), |_| Report { servers: vec![load.clone()] });
        assert_eq!(relieved.report().await.unwrap().servers, [load]);
        let backends = [fixture::backend_of(fixture::settings(vec![fixture::server("a")]))];
        relieved.tell(&backends, clock::now());
        let Some(Event::News(news)) = successor.next().await else { panic!("news") };
        assert_eq!((news.complete, news.servers.len()), (true, 1));
        drop(successor);
        assert!(relieved.report().await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn no_user_is_lost_who_was_seen_while_it_started_or_while_a_report_was_on_its_way() {
        let (own, theirs) = pair();
        let old = listeners();
        let mut successor = Successor::with(own, None);
        let (starts, slow) = (Duration::from_secs(90), 10 * REPORT_EVERY);
        let mut theirs = Wire::new(theirs).unwrap();
        theirs.send(&Hello { version: VERSION, joins: false }).await.unwrap();
        let Some(Event::Greeted(sender)) = successor.next().await else { panic!("a greeting") };
        sender.send(Legacy::new(&old, Vec::new(), Rooms::default(), Vec::new())).unwrap();
        let _: Offer = theirs.receive().await.unwrap();
        theirs.receive_sockets(3).await.unwrap();
        tokio::time::advance(starts).await;
        theirs.send(&Ready::default()).await.unwrap();
        let Some(Event::Ready(_)) = successor.next().await else { panic!("a new process that is ready") };
        let mut report = |after: Duration| {
            let mut seen = None;
            successor.report(clock::now() + after, |since| {
                seen = Some(since);
                Report::default()
            });
            seen
        };
        assert_eq!(report(Duration::ZERO), Some(starts + slow));
        // It has not been sent yet.
        assert_eq!(report(Duration::from_secs(4)), None);
        let _: Report = theirs.receive().await.unwrap();
        assert_eq!(report(Duration::from_secs(5)), Some(Duration::from_secs(5) + slow));
    }

    #[tokio::test]
    async fn one_that_ends_before_it_is_ready_does_not_take_over() {
        let (own, theirs) = pair();
        let mut successor = Successor::with(own, None);
        drop(theirs);
        assert!(matches!(successor.next().await, Some(Event::Failed(UpgradeError::Wire(_)))));
        assert!(successor.next().await.is_none());
    }

    #[tokio::test]
    async fn one_of_another_protocol_does_not_take_over() {
        let (own, theirs) = pair();
        let mut successor = Successor::with(own, None);
        Wire::new(theirs).unwrap().send(&Hello { version: VERSION + 1, joins: true }).await.unwrap();
        let event = successor.next().await;
        assert!(matches!(event, Some(Event::Failed(UpgradeError::Version { .. }))), "{event:?}");
    }
}
