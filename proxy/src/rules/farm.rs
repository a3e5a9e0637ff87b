//! The proxy around a rule: how its backends do, and what time it is.

use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use super::{Context, Scope, sample::Value};

/// The proxy around a rule, which may ask of it what HAProxy knows without any request (manual, 7.3.2).
pub trait Farm {
    /// How the backend of this name does; `None`: there is none.
    fn backend(&self, name: &str) -> Option<Members>;

    /// How a server does, by its backend's name and its own; `None`: there is none.
    fn server(&self, backend: &str, server: &str) -> Option<Occupancy>;

    /// Connections of clients to the frontend.
    fn connections(&self) -> u32;

    /// The time of day.
    fn now(&self) -> SystemTime;
}

/// How a backend does.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Members {
    /// Servers that take new users.
    pub usable: u32,
    /// Requests in flight.
    pub in_flight: u32,
    /// Requests that wait in its queue and its servers'.
    pub queued: u32,
    /// Requests that its servers could take at once; `None`: there is no limit.
    pub free: Option<u32>,
}

/// How a server does.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Occupancy {
    /// It takes requests: it is neither down nor in maintenance.
    pub is_up: bool,
    /// Requests in flight.
    pub in_flight: u32,
    /// Requests that wait for it.
    pub queued: u32,
}

/// What may be asked of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Question {
    /// Of a backend; `None`: of the rule's own.
    Backend(AboutBackend, Option<Arc<str>>),
    /// Of a server of a backend; `None`: of the rule's own.
    Server(AboutServer, Option<Arc<str>>, Arc<str>),
    Connections,
    /// A number below this, by chance.
    Chance(u32),
    /// The time, moved by so many units, which are so many in a second.
    Date {
        offset: i64,
        units: i64,
    },
    /// A number of 128 bits, by chance (RFC 9562).
    Uuid,
}

/// What may be asked of a backend.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum AboutBackend {
    Usable,
    InFlight,
    Queued,
    AverageQueue,
    Free,
}

/// What may be asked of a server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum AboutServer {
    Up,
    InFlight,
    Queued,
}

const OF_BACKENDS: [(&str, AboutBackend); 5] = [
    ("avg_queue", AboutBackend::AverageQueue),
    ("be_conn", AboutBackend::InFlight),
    ("connslots", AboutBackend::Free),
    ("nbsrv", AboutBackend::Usable),
    ("queue", AboutBackend::Queued),
];

const OF_SERVERS: [(&str, AboutServer); 3] =
    [("srv_conn", AboutServer::InFlight), ("srv_is_up", AboutServer::Up), ("srv_queue", AboutServer::Queued)];

impl Question {
    /// `None`: there is no such fetch.
    pub(super) fn read(name: &str, arguments: &[String]) -> Result<Option<Self>, String> {
        let expects = |what: &str| format!("'{name}' expects {what}");
        let first = arguments.first().map(String::as_str).filter(|text| !text.is_empty());
        if let Some((_, about)) = OF_BACKENDS.iter().find(|(known, _)| *known == name) {
            return Ok(Some(Self::Backend(*about, first.map(Into::into))));
        }
        if let Some((_, about)) = OF_SERVERS.iter().find(|(known, _)| *known == name) {
            let server = first.ok_or_else(|| expects("a server's name in parentheses, such as shop/s1"))?;
            let (backend, server) =
                server.split_once('/').map_or((None, server), |(backend, server)| (Some(backend), server));
            return Ok(Some(Self::Server(*about, backend.map(Into::into), server.into())));
        }
        Ok(Some(match name {
            "fe_conn" if first.is_none() => Self::Connections,
            "fe_conn" => {
                return Err(expects("nothing in parentheses: the connections of its own frontend are known"));
            }
            "rand" => {
                let most = first.map_or(Some(u32::MAX), |text| text.parse().ok()).filter(|most| *most > 0);
                Self::Chance(most.ok_or_else(|| expects("a number above 0"))?)
            }
            "date" => {
                let offset = first.map_or(Some(0), |text| text.parse().ok());
                let units = match arguments.get(1).map(String::as_str) {
                    None | Some("s") => Some(1),
                    Some("ms") => Some(1_000),
                    Some("us") => Some(1_000_000),
                    Some(_) => None,
                };
                let (Some(offset), Some(units)) = (offset, units) else {
                    return Err(expects("a number, and s, ms or us behind it, or nothing"));
                };
                Self::Date { offset, units }
            }
            "uuid" if first.is_none_or(|version| version == "4") => Self::Uuid,
            "uuid" => return Err(expects("4 or nothing")),
            _ => return Ok(None),
        }))
    }

