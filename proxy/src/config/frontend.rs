//! `[frontend.NAME]`: where requests come in.

use std::{io, net::SocketAddr, num::NonZeroUsize, sync::Arc, time::Duration};

use drain_config::{Mistake, Table, Value};

use super::{
    AcceptProxy, AddressField, BackendIndex, Limits, Logging, limits::count, lookup::Lookup,
    words::object_name,
};
use crate::{
    adopt,
    rules::{Names, Rules, Scope},
};

/// Where requests come in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Frontend {
    /// Its name in logs and statistics.
    pub name: Arc<str>,
    /// The addresses it listens on; at least one, none twice in the whole file.
    pub bind: Vec<SocketAddr>,
    /// Those of them that are sockets with which the process was started, by their numbers (`fd@3`).
    pub descriptors: Vec<(i32, SocketAddr)>,
    /// From whom a PROXY protocol header is accepted; `None`: from nobody.
    pub accept_proxy: Option<AcceptProxy>,
    /// Where its requests go.
    pub backend: BackendIndex,
    /// The field that tells servers the client's address (HAProxy: `option forwardfor`); `None`: none does.
    pub forward_for: Option<AddressField>,
    /// The one that tells what the client connected to (HAProxy: `option originalto`).
    pub original_to: Option<AddressField>,
    /// What becomes of its requests and their responses beside that.
    pub rules: Arc<Rules>,
    /// What is written of its requests.
    pub logging: Logging,
    /// Its timeouts.
    pub timeout: FrontendTimeout,
    /// Connections that may be open at once; more wait in the kernel's backlog. At most [`super::Limits::connections`].
    pub maxconn: NonZeroUsize,
}

impl Frontend {
    /// Whether more is to be known of each request than a usual line of the log has.
    pub fn takes_notes(&self) -> bool {
        self.logging.has_own_format() || self.rules.unique_id().is_some()
    }
}

/// Timeouts towards clients.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FrontendTimeout {
    /// Inactivity of a client that should send or read a body.
    pub client: Duration,
    /// From the first byte of a request to the end of its head, absolute; `client` where not set.
    pub http_request: Duration,
    /// Until the first byte of a connection's next request; `http_request` where not set.
    pub http_keep_alive: Duration,
    /// Inactivity of a client behind an upgrade, when the server has closed its half; `None`: nothing changes then.
    pub client_fin: Option<Duration>,
    /// How long a client waits that is held (`tarpit`); the backend's `connect` where not set.
    pub tarpit: Option<Duration>,
}

/// Unless configured: a minute, in which a phone that has changed its network is back.
const CLIENT_TIMEOUT: Duration = Duration::from_mins(1);

impl Frontend {
    /// `[frontend.NAME]`, among `names` and `limits`.
    pub(super) fn read(
        name: &str,
        table: &Table<'_>,
        names: &Names<'_>,
        limits: &Limits,
        lookup: &Lookup<'_>,
    ) -> Option<Self> {
        let scope = Scope { names, own: name };
        let name = object_name(name, table);
        let bind = table.require("bind", r#"["0.0.0.0:80"]"#).and_then(|value| value.each_once(Bind::read));
        let backend = table.require("backend", r#""NAME""#).and_then(|value| reference(&value, names));
        let accept_proxy = table.take("accept_proxy").and_then(|value| AcceptProxy::read(&value));
        let [forward_for, original_to] = AddressField::read_both(table);
        let rules = Rules::of_frontend(table, scope);
        let logging = Logging::read(table, &rules, lookup, scope);
        let timeout = table.section("timeout", FrontendTimeout::read);
        let most = limits.connections;
        let maxconn = table.field("maxconn", most, |value| count(value, i64::MAX));
        if let Some(place) = maxconn.place()
            && maxconn.copied() > most
        {
            let title = format!("`{}` can't be reached", table.path_of("maxconn"));
            table.report(Mistake::new(place.clone(), title, format!("`limits.connections` is {most}")));
        }
        let maxconn = maxconn.copied();
        Some(Self {
            name: name?,
            descriptors: bind.iter().flatten().filter_map(Bind::descriptor).collect(),
            bind: bind?.iter().map(|bind| bind.address).collect(),
            accept_proxy,
            backend: backend?,
            forward_for,
            original_to,
            rules: rules.into(),
            logging,
            timeout,
            maxconn,
        })
    }
}

/// An address to listen on.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Bind {
    address: SocketAddr,
    descriptor: Option<i32>,
}

impl Bind {
    /// An address, or `fd@3`.
    fn read(value: &Value<'_>) -> Option<Self> {
        let number = value.is_text().then(|| value.string()?.strip_prefix("fd@")).flatten();
        let Some(number) = number else {
            return value.address().map(|address| Self { address, descriptor: None });
        };
        let socket = number.parse().map_err(io::Error::other).and_then(|number: i32| {
            Ok(Self { address: adopt::listener(number)?.local_addr()?, descriptor: Some(number) })
        });
        if let Err(error) = &socket {
            value.wrong(
                "is no socket that this process was started with",
                format!("{error}; expected the number of one that listens, such as \"fd@3\""),
            );
        }
        socket.ok()
    }

    fn descriptor(&self) -> Option<(i32, SocketAddr)> {
        Some((self.descriptor?, self.address))
    }
}

/// The backend that a frontend names.
fn reference(value: &Value<'_>, names: &Names<'_>) -> Option<BackendIndex> {
    let words: Vec<_> = names.backends().zip(0..).map(|(name, at)| (name, BackendIndex(at))).collect();
    if words.is_empty() {
        value.wrong("names a backend", "but the file has none: write `[backend.NAME]`");
        return None;
    }
    value.choice(&words)
}

impl FrontendTimeout {
    fn read(table: &Table<'_>) -> Self {
        let client = table.duration("client", CLIENT_TIMEOUT).copied();
        let http_request = table.duration("http_request", client).copied();
        let http_keep_alive = table.duration("http_keep_alive", http_request).copied();
        let maybe = |key| table.field(key, None, |value| value.duration().map(Some)).copied();
        let (client_fin, tarpit) = (maybe("client_fin"), maybe("tarpit"));
        Self { client, http_request, http_keep_alive, client_fin, tarpit }
    }
}
