//! `log`, `capture_*` and the options beside them: what is written of a frontend's requests, and where.

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use drain_config::{Mistake, Table, Value};

use super::{
    lookup::Lookup,
    words::{cookie_prefix, token, word},
};
use crate::rules::{Format, Rules, Scope};

/// What is written of a frontend's requests.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Logging {
    /// Its access logs; none: nothing is written.
    pub logs: Vec<Log>,
    /// What stands in their lines beside what always does.
    pub captures: Captures,
    /// No line for a connection on which nothing came (HAProxy: `option dontlognull`).
    pub dontlognull: bool,
    /// Lines only for requests that went wrong (HAProxy: `option dontlog-normal`).
    pub dontlog_normal: bool,
    /// Lines of requests that went wrong have the level `err` (HAProxy: `option log-separate-errors`).
    pub separate_errors: bool,
}

/// What is taken from heads for the log (HAProxy: `capture`).
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Captures {
    /// Fields of requests, in the order of the line.
    pub request_headers: Vec<Capture>,
    /// Fields of responses.
    pub response_headers: Vec<Capture>,
    /// A cookie, as the client sent it and as the server set it. The name is a beginning of the cookie's, or all of it
    /// if it ends with `=`.
    pub cookie: Option<Capture>,
}

/// One thing that is taken from a head.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Capture {
    /// Its name; empty: rules put there what they want (HAProxy: `declare capture`).
    pub name: Arc<str>,
    /// So many bytes of it at most.
    pub length: usize,
}

/// An access log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Log {
    /// What a line looks like.
    pub format: LogFormat,
    /// Where it goes.
    pub target: LogTarget,
    /// The longest line in bytes, its end not counted.
    pub length: usize,
    /// What stands before each line; `None`: nothing. Targets of syslog always have one.
    pub syslog: Option<Syslog>,
}

/// What a line of the access log looks like.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum LogFormat {
    /// HAProxy's `option httplog`.
    Http,
    /// HAProxy's `option tcplog`.
    Tcp,
    /// HAProxy's `option httplog clf`: the Common Log Format, and what the others have behind it.
    Clf,
    /// HAProxy's `log-format`.
    Own(Arc<Format>),
}

/// Where the access log goes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum LogTarget {
    /// Standard output.
    Stdout,
    /// Standard error, among the program's own messages.
    Stderr,
    /// A file that is appended to; an absolute path.
    File(PathBuf),
    /// Datagrams to this address.
    Udp(SocketAddr),
    /// Datagrams to the socket at this absolute path.
    Unix(PathBuf),
}

/// How lines are told apart by who reads a syslog.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Syslog {
    /// The form of what stands before a line.
    pub header: SyslogHeader,
    /// The facility's number.
    pub facility: u8,
    /// Less urgent lines are not sent.
    pub level: Level,
    /// More urgent lines are sent as if they had this level.
    pub min_level: Level,
    /// The program's name.
    pub tag: Arc<str>,
    /// The machine's name; `None`: left out, as HAProxy does, for whoever receives it knows the sender.
    pub hostname: Option<Arc<str>>,
}

/// What stands before a line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SyslogHeader {
    /// `<134>Nov 22 13:34:19 drain-proxy[14724]: `
    Rfc3164,
    /// `<134>1 2026-11-22T13:34:19.519000+00:00 - drain-proxy 14724 - - `
    Rfc5424,
}

/// How urgent a line is (RFC 5424 6.2.1); the most urgent is the least.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Level {
    /// Nobody can be served.
    Emerg,
    /// A server is lost.
    Alert,
    /// Critical.
    Crit,
    /// An error.
    Err,
    /// A warning.
    Warning,
    /// A change that is worth knowing.
    Notice,
    /// A request.
    Info,
    /// A detail.
    Debug,
}

impl Level {
    /// The one that HAProxy calls so.
    pub fn named(word: &str) -> Option<Self> {
        LEVELS.iter().find(|(known, _)| *known == word).map(|(_, level)| *level)
    }
}

/// HAProxy's words.
const LEVELS: [(&str, Level); 8] = [
    ("emerg", Level::Emerg),
    ("alert", Level::Alert),
    ("crit", Level::Crit),
    ("err", Level::Err),
    ("warning", Level::Warning),
    ("notice", Level::Notice),
    ("info", Level::Info),
    ("debug", Level::Debug),
];

