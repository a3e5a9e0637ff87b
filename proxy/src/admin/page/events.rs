//! Whoever looks, and whoever has the page open.

use std::{
    convert::Infallible,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use axum::response::sse::Event;
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, MissedTickBehavior, interval, timeout_at},
};
use tokio_stream::{Stream, wrappers::ReceiverStream};

use super::{
    history::{History, STEP_S},
    layout::{Layout, Process},
    look::{Look, Numbers},
};
use crate::{
    admin::{http::Announced, stats::Statistics, usage},
    clock,
};

/// How often it is looked while a page is open; else only for the plots.
const EVERY: Duration = Duration::from_secs(1);

/// How many pages may be open at once: half of the port's connections, so that monitoring and balancers always find one.
const VIEWERS: usize = 64;

/// After so long a page begins anew, which a browser does by itself: nobody holds a connection for ever.
const LONGEST: Duration = Duration::from_hours(1);

/// Looks at the statistics for all pages that are open.
#[derive(Debug)]
pub struct Observer {
    statistics: Arc<Statistics>,
    standing: watch::Receiver<Announced>,
    node: String,
    began: Instant,
    operate: bool,
    history: Mutex<History>,
    looks: watch::Sender<Option<Arc<Look>>>,
    viewers: AtomicUsize,
}

impl Observer {
    /// Of these statistics; `operate`: those who look may act.
    pub fn new(
        statistics: Arc<Statistics>,
        standing: watch::Receiver<Announced>,
        began: Instant,
        operate: bool,
    ) -> Arc<Self> {
        let node = rustix::system::uname().nodename().to_string_lossy().into_owned();
        Arc::new(Self {
            statistics,
            standing,
            node,
            began,
            operate,
            history: Mutex::default(),
            looks: watch::Sender::new(None),
            viewers: AtomicUsize::new(0),
        })
    }

    /// Looks for ever.
    pub async fn watch(&self) {
        let mut due = interval(EVERY);
        due.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut last, mut seconds) = (clock::now(), 0);
        loop {
            due.tick().await;
            let tick = seconds % STEP_S == 0;
            seconds += 1;
            if tick || self.viewers.load(Ordering::Relaxed) > 0 {
                let now = clock::now();
                self.look(tick, now.duration_since(last), now);
                last = now;
            }
        }
    }

    fn look(&self, tick: bool, passed: Duration, now: Instant) {
        let (snapshot, generation) = (self.statistics.snapshot(now), self.statistics.generation());
        let before = self.looks.borrow().clone();
        let layout = Layout::of(&generation, &snapshot);
        let layout = match &before {
            Some(before) if *before.layout == layout => before.layout.clone(),
            _ => Arc::new(layout),
        };
        let (connections, most_connections) = generation.connections();
        let process = Process {
            node: self.node.clone(),
            operate: self.operate,
            most_connections,
            most_descriptors: usage::most_descriptors(),
        };
        let at = clock::wall().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis() as u64;
        let uptime = now.saturating_duration_since(self.began).as_secs();
        let numbers = Numbers {
            tick,
            connections,
            descriptors: usage::descriptors().unwrap_or(0),
            memory: usage::resident_bytes().unwrap_or(0),
            ..Numbers::of(at, uptime, self.standing.borrow().standing)
        };
        let mut history = self.lock();
        let known = before.as_deref();
        let look = Look::at(&snapshot, (layout, process), numbers, &mut history, passed.as_secs_f64(), known);
        drop(history);
        self.looks.send_replace(Some(Arc::new(look)));
    }

    /// The events for one more page; `None`: there are too many.
    pub fn view(self: &Arc<Self>) -> Option<impl Stream<Item = Result<Event, Infallible>> + use<>> {
        let place = Place::take(self)?;
        // One that is not taken off our hands yet, and no more: the next one is made when it is.
        let (sender, events) = mpsc::channel(1);
        let (observer, looks) = (self.clone(), self.looks.subscribe());
        tokio::spawn(async move {
            let _place = place;
            observer.tell(sender, looks).await;
        });
        Some(ReceiverStream::new(events))
    }

    /// Tells one page, until it is closed.
    async fn tell(
        &self,
        sender: mpsc::Sender<Result<Event, Infallible>>,
        mut looks: watch::Receiver<Option<Arc<Look>>>,
    ) {
        let end = clock::now() + LONGEST;
        let mut seen: Option<Arc<Look>> = None;
        looks.mark_changed();
        loop {
            let look = tokio::select! {
                changed = timeout_at(end, looks.changed()) => match changed {
                    Ok(Ok(())) => looks.borrow_and_update().clone(),
                    // It has been open for long enough, or nobody looks any more.
                    Ok(Err(_)) | Err(_) => return,
                },
                () = sender.closed() => return,
            };
            let Some(look) = look else { continue };
            if seen.as_ref().is_none_or(|seen| !Arc::ptr_eq(&seen.layout, &look.layout)) {
                let layout = look.layout.event(&look.process, &self.lock());
                seen = None;
                if sender.send(Ok(Event::default().event("layout").data(layout))).await.is_err() {
                    return;
                }
            }
            let event = Event::default().event("look").data(look.event(seen.as_deref()));
            if sender.send(Ok(event)).await.is_err() {
                return;
            }
            seen = Some(look);
        }
    }

    fn lock(&self) -> MutexGuard<'_, History> {
        // Each change is whole even if a thread has died in it.
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One open page, as long as it is open.
struct Place(Arc<Observer>);

impl Place {
    fn take(observer: &Arc<Observer>) -> Option<Self> {
        let one_more = |count| (count < VIEWERS).then_some(count + 1);
        observer.viewers.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).ok()?;
        Some(Self(observer.clone()))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.viewers.fetch_sub(1, Ordering::Relaxed);
    }
}
