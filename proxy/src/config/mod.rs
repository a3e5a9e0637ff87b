//! The proxy's configuration, checked once, complete with its defaults.
//!
//! Behind [`Config`] nothing asks again whether a value makes sense: each type holds only what is valid. An
//! `Option` here is a thing that may be absent, never a default that is still to be found.

mod address_field;
mod admin;
mod admin_port;
mod admin_socket;
mod agent;
mod announce;
mod backend;
mod balance;
mod check;
mod condition;
mod cookie;
mod expect;
mod files;
mod frontend;
pub mod haproxy;
mod limits;
mod log;
mod lookup;
mod numbers;
mod passive;
mod retry;
mod reuse;
mod server;
mod size;
mod timeout;
mod words;
mod xxh64;

pub use address_field::AddressField;
pub use admin::Admin;
pub use admin_port::{Account, AdminPort, Leave, Password, PortLevel};
pub use admin_socket::{AdminSocket, Level as AdminLevel, Place as AdminPlace};
pub use agent::Agent;
pub use announce::AcceptProxy;
pub use backend::{Backend, WhenAllDrain};
pub use balance::{Balance, HashType, UriPart};
pub use check::{Check, CheckRequest, HttpVersion};
pub use condition::{Condition, Matches};
pub use cookie::{Cookie, CookieMode};
pub use expect::{Expect, Likeness, Wanted, Wish};
pub use frontend::{Frontend, FrontendTimeout};
pub use limits::Limits;
pub use log::{Capture, Captures, Level, Log, LogFormat, LogTarget, Logging, Syslog, SyslogHeader};
pub use numbers::Numbered;
pub use passive::{Layer, Observe, OnError, Passive};
pub use retry::{Failure, Redispatch, Replay, Retry, RetryOn};
pub use reuse::Reuse;
pub use server::Server;
pub use timeout::BackendTimeout;

use std::{io, net::SocketAddr, path::PathBuf};

use drain_config::{Document, Invalid, Mistake, Table};

use self::lookup::Lookup;
use crate::rules::Names;

/// Everything that a proxy is told about its work.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
    /// Where requests come in, in the order of the file; at least one.
    pub frontends: Vec<Frontend>,
    /// Where they go, in the order of the file; at least one.
    pub backends: Vec<Backend>,
    /// Both as HAProxy counts them, in the order of the file.
    pub proxies: Vec<Numbered>,
    /// Limits of the whole process.
    pub limits: Limits,
    /// Who may look at it and command it while it runs.
    pub admin: Admin,
}

/// A backend, as its place in [`Config::backends`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct BackendIndex(pub usize);

impl std::ops::Index<BackendIndex> for [Backend] {
    type Output = Backend;

    fn index(&self, index: BackendIndex) -> &Backend {
        &self[index.0]
    }
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file can't be read.
    #[error("can't read the configuration {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The directory has no file that could be one.
    #[error("the directory {} has no configuration: expected files *.cfg in it", path.display())]
    Empty {
        /// The directory.
        path: PathBuf,
    },
    /// They can't be read as one.
    #[error(
        "several TOML files are no configuration: expected one, or haproxy.cfg files, beside which one may have [admin]"
    )]
    Several,
    /// What it says is wrong.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// What a haproxy.cfg says is wrong.
    #[error("{}", .0.render(std::process::id()))]
    Haproxy(haproxy::Messages),
}

impl Config {
    /// Whether a connection to `address` ends at one of its own frontends, as far as the addresses alone can tell.
    pub fn is_own(&self, address: SocketAddr) -> bool {
        let mut binds = self.frontends.iter().flat_map(|frontend| &frontend.bind);
        binds.any(|bind| server::reaches(address, *bind))
    }

