//! `[admin]`, what belongs to its `socket`: where HAProxy's runtime commands are taken.

use std::{
    fmt,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use drain_config::{Table, Value};

/// A socket that takes HAProxy's runtime commands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AdminSocket {
    /// Where it is.
    pub at: Place,
    /// The permissions of its file; `None`: those of the process.
    pub mode: Option<u32>,
    /// Its file's group; `None`: that of the process.
    pub group: Option<Arc<str>>,
    /// Its file's owner; `None`: the process's.
    pub user: Option<Arc<str>>,
    /// What whoever connects may do.
    pub level: Level,
    /// For how long a connection may be silent.
    pub timeout: Duration,
    /// Connections at once.
    pub connections: u32,
}

/// Where a socket for commands is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Place {
    /// In the file system, at this absolute path: its permissions say who may connect.
    File(PathBuf),
    /// Under a name that is nowhere in the file system (HAProxy: `abns@NAME`): whoever is in the same network namespace
    /// may connect.
    Abstract(Arc<str>),
    /// At a TCP port: whoever reaches it may connect.
    Address(SocketAddr),
    /// With this number the process was started with it (HAProxy: `fd@3`): who listens there has chosen who may connect.
    Descriptor(u16),
}

/// What somebody may do.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Level {
    /// Look at what gives nothing away.
    User,
    /// Look at everything.
    Operator,
    /// Change it.
    Admin,
}

impl Level {
    /// HAProxy's words.
    const WORDS: [(&str, Self); 3] =
        [("user", Self::User), ("operator", Self::Operator), ("admin", Self::Admin)];

    /// As HAProxy calls it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }
}

impl Place {
    /// Linux' `sun_path` has 108 bytes, of which an abstract name has all but the first.
    pub const LONGEST_NAME: usize = 107;

    /// `/run/admin.sock`, `127.0.0.1:9999`, `abns@NAME`, `fd@3`; `None`: none of them.
    pub fn read(text: &str) -> Option<Self> {
        if let Some(name) = text.strip_prefix("abns@") {
            let fits = !name.is_empty() && name.len() <= Self::LONGEST_NAME && !name.contains('\0');
            return fits.then(|| Self::Abstract(name.into()));
        }
        if let Some(number) = text.strip_prefix("fd@") {
            return number.parse().ok().map(Self::Descriptor);
        }
        if text.starts_with('/') {
            return Some(Self::File(text.into()));
        }
        let address: SocketAddr = match text.strip_prefix("localhost:") {
            Some(port) => (Ipv4Addr::LOCALHOST, port.parse().ok()?).into(),
            None => text.parse().ok()?,
        };
        (address.port() != 0).then_some(Self::Address(address))
    }

    /// Whether it can't be listened on as long as the other one is.
    pub fn is_in_the_way_of(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Address(one), Self::Address(other)) => one.port() == other.port(),
            _ => self == other,
        }
    }

    /// Whether other machines may reach it, which are asked for no password.
    pub fn is_exposed(&self) -> bool {
        matches!(self, Self::Address(address) if !address.ip().to_canonical().is_loopback())
    }
}

/// As it is written in a configuration.
impl fmt::Display for Place {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(out),
            Self::Abstract(name) => write!(out, "abns@{name}"),
            Self::Address(address) => address.fmt(out),
            Self::Descriptor(number) => write!(out, "fd@{number}"),
        }
    }
}

/// HAProxy's `stats timeout`.
const TIMEOUT: Duration = Duration::from_secs(10);

/// HAProxy's `stats maxconn`.
const CONNECTIONS: u32 = 10;

/// More than anybody needs, and few enough to cost nothing.
const MOST_CONNECTIONS: u32 = 1000;

/// Nobody but the owner, where no group is named; that group, too, where one is.
const MODES: [u32; 2] = [0o600, 0o660];

/// What is said where a permission is none.
const MODE: &str = r#"expected octal digits, as in "660", or "umask": as the process makes its files"#;

impl AdminSocket {
    /// One with HAProxy's limits, for its owner alone, who may do everything.
    pub fn new(at: Place) -> Self {
        let (timeout, connections, level) = (TIMEOUT, CONNECTIONS, Level::Admin);
        Self { at, mode: Some(MODES[0]), group: None, user: None, level, timeout, connections }
    }

    /// `socket`, and what stands beside it: that holds for each of several, unless it says something else.
    pub(super) fn read_all(table: &Table<'_>) -> Vec<Self> {
        let given = Given::default().read(table);
        let Some(value) = table.take("socket") else { return Vec::new() };
        let socket = |value: &Value<'_>| {
            if value.is_table() {
                value.section(|table| {
                    let own = given.clone().read(table);
                    let at = table.require("at", r#""/run/drain-proxy/admin.sock""#);
                    Some(own.socket(at.and_then(|value| place(&value))?))
                })?
            } else {
                Some(given.clone().socket(place(value)?))
            }
        };
        value.each(socket).unwrap_or_default()
    }
}

/// Permissions of a file.
#[derive(Clone, Copy)]
enum Mode {
    /// Those that the process gives to files.
    Umask,
    /// These.
    Bits(u32),
}

