//! `[[traffic]]`: sources of traffic beside the kernel's sockets and the balancers.

use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

use drain_config::{Table, Value};
use regex_lite::Regex;
use reqwest::Url;

use super::server::http_url;

/// A source of traffic.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Traffic {
    /// A log with a line for each request that has ended.
    AccessLog(AccessLog),
    /// A number of requests in flight.
    Gauge(Gauge),
}

/// A log with a line for each request that has ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AccessLog {
    /// Where its lines are.
    pub lines: Lines,
    /// Which of them are no users: health checks.
    pub ignore: Option<Pattern>,
}

/// Where the lines of a log are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Lines {
    /// A file or a FIFO; an absolute path.
    File(PathBuf),
    /// The journal of a unit.
    Journal(Arc<str>),
}

/// What a line must match to be left out.
#[derive(Clone, Debug)]
pub struct Pattern(Regex);

/// A number of requests in flight, which a server tells.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Gauge {
    /// Where it is asked; always `http`.
    pub url: Url,
    /// The unix socket at which it is asked instead of the URL's address.
    pub unix: Option<PathBuf>,
    /// Which number of the answer; `None`: the whole answer is one.
    pub field: Option<Arc<str>>,
    /// The number that means nobody.
    pub zero_at: u32,
    /// How long an answer may take.
    pub timeout: Duration,
    /// The time between two questions while a drain waits.
    pub interval: Duration,
}

/// So many sources are more than any server has, and each is read some times in a second.
const MOST: usize = 16;

impl Traffic {
    /// What people call it.
    pub fn name(&self) -> Arc<str> {
        self.to_string().into()
    }

    /// All of `[[traffic]]`.
    pub(super) fn read(root: &Table<'_>) -> Option<Vec<Self>> {
        let Some(value) = root.take("traffic") else { return Some(Vec::new()) };
        let items = value.items();
        if items.len() > MOST {
            value.wrong("has too many sources", format!("expected at most {MOST}"));
            return None;
        }
        let mut all: Vec<Option<Self>> = Vec::with_capacity(items.len());
        for item in &items {
            let read = item.section(Self::one).flatten();
            let name = read.as_ref().map(Self::name);
            if name.is_some() && all.iter().flatten().any(|before| Some(before.name()) == name) {
                item.wrong("has this source twice", "this one is the second");
            }
            all.push(read);
        }
        all.into_iter().collect()
    }

    fn one(table: &Table<'_>) -> Option<Self> {
        let (file, unit) = (table.take("access_log"), table.take("journal"));
        let (gauge, ignore) = (table.take("gauge"), table.take("ignore"));
        let [first, second] = {
            let mut there = [&file, &unit, &gauge].into_iter().flatten();
            [there.next(), there.next()]
        };
        if first.is_none() {
            table.require("access_log", r#""/var/log/apache2/access.log""#);
        }
        if let Some(second) = second {
            second.wrong("stands beside another source", "expected one source under each `[[traffic]]`");
            return None;
        }
        if let (Some(gauge), Some(ignore)) = (&gauge, &ignore) {
            ignore.wrong(
                "has no meaning here",
                format!("expected it beside a log: `{}` has no lines", gauge.path()),
            );
            return None;
        }
        // Read before anything returns, so that its mistakes are shown, too.
        let ignore = ignore.map(|value| Pattern::read(&value));
        let lines = match (file, unit) {
            (Some(file), _) => Lines::File(file.absolute_path()?),
            (None, Some(unit)) => Lines::Journal(self::unit(&unit)?),
            (None, None) => return gauge?.section(Gauge::read).flatten().map(Self::Gauge),
        };
        let ignore = match ignore {
            Some(pattern) => Some(pattern?),
            None => None,
        };
        Some(Self::AccessLog(AccessLog { lines, ignore }))
    }
}

impl fmt::Display for Traffic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AccessLog(AccessLog { lines: Lines::File(path), .. }) => {
                write!(f, "access_log {}", path.display())
            }
            Self::AccessLog(AccessLog { lines: Lines::Journal(unit), .. }) => write!(f, "journal {unit}"),
            Self::Gauge(gauge) => {
                write!(f, "gauge {}", gauge.url)?;
                gauge.unix.as_ref().map_or(Ok(()), |path| write!(f, " at {}", path.display()))?;
                gauge.field.as_ref().map_or(Ok(()), |field| write!(f, " {field}"))
            }
        }
    }
}

impl Pattern {
    /// Whether a line, without its end, is left out. What is no UTF-8 in it is matched by nothing but `.` and the like.
    pub fn matches(&self, line: &[u8]) -> bool {
        self.0.is_match(&String::from_utf8_lossy(line))
    }

    fn read(value: &Value<'_>) -> Option<Self> {
        let text = value.text()?;
        match Regex::new(text) {
            Ok(pattern) if pattern.is_match("") => {
                value.wrong(
                    "matches every line",
                    "expected a pattern such as \"GET /health \": with this one, nobody would ever be seen",
                );
                None
            }
            Ok(pattern) => Some(Self(pattern)),
            Err(error) => {
                // The crate draws the pattern and an arrow; its last line says what is the matter.
                let said = error.to_string();
                let said = said.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
                value.wrong(
                    "is not a regular expression",
                    format!("{said}; expected such as \"GET /health \""),
                );
                None
            }
        }
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl Eq for Pattern {}

/// Longer than a server on the same host takes for a number, and shorter than anybody wants to wait for the verdict.
const TIMEOUT: Duration = Duration::from_secs(1);

/// Four questions in a second are little for a server that is used no more.
const INTERVAL: Duration = Duration::from_millis(250);

/// A server has no more requests in flight than connections.
const MOST_IN_FLIGHT: u32 = 1_000_000;

impl Gauge {
    fn read(table: &Table<'_>) -> Option<Self> {
        let url =
            table.require("url", r#""http://127.0.0.1/server-status?auto""#).and_then(|value| url(&value));
        let unix = table.field("unix", None, |value| value.absolute_path().map(Some)).into_inner();
        let field = table.field("field", None, |value| Some(Some(value.text()?.into()))).into_inner();
        let zero_at = table.number("zero_at", 0, 0, MOST_IN_FLIGHT).copied();
        let timeout = table.duration("timeout", TIMEOUT).copied();
        let interval = table.duration("interval", INTERVAL).copied();
        Some(Self { url: url?, unix, field, zero_at, timeout, interval })
    }
}

fn url(value: &Value<'_>) -> Option<Url> {
    if let Some(path) = value.text()?.strip_prefix("unix:") {
        let path = path.trim_start_matches("//");
        value.wrong(
            "is a unix socket",
            format!(r#"expected `unix = "{path}"` beside `url = "http://localhost/PAGE"`"#),
        );
        return None;
    }
    http_url(value)
}

/// The longest name of a unit that systemd knows.
const LONGEST_UNIT: usize = 255;

/// A unit's name as `journalctl --unit` takes it, and nothing that it takes for a pattern or an option.
fn unit(value: &Value<'_>) -> Option<Arc<str>> {
    let name = value.text()?;
    let sound = |b: u8| b.is_ascii_alphanumeric() || b":-_.\\@".contains(&b);
    if name.len() > LONGEST_UNIT || name.starts_with('-') || !name.contains('.') || !name.bytes().all(sound) {
        value.wrong("is not a unit's name", r#"expected such as "nginx.service""#);
        return None;
    }
    Some(name.into())
}
