//! `show sess` and `shutdown session`: requests that are under way, one by one.
//!
//! Lines are HAProxy's. What only HAProxy has, such as its flags and the addresses of its buffers, reads 0 or `(nil)`.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use jiff::{Timestamp, tz::TimeZone};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::super::stats::proxies;
use super::{Desk, Session};
use crate::clock;
use crate::exchange::sessions::{NUMBER_BITS, Seen, Stage};
use crate::worker::Generation;

/// The number of a command's own session, which no request has.
const OWN: u64 = 1;

/// The part of a number that counts the requests of a core.
const COUNT: u64 = (1 << NUMBER_BITS) - 1;

/// `show sess [ID | all]`
pub(super) fn show(desk: &Desk, session: &mut Session, words: &[&str]) -> String {
    let wanted = match words.first() {
        Some(&"all") => Wanted::AllInFull,
        word => word.map_or(0, |word| number(word)).try_into().map_or(Wanted::All, Wanted::One),
    };
    let (under_way, generation) = (desk.roll.under_way(), desk.statistics.generation());
    let own = Own { at: session.from, patience: session.timeout };
    later(session, async move {
        let (all, now) = (under_way.await, Now { instant: clock::now(), wall: clock::wall() });
        match wanted {
            Wanted::All => all.iter().map(|seen| line(seen, now)).collect::<String>() + &own.line(),
            Wanted::AllInFull => all.iter().map(|seen| in_full(seen, &generation, now)).collect(),
            Wanted::One(number) => all
                .iter()
                .find(|seen| seen.number == number.0)
                .map_or_else(|| "Session not found.\n".to_owned(), |seen| in_full(seen, &generation, now)),
        }
    })
}

/// `shutdown session ID`
pub(super) fn shut_down(desk: &Desk, session: &mut Session, words: &[&str]) -> String {
    let number = words.first().map_or(0, |word| number(word));
    if number == 0 {
        return "Session pointer expected (use 'show sess').\n".to_owned();
    }
    let is_shut_down = desk.roll.shut_down(number);
    later(session, async move {
        if is_shut_down.await { String::new() } else { "No such session (use 'show sess').\n".to_owned() }
    })
}

/// What is said is what comes of this.
fn later(session: &mut Session, what: impl Future<Output = String> + Send + 'static) -> String {
    let (sender, said) = oneshot::channel();
    session.later = Some(said);
    tokio::spawn(async move {
        // Whoever has gone is not told.
        let _ = sender.send(what.await);
    });
    String::new()
}

/// What is to be shown.
enum Wanted {
    All,
    AllInFull,
    One(Number),
}

/// Of a request; never 0.
struct Number(u64);

impl TryFrom<u64> for Number {
    type Error = ();

    fn try_from(number: u64) -> Result<Self, ()> {
        if number == 0 { Err(()) } else { Ok(Self(number)) }
    }
}

/// As C's `strtoul` has it, whatever the base; 0 where there is no number.
fn number(word: &str) -> u64 {
    let (digits, base) = match word.strip_prefix("0x").or_else(|| word.strip_prefix("0X")) {
        Some(digits) => (digits, 16),
        None if word.starts_with('0') => (word, 8),
        None => (word, 10),
    };
    let end = digits.find(|letter: char| !letter.is_digit(base)).unwrap_or(digits.len());
    u64::from_str_radix(&digits[..end], base).unwrap_or(0)
}

#[derive(Clone, Copy)]
struct Now {
    instant: Instant,
    wall: SystemTime,
}

/// The session of whoever asks, which HAProxy lists as well.
struct Own {
    at: Option<SocketAddr>,
    patience: Duration,
}

impl Own {
    fn line(&self) -> String {
        let from = self.at.map_or_else(
            || "proto=unix_stream src=unix:1".to_owned(),
            |at| format!("proto={} src={}", protocol(at), address(at)),
        );
        format!(
            "{OWN:#x}: {from} fe=GLOBAL be=<NONE> srv=<none> ts=00 epoch=0 age=0s calls=1 rate=1 cpu=0 lat=0 \
             rq[f=000000h,i=0,an=00h,rx=,wx=,ax=] rp[f=000000h,i=0,an=00h,rx=,wx=,ax=] scf=[8,0h,fd=-1] \
             scb=[8,1h,fd=-1] exp={} rc=0 c_exp=\n",
            human(self.patience)
        )
    }
}

