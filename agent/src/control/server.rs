//! The listening side: connections, their number and their time.
//!
//! Where the socket or a group that is named is not to be had, the agent answers its balancers all the same; both are
//! tried again when the configuration is read again. Only where another agent answers on the socket this one must not go
//! on: two would restart one server.

use std::{
    future, io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{UnixListener, UnixStream},
    sync::{Notify, OwnedSemaphorePermit, Semaphore, watch},
    time,
};
use tracing::{debug, warn};

use super::{
    Error, Owner,
    peer::{Access, Peer, Who},
    routes,
    socket::{self, SocketFile},
};
use crate::{
    config::{Config, Control},
    faults::{Faults, Part},
};

/// How many connections are served at once; others wait in the kernel. People and scripts, and some watchers.
const CONNECTIONS: usize = 32;

/// How long the head of a request may take to come: the other side is on the same host.
const HEAD: Duration = Duration::from_secs(2);

/// The largest head, of which hyper keeps a buffer for each connection: 8 KiB is the least that it takes.
const HEAD_BYTES: usize = 8 * 1024;

/// How long a request and its answer may take from the connection on, but for who watches: the owner has 10 s for an
/// answer, the body 5 s, and the rest is for reading it. Nobody holds a connection for ever by not reading.
const WHOLE: Duration = Duration::from_secs(30);

/// How long to wait when no connection can be accepted (no descriptors), so as not to burn the processor.
pub(super) const BACK_OFF: Duration = Duration::from_millis(100);

/// The control socket, open or not. Its file goes when this is dropped.
#[derive(Debug)]
pub struct Server {
    open: Option<Open>,
    access: watch::Sender<Access>,
    faults: Faults,
}

/// A socket that listens.
#[derive(Debug)]
struct Open {
    listener: UnixListener,
    file: SocketFile,
}

impl Server {
    /// Makes the socket that `control` describes; `faults` learns what can't be had of it. Must be called inside the
    /// runtime.
    ///
    /// # Errors
    /// Another agent has it.
    pub fn open(control: &Control, faults: &Faults) -> Result<Self, Error> {
        let uid = rustix::process::geteuid().as_raw();
        let access = watch::Sender::new(Access { uid, drain: Who::Nobody, look: Who::Nobody });
        let mut server = Self { open: None, access, faults: faults.clone() };
        let gid = server.look_up_groups(control);
        match Open::at(control, gid) {
            Err(error @ (Error::InUse { .. } | Error::Locked { .. })) => return Err(error),
            opened => {
                let had = opened.map(|open| server.open = Some(open));
                server.tell(had);
            }
        }
        Ok(server)
    }

    /// Serves until it is dropped. Where `config` changes, who may do what changes with it, and what could not be had is
    /// tried again.
    pub async fn run(mut self, owner: Owner, mut config: watch::Receiver<Arc<Config>>) {
        let router = routes::router(owner, self.access.subscribe(), CONNECTIONS / 2);
        let slots = Arc::new(Semaphore::new(CONNECTIONS));
        loop {
            tokio::select! {
                Ok(()) = config.changed() => {
                    let config = Arc::clone(&config.borrow_and_update());
                    self.renew(&config.control);
                }
                (slot, accepted) = next(self.open.as_ref(), &slots) => match accepted {
                    Ok((peer, stream)) => {
                        let router = router.clone().layer(Extension(peer));
                        tokio::spawn(serve(stream, HEAD, router, slot));
                    }
                    Err(error) => {
                        warn!(%error, "a connection to the control socket could not be accepted");
                        time::sleep(BACK_OFF).await;
                    }
                },
            }
        }
    }

    /// Looks the groups up, and opens the socket where it is closed. One that is open stays where it is.
    fn renew(&mut self, control: &Control) {
        let gid = self.look_up_groups(control);
        // Nobody finds one whose file has gone, and its lock would keep a new one from its place.
        self.open.take_if(|open| !open.file.is_there());
        let had = if let Some(open) = &self.open {
            open.file.give(gid)
        } else {
            Open::at(control, gid).map(|open| self.open = Some(open))
        };
        self.tell(had);
    }

    fn tell(&self, had: Result<(), Error>) {
        let Err(error) = had else { return self.faults.mended(Part::ControlSocket) };
        let text = format!(
            "nobody can ask this agent anything: {error}; mend it, and reload the agent (SIGHUP, `systemctl reload`)"
        );
        self.faults.found(Part::ControlSocket, &text);
    }

    /// Notes who may do what. Gives the group that the socket's file is for.
    fn look_up_groups(&self, control: &Control) -> Option<u32> {
        let drain = self.who(Part::ControlGroup, control.group.as_deref(), Who::Nobody);
        let look = self.who(Part::ControlLook, control.look.as_deref(), Who::Everybody);
        self.access.send_modify(|access| (access.drain, access.look) = (drain, look));
        if let Who::Members(gid) = drain { Some(gid) } else { None }
    }

