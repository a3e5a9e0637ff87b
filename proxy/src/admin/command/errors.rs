//! `show errors`: what came last of each proxy's clients and servers that was no HTTP, as HAProxy shows it.

use std::{fmt::Write, net::SocketAddr, time::SystemTime};

use jiff::{Timestamp, tz::TimeZone};

use super::{
    super::stats::{Proxy, proxies},
    Desk, Session,
};
use crate::{
    clock,
    snapshot::{self, Snapshot},
};

/// The columns of a line, of which HAProxy fills all but the last.
const COLUMNS: usize = 80;

pub(super) fn show(desk: &Desk, _: &mut Session, words: &[&str]) -> String {
    let generation = desk.statistics.generation();
    let proxies = proxies(&generation);
    let (name, rest) = match words {
        [kind @ ("request" | "response"), ..] => (None, Some(*kind)),
        [name, rest @ ..] => (Some(*name), rest.first().copied()),
        [] => (None, None),
    };
    let number = match name.map(|name| number(&proxies, name)) {
        Some(None) => return "No such proxy.\n".to_owned(),
        // HAProxy takes all below 0 for none.
        wanted => wanted.flatten().filter(|number| *number >= 0),
    };
    let is_wanted = |own: u32, other: Option<u32>| {
        number.is_none_or(|wanted| [Some(own), other].into_iter().flatten().any(|of| i64::from(of) == wanted))
    };
    let mut text = format!("Total events captured on [{}] : {}\n", date(clock::wall()), snapshot::taken());
    for proxy in &proxies {
        let of_clients = proxy.frontend.and_then(|frontend| frontend.open.last_bad.get());
        if let Some((event, found)) = of_clients.filter(|_| rest != Some("response"))
            && is_wanted(proxy.number, None)
        {
            let _ = write!(
                text,
                " \n[{}] frontend {}: invalid request\n  backend <NONE> (#-1)",
                date(found.at),
                of(&proxies, proxy.name)
            );
            dump(&mut text, event, &found);
        }
        let of_servers = proxy.backend.and_then(|backend| backend.last_bad().get());
        if let Some((event, found)) = of_servers.filter(|_| rest != Some("request")) {
            let frontend =
                proxies.iter().find(|known| known.frontend.is_some() && known.name == &*found.frontend);
            if is_wanted(proxy.number, frontend.map(|frontend| frontend.number)) {
                let _ = write!(
                    text,
                    " \n[{}] backend {}: invalid response\n  frontend {}",
                    date(found.at),
                    of(&proxies, proxy.name),
                    of(&proxies, &found.frontend)
                );
                dump(&mut text, event, &found);
            }
        }
    }
    text
}

/// The number of the proxy that is meant; `None`: there is none of this name.
fn number(proxies: &[Proxy<'_>], name: &str) -> Option<i64> {
    let named = proxies.iter().find(|proxy| proxy.name == name);
    match named {
        Some(proxy) => Some(i64::from(proxy.number)),
        None => name.parse().ok().filter(|number| *number != 0),
    }
}

/// A proxy's name and number.
fn of(proxies: &[Proxy<'_>], name: &str) -> String {
    let known = proxies.iter().find(|proxy| proxy.name == name);
    format!("{name} (#{})", known.map_or(-1, |proxy| i64::from(proxy.number)))
}

fn date(at: SystemTime) -> String {
    let at = Timestamp::try_from(at).unwrap_or(Timestamp::UNIX_EPOCH).to_zoned(TimeZone::system());
    at.strftime("%d/%b/%Y:%H:%M:%S%.3f").to_string()
}

/// The rest of a snapshot's head, and its bytes. What HAProxy says of its parser between them has no counterpart.
fn dump(text: &mut String, event: u32, found: &Snapshot) {
    let server = match &found.server {
        Some((_, name, index)) => format!("{name} (#{})", index + 1),
        None => "<NONE> (#-1)".to_owned(),
    };
    let Snapshot { client, bytes, room, fault, .. } = found;
    let _ = write!(
        text,
        ", server {server}, event #{event}, src {}:{}\n  buffer starts at 0 (including 0 out), {} free,\n  len {}, \
         wraps at {room}, error at position {fault}\n  \n",
        client.ip(),
        SocketAddr::port(client),
        room - bytes.len(),
        bytes.len(),
    );
    lines(text, bytes);
}

/// Bytes as HAProxy's `dump_text_line` shows them: a line for each of theirs, or more, each with its place.
fn lines(text: &mut String, bytes: &[u8]) {
    let (mut at, mut begins) = (0, true);
    while at < bytes.len() {
        let mut line = format!("  {at:05}{} ", if begins { ' ' } else { '+' });
        begins = false;
        while let Some(&byte) = bytes.get(at) {
            let shown = match byte {
                b'\t' => "\\t".to_owned(),
                b'\n' => "\\n".to_owned(),
                b'\r' => "\\r".to_owned(),
                0x1b => "\\e".to_owned(),
                b'\\' => "\\\\".to_owned(),
                b' '..=b'~' => char::from(byte).to_string(),
                _ => format!("\\x{byte:02X}"),
            };
            if line.len() + shown.len() >= COLUMNS {
                break;
            }
            line.push_str(&shown);
            at += 1;
            if byte == b'\n' {
                begins = true;
                break;
            }
        }
        text.push_str(&line);
        text.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_shown_as_haproxy_shows_them() {
        let mut text = String::new();
        let long = format!("Longer: {}\r\n", "y".repeat(150));
        lines(&mut text, long.as_bytes());
        lines(&mut text, b"\t\x1b\xff\\\r\nok\\tail\"q'");
        let y = "y".repeat(70);
        assert_eq!(
            text,
            format!(
                "  00000  Longer: {}\n  00070+ {y}\n  00140+ {}\\r\\n\n  00000  \\t\\e\\xFF\\\\\\r\\n\n  \
                 00006  ok\\\\tail\"q'\n",
                "y".repeat(62),
                "y".repeat(18)
            )
        );
    }
}
