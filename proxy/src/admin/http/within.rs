//! What the proxy tells of itself where clients come in: HAProxy's statistics at a frontend's own address (`stats uri`), what
//! is ordered there by the form (`stats admin`), and numbers for Prometheus (`use-service prometheus-exporter`).
//!
//! They are made on a thread of their own, one after the other, for to make them takes as long as there are servers: the
//! cores that serve users only wait for them. Where too many ask for them, some are told so.

use std::{
    io,
    sync::{Arc, OnceLock, Weak},
    thread,
};

use tokio::sync::{mpsc, oneshot, watch};

use super::{
    Announced,
    auth::Guests,
    form,
    report::Frame,
    statistics::{after_form, content},
};
use crate::{
    admin::{
        gate::Gate,
        metrics::{self, Form, Own, Scope},
        stats,
    },
    clock,
    exchange::{Pages, WantedPage},
    rules::{Asked, MetricsAsked, Reply, Service, Statistics},
};

/// There is no other address here that could have it.
const STYLE: &str = concat!("<style>", include_str!("stats.css"), "</style>");

/// Pages that may wait to be made: with ten thousand servers each takes some 50 ms.
const WAITING: usize = 64;

/// A page, and who waits for it.
type Job = (WantedPage, oneshot::Sender<Reply>);

/// Who makes them.
#[derive(Debug)]
pub struct Within {
    maker: Arc<Maker>,
    /// Its thread, which is there from the first page on; `None`: there can't be one.
    jobs: OnceLock<Option<mpsc::Sender<Job>>>,
}

#[derive(Debug)]
struct Maker {
    statistics: Weak<stats::Statistics>,
    gate: Arc<Gate>,
    standing: watch::Receiver<Announced>,
}

impl Within {
    /// From now on clients see these statistics.
    pub fn show(statistics: &Arc<stats::Statistics>, gate: Arc<Gate>, standing: watch::Receiver<Announced>) {
        let maker = Arc::new(Maker { statistics: Arc::downgrade(statistics), gate, standing });
        statistics.show(Arc::new(Self { maker, jobs: OnceLock::new() }));
    }
}

impl Pages for Within {
    fn page(&self, wanted: WantedPage) -> oneshot::Receiver<Reply> {
        let (done, made) = oneshot::channel();
        let jobs = self.jobs.get_or_init(|| {
            let started = start(self.maker.clone());
            started.inspect_err(|error| tracing::error!("no statistics can be made: {error}")).ok()
        });
        if let Some(jobs) = jobs {
            // Whoever finds no room is told when `done` goes.
            let _ = jobs.try_send((wanted, done));
        }
        made
    }
}

/// The thread ends when the sender does.
fn start(maker: Arc<Maker>) -> io::Result<mpsc::Sender<Job>> {
    let (sender, mut jobs) = mpsc::channel::<Job>(WAITING);
    // What is ordered may begin a slow start, which takes one.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    thread::Builder::new().name("statistics".to_owned()).spawn(move || {
        runtime.block_on(async {
            while let Some((wanted, done)) = jobs.recv().await {
                let Some(reply) = maker.page(&wanted) else { return };
                // Whoever has gone does not get it.
                let _ = done.send(reply);
            }
        });
    })?;
    Ok(sender)
}

impl Maker {
    /// `None`: there is nothing to tell of any more.
    fn page(&self, wanted: &WantedPage) -> Option<Reply> {
        let own = self.statistics.upgrade()?;
        let WantedPage { service, of, form } = wanted;
        Some(match service {
            Service::Statistics(statistics, asked) => self.statistics(&own, (statistics, asked), of, form),
            Service::Metrics(asked) => self.metrics(&own, asked),
        })
    }

    /// Numbers for Prometheus.
    fn metrics(&self, own: &stats::Statistics, asked: &MetricsAsked) -> Reply {
        let fields = |kind: &str| format!("cache-control: no-cache\r\ncontent-type: {kind}\r\n").into_bytes();
        let scope = match Scope::asked(&asked.query) {
            Ok(scope) => scope,
            Err(wrong) => return Reply::page(400, fields("text/plain"), wrong.into_bytes()),
        };
        let form = Form::asked(&asked.accept);
        let about = Own::now(self.standing.borrow().standing, own.unwritten());
        let text = metrics::page(&own.snapshot(clock::now()), &about, form, scope);
        Reply::page(200, fields(form.content_type()), text.into_bytes())
    }

    /// HAProxy's statistics, at the address `of` a proxy.
    fn statistics(
        &self,
        own: &Arc<stats::Statistics>,
        (statistics, asked): (&Statistics, &Asked),
        of: &str,
        form: &Result<Vec<u8>, &'static str>,
    ) -> Reply {
        let guests = Guests::of(&statistics.auth);
        if !guests.is_ok_and(|guests| guests.admit(asked.authorization.as_deref())) {
            return Reply::unauthorized(&statistics.realm);
        }
        let Statistics { uri, hide_version, .. } = statistics;
        if asked.is_order {
            let outcome = match form {
                _ if !asked.may || !form::is_own(&|name| asked.field(name)) => "DENY",
                Ok(form) => form::obey(own, &self.gate, &String::from_utf8_lossy(form)),
                Err(word) => word,
            };
            let place = after_form(uri, &asked.suffix, outcome);
            let fields =
                format!("cache-control: no-cache\r\ncontent-type: text/plain\r\nlocation: {place}\r\n");
            return Reply::page(303, fields.into_bytes(), Vec::new());
        }
        let frame = Frame { uri, style: STYLE, may: asked.may, hides_version: *hide_version };
        let shown = |name: &str| {
            let is_it = |scope: &str| if scope == "." { name == of } else { name == scope };
            statistics.scope.is_empty() || statistics.scope.iter().any(|scope| is_it(scope))
        };
        let (kind, text) = content(&own.snapshot(clock::now()), &asked.suffix, &frame, &shown);
        let mut fields = format!("cache-control: no-cache\r\ncontent-type: {kind}\r\n");
        if asked.may {
            // Within another site's page a click of the user's would send the form as its own.
            fields.push_str("content-security-policy: frame-ancestors 'none'\r\n");
        }
        if let Some(refresh) = statistics.refresh.filter(|_| !asked.suffix.contains(";norefresh")) {
            fields.push_str(&format!("refresh: {}\r\n", refresh.as_secs()));
        }
        Reply::page(200, fields.into_bytes(), text.into_owned().into_bytes())
    }
}
