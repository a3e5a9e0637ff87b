//! Who belongs to which server: the persistence cookie, in all of HAProxy's modes.
//!
//! | mode | the request goes on | the server's own cookie of this name | we give one |
//! |---|---|---|---|
//! | passive | as it is | passes | never |
//! | rewrite | as it is | its value becomes the server's id | never |
//! | insert | as it is; indirect: without the cookie | left out; preserve: passes | when needed |
//! | prefix | without the prefix | gets the prefix `ID~` | never |
//!
//! With `indirect`, in the modes passive and prefix, the server's own cookie is left out where the client came with a
//! good one.
//!
//! | the request's cookie names | it goes to | given (insert) | log |
//! |---|---|---|---|
//! | nothing (none, or not ours) | any | yes | `NI` |
//! | a server that is not down | that | none; `VU` where its dates are due | `VN` |
//! | a server that is down | any | yes | `DI` |
//! | a server that is down, where `persist` or `force_persist` holds, or a rule says so | that | none | `DN` |
//! | no server we know, or is empty | any | yes | `II` |
//! | a server, but too long ago: `maxidle`, `maxlife` | any | yes | `EI`, `OI` |
//! | anything, where `ignore_persist` holds, or a rule says so | any | none | `UN` |
//! | a server that failed and was replaced on retry | any | yes | `DI` |
//!
//! A server without a cookie of its own answers with a deletion. With `count_users` a new cookie is `ID|~TOKEN`, or
//! has `~TOKEN` behind its dates: HAProxy, which looks at the dates and no further, takes it for `ID`. A user who is
//! moved keeps the token.

mod answer;
mod cacheable;
mod cookie;
mod date;
mod set_cookie;
#[cfg(test)]
mod tests;
mod token;
mod value;

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use self::date::Date;
use self::token::Token;
use self::value::{TILDE, Value};
use super::Operation;
use super::{Backend, Server, Wish, hash::mix};
use crate::config::{self, Condition, CookieMode};
use crate::rules::Cookies;

pub use self::answer::{Answer, Answered};
pub(crate) use self::cookie::captured as captured_cookie;

/// How far in the future a date may lie: clocks differ, and time zones get repaired (HAProxy).
const FUTURE_S: i64 = 86_400;

/// What becomes of a `Cookie` or `Set-Cookie` field.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Passage {
    /// It passes as it is.
    Unchanged,
    /// It is left out.
    Dropped,
    /// Its value becomes this.
    Replaced(Vec<u8>),
}

/// What the cookies of a request say: HAProxy's letter for the log.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Named {
    Nothing,
    /// No server that we know.
    Unknown,
    Down,
    Up,
    /// Not used for `maxidle`.
    Idle,
    /// Given before `maxlife`.
    Old,
    /// Not looked at, by `ignore_persist`.
    Ignored,
}

impl Named {
    fn letter(self) -> u8 {
        match self {
            Self::Nothing => b'N',
            Self::Unknown => b'I',
            Self::Down => b'D',
            Self::Up => b'V',
            Self::Idle => b'E',
            Self::Old => b'O',
            Self::Ignored => b'U',
        }
    }
}

/// A request as far as persistence looks at it, beside its cookies.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Its target, as written.
    pub target: &'a [u8],
    /// Its client's address.
    pub client: IpAddr,
    /// What a rule says of its cookies.
    pub ruled: Option<Cookies>,
}

/// What one request says about where it belongs, and what its response must say.
#[derive(Clone, Debug)]
pub struct Persistence {
    named: Named,
    /// The server that it goes to, whatever the others are.
    server: Option<usize>,
    /// That server is down, and it goes there all the same.
    is_forced: bool,
    /// No retry takes it from that server.
    is_kept: bool,
    is_ignored: bool,
    last: Option<Date>,
    first: Option<Date>,
    /// What the user's next cookie says: the token it came with, or a new one. `None` where users are not counted, and
    /// where a cookie without one names a server that can take the request.
    token: Option<Token>,
    user: u64,
}

