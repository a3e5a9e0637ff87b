//! What each kind of client does.

use std::{io::Write as _, time::Duration};

use drain_tests::{
    client::{Connection, Failure},
    clock,
};

use super::{
    Client, Open,
    asked::Asked,
    wire::{Pace, Wire},
};
use crate::{
    ledger::{End, Kind},
    page,
    rule::Rule,
};

/// What a slow one asks for: more than the proxy and the kernel keep for it.
const SLOW_BYTES: std::ops::Range<usize> = 500_000..1_500_000;
/// Its reading: a megabyte in two seconds.
const SLOWLY: Pace = Pace { bytes: 4 * 1024, pause: Duration::from_millis(8) };

impl Client {
    /// One session, or one request.
    pub(super) fn live(&mut self) {
        match self.kind {
            Kind::Page => self.browse(),
            Kind::Alone => self.alone(),
            Kind::Order => self.order(),
            Kind::Pipelined => self.pipeline(),
            Kind::Slow => self.slow(),
            Kind::Aborted => self.abort(),
            Kind::Tunnel => self.tunnel(),
            Kind::User => self.user(),
        }
    }

    fn length(&mut self) -> usize {
        match self.random.u32(..60) {
            0 => self.random.usize(1 << 20..4 << 20),
            1..=15 => 16 * 1024,
            16 => 0,
            _ => self.random.usize(1..2_000),
        }
    }

    fn browse(&mut self) {
        let length = self.length();
        let asked = Asked::page(self.ledger.id(), length, &mut self.random);
        self.ask(&asked);
        self.think(60);
    }

    fn alone(&mut self) {
        let length = self.length();
        let asked = Asked { keep: false, ..Asked::page(self.ledger.id(), length, &mut self.random) };
        self.ask(&asked);
        self.think(60);
    }

    fn order(&mut self) {
        let keep = self.random.u32(..3) > 0;
        let asked = Asked { keep, ..Asked::order(self.ledger.id(), &mut self.random) };
        self.ask(&asked);
        self.think(60);
    }

    /// Several at once; their answers come in their order.
    fn pipeline(&mut self) {
        let from = clock::now();
        let count = self.random.usize(2..7);
        let mut all: Vec<Asked> = Vec::new();
        for _ in 0..count {
            let length = self.random.usize(1..20_000);
            all.push(Asked::page(self.ledger.id(), length, &mut self.random));
        }
        let bytes: Vec<u8> = all.iter().flat_map(|asked| asked.bytes(&mut self.random)).collect();
        let mut open = self.open().and_then(|mut open| {
            open.connection.send(&bytes).map_err(Failure::NoAnswer)?;
            Ok(open)
        });
        for asked in &all {
            let answer = match &mut open {
                Ok(open) => open.connection.receive(asked.method),
                Err(failure) => Err(Failure::Malformed(failure.to_string())),
            };
            if let Ok(open) = &open {
                self.look(&open.hung, asked);
            }
            match answer {
                Ok(answer) => {
                    let keeps = answer.keeps;
                    self.settle(asked, from, &Ok(answer));
                    if !keeps {
                        // Those behind it were sent in vain, and their sender is told so.
                        return;
                    }
                }
                Err(failure) => {
                    let failure = match open {
                        Ok(_) => failure,
                        Err(failure) => failure,
                    };
                    self.settle(asked, from, &Err(failure));
                    return;
                }
            }
        }
        self.connection = open.ok();
        self.think(100);
    }

    fn slow(&mut self) {
        let length = self.random.usize(SLOW_BYTES);
        let asked = Asked { keep: false, ..Asked::get(self.ledger.id(), length) };
        let wire = Wire::open(self.to).and_then(|wire| wire.slowly(SLOWLY));
        self.connection = wire.ok().map(Open::from);
        self.ask(&asked);
        self.think(100);
    }

