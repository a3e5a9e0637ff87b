//! The way to an agent on another host: TLS, and a token.

use std::{fmt, io, path::Path, sync::Arc, time::Duration};

use drain_agent::control::{tls, tokens::Tokens};
use hyper::Uri;
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::verdict::Fault;

/// How long it may take until the agent's certificate is proved.
const CONNECT: Duration = Duration::from_secs(10);

/// The port where the address names none: that of HTTPS.
const PORT: u16 = 443;

/// An agent's HTTPS port, and what it takes to be let in.
#[derive(Clone)]
pub(crate) struct Remote {
    host: String,
    port: u16,
    name: ServerName<'static>,
    tls: Arc<ClientConfig>,
    token: Arc<str>,
}

impl Remote {
    /// Reads the files.
    pub(crate) fn new(
        url: &str,
        token_file: &Path,
        ca: Option<&Path>,
        own: Option<(&Path, &Path)>,
    ) -> Result<Self, Fault> {
        let (host, port) = address(url)?;
        let name = ServerName::try_from(host.clone()).map_err(|_no_name| not_an_address(url))?;
        let tokens = Tokens::read(token_file).map_err(|error| Fault::Usage(error.to_string()))?;
        let tls = tls::client(ca, own).map_err(|error| Fault::Usage(error.to_string()))?;
        Ok(Self { host, port, name, tls, token: tokens.first().into() })
    }

    /// A connection to the agent that has proved who it is.
    pub(crate) async fn connect(&self) -> Result<TlsStream<TcpStream>, Fault> {
        let no_agent = |source| Fault::NoAgent { place: self.to_string(), source };
        let connected = async {
            let stream = TcpStream::connect((self.host.as_str(), self.port)).await.map_err(no_agent)?;
            let secured = TlsConnector::from(Arc::clone(&self.tls)).connect(self.name.clone(), stream).await;
            secured.map_err(|error| self.not_trusted(error))
        };
        timeout(CONNECT, connected)
            .await
            .unwrap_or_else(|_late| Err(no_agent(io::ErrorKind::TimedOut.into())))
    }

    /// The header that shows the token.
    pub(crate) fn authorization(&self) -> String {
        format!("Bearer {}", self.token)
    }

    /// What the agent is asked for by name.
    pub(crate) fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        format!("{host}:{}", self.port)
    }

    fn not_trusted(&self, error: io::Error) -> Fault {
        if error.kind() != io::ErrorKind::InvalidData {
            return Fault::NoAgent { place: self.to_string(), source: error };
        }
        Fault::Failed(format!(
            "{self} is not trusted: {error}; --ca FILE names who has signed its certificate, which must be for {}",
            self.host
        ))
    }
}

impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "https://{}", self.authority())
    }
}

/// Without the token.
impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Remote({self})")
    }
}

/// Host (an IPv6 address without its brackets) and port of `https://HOST:PORT`.
fn address(url: &str) -> Result<(String, u16), Fault> {
    let uri: Uri = url.parse().map_err(|_no_uri| not_an_address(url))?;
    let path_is_empty = matches!(uri.path(), "" | "/") && uri.query().is_none();
    let authority = uri.authority().filter(|authority| !authority.as_str().contains('@'));
    match (uri.scheme_str(), authority, path_is_empty) {
        (Some("https"), Some(authority), true) => {
            let host = authority.host();
            let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
            let port = match authority.as_str()[host.len()..].strip_prefix(':') {
                None => PORT,
                Some(port) => {
                    port.parse().ok().filter(|&port| port != 0).ok_or_else(|| not_an_address(url))?
                }
            };
            Ok((bare.to_owned(), port))
        }
        _ => Err(not_an_address(url)),
    }
}

fn not_an_address(url: &str) -> Fault {
    Fault::Usage(format!(
        "expected an address such as https://web1.example:8406 or https://[2001:db8::1]:8406, found {url}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_host_and_a_port() {
        for (url, host, port) in [
            ("https://web1:8406", "web1", 8406),
            ("https://10.0.0.1:8406/", "10.0.0.1", 8406),
            ("https://[2001:db8::1]:8406", "2001:db8::1", 8406),
            ("https://web1.example", "web1.example", 443),
        ] {
            assert_eq!(address(url).unwrap(), (host.to_owned(), port), "{url}");
        }
    }

    #[test]
    fn what_is_none_is_wrong_usage() {
        for url in [
            "web1:8406",
            "http://web1:8406",
            "https://",
            "https://web1:84060",
            "https://web1:0",
            "https://web1:",
            "https://me@web1:1",
            "https://web1:1/v1/status",
            "https://web1:1?x",
            "",
        ] {
            assert!(matches!(address(url), Err(Fault::Usage(_))), "{url}");
        }
    }
}