impl Persistence {
    /// What these `Cookie` headers say. The first cookie that names a server that may take the request decides. `wall`
    /// is asked only where there are dates.
    pub fn read<'a>(
        backend: &Backend,
        headers: impl Iterator<Item = &'a [u8]>,
        request: Request<'_>,
        wall: impl Fn() -> SystemTime,
    ) -> Option<Self> {
        let settings = backend.settings().cookie.as_ref()?;
        let mut persistence = Self {
            named: Named::Nothing,
            server: None,
            is_forced: false,
            is_kept: false,
            is_ignored: request.ruled == Some(Cookies::Ignored)
                || holds(&backend.settings().ignore_persist, request),
            last: None,
            first: None,
            token: None,
            user: 0,
        };
        let mut given = None;
        for value in headers.flat_map(|header| cookie::values(header, &settings.name)) {
            let value = Value::read(settings.mode, value);
            let had = persistence.server;
            persistence.take_in(backend, settings, &value, request, &wall);
            // The token of the cookie that decides; until one does, that of one that names a server which is down.
            if persistence.server != had
                || (had.is_none() && persistence.named == Named::Down && given.is_none())
            {
                given = value.token;
            }
        }
        if settings.count_users {
            let is_new = persistence.server.is_none();
            persistence.token = given.and_then(Token::read).or_else(|| is_new.then(Token::new));
        }
        persistence.user = match (given, &persistence.token) {
            (_, Some(token)) => hash(token.as_bytes()),
            (Some(token), None) => hash(token),
            (None, None) => hash_of_address(request.client),
        };
        Some(persistence)
    }

    /// One more cookie. What it says of a server, or of its age, overrules what others said before.
    fn take_in(
        &mut self,
        backend: &Backend,
        settings: &config::Cookie,
        value: &Value<'_>,
        request: Request<'_>,
        wall: &impl Fn() -> SystemTime,
    ) {
        self.last = value.last.or(self.last);
        self.first = value.first.or(self.first);
        let is_past = |date: Option<Date>, limit: Option<Duration>| {
            let (Some(date), Some(limit)) = (date, limit) else { return false };
            let age = date.age(wall());
            age > limit.as_secs().cast_signed() || age < -FUTURE_S
        };
        let aged = if is_past(self.first, settings.maxlife) {
            Some(Named::Old)
        } else {
            is_past(self.last, settings.maxidle).then_some(Named::Idle)
        };
        if let Some(aged) = aged {
            self.named = aged;
            (self.last, self.first) = (None, None);
        } else if !value.id.is_empty() && !self.is_ignored && self.server.is_none() {
            self.find(backend, value.id, request);
        }
        if self.named == Named::Nothing {
            self.named = if self.is_ignored { Named::Ignored } else { Named::Unknown };
        }
    }

    /// The first server with this id that is not down, or is to be used all the same: several may share one.
    fn find(&mut self, backend: &Backend, id: &[u8], request: Request<'_>) {
        let has_id =
            |server: &&std::sync::Arc<Server>| server.cookie().is_some_and(|own| own.as_bytes() == id);
        for server in backend.servers().iter().filter(has_id) {
            let is_down = server.operation() == Operation::Down;
            self.named = if is_down { Named::Down } else { Named::Up };
            let is_kept = request.ruled == Some(Cookies::Forced)
                || holds(&backend.settings().force_persist, request)
                || holds(&server.settings().force_persist, request);
            if !is_down || is_kept || backend.settings().persist {
                self.server = Some(server.index());
                (self.is_forced, self.is_kept) = (is_down, is_kept);
                return;
            }
        }
    }

    /// What to ask the backend for.
    pub fn wish(&self) -> Wish {
        match self.server {
            Some(index) if self.is_forced => Wish::Forced(index),
            Some(index) => Wish::Pinned(index),
            None => Wish::ANY,
        }
    }

    /// Whether the cookie named this server and it could take the request.
    pub fn is_pinned_to(&self, server: &Server) -> bool {
        self.server == Some(server.index())
    }

    /// Whether no retry takes the request from the server that its cookie names (`force_persist`).
    pub fn is_kept(&self) -> bool {
        self.is_kept
    }

    /// Who the user is, to be told to the [`Users`](super::users::Users) of the server that takes the request.
    pub fn user(&self) -> u64 {
        self.user
    }
}

/// What becomes of a request's `Cookie` header on its way to the server.
pub fn cookie_passage(backend: &Backend, header: &[u8]) -> Passage {
    let Some(settings) = &backend.settings().cookie else { return Passage::Unchanged };
    let edited = match settings.mode {
        CookieMode::Insert if settings.indirect => cookie::without(header, &settings.name),
        CookieMode::Prefix => cookie::without_prefix(header, &settings.name, TILDE),
        _ => None,
    };
    match edited {
        None => Passage::Unchanged,
        Some(rest) if rest.is_empty() => Passage::Dropped,
        Some(rest) => Passage::Replaced(rest),
    }
}

fn holds(condition: &Condition, request: Request<'_>) -> bool {
    condition.holds(request.target, request.client)
}

/// Of most users: cheaper than the one of a text.
fn hash_of_address(client: IpAddr) -> u64 {
    match client {
        IpAddr::V4(client) => mix(client.to_bits().into()),
        IpAddr::V6(client) => {
            let bits = client.to_bits();
            mix(bits as u64 ^ mix((bits >> 64) as u64))
        }
    }
}

fn hash(value: &(impl std::hash::Hash + ?Sized)) -> u64 {
    BuildHasherDefault::<DefaultHasher>::default().hash_one(value)
}
