//! `[server]`: the web server that is guarded, and how it says that it is ready.

use std::{
    fmt,
    net::{Ipv4Addr, SocketAddr},
    num::{NonZeroU16, NonZeroU32},
    ops::RangeInclusive,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use drain_config::{Table, Value};
use reqwest::Url;

use super::drain::counter;

/// The web server that is guarded.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Server {
    /// Its name: in logs, in the paths of the state file and of the control socket, for `drainctl -n`.
    pub name: Arc<str>,
    /// The TCP ports on which it listens, whose sockets are its traffic; none twice. At least one, or a unix socket.
    pub ports: Vec<NonZeroU16>,
    /// The unix sockets on which it listens, likewise; absolute paths.
    pub unix: Vec<PathBuf>,
    /// The file that leads to the network namespace in which it is; `None`: that of the agent.
    pub netns: Option<PathBuf>,
    /// How it says that it is ready.
    pub ready: Ready,
}

/// The readiness probe.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ready {
    /// What is asked.
    pub probe: Probe,
    /// So many answers in a row that are right make the server ready.
    pub rise: NonZeroU32,
    /// So many in a row that are not make it unready.
    pub fall: NonZeroU32,
    /// From one probe's start to the next one's.
    pub interval: Duration,
    /// How long one probe may take; at most `deadline`.
    pub timeout: Duration,
    /// How long after its restart the server may take to become ready, before the restart has failed.
    pub deadline: Duration,
}

impl Ready {
    /// How long it takes at most until the probes have seen that the server has become ready: the one that is under way
    /// fails, and `rise` others pass.
    pub fn settles(&self) -> Duration {
        self.timeout + self.interval * self.rise.get() + self.timeout
    }
}

/// What a readiness probe asks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Probe {
    /// An HTTP GET.
    Http {
        /// Where; always `http`.
        url: Url,
        /// The answers that are right.
        status: StatusSet,
        /// What must stand in the body; `None`: the body is not read.
        body: Option<Arc<str>>,
    },
    /// A TCP connection that is accepted.
    Tcp(SocketAddr),
    /// A connection to a unix socket that is accepted.
    Unix(PathBuf),
}

/// A set of HTTP status codes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StatusSet(pub(super) Vec<RangeInclusive<u16>>);

impl FromIterator<RangeInclusive<u16>> for StatusSet {
    fn from_iter<T: IntoIterator<Item = RangeInclusive<u16>>>(ranges: T) -> Self {
        Self(ranges.into_iter().collect())
    }
}

impl fmt::Display for StatusSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, range) in self.0.iter().enumerate() {
            let comma = if i == 0 { "" } else { ", " };
            let (start, end) = (range.start(), range.end());
            if start == end { write!(f, "{comma}{start}")? } else { write!(f, "{comma}{start}-{end}")? }
        }
        Ok(())
    }
}

impl StatusSet {
    /// Whether `status` is in it.
    pub fn contains(&self, status: u16) -> bool {
        self.0.iter().any(|range| range.contains(&status))
    }
}

