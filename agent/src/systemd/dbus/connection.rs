//! A connection to the system's bus.

use std::{
    collections::VecDeque,
    env, io,
    path::{Path, PathBuf},
};

use rustix::process::geteuid;
use thiserror::Error;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
};

use super::message::{Address, FIXED, Kind, Malformed, Message, Writer};

/// Where the system's bus listens, unless the environment names another place.
const SYSTEM_BUS: &str = "/run/dbus/system_bus_socket";
/// The environment's word for it: `unix:path=…`.
const ADDRESS: &str = "DBUS_SYSTEM_BUS_ADDRESS";

/// The bus itself.
const BUS: Address<'_> = Address {
    destination: "org.freedesktop.DBus",
    path: "/org/freedesktop/DBus",
    interface: "org.freedesktop.DBus",
    member: "",
};

/// So many signals may wait while a call is answered; the oldest go. A host's start has some hundred jobs.
const SIGNALS: usize = 1024;

/// How long a line of the authentication may be.
const LINE: usize = 1024;

/// A connection. It is used by one task at a time.
#[derive(Debug)]
pub struct Connection {
    stream: UnixStream,
    /// What has come and is not read yet.
    received: Vec<u8>,
    serial: u32,
    signals: VecDeque<Message>,
}

/// Why the bus, or whoever is asked over it, gives nothing.
#[derive(Debug, Error)]
pub enum DbusError {
    /// It is not there, or has gone.
    #[error("{} can't be used: {source}", path.display())]
    Io {
        /// The bus's socket.
        path: PathBuf,
        /// What the kernel has said.
        source: io::Error,
    },
    /// It does not let the agent in.
    #[error("the bus does not accept the agent's user: {0}")]
    Unauthenticated(String),
    /// It speaks otherwise.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// Who was asked says no.
    #[error("{name}: {text}")]
    Refused {
        /// The error's name.
        name: String,
        /// What it says to people.
        text: String,
    },
    /// The bus has closed the connection.
    #[error("the bus has closed the connection")]
    Closed,
}

impl Connection {
    /// Connects to the system's bus.
    pub async fn system() -> Result<Self, DbusError> {
        let address = env::var(ADDRESS).unwrap_or_default();
        let path = address.strip_prefix("unix:path=").and_then(|path| path.split([',', ';']).next());
        Self::to(Path::new(path.unwrap_or(SYSTEM_BUS))).await
    }

    async fn to(path: &Path) -> Result<Self, DbusError> {
        let failed = |source| DbusError::Io { path: path.to_owned(), source };
        let stream = UnixStream::connect(path).await.map_err(failed)?;
        let mut connection = Self { stream, received: Vec::new(), serial: 0, signals: VecDeque::new() };
        connection.authenticate().await?;
        connection.call(&Address { member: "Hello", ..BUS }, "", Writer::default()).await?;
        Ok(connection)
    }

    /// EXTERNAL: the kernel tells the bus who connects, and the name given must be the same.
    async fn authenticate(&mut self) -> Result<(), DbusError> {
        let name: String = geteuid().as_raw().to_string().bytes().map(|byte| format!("{byte:02x}")).collect();
        self.send(format!("\0AUTH EXTERNAL {name}\r\n").as_bytes()).await?;
        let line = self.line().await?;
        if !line.starts_with("OK ") {
            return Err(DbusError::Unauthenticated(line));
        }
        self.send(b"BEGIN\r\n").await
    }

    /// Calls a method; `body` is what it gets, of the type `signature`. Signals that come meanwhile are kept.
    pub(super) async fn call(
        &mut self,
        to: &Address<'_>,
        signature: &str,
        body: Writer,
    ) -> Result<Message, DbusError> {
        self.serial = self.serial.wrapping_add(1).max(1);
        let serial = self.serial;
        self.send(&body.call(serial, to, signature)).await?;
        loop {
            let message = self.message().await?;
            match message.kind {
                Kind::Signal => self.keep(message),
                Kind::Reply if message.reply_serial == Some(serial) => return Ok(message),
                Kind::Error if message.reply_serial == Some(serial) => return Err(refusal(&message)),
                _ => {}
            }
        }
    }

    /// The same, of what stands at `path` and belongs to `destination`.
    pub async fn ask(
        &mut self,
        (destination, path): (&str, &str),
        (interface, member): (&str, &str),
        signature: &str,
        body: Writer,
    ) -> Result<Message, DbusError> {
        self.call(&Address { destination, path, interface, member }, signature, body).await
    }

    /// Lets the signals that match this rule come, from now on.
    pub async fn listen_to(&mut self, rule: &str) -> Result<(), DbusError> {
        let mut body = Writer::default();
        body.string(rule);
        self.call(&Address { member: "AddMatch", ..BUS }, "s", body).await.map(drop)
    }

    /// The next signal. Nothing is lost where this is given up.
    pub async fn signal(&mut self) -> Result<Message, DbusError> {
        if let Some(kept) = self.signals.pop_front() {
            return Ok(kept);
        }
        loop {
            let message = self.message().await?;
            if message.kind == Kind::Signal {
                return Ok(message);
            }
        }
    }

