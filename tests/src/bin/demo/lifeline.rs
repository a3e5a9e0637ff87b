//! How the demo knows which shops live, and how they know that it does.
//!
//! A shop is started by its agent's restart command, so it is nobody's child. Each shop therefore connects to a
//! socket of the demo and says its number. The kernel tells the demo the shop's process, and the connection's
//! end tells either side that the other is gone: a shop then ends too.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result};
use rustix::process::{Pid, WaitOptions, getpid, set_child_subreaper, waitpid};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
    sync::watch,
    task::{JoinHandle, JoinSet},
    time::{sleep, timeout},
};

use crate::ledger::{SHOPS, ShopId};

/// How long a process whose connection has ended may take until the kernel calls it dead.
const END_LIMIT: Duration = Duration::from_secs(5);
/// How often that is looked at.
const END_POLL: Duration = Duration::from_millis(10);

/// What is known of one shop's processes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Life {
    /// The process that lives now.
    pub(crate) pid: Option<i32>,
    /// Processes of this shop that have been seen so far.
    pub(crate) births: u32,
}

/// The demo's end. When it is cut or dropped, all shops end.
#[derive(Debug)]
pub(crate) struct Lifeline {
    path: PathBuf,
    lives: watch::Receiver<[Life; SHOPS]>,
    /// Nothing is ever sent: its end is the message.
    held: watch::Sender<()>,
    follower: JoinHandle<()>,
}

impl Lifeline {
    /// Opens the socket in `dir`.
    pub(crate) fn open(dir: &Path) -> Result<Self> {
        // Shops whose starter has gone become children of the demo, which takes note of their end: without
        // that they would stay as zombies where process 1 takes no care of orphans (containers).
        set_child_subreaper(Some(getpid())).context("becoming the parent of orphans")?;
        let path = dir.join("lifeline.sock");
        let listener =
            UnixListener::bind(&path).with_context(|| format!("listening at {}", path.display()))?;
        let (tx, lives) = watch::channel([Life::default(); SHOPS]);
        let (held, let_go) = watch::channel(());
        let follower = tokio::spawn(follow_all(listener, tx, let_go));
        Ok(Self { path, lives, held, follower })
    }

    /// Where shops connect.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What is known of `shop` now.
    pub(crate) fn life(&self, shop: ShopId) -> Life {
        self.lives.borrow()[shop.index()]
    }

    /// Ends all shops and waits until they are gone.
    pub(crate) async fn cut(self) {
        drop(self.held);
        // It can't fail: it neither panics nor is it aborted.
        let _ = self.follower.await;
    }
}

/// A shop's end: connects, says who it is, and comes back when the demo is gone.
pub(crate) async fn hold(path: &Path, shop: ShopId) -> Result<()> {
    let mut stream =
        UnixStream::connect(path).await.with_context(|| format!("connecting to {}", path.display()))?;
    stream.write_all(&[shop.number()]).await.context("saying which shop this is")?;
    // The demo says nothing: what comes is its end.
    let _ = stream.read_u8().await;
    Ok(())
}

/// Follows every shop that connects, until the demo lets go.
async fn follow_all(
    listener: UnixListener,
    lives: watch::Sender<[Life; SHOPS]>,
    mut let_go: watch::Receiver<()>,
) {
    let mut shops = JoinSet::new();
    loop {
        tokio::select! {
            Ok((stream, _)) = listener.accept() => {
                shops.spawn(follow(stream, lives.clone(), let_go.clone()));
            }
            Some(_) = shops.join_next() => {}
            _ = let_go.changed() => break,
        }
    }
    while shops.join_next().await.is_some() {}
}

/// Follows one shop's process from its first byte to its end.
async fn follow(
    mut stream: UnixStream,
    lives: watch::Sender<[Life; SHOPS]>,
    mut let_go: watch::Receiver<()>,
) {
    let Some(pid) = stream.peer_cred().ok().and_then(|cred| cred.pid()) else { return };
    let Ok(number) = stream.read_u8().await else { return };
    let Some(shop) = ShopId::from_number(number) else { return };
    lives.send_modify(|all| {
        let life = &mut all[shop.index()];
        life.pid = Some(pid);
        life.births += 1;
    });
    // A shop says nothing more: what comes is the end.
    tokio::select! {
        _ = stream.read_u8() => {}
        _ = let_go.changed() => {}
    }
    drop(stream);
    lives.send_modify(|all| {
        // The successor may have come already.
        let life = &mut all[shop.index()];
        if life.pid == Some(pid) {
            life.pid = None;
        }
    });
    bury(pid).await;
}

/// Takes note of the end of a child that nobody else waits for.
async fn bury(pid: i32) {
    let gone = async {
        // An error means that it is not our child: whoever is its parent takes note.
        while let Ok(None) = waitpid(Pid::from_raw(pid), WaitOptions::NOHANG) {
            sleep(END_POLL).await;
        }
    };
    // Not dead after the limit: the end of the demo ends it, there is nothing else to do here.
    let _ = timeout(END_LIMIT, gone).await;
}
