//! `check`: how a server's health is asked. A backend's holds for its servers, each of which may differ.

use std::{net::SocketAddr, num::NonZeroU32, sync::Arc, time::Duration};

use drain_config::{Table, Value};

use super::{
    expect::Expect,
    lookup::Lookup,
    words::{header_value, target, token},
};
use crate::proxy_protocol::Version;

/// How one server's health is asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Check {
    /// Where; the server's own address unless set.
    pub address: SocketAddr,
    /// What is sent; `None`: nothing, and a connection is all that is wanted.
    pub request: Option<Arc<CheckRequest>>,
    /// What is wanted of the answer.
    pub expect: Expect,
    /// The status that means a soft drain, 404; `None`: none does, and it is a failure like others.
    pub soft_drain_on: Option<u16>,
    /// Whether `X-Haproxy-Server-State` is sent along.
    pub send_state: bool,
    /// The PROXY protocol that each check begins with: that of the server, where it is asked at its own address or
    /// `check_send_proxy` wants it.
    pub send_proxy: Option<Version>,
    /// From a check's end to the next one's start, while nothing changes.
    pub inter: Duration,
    /// The same while the server is between up and down; `inter` where not set.
    pub fastinter: Duration,
    /// The same while it is down; `inter` where not set.
    pub downinter: Duration,
    /// So many good checks bring a server up.
    pub rise: NonZeroU32,
    /// So many bad ones take it down.
    pub fall: NonZeroU32,
    /// For the answer, after the connection, which has the least of `timeout.connect` and `inter`; `None`: the
    /// whole check must end within `inter`.
    pub timeout: Option<Duration>,
}

/// What a health check sends.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CheckRequest {
    /// The method; a token by RFC 9110.
    pub method: Arc<str>,
    /// The request target, which begins with `/` or is `*`.
    pub uri: Arc<str>,
    /// The version in the request line.
    pub version: HttpVersion,
    /// The value of `host`; `None`: no such header.
    pub host: Option<Arc<str>>,
    /// More headers, names in small letters.
    pub headers: Vec<(Arc<str>, Arc<str>)>,
    /// The body; empty: none.
    pub body: Arc<str>,
}

/// A version of HTTP/1.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HttpVersion {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1
    Http11,
}

/// A backend's check, from which its servers' inherit.
#[derive(Clone, Debug)]
pub(super) struct CheckDefaults {
    request: Option<Arc<CheckRequest>>,
    expect: Expect,
    soft_drain_on: Option<u16>,
    send_state: bool,
    timeout: Option<Duration>,
    pace: Pace,
}

/// When a check follows another, and how many decide.
#[derive(Clone, Copy, Debug)]
struct Pace {
    inter: Duration,
    /// `None`: not set by anybody so far.
    fastinter: Option<Duration>,
    downinter: Option<Duration>,
    rise: NonZeroU32,
    fall: NonZeroU32,
}

impl Pace {
    /// HAProxy's defaults.
    const STANDARD: Self = Self {
        inter: Duration::from_secs(2),
        fastinter: None,
        downinter: None,
        rise: NonZeroU32::new(2).expect("2 is not 0"),
        fall: NonZeroU32::new(3).expect("3 is not 0"),
    };

    /// What a table sets, and the rest from `inherited`.
    fn read(table: &Table<'_>, inherited: Self) -> Self {
        let maybe = |key, inherited| table.field(key, inherited, |value| value.duration().map(Some)).copied();
        Self {
            inter: table.duration("inter", inherited.inter).copied(),
            fastinter: maybe("fastinter", inherited.fastinter),
            downinter: maybe("downinter", inherited.downinter),
            rise: table.field("rise", inherited.rise, counter).copied(),
            fall: table.field("fall", inherited.fall, counter).copied(),
        }
    }
}

/// The greatest number of checks that a counter may ask for: at one a second, more than a quarter of an hour.
const MOST_COUNTED: u32 = 1000;

fn counter(value: &Value<'_>) -> Option<NonZeroU32> {
    value.number(1, MOST_COUNTED).and_then(NonZeroU32::new)
}

/// Keys that have no meaning where a connection is all that is wanted.
const OF_HTTP: [&str; 9] =
    ["method", "uri", "version", "host", "headers", "body", "expect", "soft_drain_on", "send_state"];

/// Headers of a check at most, as many as a head may have.
const MOST_HEADERS: usize = 100;

/// Bytes of a check's body at most: a check is a question, and goes out in one piece.
const MOST_BODY: usize = 16_384;

