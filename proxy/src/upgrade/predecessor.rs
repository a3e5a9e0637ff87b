//! The new process's side: what it takes over, and from whom.

use std::io;
use std::net::TcpListener;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use super::message::{Hello, Known, Name, News, Offer, Ready, Report, Rooms, VERSION};
use super::news::Teller;
use super::wire::Wire;
use super::{START_LIMIT, UpgradeError};
use crate::backend::{Backend, JointLimit};
use crate::listen::{Bound, Listeners};

/// Reports that may wait to be read; the old one waits then.
const REPORTS: usize = 4;

/// What a new process begins with.
#[derive(Debug, Default)]
pub struct Inheritance {
    /// Open listeners.
    pub listeners: Listeners,
    /// What is known of servers.
    pub servers: Vec<Known>,
    /// How many connections it took.
    pub rooms: Rooms,
    /// Limits that both keep together.
    pub joint: Vec<(Name, JointLimit)>,
    /// Who has had them until now.
    pub earlier: Earlier,
}

/// Another process that listens at the same addresses and is about to go.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Earlier {
    /// There is none.
    #[default]
    None,
    /// It is told to go when this one is ready, and tells nothing itself (HAProxy: `-sf`).
    Silent,
    /// It has told what it knows.
    Known,
}

/// The old process, seen from the new one.
#[derive(Debug)]
pub struct Predecessor {
    wire: Wire,
}

impl Predecessor {
    /// Greets the process at the other end of standard input, and takes what it offers.
    ///
    /// # Errors
    /// Standard input is no such socket, or the other one does not answer as expected.
    pub async fn greet() -> Result<(Self, Inheritance), UpgradeError> {
        let stream = io::stdin().as_fd().try_clone_to_owned().map(UnixStream::from);
        Self::greet_at(stream.map_err(UpgradeError::NoPredecessor)?).await
    }

    pub(super) async fn greet_at(stream: UnixStream) -> Result<(Self, Inheritance), UpgradeError> {
        let mut wire = Wire::new(stream).map_err(UpgradeError::NoPredecessor)?;
        let take = async {
            wire.send(&Hello { version: VERSION, joins: true }).await?;
            let offer: Offer = wire.receive().await?;
            if offer.version != VERSION {
                return Err(UpgradeError::Version { found: offer.version });
            }
            let count: usize = offer.listeners.iter().map(|listener| listener.sockets).sum();
            let mut sockets = wire.receive_sockets(count + offer.joint.len()).await?.into_iter();
            let bound = |listener: super::message::Listener| Bound {
                configured: listener.configured,
                frontend: listener.frontend.into(),
                sockets: sockets
                    .by_ref()
                    .take(listener.sockets)
                    .map(|socket| Arc::new(TcpListener::from(socket)))
                    .collect(),
            };
            let bound = offer.listeners.into_iter().map(bound);
            let listeners = Listeners::inherited(bound.filter(|bound| !bound.sockets.is_empty()).collect());
            let joint = offer.joint.into_iter().zip(sockets.map(JointLimit::of)).collect();
            let Offer { servers, rooms, .. } = offer;
            Ok(Inheritance { listeners, servers, rooms, joint, earlier: Earlier::Known })
        };
        let inheritance = timeout(START_LIMIT, take).await.map_err(|_| UpgradeError::Late)??;
        Ok((Self { wire }, inheritance))
    }

    /// Tells it that this process accepts, but not at what was offered in these places; from then on it finishes what it
    /// has.
    pub async fn relieve(mut self, left: Vec<usize>) -> Relieved {
        let (sender, reports) = mpsc::channel(REPORTS);
        let (news, mut to_send) = mpsc::channel::<News>(1);
        let relieved = Relieved { reports, news, teller: Teller::default() };
        if let Err(error) = self.wire.send(&Ready { left }).await {
            tracing::warn!("the old process has ended before this one was ready: {error}");
            return relieved;
        }
        let (mut incoming, mut outgoing) = self.wire.into_halves();
        tokio::spawn(async move {
            while let Ok(report) = incoming.receive().await {
                if sender.send(report).await.is_err() {
                    return;
                }
            }
        });
        // Apart, because one of an earlier version reads nothing.
        tokio::spawn(async move {
            while let Some(news) = to_send.recv().await {
                if outgoing.send(&news).await.is_err() {
                    return;
                }
            }
        });
        relieved
    }
}

/// The old process after the takeover: it reports what it still has, and is told what becomes of servers.
#[derive(Debug)]
pub struct Relieved {
    reports: mpsc::Receiver<Report>,
    news: mpsc::Sender<News>,
    teller: Teller,
}

impl Relieved {
    /// Its next report; `None`: it has ended.
    pub async fn report(&mut self) -> Option<Report> {
        self.reports.recv().await
    }

    /// Tells it what has become of servers, if anything has.
    pub fn tell(&mut self, backends: &[Arc<Backend>], now: Instant) {
        // What was said last is on its way, or it does not listen any more.
        let Ok(place) = self.news.try_reserve() else { return };
        if let Some(news) = self.teller.news(backends, now) {
            place.send(news);
        }
    }
}
