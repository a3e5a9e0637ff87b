//! What a response must say, so that its user comes back to the same server.

use std::cell::Cell;
use std::time::SystemTime;

use super::cacheable::is_cacheable;
use super::date::Date;
use super::token::Token;
use super::value::{TILDE, write_rest};
use super::{Backend, Passage, Persistence, Server, set_cookie};
use crate::config::{self, CookieMode};

/// A final response as far as persistence looks at it.
#[derive(Clone, Copy, Debug)]
pub struct Answered<'a, F> {
    /// The request was a POST.
    pub is_post: bool,
    /// The request's method was a safe one (RFC 9110 9.2.1).
    pub is_safe: bool,
    /// The status.
    pub status: u16,
    /// Names and values of its fields; asked only where they matter.
    pub fields: F,
    /// The server that it came from.
    pub server: &'a Server,
}

/// What becomes of a response.
#[derive(Debug)]
pub struct Answer<'a> {
    settings: &'a config::Cookie,
    /// The id of the server that answered.
    id: Option<&'a str>,
    /// The request's cookie named the server that answered.
    is_direct: bool,
    is_ignored: bool,
    request_letter: u8,
    set_cookie: Option<Vec<u8>>,
    is_private: bool,
    /// What was done to the response's cookies so far, as HAProxy's log tells it.
    response_letter: Cell<u8>,
}

impl Persistence {
    /// What becomes of this response.
    pub fn answer<'a, 'f, I: Iterator<Item = (&'f [u8], &'f [u8])>>(
        &self,
        backend: &'a Backend,
        answered: &Answered<'a, impl Fn() -> I>,
        wall: impl Fn() -> SystemTime,
    ) -> Option<Answer<'a>> {
        let settings = backend.settings().cookie.as_ref()?;
        let server = answered.server;
        let is_direct = self.is_pinned_to(server);
        let mut answer = Answer {
            settings,
            id: server.cookie(),
            is_direct,
            is_ignored: self.is_ignored,
            request_letter: self.request_letter(Some(server)),
            set_cookie: None,
            is_private: false,
            response_letter: Cell::new(b'N'),
        };
        let is_ours = |(name, value): (&[u8], &[u8])| {
            name.eq_ignore_ascii_case(b"set-cookie") && set_cookie::value_of(value, &settings.name).is_some()
        };
        let gives = settings.mode == CookieMode::Insert
            && !self.is_ignored
            && (answered.is_post || !settings.postonly)
            && (!is_direct || self.is_due(settings, &wall))
            && !(settings.preserve && (answered.fields)().any(is_ours));
        if gives {
            answer.set_cookie = Some(self.new_cookie(settings, server, &wall));
            answer.is_private =
                settings.nocache && is_cacheable(answered.is_safe, answered.status, (answered.fields)());
        }
        Some(answer)
    }

    /// HAProxy's letters for a request that no server has answered; `server` was tried last.
    pub fn unanswered(&self, backend: &Backend, server: Option<&Server>) -> [u8; 2] {
        match &backend.settings().cookie {
            Some(settings) if is_logged(settings) => [self.request_letter(server), b'N'],
            _ => *b"--",
        }
    }

    /// A cookie that named a server is of no use where another one was taken.
    fn request_letter(&self, server: Option<&Server>) -> u8 {
        let was_moved = server.is_some_and(|server| !self.is_pinned_to(server));
        match self.named {
            super::Named::Up if self.server.is_some() && was_moved => b'D',
            named => named.letter(),
        }
    }

    /// Whether the dates in the client's cookie must be renewed, added or taken out.
    fn is_due(&self, settings: &config::Cookie, wall: &impl Fn() -> SystemTime) -> bool {
        let last_is_due = match self.last {
            Some(last) => last.is_before(wall()),
            None => settings.maxidle.is_some(),
        };
        last_is_due || settings.maxlife.is_some() != self.first.is_some()
    }

    fn new_cookie(
        &self,
        settings: &config::Cookie,
        server: &Server,
        wall: &impl Fn() -> SystemTime,
    ) -> Vec<u8> {
        let (name, attributes) = (settings.name.as_bytes(), settings.attributes.as_bytes());
        let mut value = Vec::with_capacity(name.len() + attributes.len() + 64);
        value.extend_from_slice(name);
        value.push(b'=');
        if let Some(id) = server.cookie() {
            value.extend_from_slice(id.as_bytes());
            let dated = settings.maxidle.is_some() || settings.maxlife.is_some();
            let last = dated.then(|| Date::of(wall()));
            let first = settings.maxlife.and(self.first.or(last));
            let token = settings.count_users.then(|| self.token.unwrap_or_else(Token::new));
            write_rest(last, first, token.as_ref(), &mut value);
        } else {
            value.extend_from_slice(b"; Expires=Thu, 01-Jan-1970 00:00:01 GMT");
        }
        value.extend_from_slice(b"; path=/");
        value.extend_from_slice(attributes);
        value
    }
}

impl Answer<'_> {
    /// The `Set-Cookie` that is added; `None`: the client has the right one, or gets none from us.
    pub fn set_cookie(&self) -> Option<&[u8]> {
        self.set_cookie.as_deref()
    }

    /// Whether caches are told to keep it for its client alone.
    pub fn is_private(&self) -> bool {
        self.is_private
    }

    /// What becomes of a `Set-Cookie` header of the server's.
    pub fn passage(&self, header: &[u8]) -> Passage {
        let Some(place) = set_cookie::value_of(header, &self.settings.name).filter(|_| !self.is_ignored)
        else {
            return Passage::Unchanged;
        };
        let letter = &self.response_letter;
        letter.set(b'P');
        if self.settings.preserve {
            return Passage::Unchanged;
        }
        if self.settings.mode == CookieMode::Insert || (self.is_direct && self.settings.indirect) {
            letter.set(b'D');
            return Passage::Dropped;
        }
        let Some(id) = self.id else { return Passage::Unchanged };
        let value = &header[place.clone()];
        let insertion: &[&[u8]] = match self.settings.mode {
            CookieMode::Rewrite => &[id.as_bytes()],
            CookieMode::Prefix => &[id.as_bytes(), &[TILDE], value],
            CookieMode::Passive | CookieMode::Insert => return Passage::Unchanged,
        };
        letter.set(b'R');
        Passage::Replaced(set_cookie::with(header, &place, insertion))
    }

    /// HAProxy's two letters for the log: what the request had, what the response got. To be asked when all of the
    /// server's cookies have passed.
    pub fn letters(&self) -> [u8; 2] {
        if !is_logged(self.settings) {
            return *b"--";
        }
        let response = match &self.set_cookie {
            Some(_) if self.is_direct && self.id.is_some() => b'U',
            Some(_) => b'I',
            None => self.response_letter.get(),
        };
        [self.request_letter, response]
    }
}

/// HAProxy's log says nothing of a cookie that is only looked at.
fn is_logged(settings: &config::Cookie) -> bool {
    settings.mode != CookieMode::Passive || settings.indirect || settings.preserve
}
