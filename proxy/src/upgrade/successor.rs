//! The old process's side: it starts the new one, and gives away what it has.

use std::ffi::OsString;
use std::net::TcpListener;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::message::{Hello, Known, Listener, Offer, Ready, Report, Rooms, VERSION};
use super::wire::{Wire, WireError};
use super::{START_LIMIT, UpgradeError};
use crate::cli::TAKE_OVER;
use crate::listen::Listeners;

/// What the old process gives away.
#[derive(Debug)]
pub struct Legacy {
    listeners: Vec<Listener>,
    sockets: Vec<Arc<TcpListener>>,
    servers: Vec<Known>,
    rooms: Rooms,
}

impl Legacy {
    /// These listeners, what is known of servers, and how many connections are taken.
    pub fn new(listeners: &Listeners, servers: Vec<Known>, rooms: Rooms) -> Self {
        let listener = |bound: &crate::listen::Bound| Listener {
            configured: bound.configured,
            frontend: bound.frontend.to_string(),
            sockets: bound.sockets.len(),
        };
        let sockets = listeners.bound().iter().flat_map(|bound| bound.sockets.iter().cloned()).collect();
        Self { listeners: listeners.bound().iter().map(listener).collect(), sockets, servers, rooms }
    }
}

/// What becomes of the new process.
#[derive(Debug)]
pub enum Event {
    /// It has read its configuration and waits for this.
    Greeted(oneshot::Sender<Legacy>),
    /// It accepts.
    Ready,
    /// It does not take over.
    Failed(UpgradeError),
}

/// The new process, seen from the old one.
#[derive(Debug)]
pub struct Successor {
    pid: Option<Pid>,
    events: mpsc::Receiver<Event>,
    reports: mpsc::Sender<Report>,
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
        Self { pid, events, reports }
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
        self.events.recv().await
    }

    /// Sends it a report, unless one is on its way.
    pub fn report(&self, report: impl FnOnce() -> Report) {
        if let Ok(place) = self.reports.try_reserve() {
            place.send(report());
        }
    }
}

/// This program by its name, so that a newer one in its place is found; symbolic links are not resolved for that reason.
fn command() -> (PathBuf, Vec<OsString>) {
    let mut words = std::env::args_os();
    let program = words.next().unwrap_or_else(|| "/proc/self/exe".into());
    let mut arguments: Vec<_> = words.filter(|word| word != TAKE_OVER).collect();
    arguments.push(TAKE_OVER.into());
    (program.into(), arguments)
}

async fn drive(
    mut wire: Wire,
    mut child: Option<Child>,
    events: mpsc::Sender<Event>,
    mut reports: mpsc::Receiver<Report>,
) {
    let handed_over = timeout(START_LIMIT, hand_over(&mut wire, &events)).await;
    if let Err(error) = handed_over.map_err(|_| UpgradeError::Late).and_then(|result| result) {
        let error = end(child, error).await;
        // Nobody listens when this process ends.
        let _ = events.send(Event::Failed(error)).await;
        return;
    }
    let _ = events.send(Event::Ready).await;
    while let Some(report) = reports.recv().await {
        if wire.send(&report).await.is_err() {
            break;
        }
    }
    if let Some(child) = &mut child {
        // It has ended, or this process does.
        let _ = child.wait().await;
    }
}

async fn hand_over(wire: &mut Wire, events: &mpsc::Sender<Event>) -> Result<(), UpgradeError> {
    let hello: Hello = wire.receive().await?;
    if hello.version != VERSION {
        return Err(UpgradeError::Version { found: hello.version });
    }
    let (sender, legacy) = oneshot::channel();
    let ended = |()| WireError::from(std::io::Error::from(std::io::ErrorKind::BrokenPipe));
    events.send(Event::Greeted(sender)).await.map_err(|_| ended(()))?;
    let Legacy { listeners, sockets, servers, rooms } = legacy.await.map_err(|_| ended(()))?;
    wire.send(&Offer { version: VERSION, listeners, servers, rooms }).await?;
    let sockets: Vec<_> = sockets.iter().map(|socket| socket.as_fd()).collect();
    wire.send_sockets(&sockets).await?;
    let Ready {} = wire.receive().await?;
    Ok(())
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
            sender.send(Legacy::new(&old, Vec::new(), Rooms::default())).unwrap();
            let Some(Event::Ready) = successor.next().await else { panic!("a new process that is ready") };
            successor
        };
        let take = async {
            let (predecessor, inheritance) = Predecessor::greet_at(theirs).await.unwrap();
            (predecessor.relieve().await, inheritance)
        };
        let (successor, (mut reports, inheritance)) = tokio::join!(give, take);
        assert_eq!(addresses(&inheritance.listeners), addresses(&old));
        assert_eq!(inheritance.listeners.bound()[0].configured, old.bound()[0].configured);
        let name =
            Name { backend: "shop".into(), server: "a".into(), address: "127.0.0.1:1".parse().unwrap() };
        let load = Load { name, in_flight: 3, idle: 1, queued: 0, users: Vec::new() };
        successor.report(|| Report { servers: vec![load.clone()] });
        assert_eq!(reports.recv().await.unwrap().servers, [load]);
        drop(successor);
        assert!(reports.recv().await.is_none());
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
        Wire::new(theirs).unwrap().send(&Hello { version: VERSION + 1 }).await.unwrap();
        let event = successor.next().await;
        assert!(matches!(event, Some(Event::Failed(UpgradeError::Version { .. }))), "{event:?}");
    }
}
