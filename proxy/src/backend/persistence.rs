//! Who belongs to which server: the persistence cookie, of HAProxy's mode `insert`.
//!
//! | the request's cookie names | it goes to | `Set-Cookie` | log |
//! |---|---|---|---|
//! | nothing (none, or not ours) | any | yes | `NI` |
//! | a server that is not down | that | none; dates are taken out of an old value (`VU`) | `VN` |
//! | a server that is down | any | yes | `DI` |
//! | no server we know, or is empty | any | yes | `II` |
//! | a server that failed and was replaced on retry | any | yes | `DI` |
//!
//! A server without a cookie of its own answers with a deletion. With `count_users` a new cookie is
//! `ID|~TOKEN`: HAProxy, which expects dates behind the bar, takes it for `ID`. A user who is moved keeps the token.

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::net::IpAddr;

use super::server::Operation;
use super::{Backend, Server, Wish, cookie};

/// Letters of a token: 62^12 of them are 71 bits, so that no two users of a site ever share one.
const TOKEN_LENGTH: usize = 12;

/// What tells a user from others.
type Token = [u8; TOKEN_LENGTH];

/// What HAProxy writes between the server's id and what follows it.
const BAR: u8 = b'|';

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

/// What the cookies of a request say.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Named {
    #[default]
    Nothing,
    Unknown,
    Down,
    Server(usize),
}

/// What one request says about where it belongs, and what its response must say.
#[derive(Clone, Debug)]
pub struct Persistence {
    named: Named,
    /// The value carried dates, which we do not keep.
    is_dated: bool,
    /// What the user's next cookie says behind the server's id: the token it came with, or a new one. `None` where
    /// users are not counted, and where a cookie without one names a server that can take the request.
    token: Option<Token>,
    user: u64,
}

/// A `Set-Cookie` for a response.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SetCookie {
    /// The header's value.
    pub value: Vec<u8>,
    /// Whether it only renews what the client has.
    pub is_update: bool,
}

impl Persistence {
    /// What these `Cookie` headers say. The first cookie that names a server that may take the request decides.
    pub fn read<'a>(
        backend: &Backend,
        headers: impl Iterator<Item = &'a [u8]>,
        client: IpAddr,
    ) -> Option<Self> {
        let settings = backend.settings().cookie.as_ref()?;
        let mut persistence = Self { named: Named::Nothing, is_dated: false, token: None, user: 0 };
        let mut given = None;
        for value in headers.flat_map(|header| cookie::values(header, &settings.name)) {
            let (id, rest) = split_at_bar(value);
            let named = find(backend, id);
            if let Named::Server(_) = named {
                given = rest.strip_prefix(b"~").filter(|token| !token.is_empty());
                persistence.is_dated = starts_with_date(rest);
                persistence.named = named;
                break;
            }
            // One that names a server that is down tells more than an unknown one.
            if named == Named::Down || persistence.named == Named::Nothing {
                given = rest.strip_prefix(b"~").filter(|_| named == Named::Down);
                persistence.named = named;
            }
        }
        if settings.count_users {
            let is_new = !matches!(persistence.named, Named::Server(_));
            persistence.token = given.and_then(sound_token).or_else(|| is_new.then(new_token));
        }
        persistence.user = match (given, &persistence.token) {
            (_, Some(token)) => hash(&token[..]),
            (Some(token), None) => hash(token),
            (None, None) => hash(&client),
        };
        Some(persistence)
    }

    /// What to ask the backend for.
    pub fn wish(&self) -> Wish {
        match self.named {
            Named::Server(index) => Wish::Pinned(index),
            _ => Wish::Balanced { avoid: None },
        }
    }

    /// Whether the cookie named this server and it could take the request.
    pub fn is_pinned_to(&self, server: &Server) -> bool {
        self.named == Named::Server(server.index())
    }

    /// Who the user is, to be told to the [`Users`](super::users::Users) of the server that takes the request.
    pub fn user(&self) -> u64 {
        self.user
    }

    /// The `Set-Cookie` that goes out with the final response of this server; `None`: the client has the right one.
    pub fn set_cookie(&self, backend: &Backend, server: &Server) -> Option<SetCookie> {
        let settings = backend.settings().cookie.as_ref()?;
        let is_update = self.is_pinned_to(server);
        if is_update && !self.is_dated {
            return None;
        }
        let name = settings.name.as_bytes();
        let attributes = settings.attributes.as_bytes();
        let mut value = Vec::with_capacity(name.len() + attributes.len() + 64);
        value.extend_from_slice(name);
        value.push(b'=');
        if let Some(id) = server.cookie() {
            value.extend_from_slice(id.as_bytes());
            if settings.count_users {
                value.extend_from_slice(b"|~");
                value.extend_from_slice(&self.token.unwrap_or_else(new_token));
            }
        } else {
            value.extend_from_slice(b"; Expires=Thu, 01-Jan-1970 00:00:01 GMT");
        }
        value.extend_from_slice(b"; path=/");
        value.extend_from_slice(attributes);
        Some(SetCookie { value, is_update })
    }

    /// HAProxy's two letters for the log: what the request had, what the response got. `served_by` is the server
    /// that answered, if one did; `dropped` says that the server's own cookie of our name was taken out.
    pub fn log_flags(&self, served_by: Option<&Server>, sent: Option<&SetCookie>, dropped: bool) -> [u8; 2] {
        let request = match self.named {
            Named::Nothing => b'N',
            Named::Unknown => b'I',
            Named::Down => b'D',
            Named::Server(_) if served_by.is_some_and(|server| !self.is_pinned_to(server)) => b'D',
            Named::Server(_) => b'V',
        };
        let response = match sent {
            Some(SetCookie { is_update: true, .. }) => b'U',
            Some(_) => b'I',
            None if dropped => b'D',
            None => b'N',
        };
        [request, response]
    }
}