/// A request on one line.
fn line(seen: &Seen, now: Now) -> String {
    let left = seen.left(now);
    let (waits, answers) = match seen.stage {
        Stage::Queued | Stage::Connecting => (left.as_str(), ""),
        Stage::Established => ("", left.as_str()),
    };
    format!(
        "{:#x}: proto={} src={} fe={} be={} srv={} ts=00 epoch=0 age={} calls=1 rate=0 cpu=0 lat=0 \
         rq[f=000000h,i=0,an=00h,rx=,wx=,ax=] rp[f=000000h,i=0,an=00h,rx={answers},wx=,ax=] scf=[8,0h,fd={}] \
         scb=[{},0h,fd={}] exp={left} rc={} c_exp={waits}\n",
        seen.number,
        protocol(seen.client),
        address(seen.client),
        seen.frontend,
        seen.backend,
        seen.server.as_ref().map_or("<none>", |(name, ..)| name),
        seen.age(now),
        seen.client_fd,
        seen.stage.state().1,
        seen.server_fd.unwrap_or(-1),
        seen.retries,
    )
}

/// A request on several lines.
fn in_full(seen: &Seen, generation: &Generation, now: Now) -> String {
    let (left, never) = (seen.left(now), "<NEVER>".to_owned());
    let left = if left.is_empty() { never.clone() } else { left };
    let waits = if seen.stage == Stage::Established { &never } else { &left };
    let (began, state) = (seen.began_at(now), seen.stage.state().0);
    let all = proxies(generation);
    let number_of = |name: &str, is_backend: bool| {
        let mut of_name = all.iter().filter(|proxy| proxy.name == name);
        of_name.find(|proxy| !is_backend || proxy.backend.is_some()).map_or(0, |proxy| proxy.number)
    };
    let mut text = format!(
        "{:#x}: [{}] id={} proto={} source={}\n",
        seen.number,
        began.strftime("%d/%b/%Y:%H:%M:%S%.6f"),
        seen.number & COUNT,
        protocol(seen.client),
        address(seen.client)
    );
    let _ = writeln!(
        text,
        "  flags=0x0, conn_retries={}, conn_exp={waits} conn_et=0x000 srv_conn=(nil), pend_pos=(nil) waiting=0 epoch=0",
        seen.retries
    );
    let _ = writeln!(
        text,
        "  frontend={} (id={} mode=http), listener=? (id=1)",
        seen.frontend,
        number_of(&seen.frontend, false)
    );
    let _ = writeln!(text, "  backend={} (id={} mode=http)", seen.backend, number_of(&seen.backend, true));
    let _ = match &seen.server {
        Some((name, place, at)) => writeln!(text, "  server={name} (id={}) addr={}", place + 1, address(*at)),
        None => writeln!(text, "  server=<none> (id=0)"),
    };
    let _ = writeln!(
        text,
        "  task=(nil) (state=0x00 nice=0 calls=1 rate=0 exp={left} tmask={:#x} age={})",
        1_u128 << seen.core.min(127),
        seen.age(now)
    );
    let (status, answer) = match seen.status {
        Some(status) => (i32::from(status), "MSG_DATA"),
        None => (-1, "MSG_RPBEFORE"),
    };
    let _ = writeln!(
        text,
        "  txn=(nil) flags=0x0 meth=0 status={status} req.st=MSG_DONE rsp.st={answer} req.f=0x00 rsp.f=0x00"
    );
    let _ = writeln!(text, "  scf=(nil) flags=0x00000000 state=EST endp=CONN,(nil),0x00000000 sub=0");
    let _ = writeln!(
        text,
        "      co0=(nil) ctrl={} xprt=RAW mux=H1 data=STRM target=LISTENER:(nil)\n      \
         flags=0x00000000 fd={} fd.state=00 updt=0 fd.tmask=0x0",
        protocol(seen.client),
        seen.client_fd
    );
    let end = if seen.server_fd.is_some() { "CONN" } else { "NONE" };
    let _ = writeln!(text, "  scb=(nil) flags=0x00000000 state={state} endp={end},(nil),0x00000000 sub=0");
    if let (Some(fd), Some((.., at))) = (seen.server_fd, &seen.server) {
        let _ = writeln!(
            text,
            "      co1=(nil) ctrl={} xprt=RAW mux=H1 data=STRM target=SERVER:(nil)\n      \
             flags=0x00000000 fd={fd} fd.state=00 updt=0 fd.tmask=0x0",
            protocol(*at)
        );
    }
    text
}

