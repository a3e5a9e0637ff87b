//! `[control]`: where `drainctl` reaches the agent, and who may do what there.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use drain_config::{Mistake, Table, Value};

use super::{Host, server::unix_socket};
use crate::control::{
    group_id,
    tls::{self, Part},
    tokens::Tokens,
};

/// Where agents have their sockets unless they are told otherwise.
pub const SOCKETS: &str = "/run/drain-agent";

/// The socket of the agent `name` unless it is told otherwise, and the one that `drainctl -n NAME` asks.
pub fn socket_of(name: &str) -> PathBuf {
    Path::new(SOCKETS).join(format!("{name}.sock"))
}

/// Where `drainctl` reaches the agent, and who may do what there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Control {
    /// The path of the unix socket; absolute.
    pub socket: PathBuf,
    /// The group whose members may drain and restart, beside root and the agent's own user. `None`: no such group.
    pub group: Option<Arc<str>>,
    /// The group whose members may look, beside those who may drain. `None`: everybody may.
    pub look: Option<Arc<str>>,
    /// The same for tools on other hosts; `None`: there is no port.
    pub remote: Option<Remote>,
}

/// A port that speaks HTTPS with those who have a token.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Remote {
    /// Where it listens; none of the agent's other addresses.
    pub listen: SocketAddr,
    /// How it proves who it is.
    pub tls: Tls,
    /// The tokens; absolute.
    pub token_file: PathBuf,
}

/// The files that TLS needs, PEM; absolute.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tls {
    /// The certificate, and behind it those that lead to one that clients trust.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// Whose certificate a client must have, beside its token. `None`: it needs none.
    pub client_ca: Option<PathBuf>,
}

impl Control {
    /// `taken` are the addresses on which the agent listens for others.
    pub(super) fn read(table: &Table<'_>, name: &str, taken: &[SocketAddr], host: Host) -> Self {
        let group = |value: &Value<'_>| group(value, host).map(Some);
        Self {
            socket: table.field("socket", socket_of(name), unix_socket).into_inner(),
            group: table.field("group", None, group).into_inner(),
            look: table.field("look", None, group).into_inner(),
            remote: Remote::read(table, taken, host),
        }
    }

    /// Where the port listens.
    pub fn listen(&self) -> Option<SocketAddr> {
        self.remote.as_ref().map(|remote| remote.listen)
    }
}

impl Remote {
    fn read(table: &Table<'_>, taken: &[SocketAddr], host: Host) -> Option<Self> {
        let Some(listen) = table.take("listen") else {
            for key in ["tls", "token_file"] {
                if let Some(value) = table.take(key) {
                    let title =
                        format!("`{}` is of no use without `{}`", value.path(), table.path_of("listen"));
                    let help = "write for example `listen = \"0.0.0.0:8406\"`: without it no port is opened";
                    table.report(Mistake::new(value.place(), title, "").help(help));
                }
            }
            return None;
        };
        let listen = address(&listen, taken);
        let tls = table
            .require("tls", r#"{ cert = "/etc/ssl/certs/web1.pem", key = "/etc/ssl/private/web1.key" }"#);
        let tls =
            tls.and_then(|value| value.section(Tls::read).flatten().filter(|tls| tls.holds(&value, host)));
        let token_file = table.require("token_file", r#""/etc/drain-agent/tokens""#);
        let token_file = token_file.and_then(|value| {
            let path = value.absolute_path()?;
            match host {
                Host::Here => Tokens::read(&path)
                    .map_err(|error| value.wrong("can't be used", error.to_string()))
                    .ok()?,
                Host::Running | Host::Anywhere => Tokens::default(),
            };
            Some(path)
        });
        Some(Self { listen: listen?, tls: tls?, token_file: token_file? })
    }
}

impl Tls {
    fn read(table: &Table<'_>) -> Option<Self> {
        let path = |key, example| table.require(key, example).and_then(|value| value.absolute_path());
        let cert = path("cert", r#""/etc/ssl/certs/web1.pem""#);
        let key = path("key", r#""/etc/ssl/private/web1.key""#);
        let client_ca = table.take("client_ca").map(|value| value.absolute_path());
        Some(Self { cert: cert?, key: key?, client_ca: client_ca.map_or(Some(None), |path| path.map(Some))? })
    }

    /// Whether the files can be used; what is wrong is reported at `value`.
    fn holds(&self, value: &Value<'_>, host: Host) -> bool {
        let used = match host {
            Host::Here => tls::server(self),
            Host::Running | Host::Anywhere => return true,
        };
        let Err(error) = used else { return true };
        let key = match error.part {
            Part::Certificate => "cert",
            Part::Key => "key",
            Part::Authorities => "client_ca",
        };
        let title = format!("`{}.{key}` can't be used", value.path());
        value.report(Mistake::new(value.place(), title, error.to_string()));
        false
    }
}

/// The address of the port.
fn address(value: &Value<'_>, taken: &[SocketAddr]) -> Option<SocketAddr> {
    let address = value.address()?;
    if taken.iter().any(|other| other.port() == address.port()) {
        value.wrong("has the port of another `listen`", "expected one of its own: there HTTPS is spoken");
        return None;
    }
    Some(address)
}

/// A group of this host.
fn group(value: &Value<'_>, host: Host) -> Option<Arc<str>> {
    let name = value.text()?;
    if host == Host::Here
        && let Err(error) = group_id(name)
    {
        value.wrong("is no group of this host", error.to_string());
        return None;
    }
    Some(name.into())
}