/// What becomes of a request's `Cookie` header on its way to the server.
pub fn cookie_passage(backend: &Backend, header: &[u8]) -> Passage {
    let Some(settings) = backend.settings().cookie.as_ref().filter(|settings| settings.indirect) else {
        return Passage::Unchanged;
    };
    match cookie::without(header, &settings.name) {
        None => Passage::Unchanged,
        Some(rest) if rest.is_empty() => Passage::Dropped,
        Some(rest) => Passage::Replaced(rest),
    }
}

/// What becomes of a server's `Set-Cookie` header: one of our name is ours to give.
pub fn set_cookie_passage(backend: &Backend, header: &[u8]) -> Passage {
    let Some(settings) = backend.settings().cookie.as_ref() else { return Passage::Unchanged };
    let name = header.split(|&byte| byte == b'=').next().unwrap_or_default();
    let is_ours = name.len() < header.len() && name.trim_ascii() == settings.name.as_bytes();
    if is_ours { Passage::Dropped } else { Passage::Unchanged }
}

/// The first server with this id that is not down: several may share one.
fn find(backend: &Backend, id: &[u8]) -> Named {
    if id.is_empty() {
        return Named::Unknown;
    }
    let has_id = |server: &&std::sync::Arc<Server>| server.cookie().is_some_and(|own| own.as_bytes() == id);
    let mut named = Named::Unknown;
    for server in backend.servers().iter().filter(has_id) {
        if server.operation() != Operation::Down {
            return Named::Server(server.index());
        }
        named = Named::Down;
    }
    named
}

fn split_at_bar(value: &[u8]) -> (&[u8], &[u8]) {
    match memchr::memchr(BAR, value) {
        Some(at) => (&value[..at], &value[at + 1..]),
        None => (value, b""),
    }
}

/// Whether HAProxy would read a date here: five letters of its base 64, not all zero.
fn starts_with_date(rest: &[u8]) -> bool {
    let is_letter = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    let is_date = |text: &[u8]| {
        text.get(..5).is_some_and(|date| date.iter().all(is_letter) && date.iter().any(|&byte| byte != b'A'))
    };
    let (last_seen, first_seen) = split_at_bar(rest);
    is_date(last_seen) || is_date(first_seen)
}

/// A token as we give them; what a client has made up is not sent back to it.
fn sound_token(text: &[u8]) -> Option<Token> {
    text.try_into().ok().filter(|token: &Token| token.iter().all(u8::is_ascii_alphanumeric))
}

fn new_token() -> Token {
    std::array::from_fn(|_| fastrand::alphanumeric() as u8)
}