impl Seen {
    fn age(&self, now: Now) -> String {
        human(now.instant.saturating_duration_since(self.began))
    }

    /// How long whoever is waited for may still take.
    fn left(&self, now: Now) -> String {
        let left = self.deadline.map(|deadline| deadline.saturating_duration_since(now.instant));
        left.map(human).unwrap_or_default()
    }

    fn began_at(&self, now: Now) -> jiff::Zoned {
        let ago = now.instant.saturating_duration_since(self.began);
        let began = self.began_wall.or_else(|| now.wall.checked_sub(ago)).unwrap_or(now.wall);
        Timestamp::try_from(began).unwrap_or(Timestamp::UNIX_EPOCH).to_zoned(TimeZone::system())
    }
}

impl Stage {
    /// HAProxy's name and number for the state of the connection to the server (`enum sc_state`).
    const fn state(self) -> (&'static str, u8) {
        match self {
            Self::Queued => ("QUE", 2),
            Self::Connecting => ("CON", 5),
            Self::Established => ("EST", 8),
        }
    }
}

const fn protocol(of: SocketAddr) -> &'static str {
    if of.is_ipv4() { "tcpv4" } else { "tcpv6" }
}

/// Without brackets, as there.
fn address(of: SocketAddr) -> String {
    format!("{}:{}", of.ip(), of.port())
}

/// HAProxy's `human_time`: the two greatest units of whole seconds.
fn human(time: Duration) -> String {
    let seconds = time.as_secs();
    if seconds == 0 {
        return "0s".to_owned();
    }
    let units = [(86_400, 'd', u64::MAX), (3600, 'h', 24), (60, 'm', 60), (1, 's', 60)];
    let mut room = 2;
    let mut text = String::new();
    for (length, letter, of) in units {
        let count = seconds / length % of;
        if room > 0 && count > 0 {
            let _ = write!(text, "{count}{letter}");
            room -= 1;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_by_haproxy() {
        for (seconds, expected) in [
            (0, "0s"),
            (59, "59s"),
            (60, "1m"),
            (61, "1m1s"),
            (3601, "1h1s"),
            (3661, "1h1m"),
            (90_000, "1d1h"),
            (86_400 + 61, "1d1m"),
        ] {
            assert_eq!(human(Duration::from_secs(seconds)), expected);
        }
    }

    #[test]
    fn numbers_are_read_as_by_haproxy() {
        for (word, expected) in [
            ("0x1f", 31),
            ("31", 31),
            ("037", 31),
            ("foo", 0),
            ("", 0),
            ("0x", 0),
            ("0xfffffffffffffffff", 0),
        ] {
            assert_eq!(number(word), expected, "{word}");
        }
    }

    #[tokio::test]
    async fn a_request_is_described_as_by_haproxy() {
        let now = Now { instant: clock::now(), wall: clock::wall() };
        let queued = Seen {
            number: (1 << 40) + 3,
            core: 0,
            client: "127.0.0.1:38438".parse().unwrap(),
            client_fd: 14,
            frontend: "web".into(),
            backend: "shop".into(),
            server: None,
            server_fd: None,
            stage: Stage::Queued,
            began: now.instant,
            began_wall: None,
            deadline: Some(now.instant + Duration::from_secs(19)),
            retries: 0,
            status: None,
        };
        assert_eq!(
            line(&queued, now),
            "0x10000000003: proto=tcpv4 src=127.0.0.1:38438 fe=web be=shop srv=<none> ts=00 epoch=0 age=0s calls=1 rate=0 \
             cpu=0 lat=0 rq[f=000000h,i=0,an=00h,rx=,wx=,ax=] rp[f=000000h,i=0,an=00h,rx=,wx=,ax=] scf=[8,0h,fd=14] \
             scb=[2,0h,fd=-1] exp=19s rc=0 c_exp=19s\n"
        );
        let on_server = Seen {
            server: Some(("a".into(), 0, "[::1]:80".parse().unwrap())),
            server_fd: Some(15),
            stage: Stage::Established,
            retries: 1,
            ..queued
        };
        let text = line(&on_server, now);
        assert!(text.contains(" srv=a ") && text.contains(" rp[f=000000h,i=0,an=00h,rx=19s,"), "{text}");
        assert!(text.ends_with(" scb=[8,0h,fd=15] exp=19s rc=1 c_exp=\n"), "{text}");
    }
}