    /// Reads these files; several must be haproxy.cfg files, which are read as one, and one of TOML with `[admin]` may be
    /// beside them. The names of servers' hosts are looked up, which may wait for name servers. Gives also what is to be
    /// said of them, warnings only.
    ///
    /// # Errors
    /// One can't be read, or anything in them is wrong.
    pub fn load_all(paths: &[PathBuf]) -> Result<(Self, haproxy::Messages), LoadError> {
        let sources = Self::sources(paths)?;
        match sources.as_slice() {
            [only] if !haproxy::is_haproxy(&only.name, &only.text) => {
                let config = Self::parse(&only.name, &only.text, &lookup::system)?;
                Ok((config, haproxy::Messages::default()))
            }
            _ => {
                let is_toml = |source: &haproxy::Source| haproxy::has_ending(&source.name, "toml");
                let (beside, files): (Vec<_>, Vec<_>) = sources.into_iter().partition(is_toml);
                if beside.len() > 1 || files.is_empty() {
                    return Err(LoadError::Several);
                }
                let admin = beside.first().map(Admin::alone).transpose()?;
                let mut import = haproxy::Import::of(&files, &|name| std::env::var(name).ok());
                let Some(mut config) = import.read(&lookup::system) else {
                    return Err(LoadError::Haproxy(import.messages));
                };
                if let Some(admin) = admin {
                    config.admin = admin.with_sockets(config.admin.sockets);
                }
                Ok((config, import.messages))
            }
        }
    }

    /// The texts of these files; of a directory, those of its files `*.cfg`.
    ///
    /// # Errors
    /// One can't be read.
    pub fn sources(paths: &[PathBuf]) -> Result<Vec<haproxy::Source>, LoadError> {
        files::sources(paths)
    }

    /// Reads `text`; `file` is what messages call it, and `lookup` finds the addresses of a host and a port.
    ///
    /// # Errors
    /// Anything in it is wrong.
    pub fn parse(
        file: &str,
        text: &str,
        lookup: &dyn Fn(&str, u16) -> io::Result<Vec<SocketAddr>>,
    ) -> Result<Self, Invalid> {
        Document::parse(file, text)?.read(|root| Self::read(root, &Lookup(lookup)))
    }

    fn read(root: &Table<'_>, lookup: &Lookup<'_>) -> Option<Self> {
        let admin = root.section("admin", Admin::read);
        let limits = root.section("limits", Limits::read);
        let names = Names::of(root);
        let (mut binds, mut ids) = (Vec::new(), Vec::new());
        let frontends = root.named_sections("frontend", |name, table| {
            refuse_bound(table, &mut binds);
            let claim = numbers::claim(table, &mut ids);
            Some((Frontend::read(name, table, &names, &limits, lookup)?, claim))
        });
        let backends = root.named_sections("backend", |name, table| {
            let is_it = |place: usize| names.position(name) == Some(place);
            let reaching =
                |frontend: &&Frontend| is_it(frontend.backend.0) || frontend.rules.backends().any(is_it);
            let reach = frontends.iter().flatten().map(|(frontend, _)| frontend).filter(reaching);
            let reach = reach.map(|frontend| frontend.maxconn.get()).fold(0, usize::saturating_add);
            let claim = numbers::claim(table, &mut ids);
            Some((Backend::read(name, table, &binds, lookup, reach, &names)?, claim))
        });
        for (kind, is_missing) in [("frontend", frontends.is_empty()), ("backend", backends.is_empty())] {
            if is_missing {
                let help = format!("write `[{kind}.NAME]` and what belongs to it");
                root.report(Mistake::new(root.place(), format!("there is no {kind}"), "").help(help));
            }
        }
        let frontends: Vec<_> = frontends.into_iter().collect::<Option<_>>()?;
        let backends: Vec<_> = backends.into_iter().collect::<Option<_>>()?;
        Some(Self {
            proxies: numbers::number(&frontends, &backends),
            frontends: frontends.into_iter().map(|(frontend, _)| frontend).collect(),
            backends: backends.into_iter().map(|(backend, _)| backend).collect(),
            limits,
            admin,
        })
    }
}

/// Refuses addresses of a frontend that are among those of others, `binds`, and adds its own to them.
fn refuse_bound(frontend: &Table<'_>, binds: &mut Vec<SocketAddr>) {
    let own = frontend.take("bind").map(|value| value.items()).unwrap_or_default();
    let others = binds.clone();
    for value in own.iter().filter(|value| value.is_text()) {
        let Some(address) = value.string().and_then(|text| text.parse::<SocketAddr>().ok()) else { continue };
        if address.port() != 0 && others.contains(&address) {
            value.wrong("is taken by another frontend", "expected an address that no other one binds");
        }
        binds.push(address);
    }
}
