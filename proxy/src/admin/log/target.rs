//! Where lines go: a stream, or datagrams of one line each.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use crate::config::LogTarget;

/// A target that is open, or will be opened by the next line.
#[derive(Debug)]
pub(super) enum Target {
    Stdout,
    Stderr,
    File(PathBuf, File),
    Udp(SocketAddr, Option<UdpSocket>),
    Unix(PathBuf, Option<UnixDatagram>),
    #[cfg(test)]
    Test(Gate),
}

/// Lines that did not get through.
#[derive(Debug)]
pub(super) struct Lost {
    pub(super) lines: u64,
    /// What the target said last.
    pub(super) error: io::Error,
}

impl Target {
    /// Opens a file. A syslog that is not there yet is no error: it may start later than the proxy.
    pub(super) fn open(target: &LogTarget) -> io::Result<Self> {
        Ok(match target {
            LogTarget::Stdout => Self::Stdout,
            LogTarget::Stderr => Self::Stderr,
            LogTarget::File(path) => Self::File(path.clone(), append(path)?),
            LogTarget::Udp(address) => Self::Udp(*address, None),
            LogTarget::Unix(path) => Self::Unix(path.clone(), None),
        })
    }

    /// Writes whole lines.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), Lost> {
        match self {
            Self::Stdout => stream(&mut io::stdout().lock(), bytes),
            Self::Stderr => stream(&mut io::stderr().lock(), bytes),
            Self::File(_, file) => stream(file, bytes),
            Self::Udp(address, socket) => datagrams(socket, || udp(*address), bytes),
            Self::Unix(path, socket) => datagrams(socket, || unix(path), bytes),
            #[cfg(test)]
            Self::Test(gate) => stream(gate, bytes),
        }
    }

    /// Opens it anew: what was there has been moved away. Where that fails, the old one is written on.
    pub(super) fn reopen(&mut self) -> io::Result<()> {
        match self {
            Self::File(path, file) => *file = append(path)?,
            Self::Udp(_, socket) => *socket = None,
            Self::Unix(_, socket) => *socket = None,
            _ => {}
        }
        Ok(())
    }
}

fn stream(to: &mut impl Write, bytes: &[u8]) -> Result<(), Lost> {
    let mut rest = bytes;
    let result = loop {
        if rest.is_empty() {
            break to.flush();
        }
        match to.write(rest) {
            Ok(0) => break Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => rest = &rest[count..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => break Err(error),
        }
    };
    result.map_err(|error| Lost { lines: lines(rest), error })
}

/// A socket that sends a datagram a line.
trait Datagrams: Sized {
    /// The error of a refusal belongs to the line before.
    const TELLS_LATE: bool;

    fn send(&self, line: &[u8]) -> io::Result<usize>;
}

impl Datagrams for UdpSocket {
    const TELLS_LATE: bool = true;

    fn send(&self, line: &[u8]) -> io::Result<usize> {
        self.send(line)
    }
}

impl Datagrams for UnixDatagram {
    const TELLS_LATE: bool = false;

    fn send(&self, line: &[u8]) -> io::Result<usize> {
        self.send(line)
    }
}

/// Sends each line, its end included, as HAProxy does. A socket that has failed is opened anew once for each line, so
/// that a syslog that was restarted is found again.
fn datagrams<S: Datagrams>(
    socket: &mut Option<S>,
    open: impl Fn() -> io::Result<S>,
    bytes: &[u8],
) -> Result<(), Lost> {
    let mut lost = 0;
    let mut last = None;
    for line in bytes.split_inclusive(|&byte| byte == b'\n') {
        if let Some(open_socket) = &*socket
            && let Err(error) = send(open_socket, line)
        {
            *socket = None;
            if S::TELLS_LATE && error.kind() == io::ErrorKind::ConnectionRefused {
                lost += 1;
                last = Some(error);
            }
        } else if socket.is_some() {
            continue;
        }
        let sent = open().and_then(|fresh| send(&fresh, line).map(|()| fresh));
        match sent {
            Ok(fresh) => *socket = Some(fresh),
            Err(error) => {
                lost += 1;
                last = Some(error);
            }
        }
    }
    last.map_or(Ok(()), |error| Err(Lost { lines: lost, error }))
}

fn send(socket: &impl Datagrams, line: &[u8]) -> io::Result<()> {
    loop {
        match socket.send(line) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result.map(drop),
        }
    }
}