/// `"X-Probe: balancer"`
fn header(value: &Value<'_>) -> Option<(Arc<str>, Arc<str>)> {
    let text = value.text()?;
    let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    let is_text = |b: u8| b.is_ascii_graphic() || matches!(b, b' ' | b'\t');
    let header = text.split_once(':').map(|(name, content)| (name.to_ascii_lowercase(), content.trim()));
    match header {
        Some((name, content))
            if !name.is_empty() && name.bytes().all(is_token) && content.bytes().all(is_text) =>
        {
            if matches!(&*name, "content-length" | "transfer-encoding" | "host") {
                value.wrong(
                    "is not for `headers`",
                    "the length is that of `body`, and `host` stands beside it",
                );
                return None;
            }
            Some((name.into(), content.into()))
        }
        _ => {
            value.wrong("is no header", r#"expected such as "X-Probe: balancer""#);
            None
        }
    }
}

fn headers(value: &Value<'_>) -> Option<Vec<(Arc<str>, Arc<str>)>> {
    let headers = value.each(header)?;
    if headers.len() > MOST_HEADERS {
        value.wrong("has too many entries", format!("expected at most {MOST_HEADERS}"));
        return None;
    }
    Some(headers)
}

fn body(value: &Value<'_>) -> Option<Arc<str>> {
    let text = value.string()?;
    if text.len() > MOST_BODY {
        value.wrong("is too long", format!("expected at most {MOST_BODY} bytes"));
        return None;
    }
    Some(text.into())
}

impl CheckDefaults {
    /// A backend's `check`; `timeout` is its `timeout.check`.
    pub(super) fn read(table: &Table<'_>, timeout: Option<Duration>) -> Self {
        if let Some(value) = table.take("timeout") {
            value.wrong("stands elsewhere", r#"write `timeout = { check = "2s" }` in the backend"#);
        }
        let standard = Self::standard(timeout);
        if table.choice("type", false, &[("http", false), ("tcp", true)]).copied() {
            for key in OF_HTTP {
                if let Some(value) = table.take(key) {
                    value.wrong(
                        "has no effect",
                        r#"expected it to be left out: `type = "tcp"` sends nothing"#,
                    );
                }
            }
            let pace = Pace::read(table, standard.pace);
            let expect = Expect::default();
            return Self { request: None, expect, soft_drain_on: None, send_state: false, timeout, pace };
        }
        let (host, version) = (table.take("host"), table.take("version"));
        let words = [("HTTP/1.0", HttpVersion::Http10), ("HTTP/1.1", HttpVersion::Http11)];
        let chosen = version.as_ref().map_or(Some(HttpVersion::Http10), |value| value.choice(&words));
        if let (None, Some(version), Some(HttpVersion::Http11)) = (&host, &version, chosen) {
            version
                .wrong("needs `host`", "servers refuse an HTTP/1.1 request without it: set `host` beside it");
        }
        let CheckRequest { method, uri, .. } = CheckRequest::standard();
        let request = CheckRequest {
            method: table.field("method", method, |value| token(value, "a method")).into_inner(),
            uri: table.field("uri", uri, target).into_inner(),
            version: chosen.unwrap_or(HttpVersion::Http10),
            host: host.and_then(|value| header_value(&value)),
            headers: table.field("headers", Vec::new(), headers).into_inner(),
            body: table.field("body", "".into(), body).into_inner(),
        };
        Self {
            request: Some(Arc::new(request)),
            expect: table.field("expect", Expect::default(), Expect::read).into_inner(),
            soft_drain_on: match table.take("soft_drain_on") {
                Some(value) => soft_drain_on(&value),
                None => standard.soft_drain_on,
            },
            send_state: table.flag("send_state", standard.send_state).copied(),
            timeout,
            pace: Pace::read(table, standard.pace),
        }
    }

    /// HAProxy's defaults, for a server with a check whose backend has none.
    pub(super) fn standard(timeout: Option<Duration>) -> Self {
        Self {
            request: Some(Arc::new(CheckRequest::standard())),
            expect: Expect::default(),
            soft_drain_on: Some(404),
            send_state: true,
            timeout,
            pace: Pace::STANDARD,
        }
    }
}

impl CheckRequest {
    /// HAProxy's `option httpchk` without arguments.
    fn standard() -> Self {
        Self {
            method: "OPTIONS".into(),
            uri: "/".into(),
            version: HttpVersion::Http10,
            host: None,
            headers: Vec::new(),
            body: "".into(),
        }
    }
}

/// A status that would be a failure otherwise; nothing for `false`.
fn soft_drain_on(value: &Value<'_>) -> Option<u16> {
    if value.is_flag() {
        if value.flag()? {
            value.wrong("is `true`", "expected the status, such as 404, or `false`");
        }
        return None;
    }
    value.number(400, 599)
}

impl Check {
    /// A server's `check`; what it leaves out comes from its backend's, the address from `server`. `None` where it
    /// is disabled.
    pub(super) fn read(
        table: &Table<'_>,
        defaults: &CheckDefaults,
        server: SocketAddr,
        lookup: &Lookup<'_>,
    ) -> Option<Self> {
        let disabled = table.flag("disabled", false).copied();
        let pace = Pace::read(table, defaults.pace);
        let port = table.take("port").and_then(|value| value.number(1, u16::MAX));
        let mut address = table
            .take("address")
            .and_then(|value| lookup.address(&value, Some(server.port())))
            .unwrap_or(server);
        if let Some(port) = port {
            address.set_port(port);
        }
        (!disabled).then(|| Self::at_pace(defaults, pace, address))
    }

    /// The check of a server that sets nothing of its own.
    pub(super) fn inherited(defaults: &CheckDefaults, server: SocketAddr) -> Self {
        Self::at_pace(defaults, defaults.pace, server)
    }

    fn at_pace(defaults: &CheckDefaults, pace: Pace, address: SocketAddr) -> Self {
        let Pace { inter, fastinter, downinter, rise, fall } = pace;
        Self {
            address,
            request: defaults.request.clone(),
            expect: defaults.expect.clone(),
            soft_drain_on: defaults.soft_drain_on,
            send_state: defaults.send_state,
            send_proxy: None,
            inter,
            fastinter: fastinter.unwrap_or(inter),
            downinter: downinter.unwrap_or(inter),
            rise,
            fall,
            timeout: defaults.timeout,
        }
    }
}