fn hash(value: &(impl std::hash::Hash + ?Sized)) -> u64 {
    BuildHasherDefault::<DefaultHasher>::default().hash_one(value)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::fixture::{backend_of, server};
    use super::*;
    use crate::config;

    const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn shop(count_users: bool) -> Arc<Backend> {
        let cookie = config::Cookie {
            name: "SID".into(),
            indirect: true,
            attributes: "; HttpOnly; Secure".into(),
            count_users,
        };
        let bare = config::Server { cookie: None, backup: true, ..server("bare") };
        let shared = config::Server { cookie: Some("a".into()), ..server("c") };
        backend_of(config::Backend {
            cookie: Some(cookie),
            ..super::super::fixture::settings(vec![server("a"), server("b"), shared, bare])
        })
    }

    fn read(backend: &Backend, cookies: &[&str]) -> Persistence {
        Persistence::read(backend, cookies.iter().map(|header| header.as_bytes()), CLIENT).unwrap()
    }

    /// What the log says when `server` has answered, and the cookie it set.
    fn outcome(backend: &Backend, cookies: &[&str], server: usize) -> (String, Option<String>) {
        let persistence = read(backend, cookies);
        let server = &backend.servers()[server];
        let sent = persistence.set_cookie(backend, server);
        let flags = persistence.log_flags(Some(server), sent.as_ref(), false);
        let value = sent.map(|sent| String::from_utf8(sent.value).unwrap());
        (String::from_utf8(flags.to_vec()).unwrap(), value)
    }

    const COOKIE_OF_A: &str = "SID=a; path=/; HttpOnly; Secure";

    #[test]
    fn the_cookie_decides_as_in_haproxy() {
        let backend = shop(false);
        for (cookies, pinned_to, flags) in [
            (&[][..], None, "NI"),
            (&["x=1"], None, "NI"),
            (&["SID"], None, "NI"),
            (&["SID=zz"], None, "II"),
            (&["SID="], None, "II"),
            (&["SID=\"a\""], None, "II"),
            (&["SID=a"], Some(0), "VN"),
            (&["SID = b"], Some(1), "VN"),
            (&["SID=zz; SID=b"], Some(1), "VN"),
            (&["SID=zz", "x=1; SID=b"], Some(1), "VN"),
            (&["SID=b; SID=a"], Some(1), "VN"),
            (&["SID=a|~x7Kq"], Some(0), "VN"),
            (&["SID=a|???"], Some(0), "VN"),
        ] {
            let expected = if pinned_to.is_some() { None } else { Some(COOKIE_OF_A.to_owned()) };
            let served_by = pinned_to.unwrap_or(0);
            assert_eq!(
                outcome(&backend, cookies, served_by),
                (flags.to_owned(), expected.clone()),
                "{cookies:?}"
            );
            let wish = read(&backend, cookies).wish();
            match pinned_to {
                Some(index) => assert!(matches!(wish, Wish::Pinned(found) if found == index), "{cookies:?}"),
                None => assert!(matches!(wish, Wish::Balanced { .. }), "{cookies:?}"),
            }
        }
    }

    #[test]
    fn a_dated_cookie_is_accepted_and_given_anew_without_dates() {
        assert_eq!(
            outcome(&shop(false), &["SID=a|ZxY12"], 0),
            ("VU".to_owned(), Some(COOKIE_OF_A.to_owned()))
        );
        assert_eq!(
            outcome(&shop(false), &["SID=a||ZxY12"], 0),
            ("VU".to_owned(), Some(COOKIE_OF_A.to_owned()))
        );
        assert_eq!(outcome(&shop(false), &["SID=a|ZxY"], 0), ("VN".to_owned(), None));
    }

    #[test]
    fn a_server_that_is_down_loses_its_users_to_one_that_shares_its_id() {
        let backend = shop(false);
        backend.set_operation(0, Operation::Down, false);
        assert!(matches!(read(&backend, &["SID=a"]).wish(), Wish::Pinned(2)));
        backend.set_operation(2, Operation::Down, false);
        assert!(matches!(read(&backend, &["SID=a"]).wish(), Wish::Balanced { .. }));
        assert_eq!(outcome(&backend, &["SID=zz; SID=a"], 1).0, "DI");
        assert_eq!(outcome(&backend, &["SID=a; SID=zz"], 1).0, "DI");
        assert_eq!(outcome(&backend, &["SID=a; SID=b"], 1).0, "VN");
    }

    #[test]
    fn a_user_who_is_moved_on_retry_gets_a_new_cookie() {
        let backend = shop(false);
        let (flags, value) = outcome(&backend, &["SID=a"], 1);
        assert_eq!((flags.as_str(), value.as_deref()), ("DI", Some("SID=b; path=/; HttpOnly; Secure")));
    }

    #[test]
    fn a_server_without_a_cookie_deletes_the_clients() {
        let deletion = "SID=; Expires=Thu, 01-Jan-1970 00:00:01 GMT; path=/; HttpOnly; Secure";
        assert_eq!(outcome(&shop(true), &[], 3), ("NI".to_owned(), Some(deletion.to_owned())));
    }

    #[test]
    fn soft_drain_and_start_keep_pinned_users() {
        let backend = shop(false);
        backend.set_operation(1, Operation::Soft, true);
        assert_eq!(outcome(&backend, &["SID=b"], 1), ("VN".to_owned(), None));
    }

    #[test]
    fn a_user_is_the_token_of_the_cookie_that_it_was_given() {
        let backend = shop(true);
        let newcomer = read(&backend, &[]);
        let set = newcomer.set_cookie(&backend, &backend.servers()[0]).unwrap();
        let value = String::from_utf8(set.value).unwrap();
        let pair = value.split(';').next().unwrap();
        assert!(pair.starts_with("SID=a|~") && pair.len() == "SID=a|~".len() + TOKEN_LENGTH, "{value}");
        assert_eq!(read(&backend, &[pair]).user(), newcomer.user());
        assert_ne!(read(&backend, &[]).user(), newcomer.user());
        assert_eq!(outcome(&backend, &[pair], 0), ("VN".to_owned(), None));
    }

    #[test]
    fn a_user_who_is_moved_keeps_its_token() {
        let backend = shop(true);
        let of_b = Some("SID=b|~abcDEF123456; path=/; HttpOnly; Secure".to_owned());
        assert_eq!(outcome(&backend, &["SID=a|~abcDEF123456"], 1), ("DI".to_owned(), of_b.clone()));
        let user = read(&backend, &["SID=a|~abcDEF123456"]).user();
        backend.set_operation(0, Operation::Down, false);
        backend.set_operation(2, Operation::Down, false);
        assert_eq!(outcome(&backend, &["SID=a|~abcDEF123456"], 1), ("DI".to_owned(), of_b));
        assert_eq!(read(&backend, &["SID=a|~abcDEF123456"]).user(), user);
    }

    #[test]
    fn whoever_gets_a_cookie_gets_a_token_and_never_one_it_made_up() {
        let backend = shop(true);
        for (cookie, server) in
            [("SID=a", 1), ("SID=a|~abc", 1), ("SID=a|~abcDEF12345\"", 1), ("SID=a|ZxY12", 0)]
        {
            let (_, value) = outcome(&backend, &[cookie], server);
            let value = value.expect("a new cookie");
            let token = value.split("|~").nth(1).and_then(|rest| rest.split(';').next()).expect("a token");
            assert!(sound_token(token.as_bytes()).is_some() && !cookie.contains(token), "{cookie}: {value}");
        }
    }

    #[test]
    fn without_tokens_a_user_is_its_address() {
        let backend = shop(false);
        let other = IpAddr::from([127, 0, 0, 2]);
        let user_from = |address| Persistence::read(&backend, std::iter::empty(), address).unwrap().user();
        assert_eq!(user_from(CLIENT), read(&backend, &["SID=a"]).user());
        assert_ne!(user_from(CLIENT), user_from(other));
    }

    #[test]
    fn the_server_sees_no_cookie_of_ours_and_sets_none() {
        let backend = shop(false);
        assert_eq!(cookie_passage(&backend, b"x=1"), Passage::Unchanged);
        assert_eq!(cookie_passage(&backend, b"SID=a"), Passage::Dropped);
        assert_eq!(cookie_passage(&backend, b"SID=a; x=1"), Passage::Replaced(b"x=1".to_vec()));
        assert_eq!(set_cookie_passage(&backend, b"SID=hack; path=/"), Passage::Dropped);
        assert_eq!(set_cookie_passage(&backend, b"SIDE=1; path=/"), Passage::Unchanged);
        assert_eq!(set_cookie_passage(&backend, b"SID"), Passage::Unchanged);
        let persistence = read(&backend, &["SID=a"]);
        assert_eq!(persistence.log_flags(Some(&backend.servers()[0]), None, true), *b"VD");
    }

    #[test]
    fn without_a_cookie_in_the_configuration_nothing_is_touched() {
        let backend = backend_of(super::super::fixture::settings(vec![server("a")]));
        assert!(Persistence::read(&backend, std::iter::empty(), CLIENT).is_none());
        assert_eq!(cookie_passage(&backend, b"SID=a"), Passage::Unchanged);
        assert_eq!(set_cookie_passage(&backend, b"SID=a"), Passage::Unchanged);
    }
}