    /// Whom it names that is not there.
    pub(super) fn check(&self, scope: Scope<'_>) -> Result<(), String> {
        match self {
            Self::Backend(about, backend) => {
                let keyword =
                    OF_BACKENDS.iter().find(|(_, known)| known == about).map_or("", |(name, _)| name);
                scope.check(backend.as_deref(), None, keyword)
            }
            Self::Server(about, backend, server) => {
                let keyword =
                    OF_SERVERS.iter().find(|(_, known)| known == about).map_or("", |(name, _)| name);
                scope.check(backend.as_deref(), Some(server), keyword)
            }
            _ => Ok(()),
        }
    }

    /// Whether the answer is a number; otherwise it is a flag, or text.
    pub(super) fn is_number(&self) -> bool {
        !matches!(self, Self::Server(AboutServer::Up, ..) | Self::Uuid)
    }

    pub(super) fn is_flag(&self) -> bool {
        matches!(self, Self::Server(AboutServer::Up, ..))
    }

    /// The answer, where there is one.
    pub(super) fn answer(&self, context: &Context<'_>) -> Option<Value<'static>> {
        let (farm, own) = (context.origin.farm, context.origin.backend);
        let number = match self {
            Self::Backend(about, name) => {
                let members = farm.backend(name.as_deref().unwrap_or(own))?;
                let Members { usable, in_flight, queued, free } = members;
                match about {
                    AboutBackend::Usable => usable.into(),
                    AboutBackend::InFlight => in_flight.into(),
                    AboutBackend::Queued => queued.into(),
                    AboutBackend::AverageQueue if usable == 0 => i64::from(queued) * 2,
                    AboutBackend::AverageQueue => queued.div_ceil(usable).into(),
                    AboutBackend::Free => free.map_or(-1, i64::from),
                }
            }
            Self::Server(about, backend, server) => {
                let server = farm.server(backend.as_deref().unwrap_or(own), server)?;
                match about {
                    AboutServer::Up => return Some(Value::Flag(server.is_up)),
                    AboutServer::InFlight => server.in_flight.into(),
                    AboutServer::Queued => server.queued.into(),
                }
            }
            Self::Connections => farm.connections().into(),
            Self::Chance(most) => fastrand::u32(0..*most).into(),
            Self::Date { offset, units } => {
                let since = farm.now().duration_since(UNIX_EPOCH).unwrap_or_default();
                let whole = i64::try_from(since.as_secs()).unwrap_or(i64::MAX).saturating_mul(*units);
                let part = i64::from(since.subsec_micros()) * units / 1_000_000;
                whole.saturating_add(part).saturating_add(*offset)
            }
            Self::Uuid => return Some(Value::Text(uuid(fastrand::u128(..)).into_bytes().into())),
        };
        Some(Value::Number(number))
    }
}

/// A UUID of version 4 (RFC 9562 5.4).
fn uuid(bits: u128) -> String {
    let bits = bits & !(0xf << 76 | 0x3 << 62) | 4 << 76 | 2 << 62;
    let digits = format!("{bits:032x}");
    [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]].join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_has_its_form() {
        assert_eq!(uuid(0), "00000000-0000-4000-8000-000000000000");
        assert_eq!(uuid(u128::MAX), "ffffffff-ffff-4fff-bfff-ffffffffffff");
    }

    #[test]
    fn questions_are_read() {
        let read = |name: &str, arguments: &[&str]| {
            Question::read(name, &arguments.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>())
        };
        assert_eq!(read("fe_conn", &[]), Ok(Some(Question::Connections)));
        assert_eq!(
            read("srv_is_up", &["b/s"]),
            Ok(Some(Question::Server(AboutServer::Up, Some("b".into()), "s".into())))
        );
        assert_eq!(read("date", &["-5", "ms"]), Ok(Some(Question::Date { offset: -5, units: 1_000 })));
        assert_eq!(read("path", &[]), Ok(None));
        for (name, arguments) in [
            ("fe_conn", &["other"][..]),
            ("srv_is_up", &[]),
            ("rand", &["0"]),
            ("date", &["x"]),
            ("uuid", &["7"]),
        ] {
            assert!(read(name, arguments).is_err(), "{name} {arguments:?}");
        }
    }
}
