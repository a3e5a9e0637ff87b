//! A connection to a server of the soak, which somebody else may break at any moment.

use std::{
    io::{self, Read as _, Write as _},
    net::{Shutdown, TcpStream},
    sync::atomic::{AtomicBool, AtomicU8, Ordering},
    time::Duration,
};

use socket2::SockRef;

use crate::server::Server;

/// After so long without progress a blocked read or write looks whether the server still lives.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Written at once: a server that stalls or dies does so in the middle of long answers.
const PIECE: usize = 32 * 1024;
/// Nothing that a client of the soak sends is longer.
const MESSAGE_LIMIT: usize = 16 << 20;

const FRESH: u8 = 0;
const BUSY: u8 = 1;
const IDLE: u8 = 2;
const CLOSED: u8 = 3;

/// One connection.
#[derive(Debug)]
pub(crate) struct Link {
    stream: TcpStream,
    state: AtomicU8,
    dead: AtomicBool,
    /// The answer under way ends with the connection: only a reset shows that it has broken off.
    until_close: AtomicBool,
}

impl Link {
    pub(crate) fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(LOOK_EVERY))?;
        stream.set_write_timeout(Some(LOOK_EVERY))?;
        let state = AtomicU8::new(FRESH);
        Ok(Self { stream, state, dead: AtomicBool::new(false), until_close: AtomicBool::new(false) })
    }

    /// Breaks it; `reset`: by RST.
    pub(crate) fn kill(&self, reset: bool) {
        self.dead.store(true, Ordering::SeqCst);
        let how = if reset || self.until_close.load(Ordering::SeqCst) {
            // RST follows when the last holder drops the socket, which is at once.
            let _ = SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
            Shutdown::Read
        } else {
            Shutdown::Both
        };
        let _ = self.stream.shutdown(how);
    }

    /// Closes it unless a request has begun, or none has ever come.
    pub(crate) fn close_if_idle(&self) {
        if self.state.compare_exchange(IDLE, CLOSED, Ordering::SeqCst, Ordering::SeqCst).is_ok() {
            let _ = self.stream.shutdown(Shutdown::Both);
        }
    }

    /// The request is answered: the connection waits for another.
    pub(crate) fn rest(&self) {
        self.state.store(IDLE, Ordering::SeqCst);
    }

    /// From now on only the connection's end tells the end of the answer.
    pub(crate) fn ends_with_close(&self) {
        self.until_close.store(true, Ordering::SeqCst);
    }

    /// Writes all.
    pub(crate) fn write(&self, server: &Server, bytes: &[u8]) -> io::Result<()> {
        for mut piece in bytes.chunks(PIECE) {
            while !piece.is_empty() {
                server.pass();
                self.alive()?;
                match (&self.stream).write(piece) {
                    Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                    Ok(count) => piece = &piece[count..],
                    Err(error) if is_timeout(&error) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }

    /// Appends what comes to `buffer`; false: the other side has closed.
    pub(crate) fn read(&self, server: &Server, buffer: &mut Vec<u8>) -> io::Result<bool> {
        if buffer.len() > MESSAGE_LIMIT {
            return Err(io::Error::other("a message of more than 16 MiB"));
        }
        let mut some = [0; 16 * 1024];
        loop {
            server.pass();
            self.alive()?;
            let count = match (&self.stream).read(&mut some) {
                Err(error) if is_timeout(&error) => continue,
                read => read?,
            };
            self.alive()?;
            if count > 0 && !self.begin() {
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
            buffer.extend_from_slice(&some[..count]);
            return Ok(count > 0);
        }
    }

    /// Something has come; false: too late.
    fn begin(&self) -> bool {
        self.state
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |state| (state != CLOSED).then_some(BUSY))
            .is_ok()
    }

    fn alive(&self) -> io::Result<()> {
        if self.dead.load(Ordering::SeqCst) { Err(io::ErrorKind::ConnectionAborted.into()) } else { Ok(()) }
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted)
}