    /// Who is meant by the group `name`; `nameless` where there is none.
    fn who(&self, part: Part, name: Option<&str>, nameless: Who) -> Who {
        let found = name.map(socket::group_id).transpose();
        match found {
            Ok(gid) => {
                self.faults.mended(part);
                gid.map_or(nameless, Who::Members)
            }
            Err(error) => {
                let (key, may) = match part {
                    Part::ControlLook => ("look", "who may not drain may not look either"),
                    _ => ("group", "only root and the agent's own user may drain"),
                };
                let text = format!(
                    "control.{key}: {error}; until it is there, {may}: make the group (`groupadd --system NAME`) or name \
                     another, and reload the agent"
                );
                self.faults.found(part, &text);
                Who::Nobody
            }
        }
    }
}

impl Open {
    fn at(control: &Control, gid: Option<u32>) -> Result<Self, Error> {
        let path = &control.socket;
        let (listener, file) = SocketFile::create(path, gid)?;
        let adopt = || {
            listener.set_nonblocking(true)?;
            UnixListener::from_std(listener)
        };
        let listener = adopt().map_err(|source| Error::Io { path: path.clone(), source })?;
        Ok(Self { listener, file })
    }
}

/// The next connection, who is at its other end, and a place for it; a socket that is closed has none.
async fn next(
    open: Option<&Open>,
    slots: &Arc<Semaphore>,
) -> (Option<OwnedSemaphorePermit>, io::Result<(Peer, UnixStream)>) {
    let Some(open) = open else { return future::pending().await };
    // The semaphore is never closed.
    let slot = Arc::clone(slots).acquire_owned().await.ok();
    let accepted = open.listener.accept().await;
    (slot, accepted.and_then(|(stream, _)| Ok((Peer::of(&stream)?, stream))))
}

/// What the answer to a request tells of its connection.
#[derive(Clone, Debug, Default)]
pub(super) struct Tie(Arc<(Notify, AtomicBool)>);

impl Tie {
    /// The connection ends now: its other side does not read.
    pub(super) fn cut(&self) {
        self.0.0.notify_one();
    }

    /// The answer goes on for as long as somebody reads it.
    pub(super) fn stays(&self) {
        self.0.1.store(true, Ordering::Relaxed);
    }

    /// When the connection is to end, whatever comes of it.
    async fn ends(&self) {
        let late = async {
            time::sleep(WHOLE).await;
            if self.0.1.load(Ordering::Relaxed) {
                future::pending::<()>().await;
            }
        };
        tokio::select! {
            () = self.0.0.notified() => {}
            () = late => {}
        }
    }
}

/// One request on one connection, whose head must have come within `head`; `slot` is its place.
pub(super) async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    head: Duration,
    router: Router,
    slot: Option<OwnedSemaphorePermit>,
) {
    let tie = Tie::default();
    let router = router.layer(Extension(tie.clone()));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head)
        .max_buf_size(HEAD_BYTES)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let done: Result<(), hyper::Error> = tokio::select! {
        done = connection => done,
        () = tie.ends() => Ok(()),
    };
    if let Err(error) = done {
        debug!(error = &error as &dyn std::error::Error, "a control connection ended early");
    }
    drop(slot);
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::scratch::Scratch;

    fn control(scratch: &Scratch) -> Control {
        Control { socket: scratch.join("a.sock"), group: None, look: None, remote: None }
    }

    fn text(faults: &Faults, part: Part) -> Option<String> {
        faults.watch().borrow().get(&part).cloned()
    }

    #[tokio::test]
    async fn a_group_that_is_not_there_lets_nobody_in_until_it_is() {
        let (scratch, faults) = (Scratch::new("no-group"), Faults::default());
        let nobody = || Some("no-such-group-here".into());
        let lacking = Control { group: nobody(), look: nobody(), ..control(&scratch) };
        let mut server = Server::open(&lacking, &faults).unwrap();
        let who = |server: &Server| (server.access.borrow().drain, server.access.borrow().look);
        assert_eq!(who(&server), (Who::Nobody, Who::Nobody));
        for part in [Part::ControlGroup, Part::ControlLook] {
            let text = text(&faults, part).unwrap();
            assert!(text.contains("no-such-group-here") && text.contains("reload the agent"), "{text}");
        }
        assert!(server.open.is_some(), "root can still ask");
        server.renew(&Control { group: Some("0".into()), ..control(&scratch) });
        assert_eq!(who(&server), (Who::Members(0), Who::Everybody));
        assert!(faults.watch().borrow().is_empty());
    }

    #[tokio::test]
    async fn a_socket_that_cant_be_made_is_made_when_it_can() {
        let (scratch, faults) = (Scratch::new("no-socket"), Faults::default());
        let control = control(&scratch);
        fs::write(&control.socket, "in the way").unwrap();
        let mut server = Server::open(&control, &faults).unwrap();
        assert!(server.open.is_none());
        assert!(text(&faults, Part::ControlSocket).unwrap().contains("is something else"));
        fs::remove_file(&control.socket).unwrap();
        server.renew(&control);
        assert!(server.open.is_some() && faults.watch().borrow().is_empty());
        fs::remove_file(&control.socket).unwrap();
        server.renew(&control);
        assert!(
            control.socket.exists() && faults.watch().borrow().is_empty(),
            "one that was taken away, too"
        );
        let rival = Server::open(&control, &faults);
        assert!(matches!(rival, Err(Error::InUse { .. })), "another agent is not gone past");
    }
}
