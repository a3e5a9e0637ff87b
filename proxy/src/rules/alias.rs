//! What stands behind `%` in a format: HAProxy's names for what is known of a request (manual, 8.2.4).

use super::{Context, fetch, style::Style};
use crate::escape::{IN_LINE, escape};

/// What a name stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Alias {
    /// Known as soon as the request is: rules may have it, too.
    Given(Given),
    /// Known when the request is over: for a line of the log.
    Ended(Ended),
}

/// What is known as soon as the request is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Given {
    ClientAddress,
    ClientPort,
    ListenerAddress,
    ListenerPort,
    Frontend,
    Backend,
    Host,
    Process,
    /// How many requests the process has had before it.
    Number,
    UniqueId,
    Seconds,
    Millis,
    /// The request line, or a part of it, as it came.
    Line(Portion),
}

/// A part of the request line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Portion {
    Whole,
    Method,
    /// The target up to its query.
    Path,
    /// The same without scheme and authority.
    PathOnly,
    /// From the question mark on.
    Query,
    Target,
    Version,
}

/// What is known when the request is over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ended {
    Bytes,
    BytesUp,
    RequestCookie,
    ResponseCookie,
    Status,
    Server,
    ServerAddress,
    ServerPort,
    Retries,
    /// A number of connections or requests by its place among [`Record::counts`](crate::exchange::Record::counts).
    Count(usize),
    /// A place in a queue by its place among those of the record.
    Queue(usize),
    Date(Date),
    Time(Time),
    Termination,
    /// With what became of the cookie.
    TerminationCookie,
    RequestHeaders,
    RequestHeaderList,
    ResponseHeaders,
    ResponseHeaderList,
    /// Of TLS, which is not spoken.
    Nothing,
}

/// A date.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Date {
    /// When the request's first byte came; otherwise when the connection was ready for it.
    pub(crate) of_request: bool,
    pub(crate) form: Form,
}

/// How a date is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Form {
    /// Local, with milliseconds.
    Millis,
    /// Local, with the difference to UTC.
    Local,
    Utc,
}

/// A duration.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Time {
    Handshake,
    Idle,
    Request,
    /// With what was before it.
    Query,
    Queue,
    Connect,
    Response,
    Data,
    Active,
    Total,
    User,
}

/// The names, in the order of the alphabet.
const NAMES: [(&str, Alias); 60] = {
    use Alias::{Ended as E, Given as G};
    use Ended::{Count, Queue};
    const fn date(of_request: bool, form: Form) -> Alias {
        E(Ended::Date(Date { of_request, form }))
    }
    const fn time(time: Time) -> Alias {
        E(Ended::Time(time))
    }
    const fn line(portion: Portion) -> Alias {
        G(Given::Line(portion))
    }
    [
        ("B", E(Ended::Bytes)),
        ("CC", E(Ended::RequestCookie)),
        ("CS", E(Ended::ResponseCookie)),
        ("H", G(Given::Host)),
        ("HM", line(Portion::Method)),
        ("HP", line(Portion::Path)),
        ("HPO", line(Portion::PathOnly)),
        ("HQ", line(Portion::Query)),
        ("HU", line(Portion::Target)),
        ("HV", line(Portion::Version)),
        ("ID", G(Given::UniqueId)),
        ("ST", E(Ended::Status)),
        ("T", date(false, Form::Utc)),
        ("TR", time(Time::Request)),
        ("Ta", time(Time::Active)),
        ("Tc", time(Time::Connect)),
        ("Td", time(Time::Data)),
        ("Th", time(Time::Handshake)),
        ("Ti", time(Time::Idle)),
        ("Tl", date(false, Form::Local)),
        ("Tq", time(Time::Query)),
        ("Tr", time(Time::Response)),
        ("Ts", G(Given::Seconds)),
        ("Tt", time(Time::Total)),
        ("Tu", time(Time::User)),
        ("Tw", time(Time::Queue)),
        ("U", E(Ended::BytesUp)),
        ("ac", E(Count(0))),
        ("b", G(Given::Backend)),
        ("bc", E(Count(2))),
        ("bq", E(Queue(1))),
        ("ci", G(Given::ClientAddress)),
        ("cp", G(Given::ClientPort)),
        ("f", G(Given::Frontend)),
        ("fc", E(Count(1))),
        ("fi", G(Given::ListenerAddress)),
        ("fp", G(Given::ListenerPort)),
        ("ft", G(Given::Frontend)),
        ("hr", E(Ended::RequestHeaders)),
        ("hrl", E(Ended::RequestHeaderList)),
        ("hs", E(Ended::ResponseHeaders)),
        ("hsl", E(Ended::ResponseHeaderList)),
        ("ms", G(Given::Millis)),
        ("pid", G(Given::Process)),
        ("r", line(Portion::Whole)),
        ("rc", E(Ended::Retries)),
        ("rt", G(Given::Number)),
        ("s", E(Ended::Server)),
        ("sc", E(Count(3))),
        ("si", E(Ended::ServerAddress)),
        ("sp", E(Ended::ServerPort)),
        ("sq", E(Queue(0))),
        ("sslc", E(Ended::Nothing)),
        ("sslv", E(Ended::Nothing)),
        ("t", date(false, Form::Millis)),
        ("tr", date(true, Form::Millis)),
        ("trg", date(true, Form::Utc)),
        ("trl", date(true, Form::Local)),
        ("ts", E(Ended::Termination)),
        ("tsc", E(Ended::TerminationCookie)),
    ]
};