    fn keep(&mut self, signal: Message) {
        if self.signals.len() == SIGNALS {
            self.signals.pop_front();
        }
        self.signals.push_back(signal);
    }

    async fn message(&mut self) -> Result<Message, DbusError> {
        self.receive(FIXED).await?;
        let fixed: &[u8; FIXED] = self.received.first_chunk().ok_or(DbusError::Closed)?;
        let length = Message::length(fixed)?;
        self.receive(length).await?;
        let message = Message::parse(&self.received[..length])?;
        self.received.drain(..length);
        Ok(message)
    }

    async fn line(&mut self) -> Result<String, DbusError> {
        loop {
            if let Some(end) = self.received.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.received.drain(..=end).collect();
                return Ok(String::from_utf8_lossy(&line).trim().to_owned());
            }
            if self.received.len() > LINE {
                return Err(DbusError::Unauthenticated("its answer has no end".into()));
            }
            self.receive(self.received.len() + 1).await?;
        }
    }

    /// Waits until so many bytes are there.
    async fn receive(&mut self, length: usize) -> Result<(), DbusError> {
        while self.received.len() < length {
            let read = self.stream.read_buf(&mut self.received).await.map_err(lost)?;
            if read == 0 {
                return Err(DbusError::Closed);
            }
        }
        Ok(())
    }

    async fn send(&mut self, bytes: &[u8]) -> Result<(), DbusError> {
        self.stream.write_all(bytes).await.map_err(lost)
    }
}

fn lost(source: io::Error) -> DbusError {
    DbusError::Io { path: "the bus".into(), source }
}

/// What an error says: its first word to people, where it has any.
fn refusal(message: &Message) -> DbusError {
    let name = message.error.clone().unwrap_or_default();
    let text = message.body().string().unwrap_or("no reason is given").to_owned();
    DbusError::Refused { name, text }
}

#[cfg(test)]
mod tests {
    use tokio::net::UnixListener;

    use super::*;
    use crate::scratch::Scratch;

    /// A bus that lets everybody in, and answers each call with `answers` in turn.
    async fn serve(listener: UnixListener, answers: Vec<Vec<u8>>) {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut received = Vec::new();
        while !received.ends_with(b"\r\n") {
            stream.read_buf(&mut received).await.unwrap();
        }
        stream.write_all(b"OK 0123\r\n").await.unwrap();
        let mut calls = vec![0; 7];
        stream.read_exact(&mut calls).await.unwrap();
        assert_eq!(calls, b"BEGIN\r\n");
        for answer in answers {
            let mut fixed = [0; FIXED];
            stream.read_exact(&mut fixed).await.unwrap();
            let mut rest = vec![0; Message::length(&fixed).unwrap() - FIXED];
            stream.read_exact(&mut rest).await.unwrap();
            stream.write_all(&answer).await.unwrap();
        }
    }

    /// An answer to the call of this number: a signal before it, and then `kind`.
    fn answer(kind: u8, serial: u8, text: &str) -> Vec<u8> {
        let mut bytes = vec![b'l', 4, 0, 1, 0, 0, 0, 0, 9, 0, 0, 0, 13, 0, 0, 0];
        bytes.extend(b"\x03\x01s\x00\x04\x00\x00\x00Told\x00\x00\x00\x00");
        let body = text.len() as u8 + 5;
        bytes.extend([
            b'l', kind, 0, 1, body, 0, 0, 0, 9, 0, 0, 0, 8, 0, 0, 0, 5, 1, b'u', 0, serial, 0, 0, 0,
        ]);
        bytes.extend([text.len() as u8, 0, 0, 0]);
        bytes.extend(text.as_bytes());
        bytes.push(0);
        bytes
    }

    #[tokio::test]
    async fn a_call_is_answered_and_signals_are_kept() {
        let scratch = Scratch::new("dbus");
        let path = scratch.join("bus");
        let listener = UnixListener::bind(&path).unwrap();
        let bus = tokio::spawn(serve(
            listener,
            vec![answer(2, 1, ":1.7"), answer(2, 2, "yes"), answer(3, 3, "no")],
        ));
        let mut connection = Connection::to(&path).await.unwrap();
        let ask = ("a.b", "/");
        let reply = connection.ask(ask, ("a.b", "May"), "", Writer::default()).await.unwrap();
        assert_eq!(reply.body().string(), Ok("yes"));
        let refused = connection.ask(ask, ("a.b", "May"), "", Writer::default()).await.unwrap_err();
        assert!(matches!(&refused, DbusError::Refused { text, .. } if text == "no"), "{refused}");
        for _ in 0..3 {
            assert_eq!(connection.signal().await.unwrap().member.as_deref(), Some("Told"));
        }
        bus.await.unwrap();
        assert!(matches!(connection.signal().await, Err(DbusError::Closed)), "the bus has gone");
    }
}