fn lines(bytes: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', bytes).count() as u64
}

/// A pipe is opened for reading as well, so that neither this nor a reader who goes stops anything.
fn append(path: &Path) -> io::Result<File> {
    let is_pipe = path.metadata().is_ok_and(|data| data.file_type().is_fifo());
    OpenOptions::new().append(true).read(is_pipe).create(true).open(path)
}

fn udp(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = match address {
        SocketAddr::V4(_) => UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?,
        SocketAddr::V6(_) => UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0))?,
    };
    socket.connect(address)?;
    Ok(socket)
}

fn unix(path: &Path) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.connect(path)?;
    Ok(socket)
}

/// Takes bytes only when it is allowed to.
#[cfg(test)]
#[derive(Debug)]
pub(super) struct Gate(
    pub(super) std::sync::Arc<std::sync::Mutex<()>>,
    pub(super) std::sync::mpsc::Sender<Vec<u8>>,
);

#[cfg(test)]
impl Write for Gate {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _open = self.0.lock().unwrap();
        let _ = self.1.send(bytes.to_vec());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory of this test's own.
    struct Directory(PathBuf);

    impl Directory {
        fn new(test: &str) -> Self {
            let path = std::env::temp_dir().join(format!("drain-proxy-{test}-{}", std::process::id()));
            std::fs::create_dir_all(&path).unwrap();
            Self(path)
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn received(receive: impl Fn(&mut [u8]) -> io::Result<usize>) -> String {
        let mut buffer = [0; 100];
        let length = receive(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    }

    #[test]
    fn a_file_that_was_moved_is_opened_anew() {
        let directory = Directory::new("moved");
        let (path, moved) = (directory.0.join("access.log"), directory.0.join("access.log.1"));
        let mut target = Target::open(&LogTarget::File(path.clone())).unwrap();
        target.write(b"one\n").unwrap();
        std::fs::rename(&path, &moved).unwrap();
        target.write(b"two\n").unwrap();
        target.reopen().unwrap();
        target.write(b"three\n").unwrap();
        assert_eq!(std::fs::read_to_string(&moved).unwrap(), "one\ntwo\n");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "three\n");
    }

    #[test]
    fn a_full_disk_costs_lines_and_they_are_counted() {
        let mut target = Target::open(&LogTarget::File("/dev/full".into())).unwrap();
        assert_eq!(target.write(b"one\ntwo\nthree\n").unwrap_err().lines, 3);
    }

    #[test]
    fn each_line_is_a_datagram() {
        let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut target = Target::open(&LogTarget::Udp(receiver.local_addr().unwrap())).unwrap();
        target.write(b"one\ntwo\n").unwrap();
        assert_eq!([(); 2].map(|()| received(|buffer| receiver.recv(buffer))), ["one\n", "two\n"]);
    }

    #[test]
    fn a_udp_port_that_nobody_has_costs_lines_and_they_are_counted() {
        let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut target = Target::open(&LogTarget::Udp(receiver.local_addr().unwrap())).unwrap();
        drop(receiver);
        // The kernel tells of a line that was refused when the next one is sent.
        let lost = target.write(&b"one\n".repeat(10)).unwrap_err();
        assert!((1..10).contains(&lost.lines), "{lost:?}");
        assert_eq!(lost.error.kind(), io::ErrorKind::ConnectionRefused);
    }

    #[test]
    fn a_syslog_that_starts_late_or_again_is_found() {
        let directory = Directory::new("syslog");
        let path = directory.0.join("log");
        let mut target = Target::open(&LogTarget::Unix(path.clone())).unwrap();
        assert_eq!(target.write(b"one\ntwo\n").unwrap_err().lines, 2);
        for _ in 0..2 {
            let receiver = UnixDatagram::bind(&path).unwrap();
            target.write(b"three\nfour\n").unwrap();
            assert_eq!([(); 2].map(|()| received(|buffer| receiver.recv(buffer))), ["three\n", "four\n"]);
            drop(receiver);
            std::fs::remove_file(&path).unwrap();
            assert_eq!(target.write(b"five\nsix\n").unwrap_err().lines, 2);
        }
    }

    #[test]
    fn a_pipe_without_a_reader_takes_what_it_has_room_for() {
        let directory = Directory::new("pipe");
        let path = directory.0.join("pipe");
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, mode).unwrap();
        let mut target = Target::open(&LogTarget::File(path)).unwrap();
        target.write(b"one\n").unwrap();
    }
}