    /// Leaves before it has sent all, or before it has got all.
    fn abort(&mut self) {
        let from = clock::now();
        let mut asked = Asked::order(self.ledger.id(), &mut self.random);
        let unsent = self.random.bool();
        if !unsent && self.random.bool() {
            asked = Asked::get(self.ledger.id(), 400_000);
        }
        let bytes = asked.bytes(&mut self.random);
        let Ok(mut wire) = Wire::open(self.to) else { return };
        let sent = if unsent { self.random.usize(..bytes.len()) } else { bytes.len() };
        // The proxy may have answered and closed before.
        let _ = wire.write_all(&bytes[..sent]);
        if !unsent && self.random.bool() {
            let mut some = vec![0; self.random.usize(1..100_000)];
            let _ = std::io::Read::read(&mut wire, &mut some);
        }
        self.think(20);
        if self.random.bool() {
            wire.reset();
        }
        self.end(&asked, from, if unsent { End::Unsent } else { End::Left });
        self.think(100);
    }

    /// Another protocol, in which the server gives back what it gets.
    fn tunnel(&mut self) {
        let from = clock::now();
        let asked = Asked { keep: false, ..Asked::get(self.ledger.id(), 0) };
        let (end, mistake) = match self.echo(&asked) {
            Ok(end) => (end, None),
            Err(what) => (End::Broken(what.clone()), Some(what)),
        };
        if let Some(what) = mistake {
            self.ledger.violation(Rule::Tunnel, &format!("{}: {what}", asked.what()));
        }
        self.end(&asked, from, end);
        self.think(200);
    }

    /// How the tunnel ended; an error: it gave back something else.
    fn echo(&mut self, asked: &Asked) -> Result<End, String> {
        let broken = |error: &dyn std::fmt::Display| Ok(End::Broken(error.to_string()));
        let mut wire = match Wire::open(self.to) {
            Ok(wire) => wire,
            Err(error) => return broken(&error),
        };
        let hung = wire.hung();
        let head = format!(
            "GET /page/{}/0 HTTP/1.1\r\nHost: shop.example\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n",
            asked.id
        );
        if let Err(error) = wire.write_all(head.as_bytes()) {
            return broken(&error);
        }
        let mut connection = Connection::over(wire);
        let status = connection.receive("GET").map(|answer| answer.status);
        self.look(&hung, asked);
        match status {
            Ok(101) => {}
            Ok(status @ 502..=504) => return Ok(End::Refused(status)),
            Ok(status) => return Err(format!("status {status}")),
            Err(error) => return broken(&error),
        }
        for _ in 0..self.random.u32(1..40) {
            let length = match self.random.u32(..10) {
                0 => self.random.usize(..60_000),
                _ => self.random.usize(1..500),
            };
            let message = page::body(asked.id, length);
            if let Err(error) = connection.send(&message) {
                return broken(&error);
            }
            let back = connection.take(length);
            self.look(&hung, asked);
            match back {
                Ok(back) if back == message => {}
                Ok(_) => return Err("something else came back".to_owned()),
                Err(error) => return broken(&error),
            }
            self.think(120);
            if !self.goes_on() {
                break;
            }
        }
        connection.stream().finish();
        let rest = connection.rest();
        self.look(&hung, asked);
        if rest.is_empty() {
            Ok(End::Whole(String::new()))
        } else {
            Err(format!("{} bytes more than were sent came back", rest.len()))
        }
    }

    /// A session with the cookie that the first answer sets.
    fn user(&mut self) {
        let mut cookie = None;
        for _ in 0..self.random.u32(5..40) {
            let id = self.ledger.id();
            let mut asked = match self.random.u32(..4) {
                0 => Asked::order(id, &mut self.random),
                _ => Asked::page(id, 3_000, &mut self.random),
            };
            asked.keep = self.random.u32(..4) > 0;
            asked.cookie.clone_from(&cookie);
            if let Some(answer) = self.ask(&asked)
                && let Some(set) = answer.header("set-cookie")
            {
                let value = set.split(';').next().and_then(|set| set.strip_prefix("SERVERID="));
                cookie = value.map(str::to_owned);
            }
            self.think(80);
            if !self.goes_on() {
                return;
            }
        }
        self.connection = None;
    }
}
