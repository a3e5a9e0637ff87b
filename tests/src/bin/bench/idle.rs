//! What an idle client connection costs in memory.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    time::Duration,
};

use anyhow::{Context, Result, ensure};

use drain_tests::usage;

use crate::peer::Peer;

/// The longest that a proxy may take for one answer here.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Opens `count` connections, each of which asks once and stays open, and gives the growth of the proxy's
/// resident memory per connection, in bytes.
pub(crate) fn bytes_per_connection(peer: &Peer, count: u32) -> Result<f64> {
    // What is allocated once, for the first requests, is no connection's.
    let _warm: Vec<TcpStream> = (0..100).map(|_| ask(peer)).collect::<Result<_>>()?;
    let before = usage::resident_kib(peer.pid())?;
    let held: Vec<TcpStream> = (0..count).map(|_| ask(peer)).collect::<Result<_>>()?;
    let after = usage::resident_kib(peer.pid())?;
    ensure!(held.len() == count as usize, "connections were lost");
    Ok((after.saturating_sub(before) * 1024) as f64 / f64::from(count))
}

/// Opens a connection, sends one request on it and reads the answer.
fn ask(peer: &Peer) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(peer.address).with_context(|| format!("connect to {}", peer.name))?;
    stream.set_read_timeout(Some(ANSWER_WITHIN))?;
    stream.write_all(b"GET /100 HTTP/1.1\r\nHost: bench\r\n\r\n")?;
    let mut seen = Vec::new();
    let mut buffer = [0; 4096];
    while !seen.ends_with(&[b'x'; 100]) {
        let n = stream.read(&mut buffer).with_context(|| format!("{} does not answer", peer.name))?;
        ensure!(n > 0, "{} closed the connection instead of answering", peer.name);
        seen.extend_from_slice(&buffer[..n]);
    }
    Ok(stream)
}