impl Alias {
    pub(super) fn named(name: &str) -> Result<Self, String> {
        if matches!(name, "bi" | "bp") {
            return Err(format!(
                "'%{name}' is not known: no note is taken of the port from which a server was asked"
            ));
        }
        if name == "lc" {
            return Err("'%lc' is not known: lines are not counted; requests are, by %rt".into());
        }
        NAMES.iter().find(|(known, _)| *known == name).map(|(_, alias)| *alias).ok_or_else(|| {
            format!(
                "no such format variable '{name}'. If you wanted to emit the '%' character verbatim, you need to use '%%'"
            )
        })
    }
}

impl Given {
    /// Appends it.
    pub(crate) fn write(self, context: &Context<'_>, style: Style, out: &mut Vec<u8>) {
        let origin = context.origin;
        let since = || origin.accepted.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        match self {
            Self::ClientAddress => style.address(origin.client.ip(), out),
            Self::ClientPort => style.number(origin.client.port().into(), 4, out),
            Self::ListenerAddress => style.address(origin.destination.ip(), out),
            Self::ListenerPort => style.number(origin.destination.port().into(), 4, out),
            Self::Frontend => style.text(origin.frontend.as_bytes(), out),
            Self::Backend => style.text(origin.backend.as_bytes(), out),
            Self::Host => style.text(rustix::system::uname().nodename().to_bytes(), out),
            Self::Process => style.number(std::process::id().into(), 4, out),
            Self::Number => style.number(origin.number, 4, out),
            Self::UniqueId => style.text(origin.unique_id.unwrap_or_default(), out),
            Self::Seconds => style.number(since().as_secs(), 4, out),
            Self::Millis if style.has(Style::HEX) => style.number(since().subsec_millis().into(), 2, out),
            Self::Millis => out.extend_from_slice(format!("{:03}", since().subsec_millis()).as_bytes()),
            Self::Line(portion) => {
                let mark: &[u8] = if style.has(Style::QUOTED) { b"\"" } else { b"" };
                out.extend_from_slice(mark);
                let mut text = Vec::new();
                match portion.of(origin.line) {
                    Some(portion) => escape(portion, &IN_LINE, usize::MAX, &mut text),
                    None => text.extend_from_slice(b"<BADREQ>"),
                }
                style.inner(&text, out);
                out.extend_from_slice(mark);
            }
        }
    }
}

impl Portion {
    /// This part of a request line; `None`: there is no line.
    pub(crate) fn of(self, line: &[u8]) -> Option<&[u8]> {
        let first = memchr::memchr(b' ', line)?;
        let last = memchr::memrchr(b' ', line).filter(|last| *last > first)?;
        let target = &line[first + 1..last];
        let query = memchr::memchr(b'?', target).unwrap_or(target.len());
        Some(match self {
            Self::Whole => line,
            Self::Method => &line[..first],
            Self::Path => &target[..query],
            Self::PathOnly => {
                let path = fetch::path_query(target);
                &path[..memchr::memchr(b'?', path).unwrap_or(path.len())]
            }
            Self::Query => &target[query..],
            Self::Target => target,
            Self::Version => &line[last + 1..],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_and_those_that_can_not_be_say_why() {
        assert_eq!(Alias::named("tsc"), Ok(Alias::Ended(Ended::TerminationCookie)));
        assert!(NAMES.is_sorted_by_key(|(name, _)| *name));
        for (name, expected) in
            [("bi", "no note is taken"), ("lc", "not counted"), ("x", "no such format variable 'x'")]
        {
            assert!(Alias::named(name).unwrap_err().contains(expected), "{name}");
        }
    }

    #[test]
    fn a_request_line_has_its_parts() {
        let part = |portion: Portion, line: &'static str| {
            portion.of(line.as_bytes()).map(|part| std::str::from_utf8(part).unwrap())
        };
        let line = "GET http://h/p?q=1 HTTP/1.1";
        for (portion, expected) in [
            (Portion::Whole, line),
            (Portion::Method, "GET"),
            (Portion::Path, "http://h/p"),
            (Portion::PathOnly, "/p"),
            (Portion::Query, "?q=1"),
            (Portion::Target, "http://h/p?q=1"),
            (Portion::Version, "HTTP/1.1"),
        ] {
            assert_eq!(part(portion, line), Some(expected), "{portion:?}");
        }
        assert_eq!(part(Portion::Query, "GET /p HTTP/1.0"), Some(""));
        assert_eq!(part(Portion::Whole, ""), None);
    }
}