/// HAProxy's words, in the order of their numbers.
const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "auth2", "ftp", "ntp",
    "audit", "alert", "cron2", "local0", "local1", "local2", "local3", "local4", "local5", "local6",
    "local7",
];

/// HAProxy's: the most that RFC 3164 allows.
const LENGTH: u16 = 1024;

/// HAProxy's least, so that a line says who and when; at most what one datagram can carry.
const LENGTH_BOUNDS: (u16, u16) = (80, 65_000);

/// More of a field than a line has room for helps nobody.
const CAPTURE_BOUNDS: (u16, u16) = (1, 65_000);

/// As many as a head may have fields.
const MAX_CAPTURES: usize = 101;

/// Where syslog receives datagrams.
const SYSLOG_PORT: u16 = 514;

impl Logging {
    /// Whether some line has a format of its own.
    pub fn has_own_format(&self) -> bool {
        self.logs.iter().any(|log| matches!(log.format, LogFormat::Own(_)))
    }

    /// The keys of `[frontend.NAME]` that are about logs, beside its rules.
    pub(super) fn read(table: &Table<'_>, rules: &Rules, lookup: &Lookup<'_>, scope: Scope<'_>) -> Self {
        let read = |value: &Value<'_>| value.section(|table| Log::read(table, lookup, scope))?;
        let logs = table.field("log", Vec::new(), |value| value.each(read));
        let without_log = logs.as_inner().is_empty() && logs.is_sound();
        let list = |key| {
            let name = |value: Option<Value<'_>>| match value {
                Some(value) => token(&value, "a header's name"),
                None => Some("".into()),
            };
            let read = |value: &Value<'_>| Capture::read(value, |table| name(table.take("name")));
            let field = table.field(key, Vec::new(), |value| at_most(value, value.each(read)?));
            (key, field.place().cloned(), field.into_inner())
        };
        let (request, response) = (list("capture_request_headers"), list("capture_response_headers"));
        let cookie = table.field("capture_cookie", None, |value| {
            let name = |table: &Table<'_>| {
                table.require("name", r#""SID=""#).and_then(|value| cookie_prefix(&value))
            };
            Capture::read(value, name).map(Some)
        });
        let flags = ["dontlognull", "dontlog_normal", "log_separate_errors"].map(|key| {
            let field = table.flag(key, false);
            (key, field.place().cloned(), field.copied())
        });
        for ((key, place, captures), highest) in [&request, &response].into_iter().zip(rules.places()) {
            if let Some(highest) = highest.filter(|highest| *highest >= captures.len()) {
                let title = format!("a rule captures to place {highest}, which is not there");
                let label = format!("`{}` declares {}, from 0", table.path_of(key), captures.len());
                table.report(Mistake::new(place.clone().unwrap_or_else(|| table.place()), title, label));
            }
        }
        // Rules look at what is captured of fields, those of backends, too.
        let places = [("capture_cookie", cookie.place().cloned())];
        for (key, place) in places.into_iter().chain(flags.clone().map(|(key, place, _)| (key, place))) {
            if let Some(place) = place.filter(|_| without_log) {
                let title = format!("`{}` has no effect", table.path_of(key));
                table.report(Mistake::new(place, title, "the frontend has no `log`"));
            }
        }
        let captures = Captures {
            request_headers: request.2,
            response_headers: response.2,
            cookie: cookie.into_inner(),
        };
        let [(.., dontlognull), (.., dontlog_normal), (.., separate_errors)] = flags;
        Self { logs: logs.into_inner(), captures, dontlognull, dontlog_normal, separate_errors }
    }
}

fn at_most(value: &Value<'_>, captures: Vec<Capture>) -> Option<Vec<Capture>> {
    if captures.len() > MAX_CAPTURES {
        value.wrong("has too many entries", format!("expected at most {MAX_CAPTURES}"));
        return None;
    }
    Some(captures)
}

impl Captures {
    /// Nothing is taken from any head.
    pub const fn is_empty(&self) -> bool {
        self.request_headers.is_empty() && self.response_headers.is_empty() && self.cookie.is_none()
    }
}

impl Capture {
    fn read(value: &Value<'_>, name: impl Fn(&Table<'_>) -> Option<Arc<str>>) -> Option<Self> {
        value.section(|table| {
            let name = name(table);
            let (least, most) = CAPTURE_BOUNDS;
            let length = table.require("length", "40").and_then(|value| value.number(least, most));
            Some(Self { name: name?, length: usize::from(length?) })
        })?
    }
}