impl Server {
    /// `[server]`; `name` is what it is called where no name is set, `own` are the agent's addresses.
    pub(super) fn read(table: &Table<'_>, name: Option<&str>, own: &[SocketAddr]) -> Option<Self> {
        let name = match name {
            Some(name) => table.field("name", name.into(), server_name).into_inner(),
            None => table
                .require("name", r#""apache2""#)
                .and_then(|value| server_name(&value))
                .unwrap_or_default(),
        };
        let netns = table.field("netns", None, |value| namespace(value).map(Some)).into_inner();
        let unix = match table.take("unix") {
            Some(value) => value.each_once(unix_socket),
            None => Some(Vec::new()),
        };
        let is_behind_unix = unix.as_ref().is_none_or(|unix| !unix.is_empty());
        // Without any, the message about what is missing names the usual one.
        let ports = if is_behind_unix { table.take("ports") } else { table.require("ports", "[80]") };
        let absent = (ports.is_none() && is_behind_unix).then(Vec::new);
        let ports = ports.and_then(|value| {
            value.each_once(|port| {
                let number = port.number(1, u16::MAX).and_then(NonZeroU16::new)?;
                // The agent's own sockets would be taken for the server's traffic.
                if own.iter().any(|address| address.port() == number.get()) {
                    port.wrong(
                        "has a port of the agent's",
                        "expected another port than those of `listen` and `agent_check.listen`",
                    );
                    return None;
                }
                Some(number)
            })
        });
        let ports = ports.or(absent);
        let port = ports.as_ref().and_then(|ports| ports.first());
        let port = port.map(|port| Probe::Tcp((Ipv4Addr::LOCALHOST, port.get()).into()));
        let path = || unix.as_ref()?.first().cloned().map(Probe::Unix);
        let ready = table.section("ready", |ready| Ready::read(ready, port.or_else(path)));
        Some(Self { name, ports: ports?, unix: unix?, netns, ready: ready? })
    }
}

impl Ready {
    /// `server.ready`; without a probe there, it is `usual`.
    fn read(table: &Table<'_>, usual: Option<Probe>) -> Option<Self> {
        let timeout = table.duration("timeout", Duration::from_secs(2));
        let deadline = table.duration("deadline", Duration::from_mins(1));
        let (rise, fall) = (table.field("rise", RISE, counter), table.field("fall", FALL, counter));
        let interval = table.duration("interval", Duration::from_millis(500));
        let interval = interval.at_most("interval", &deadline, "deadline", table);
        let timeout = timeout.at_most("timeout", &deadline, "deadline", table);
        Some(Self {
            probe: Probe::read(table, usual)?,
            rise: rise.into_inner(),
            fall: fall.into_inner(),
            interval,
            timeout,
            deadline: deadline.copied(),
        })
    }
}

/// So many right answers in a row unless configured: one may be chance while a server starts.
const RISE: NonZeroU32 = NonZeroU32::new(2).expect("2 is not 0");

/// So many wrong answers in a row unless configured, as in HAProxy.
const FALL: NonZeroU32 = NonZeroU32::new(3).expect("3 is not 0");

impl Probe {
    fn read(table: &Table<'_>, usual: Option<Self>) -> Option<Self> {
        let (url, tcp) = (table.take("url"), table.take("tcp"));
        let status = table.take("status");
        let body = table.take("body");
        match (url, tcp) {
            (Some(_), Some(tcp)) => {
                tcp.wrong(
                    "stands beside `url`",
                    "a server has one readiness probe: leave one of the two out",
                );
                None
            }
            (Some(url), None) => {
                let status =
                    status.map_or_else(|| Some(StatusSet::success()), |value| StatusSet::read(&value));
                let body = match body {
                    Some(value) => Some(value.text()?.into()),
                    None => None,
                };
                Some(Self::Http { url: http_url(&url)?, status: status?, body })
            }
            (None, tcp) => {
                for value in [status, body].into_iter().flatten() {
                    value.wrong("needs a URL", "a TCP probe has no answer: set `url` beside it");
                }
                match tcp {
                    Some(value) => value.address().map(Self::Tcp),
                    None => usual,
                }
            }
        }
    }
}

impl StatusSet {
    /// 200 to 299: a redirection to an error page is no readiness.
    fn success() -> Self {
        Self(vec![200..=299])
    }

