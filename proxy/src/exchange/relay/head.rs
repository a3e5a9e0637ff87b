//! The head of the response: read, judged, and passed on.

use std::task::{Context, Poll, ready};

use tokio::net::TcpStream;

use super::{
    super::{
        Core,
        authentication::challenges,
        buffer::Size,
        pipe::Pipe,
        request::Asked,
        resume::{NotTheRest, Resume},
        ruling,
    },
    End, Further, Relay, Remainder, Request, Stage,
};
use crate::{
    backend::persistence::{Answer, Answered, Passage},
    clock,
    config::Failure,
    http1::{
        BadResponse, Framing, HeadScan, Method, ResponseHead, Storage, Version, fault,
        forward::{self, FieldEdit, ResponseEdits},
        unfold,
    },
};

impl Relay<'_> {
    /// Reads heads until the final one, and passes on those before it.
    pub(super) fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        client: &mut TcpStream,
        server: &mut TcpStream,
    ) -> Poll<Result<(), End>> {
        while self.stage == Stage::Head {
            if self.down.is_pending() && ready!(self.down.poll_flush(cx, client)).is_err() {
                return Poll::Ready(Err(End::ClientGone));
            }
            match self.next_head() {
                Ok(true) => continue,
                Ok(false) => {}
                Err(end) => return Poll::Ready(Err(end)),
            }
            match ready!(self.down.poll_fill(cx, server, Size::Relay)) {
                Ok(count) if count > 0 => {}
                _ if self.down.moved() == self.moved_before => return Poll::Ready(Err(End::Silence)),
                _ => return Poll::Ready(Err(End::HeadCutOff)),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Takes a head from what has been read; false: there is none yet.
    #[expect(clippy::too_many_lines, reason = "the head borrows what was read, all the way to its end")]
    fn next_head(&mut self) -> Result<bool, End> {
        let left = self.down.left();
        let Some(input) = self.down.input.as_mut().filter(|input| !input.is_empty()) else {
            return Ok(false);
        };
        let was_whole = self.scan.start_line().is_some();
        let length = self.scan.resume(input.filled()).map_err(BadResponse::from)?;
        let line = !was_whole && self.scan.start_line().is_some();
        if length.is_none() && !was_whole && fault::is_no_response(input.filled(), line) {
            return Err(BadResponse::StatusLine.into());
        }
        if length.unwrap_or(input.filled().len()) > self.core.head_bytes {
            return Err(BadResponse::HeadTooLarge.into());
        }
        let Some(length) = length else { return Ok(false) };
        let body_here = (input.filled().len() - length) as u64;
        let bytes = &mut input.filled_mut()[..length];
        if self.scan.folded() {
            unfold(bytes);
        }
        self.scan = HeadScan::default();
        let mut storage = Storage::new();
        let head = ResponseHead::parse(bytes, self.asked.method, &mut storage)?;
        check_upgrade(&head, self.asked)?;
        if self.again.contains(Failure::Status(head.status)) && self.up.is_rewindable() {
            return Err(End::Unwanted(head.status));
        }
        if let Some(resume) = self.rest_of {
            // The client has a head.
            if !head.is_interim() {
                self.said = Some(head.status);
                resume.check(&head, left.ok_or(NotTheRest::Framing)?)?;
                self.further = further(&head, self.asked);
                self.stage = Stage::Body;
            }
            input.consume(length);
            return Ok(true);
        }
        if head.is_interim() {
            // A client of HTTP/1.0 would take it for the answer (RFC 9110 15.2).
            if self.asked.version != Version::Http10 {
                pass_interim(&head, self.asked, self.down.output.append());
            }
            if head.status == 100 {
                self.up.ask();
            }
            input.consume(length);
            return Ok(true);
        }
        let own = head;
        self.said = Some(own.status);
        self.story.said = self.said;
        let is_tunnel = |status: u16| {
            status == 101 || (self.asked.method == Method::Connect && (200..300).contains(&status))
        };
        if let Some(captured) = &mut self.story.captured {
            captured.set_response(&self.core.frontend.logging.captures, &head.fields);
        }
        let changed: Vec<u8>;
        let mut second;
        let head = match self.asked.from.as_ref().filter(|_| self.core.changes_responses()) {
            None => head,
            Some(from) => match ruling::response(self.core, from, &head, self.story)? {
                None => head,
                Some(bytes) => {
                    changed = bytes;
                    second = Storage::new();
                    let head = ResponseHead::parse(&changed, self.asked.method, &mut second)?;
                    // What the server sends behind it ends where its own head says.
                    if (head.framing, is_tunnel(head.status)) != (own.framing, is_tunnel(own.status)) {
                        return Err(BadResponse::Denied.into());
                    }
                    // And so does its connection.
                    ResponseHead { reusable: own.reusable, faulty: own.faulty, ..head }
                }
            },
        };
        self.up.forget();
        let tunnel = is_tunnel(head.status);
        let goes_on = self.request == Request::Sending && head.reusable && !self.up.is_held_back();
        self.remainder = if goes_on { Remainder::Sent } else { Remainder::Dropped };
        self.keep_alive = self.asked.keep_alive
            && head.framing != Framing::UntilClose
            && !head.faulty
            // What is left of a request that does not go on lies in the client's connection.
            && (self.request == Request::Sent || goes_on)
            && !tunnel
            && !self.core.is_stopping();
        self.further = further(&head, self.asked);
        let framing = head.framing;
        self.story.status = Some(head.status);
        if let Some(session) = &self.story.session {
            session.is_answered(head.status);
        }
        let now = clock::now();
        self.story.answered = Some(now);
        // Only who is answered is a user here: one who moved on meanwhile must not hold the drain of the server before.
        if let Some(persistence) = &self.asked.persistence {
            self.server.users().touch(persistence.user(), now);
        }
        let answer = self.asked.persistence.as_ref().and_then(|persistence| {
            let answered = Answered {
                is_post: self.asked.method == Method::Post,
                is_safe: self.asked.method.is_safe(),
                status: head.status,
                fields: || head.fields.iter().map(|(_, name, value)| (name, value)),
                server: self.server,
            };
            persistence.answer(&self.core.backend, &answered, clock::wall)
        });
        let edits = ResponseEdits {
            client: self.asked.version,
            keep_alive: self.keep_alive,
            set_cookie: answer.as_ref().and_then(Answer::set_cookie),
            private: answer.as_ref().is_some_and(Answer::is_private),
        };
        let set_cookie = |value: &[u8]| match &answer {
            Some(answer) => FieldEdit::from(answer.passage(value)),
            None => FieldEdit::Keep,
        };
        forward::response(&head, self.asked.method, edits, set_cookie, self.down.output.append());
        if let Some(answer) = &answer {
            self.story.cookie = answer.letters();
        }
        // What another server says of the rest is compared with what this one has said, not with what rules have made of it.
        self.resume = resume_of(&own, body_here, self.core, self.up, self.keep_alive);
        input.consume(length);
        // What came before it has been written: nothing else is in the output.
        self.head = (self.down.written(), self.down.output.rest().len());
        self.ends_with_close = tunnel || framing == Framing::UntilClose;
        self.stage = if tunnel { Stage::Tunnel } else { Stage::Body };
        self.down.expect(framing, self.core.withheld.of_responses.as_ref());
        if tunnel {
            self.open_tunnel();
        }
        Ok(true)
    }
}

/// A change of the protocol must be one that the client has asked for.
fn check_upgrade(head: &ResponseHead<'_, '_>, asked: &Asked) -> Result<(), BadResponse> {
    if head.status != 101 {
        return Ok(());
    }
    if !(asked.upgrade && head.upgrades()) {
        return Err(BadResponse::Upgrade);
    }
    match &asked.websocket_key {
        Some(key) if !head.accepts_websocket(key) => Err(BadResponse::WebSocketAccept),
        _ => Ok(()),
    }
}

/// Writes a head for the client that another one follows.
fn pass_interim(head: &ResponseHead<'_, '_>, asked: &Asked, out: &mut Vec<u8>) {
    let edits = ResponseEdits { client: asked.version, keep_alive: true, set_cookie: None, private: false };
    forward::response(head, asked.method, edits, |_| FieldEdit::Keep, out);
}

/// Whose requests the server's connection may carry after this response.
fn further(head: &ResponseHead<'_, '_>, asked: &Asked) -> Further {
    match head.reusable && asked.reusable {
        false => Further::Nobodys,
        true if challenges(head) => Further::ItsUsers,
        true => Further::Everybodys,
    }
}

/// How this response can be continued, when it breaks off. One whose body is here as a whole can't.
fn resume_of(
    head: &ResponseHead<'_, '_>,
    body_here: u64,
    core: &Core,
    up: &Pipe,
    keep_alive: bool,
) -> Option<Box<Resume>> {
    let settings = &core.backend.settings().retry;
    let is_here = head.stated_length().is_none_or(|length| length <= body_here);
    if is_here || !settings.resume || settings.limit == 0 || !up.is_whole() {
        return None;
    }
    Resume::of(head, keep_alive).map(Box::new)
}

impl From<Passage> for FieldEdit {
    fn from(passage: Passage) -> Self {
        match passage {
            Passage::Unchanged => Self::Keep,
            Passage::Dropped => Self::Drop,
            Passage::Replaced(value) => Self::Replace(value),
        }
    }
}