impl Log {
    fn read(table: &Table<'_>, lookup: &Lookup<'_>, scope: Scope<'_>) -> Option<Self> {
        let format =
            table.field("format", LogFormat::Http, |value| LogFormat::read(value, scope)).into_inner();
        let target = table.require("target", r#""stdout""#).and_then(|value| LogTarget::read(&value, lookup));
        let (least, most) = LENGTH_BOUNDS;
        let length = usize::from(table.number("length", LENGTH, least, most).copied());
        let is_syslog = matches!(target, None | Some(LogTarget::Udp(_) | LogTarget::Unix(_)));
        let syslog = Syslog::read(table, is_syslog);
        Some(Self { format, target: target?, length, syslog: is_syslog.then_some(syslog) })
    }
}

impl LogFormat {
    /// `"http"` and its like, or a format of its own, such as `"%ci %ST %{+Q}r"`.
    fn read(value: &Value<'_>, scope: Scope<'_>) -> Option<Self> {
        let text = value.string()?;
        if !text.contains('%') {
            let known = [Self::Http, Self::Tcp, Self::Clf];
            let place = value.choice(&[("http", 0_usize), ("tcp", 1), ("clf", 2)]);
            return place.map(|place| known[place].clone());
        }
        let format = Format::of_line(text, scope);
        if let Err(why) = &format {
            value.wrong("is no format of a line", why.as_str());
        }
        format.ok().map(|format| Self::Own(format.into()))
    }
}

impl LogTarget {
    fn read(value: &Value<'_>, lookup: &Lookup<'_>) -> Option<Self> {
        const EXPECTED: &str = r#"expected "stdout", "stderr", the absolute path of a file, "syslog://127.0.0.1:514" or "syslog:///dev/log""#;
        match value.text()? {
            "stdout" => return Some(Self::Stdout),
            "stderr" => return Some(Self::Stderr),
            text if text.starts_with('/') => return value.absolute_path().map(Self::File),
            text => match text.strip_prefix("syslog://") {
                Some(path) if path.starts_with('/') && !path.contains('\0') => {
                    return Some(Self::Unix(PathBuf::from(path)));
                }
                Some(host) if !host.is_empty() => {
                    return lookup.address_of(value, host, Some(SYSLOG_PORT)).map(Self::Udp);
                }
                _ => {}
            },
        }
        value.wrong("is not a log's target", EXPECTED);
        None
    }
}

impl Syslog {
    /// The keys of a log that only syslog has a use for; elsewhere each is a mistake.
    fn read(table: &Table<'_>, is_syslog: bool) -> Self {
        const HEADERS: [(&str, SyslogHeader); 2] =
            [("rfc3164", SyslogHeader::Rfc3164), ("rfc5424", SyslogHeader::Rfc5424)];
        let facilities: Vec<(&str, u8)> = FACILITIES.into_iter().zip(0..).collect();
        let header = table.choice("header", SyslogHeader::Rfc3164, &HEADERS);
        let facility = table.choice("facility", 16, &facilities);
        let level = table.choice("level", Level::Info, &LEVELS);
        let min_level = table.choice("min_level", Level::Emerg, &LEVELS);
        let part = |value: &Value<'_>| word(value, MAX_PART);
        let tag = table.field("tag", Arc::from(TAG), part);
        let hostname = table.field("hostname", None, |value| part(value).map(Some));
        let places = [
            ("header", header.place()),
            ("facility", facility.place()),
            ("level", level.place()),
            ("min_level", min_level.place()),
            ("tag", tag.place()),
            ("hostname", hostname.place()),
        ];
        for (key, place) in places {
            if let Some(place) = place.filter(|_| !is_syslog) {
                let title = format!("`{}` has no effect", table.path_of(key));
                table.report(Mistake::new(place.clone(), title, "the log's target is no syslog"));
            }
        }
        Self {
            header: header.copied(),
            facility: facility.copied(),
            level: level.copied(),
            min_level: min_level.copied(),
            tag: tag.into_inner(),
            hostname: hostname.into_inner(),
        }
    }
}

/// What lines are marked with unless configured.
const TAG: &str = "drain-proxy";

/// RFC 5424's limit on a program's name.
const MAX_PART: usize = 48;