    fn read(value: &Value<'_>) -> Option<Self> {
        value.each_once(status).map(Self)
    }
}

/// `200`, `"2xx"` or `"200-204"`.
fn status(value: &Value<'_>) -> Option<RangeInclusive<u16>> {
    const LEAST: u16 = 100;
    const MOST: u16 = 599;
    if !value.is_text() {
        return value.number(LEAST, MOST).map(|status| status..=status);
    }
    let text = value.string()?;
    let class = text.strip_suffix("xx").and_then(|class| class.parse::<u16>().ok());
    let range = match (class, text.split_once('-')) {
        (Some(class @ 1..=5), _) => Some(class * 100..=class * 100 + 99),
        (None, Some((first, last))) => match (first.trim().parse(), last.trim().parse()) {
            (Ok(first), Ok(last)) => Some(first..=last),
            _ => None,
        },
        _ => None,
    };
    let range = range.filter(|range| *range.start() >= LEAST && *range.end() <= MOST && !range.is_empty());
    if range.is_none() {
        value.wrong("is not a set of status codes", r#"expected such as 200, "2xx" or "200-204""#);
    }
    range
}

/// A URL that can be asked without TLS.
pub(super) fn http_url(value: &Value<'_>) -> Option<Url> {
    let text = value.text()?;
    let url = match text.parse::<Url>() {
        Ok(url) => url,
        Err(_) if !host(text).is_ascii() => {
            value.wrong(
                "names a host with letters that DNS does not have",
                format!(
                    "expected its name as DNS has it, with xn-- in it: `idn2 {}` prints that",
                    host(text)
                ),
            );
            return None;
        }
        Err(e) => {
            value.wrong("is not a URL", format!(r#"{e}; expected such as "http://127.0.0.1/health""#));
            return None;
        }
    };
    match url.scheme() {
        "http" => Some(url),
        "https" => {
            value.wrong(
                "is https, which is not supported in this version",
                "expected http, or `tcp` instead of `url` to probe by a connection",
            );
            None
        }
        _ => {
            value.wrong("is not an http URL", r#"expected such as "http://127.0.0.1/health""#);
            None
        }
    }
}

/// What stands in a URL where its host should be; all of it where there is no such place.
fn host(url: &str) -> &str {
    let authority = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = authority.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    host.rsplit_once(':').map_or(host, |(host, _port)| host)
}

/// The longest name: it must fit into a file's name and the path of a unix socket.
const LONGEST_NAME: usize = 64;

/// Whether `name` can stand in paths and on command lines as it is.
pub(super) fn is_name(name: &str) -> bool {
    let sound = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'@');
    (1..=LONGEST_NAME).contains(&name.len()) && !name.starts_with(['.', '-']) && name.bytes().all(sound)
}

/// Where `ip netns` keeps the namespaces that have a name.
const NAMED_NAMESPACES: &str = "/run/netns";

/// The name of a network namespace, or the path of a file that leads to one.
fn namespace(value: &Value<'_>) -> Option<PathBuf> {
    let text = value.text()?;
    if text.starts_with('/') {
        return value.absolute_path();
    }
    if text.contains('/') || matches!(text, "." | "..") {
        value.wrong(
            "is neither a name nor a path",
            r#"expected a name that `ip netns list` shows, or a path such as "/proc/PID/ns/net""#,
        );
        return None;
    }
    Some(Path::new(NAMED_NAMESPACES).join(text))
}

/// The path of a unix socket.
pub(super) fn unix_socket(value: &Value<'_>) -> Option<PathBuf> {
    let path = value.absolute_path()?;
    if path.as_os_str().len() >= SOCKET_PATH_BYTES {
        value.wrong(
            "is too long",
            format!("expected less than {SOCKET_PATH_BYTES} bytes, the kernel's limit for sockets"),
        );
        return None;
    }
    Some(path)
}

/// The kernel's limit for the path of a unix socket, with the NUL at its end.
const SOCKET_PATH_BYTES: usize = 108;

fn server_name(value: &Value<'_>) -> Option<Arc<str>> {
    let name = value.text()?;
    if !is_name(name) {
        value.wrong(
            "can't stand in a file's name",
            format!("expected at most {LONGEST_NAME} letters, digits, `-`, `_`, `.` or `@`, none of `-` and `.` first"),
        );
        return None;
    }
    Some(name.into())
}
