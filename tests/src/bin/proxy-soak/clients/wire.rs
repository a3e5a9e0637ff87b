//! A client's end of a connection, which may be slow, and which knows whether it has waited in vain.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use drain_tests::clock;
use socket2::SockRef;

/// Longer than all the proxy's timeouts and retries together: who has not heard anything then never will.
pub(super) const PATIENCE: Duration = Duration::from_mins(1);

/// How fast somebody reads.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    pub(super) bytes: usize,
    pub(super) pause: Duration,
}

/// A connection.
#[derive(Debug)]
pub(super) struct Wire {
    stream: TcpStream,
    pace: Option<Pace>,
    hung: Arc<AtomicBool>,
}

impl Wire {
    /// Connects.
    pub(super) fn open(to: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&to, PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { stream, pace: None, hung: Arc::default() })
    }

    /// Reads no faster than that, with a small window, so that the other side notices.
    pub(super) fn slowly(mut self, pace: Pace) -> io::Result<Self> {
        SockRef::from(&self.stream).set_recv_buffer_size(16 * 1024)?;
        self.pace = Some(pace);
        Ok(self)
    }

    /// Becomes true when nothing has moved for as long as the patience lasts.
    pub(super) fn hung(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.hung)
    }

    /// Sends nothing more.
    pub(super) fn finish(&self) {
        let _ = self.stream.shutdown(std::net::Shutdown::Write);
    }

    /// Closes by RST.
    pub(super) fn reset(self) {
        let _ = SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
    }

    fn note<T>(&self, result: io::Result<T>) -> io::Result<T> {
        if let Err(error) = &result
            && matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
        {
            self.hung.store(true, Ordering::Relaxed);
        }
        result
    }
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut length = buffer.len();
        if let Some(Pace { bytes, pause }) = self.pace {
            clock::pause(pause);
            length = length.min(bytes);
        }
        let read = self.stream.read(&mut buffer[..length]);
        self.note(read)
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.stream.write(bytes);
        self.note(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