/// What is said of sockets.
#[derive(Clone)]
struct Given {
    mode: Option<Mode>,
    group: Option<Arc<str>>,
    user: Option<Arc<str>>,
    level: Level,
    timeout: Duration,
    connections: u32,
}

impl Default for Given {
    fn default() -> Self {
        let (level, timeout, connections) = (Level::Admin, TIMEOUT, CONNECTIONS);
        Self { mode: None, group: None, user: None, level, timeout, connections }
    }
}

impl Given {
    /// What the table says, and this where it says nothing.
    fn read(self, table: &Table<'_>) -> Self {
        let name = |key, own: Option<Arc<str>>| {
            table.take(key).and_then(|value| value.text()).map(Arc::from).or(own)
        };
        Self {
            mode: table.field("mode", self.mode, |value| mode(value).map(Some)).copied(),
            group: name("group", self.group),
            user: name("user", self.user),
            level: table.choice("level", self.level, &Level::WORDS).copied(),
            timeout: table.duration("timeout", self.timeout).copied(),
            connections: table.number("connections", self.connections, 1, MOST_CONNECTIONS).copied(),
        }
    }

    fn socket(self, at: Place) -> AdminSocket {
        let Self { mode, group, user, level, timeout, connections } = self;
        let mode = match mode {
            None => Some(MODES[usize::from(group.is_some())]),
            Some(Mode::Umask) => None,
            Some(Mode::Bits(bits)) => Some(bits),
        };
        AdminSocket { at, mode, group, user, level, timeout, connections }
    }
}

fn place(value: &Value<'_>) -> Option<Place> {
    let place = Place::read(value.text()?);
    if place.is_none() {
        let expected = r#"expected an absolute path, "127.0.0.1:9999", "abns@NAME" or "fd@3""#;
        value.wrong("is no place for a socket", expected);
    }
    place
}

/// Permissions, as `chmod` writes them.
fn mode(value: &Value<'_>) -> Option<Mode> {
    let text = value.string()?;
    if text == "umask" {
        return Some(Mode::Umask);
    }
    let mode = u32::from_str_radix(text, 8).ok().filter(|mode| text.len() <= 4 && *mode <= 0o777);
    if mode.is_none() {
        value.wrong("is no file mode", MODE);
    }
    mode.map(Mode::Bits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Admin, Config};

    #[test]
    fn places_are_haproxys() {
        for (text, expected) in [
            ("/run/a.sock", Place::File("/run/a.sock".into())),
            ("127.0.0.1:9999", Place::Address("127.0.0.1:9999".parse().unwrap())),
            ("localhost:9999", Place::Address("127.0.0.1:9999".parse().unwrap())),
            ("[::1]:9999", Place::Address("[::1]:9999".parse().unwrap())),
            ("abns@drain", Place::Abstract("drain".into())),
            ("fd@7", Place::Descriptor(7)),
        ] {
            assert_eq!(Place::read(text).as_ref(), Some(&expected), "{text}");
            assert!(!expected.is_exposed());
        }
        for text in ["", "a.sock", "127.0.0.1", "127.0.0.1:0", "127.0.0.1:99999", "abns@", "fd@x", "fd@-1"] {
            assert_eq!(Place::read(text), None, "{text}");
        }
        for text in ["0.0.0.0:1", "[::]:1", "10.0.0.1:1"] {
            assert!(Place::read(text).unwrap().is_exposed(), "{text}");
        }
    }

    fn admin(lines: &str) -> Result<Admin, String> {
        let text = format!(
            "frontend.web = {{ bind = [\"127.0.0.1:0\"], backend = \"shop\" }}\nbackend.shop = {{ server = [] }}\n\
             [admin]\n{lines}\n"
        );
        let config = Config::parse("test.toml", &text, &|_, _| Ok(Vec::new()));
        config.map(|config| config.admin).map_err(|invalid| invalid.render(false))
    }

    #[test]
    fn what_stands_beside_several_sockets_holds_for_all_that_say_nothing_else() {
        let lines = "timeout = \"1m\"\nlevel = \"user\"\ngroup = \"www\"\n\
             socket = [\"abns@x\", { at = \"127.0.0.1:9999\", level = \"operator\" }, { at = \"/run/x\", mode = \"umask\", user = \"1\" }]";
        let sockets = admin(lines).unwrap().sockets;
        let one = |at: &str| AdminSocket {
            mode: Some(0o660),
            group: Some("www".into()),
            level: Level::User,
            timeout: Duration::from_mins(1),
            ..AdminSocket::new(Place::read(at).unwrap())
        };
        let expected = [
            one("abns@x"),
            AdminSocket { level: Level::Operator, ..one("127.0.0.1:9999") },
            AdminSocket { mode: None, user: Some("1".into()), ..one("/run/x") },
        ];
        assert_eq!(sockets, expected);
        let one = admin("socket = \"/run/x\"").unwrap().sockets;
        assert_eq!(one, [AdminSocket::new(Place::File("/run/x".into()))]);
    }

    #[test]
    fn what_is_no_place_or_no_mode_is_refused() {
        for lines in ["socket = \"x\"", "socket = [{ level = \"user\" }]", "socket = \"/x\"\nmode = \"999\""]
        {
            assert!(admin(lines).is_err(), "{lines}");
        }
    }
}
