//! What there is to be seen, as long as the configuration stays as it is.

use std::collections::VecDeque;

use serde::Serialize;

use super::history::{History, Name, SPAN};
use crate::{
    admin::stats::{Field, Kind, Row, Snapshot},
    worker::Generation,
};

/// What there is to be seen.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Layout {
    pub(super) frontends: Vec<Frontend>,
    pub(super) backends: Vec<Backend>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Frontend {
    name: Box<str>,
    binds: String,
    maxconn: usize,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Backend {
    name: Box<str>,
    algorithm: String,
    pub(super) servers: Vec<Server>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Server {
    name: Box<str>,
    address: String,
    cookie: Option<String>,
    backup: bool,
}

/// The process, as long as it lasts.
#[derive(Clone, Debug)]
pub(super) struct Process {
    pub(super) node: String,
    /// Those who look may act.
    pub(super) operate: bool,
    pub(super) most_connections: u64,
    pub(super) most_descriptors: Option<u64>,
}

/// The name of a server's plots.
pub(super) fn name_of(row: &Row) -> Name {
    match row.kind {
        Kind::Frontend => of_frontend(row.text(Field::Pxname)),
        Kind::Backend | Kind::Server => (row.text(Field::Pxname).into(), row.text(Field::Svname).into()),
    }
}

/// No server has an empty name.
fn of_frontend(name: &str) -> Name {
    (name.into(), "".into())
}

impl Layout {
    /// Of these.
    pub(super) fn of(generation: &Generation, snapshot: &Snapshot) -> Self {
        let frontends = generation.frontends().iter().map(|frontend| {
            let binds: Vec<_> = frontend.settings.bind.iter().map(ToString::to_string).collect();
            let name = Box::from(&*frontend.settings.name);
            Frontend { name, binds: binds.join(", "), maxconn: frontend.limit() }
        });
        let (mut backends, mut servers) = (Vec::new(), Vec::new());
        for row in &snapshot.rows {
            let text = |field| row.value(field).map(ToString::to_string);
            match row.kind {
                Kind::Frontend => {}
                Kind::Server => servers.push(Server {
                    name: row.text(Field::Svname).into(),
                    address: text(Field::Addr).unwrap_or_default(),
                    cookie: text(Field::Cookie),
                    backup: row.number(Field::Bck) == 1,
                }),
                Kind::Backend => backends.push(Backend {
                    name: row.text(Field::Pxname).into(),
                    algorithm: text(Field::Algo).unwrap_or_default(),
                    servers: std::mem::take(&mut servers),
                }),
            }
        }
        Self { frontends: frontends.collect(), backends }
    }

    /// The event, with the plots so far.
    pub(super) fn event(&self, process: &Process, history: &History) -> String {
        let frontends = self.frontends.iter().map(|frontend| ShownFrontend {
            name: &frontend.name,
            binds: &frontend.binds,
            maxconn: frontend.maxconn,
            rate: history.of(&of_frontend(&frontend.name)).rate,
        });
        let backends = self.backends.iter().map(|backend| ShownBackend {
            name: &backend.name,
            algorithm: &backend.algorithm,
            servers: backend
                .servers
                .iter()
                .map(|server| {
                    let plots = history.of(&(backend.name.clone(), server.name.clone()));
                    ShownServer {
                        name: &server.name,
                        address: &server.address,
                        cookie: server.cookie.as_deref(),
                        backup: server.backup,
                        rate: plots.rate,
                        time: plots.time,
                    }
                })
                .collect(),
        });
        let shown = Shown {
            version: concat!("drain-proxy ", env!("CARGO_PKG_VERSION")),
            pid: std::process::id(),
            node: &process.node,
            operate: process.operate,
            most_connections: process.most_connections,
            most_descriptors: process.most_descriptors,
            span: SPAN,
            frontends: frontends.collect(),
            backends: backends.collect(),
        };
        // Only maps with keys of other kinds, and writers, fail.
        serde_json::to_string(&shown).unwrap_or_default()
    }
}

/// As page.js reads it.
#[derive(Serialize)]
struct Shown<'l> {
    version: &'static str,
    pid: u32,
    node: &'l str,
    operate: bool,
    most_connections: u64,
    most_descriptors: Option<u64>,
    span: usize,
    frontends: Vec<ShownFrontend<'l>>,
    backends: Vec<ShownBackend<'l>>,
}

#[derive(Serialize)]
struct ShownFrontend<'l> {
    name: &'l str,
    binds: &'l str,
    maxconn: usize,
    rate: VecDeque<f32>,
}

#[derive(Serialize)]
struct ShownBackend<'l> {
    name: &'l str,
    algorithm: &'l str,
    servers: Vec<ShownServer<'l>>,
}

#[derive(Serialize)]
struct ShownServer<'l> {
    name: &'l str,
    address: &'l str,
    cookie: Option<&'l str>,
    backup: bool,
    rate: VecDeque<f32>,
    time: VecDeque<Option<u32>>,
}
