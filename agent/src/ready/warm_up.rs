//! The requests that a restarted server gets before its users.

use std::time::Duration;

use reqwest::Url;

use super::{ProbeError, Prober};
use crate::{
    config::{self, Probe, StatusSet},
    fetch::ClientError,
    traffic::sockets::{Namespace, Own},
};

/// Makes the requests that warm a server up.
#[derive(Debug)]
pub struct Warmer {
    requests: Vec<(String, Option<Url>)>,
    timeout: Duration,
    ready: config::Ready,
    namespace: Namespace,
    own: Own,
}

impl Warmer {
    /// Those that `warm_up` names, at the place where `server` is asked whether it is ready, or at its first port. They
    /// are entered in `own`, so that they are no traffic.
    pub fn new(warm_up: &config::WarmUp, server: &config::Server, namespace: Namespace, own: Own) -> Self {
        let base = base(server);
        let request = |path: &String| (path.clone(), base.clone().map(|base| at(base, path)));
        let requests = warm_up.paths.iter().map(request).collect();
        Self { requests, timeout: warm_up.timeout, ready: server.ready.clone(), namespace, own }
    }

    /// Makes them one after the other. Gives those that went wrong, and why.
    pub async fn warm_up(&self) -> Vec<String> {
        let mut failed = Vec::new();
        for (path, url) in &self.requests {
            let Some(url) = url else {
                failed.push(format!("{path}: there is no address to ask, set server.ready.url"));
                continue;
            };
            if let Err(why) = self.request(url).await {
                failed.push(format!("{path}: {why}"));
            }
        }
        failed
    }

    async fn request(&self, url: &Url) -> Result<(), Failure> {
        let probe = Probe::Http { url: url.clone(), status: StatusSet::from_iter([200..=399]), body: None };
        let ready = config::Ready { probe, timeout: self.timeout, ..self.ready.clone() };
        // Made for each: they are few and rare, and a client at rest costs memory.
        let prober = Prober::new(&ready, self.namespace.clone(), self.own.clone())?;
        Ok(prober.probe().await?)
    }
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Probe(#[from] ProbeError),
}

/// Where the server is asked.
fn base(server: &config::Server) -> Option<Url> {
    match &server.ready.probe {
        Probe::Http { url, .. } => Some(url.clone()),
        Probe::Tcp(address) => format!("http://{address}/").parse().ok(),
        Probe::Unix(_) => None,
    }
}

/// The same place with another path and query.
fn at(mut url: Url, path: &str) -> Url {
    let (path, query) = path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)));
    url.set_path(path);
    url.set_query(query);
    url.set_fragment(None);
    url
}
