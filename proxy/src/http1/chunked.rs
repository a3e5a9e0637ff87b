//! Chunked bodies (RFC 9112 7.1), decoded and framed anew.
//!
//! What goes out is plain: a size in hex, CR LF, the data, CR LF; extensions are dropped, and of the trailers only those
//! remain that don't frame, route or authenticate. The end is written only when the end has been read: a body that
//! breaks off stays visibly broken.

use std::{fmt, io::Write, rc::Rc};

use thiserror::Error;

use super::{Fields, HeadScan, Storage, connection::is_told_by_proxies, unfold};

/// Bytes that a line with a chunk's size may have: nobody uses extensions, and they must not carry what isn't counted.
const MAX_SIZE_LINE: u16 = 256;

/// Bytes that the trailers of a body may have: half of what a head may.
const MAX_TRAILERS: usize = 8_192;

/// Digits of a size: what fits 63 bits, and some zeros.
const MAX_SIZE_DIGITS: u8 = 16;

/// A chunked body on its way through.
#[derive(Debug, Default)]
pub struct ChunkedBody {
    state: State,
    size: u64,
    digits: u8,
    line: u16,
    trailers: Vec<u8>,
    scan: HeadScan,
    data: u64,
    withheld: Option<Rc<dyn Withholds>>,
}

/// Fields that are not passed in trailers, beside those that never stand there.
pub trait Withholds: fmt::Debug {
    /// Whether this is one of them.
    fn withholds(&self, name: &[u8]) -> bool;
}

/// What is wrong with a chunked body.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum ChunkError {
    /// The size line.
    #[error("expected a chunk size in hexadecimal, found something else")]
    Size,
    /// The size line's length.
    #[error("expected a chunk size line of at most {MAX_SIZE_LINE} bytes, found a longer one")]
    SizeLine,
    /// The end of a chunk.
    #[error("expected CR LF after a chunk, found something else")]
    Data,
    /// The trailers.
    #[error("expected trailers NAME: VALUE of at most {MAX_TRAILERS} bytes, found something else")]
    Trailers,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum State {
    #[default]
    Size,
    /// Blanks after the size: nothing but an extension or the end of the line may follow.
    Blank,
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    Trailers,
    Done,
}

impl ChunkedBody {
    /// One whose trailers do not have these fields.
    pub fn without(withheld: Option<Rc<dyn Withholds>>) -> Self {
        Self { withheld, ..Self::default() }
    }

    /// Takes what it can of `input` and appends it to `out` in plain chunks; returns how much it took, which is all
    /// unless the body ends before.
    pub fn advance(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<usize, ChunkError> {
        let mut at = 0;
        while at < input.len() && self.state != State::Done {
            match self.state {
                State::Data => {
                    let left = usize::try_from(self.size).unwrap_or(usize::MAX);
                    let part = &input[at..input.len().min(at.saturating_add(left))];
                    write_chunk(part, out);
                    at += part.len();
                    self.size -= part.len() as u64;
                    self.data += part.len() as u64;
                    if self.size == 0 {
                        self.state = State::DataCr;
                    }
                }
                State::Trailers => at += self.trailers(&input[at..], out)?,
                _ => {
                    self.framing_byte(input[at])?;
                    at += 1;
                }
            }
        }
        Ok(at)
    }

    /// The last chunk and the trailers have been read.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Bytes of data that have passed, without their framing.
    pub const fn data(&self) -> u64 {
        self.data
    }

    fn framing_byte(&mut self, byte: u8) -> Result<(), ChunkError> {
        self.state = match (self.state, byte) {
            (State::Size, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => return self.digit(byte),
            (State::Size, b'\r') if self.digits > 0 => State::SizeLf,
            // Old servers pad sizes with blanks.
            (State::Size, b' ' | b'\t') if self.digits > 0 => State::Blank,
            (State::Blank, b' ' | b'\t') => State::Blank,
            (State::Size, b';') if self.digits > 0 => State::Extension,
            (State::Blank | State::Extension, b'\r') => State::SizeLf,
            (State::Blank, b';') | (State::Extension, b'\t' | 0x20..=0x7e | 0x80..) => State::Extension,
            (State::SizeLf, b'\n') => self.after_size(),
            (State::DataCr, b'\r') => State::DataLf,
            (State::DataLf, b'\n') => State::Size,
            (State::DataCr | State::DataLf, _) => return Err(ChunkError::Data),
            _ => return Err(ChunkError::Size),
        };
        if matches!(self.state, State::Blank | State::Extension) {
            self.line += 1;
            if self.line > MAX_SIZE_LINE {
                return Err(ChunkError::SizeLine);
            }
        }
        Ok(())
    }

    fn digit(&mut self, digit: u8) -> Result<(), ChunkError> {
        self.digits += 1;
        let value = char::from(digit).to_digit(16).map_or(0, u64::from);
        if self.digits > MAX_SIZE_DIGITS || self.size >> 59 != 0 {
            return Err(ChunkError::Size);
        }
        self.size = (self.size << 4) | value;
        Ok(())
    }

    fn after_size(&mut self) -> State {
        self.digits = 0;
        self.line = 0;
        if self.size == 0 { State::Trailers } else { State::Data }
    }

    fn trailers(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<usize, ChunkError> {
        if self.trailers.is_empty() && input.starts_with(b"\r\n") {
            out.extend_from_slice(b"0\r\n\r\n");
            self.state = State::Done;
            return Ok(2);
        }
        let before = self.trailers.len();
        self.trailers.extend_from_slice(&input[..input.len().min(MAX_TRAILERS + 1 - before)]);
        match self.scan.resume(&self.trailers) {
            Ok(Some(end)) if end <= MAX_TRAILERS => {
                self.trailers.truncate(end);
                self.write_trailers(out)?;
                self.state = State::Done;
                Ok(end - before)
            }
            Ok(None) if self.trailers.len() <= MAX_TRAILERS => Ok(self.trailers.len() - before),
            _ => Err(ChunkError::Trailers),
        }
    }

    fn write_trailers(&mut self, out: &mut Vec<u8>) -> Result<(), ChunkError> {
        if self.scan.folded() {
            unfold(&mut self.trailers);
        }
        let mut storage = Storage::new();
        let fields = Fields::parse(&self.trailers, &mut storage).map_err(|_| ChunkError::Trailers)?;
        out.extend_from_slice(b"0\r\n");
        let is_withheld = |name: &[u8]| self.withheld.as_ref().is_some_and(|fields| fields.withholds(name));
        for (_, name, value) in fields.iter().filter(|(_, name, _)| may_trail(name) && !is_withheld(name)) {
            for part in [name, b": ", value, b"\r\n"] {
                out.extend_from_slice(part);
            }
        }
        out.extend_from_slice(b"\r\n");
        Ok(())
    }
}

/// Appends one chunk.
fn write_chunk(data: &[u8], out: &mut Vec<u8>) {
    if data.is_empty() {
        return;
    }
    write!(out, "{:x}\r\n", data.len()).expect("a Vec takes all that is written");
    out.extend_from_slice(data);
    out.extend_from_slice(b"\r\n");
}

/// Fields that must not stand in trailers, where a careless server merges them into the head (RFC 9110 6.5.1).
fn may_trail(name: &[u8]) -> bool {
    const NEVER: [&[u8]; 16] = [
        b"authorization",
        b"connection",
        b"content-encoding",
        b"content-length",
        b"content-range",
        b"content-type",
        b"cookie",
        b"expect",
        b"host",
        b"keep-alive",
        b"set-cookie",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"proxy-authorization",
    ];
    !is_told_by_proxies(name) && !NEVER.iter().any(|never| name.eq_ignore_ascii_case(never))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// All of it at once: what came out, and what was left.
    fn decode(input: &[u8]) -> Result<(String, usize, bool), ChunkError> {
        let (mut body, mut out) = (ChunkedBody::default(), Vec::new());
        let taken = body.advance(input, &mut out)?;
        Ok((String::from_utf8_lossy(&out).into_owned(), input.len() - taken, body.is_done()))
    }

    #[test]
    fn chunks_come_out_plain() {
        let input = b"003;a=b;c=\"d\"\r\nabc\r\nA \r\n0123456789\r\n00\t ; x\r\n\r\nnext";
        assert_eq!(decode(input), Ok(("3\r\nabc\r\na\r\n0123456789\r\n0\r\n\r\n".to_owned(), 4, true)));
    }

    #[test]
    fn trailers_pass_but_for_those_that_frame() {
        let input = b"0\r\nX-Sum: 1\r\nContent-Length: 9\r\ntransfer-encoding: chunked\r\nY:\r\n\r\n";
        assert_eq!(decode(input), Ok(("0\r\nX-Sum: 1\r\nY: \r\n\r\n".to_owned(), 0, true)));
    }

    #[test]
    fn trailers_do_not_say_what_the_proxy_says_in_heads() {
        #[derive(Debug)]
        struct User;
        impl Withholds for User {
            fn withholds(&self, name: &[u8]) -> bool {
                name.eq_ignore_ascii_case(b"x-user")
            }
        }
        let input = b"0\r\nX-Forwarded-Proto: a\r\nx-real-ip: b\r\nX-USER: c\r\nX-Sum: 1\r\n\r\n";
        let (mut body, mut out) = (ChunkedBody::without(Some(Rc::new(User))), Vec::new());
        assert_eq!(body.advance(input, &mut out), Ok(input.len()));
        assert_eq!(String::from_utf8(out).unwrap(), "0\r\nX-Sum: 1\r\n\r\n");
    }

    #[test]
    fn a_body_that_breaks_off_has_no_end() {
        for input in [&b"3\r\nab"[..], b"3\r\nabc\r\n", b"3\r\nabc\r\n0\r\n", b"3\r\nabc\r\n0\r\nA: b\r\n"] {
            let (out, _, done) = decode(input).unwrap();
            assert!(!done && !out.ends_with("0\r\n\r\n"), "{}", input.escape_ascii());
        }
    }

    #[test]
    fn whatever_could_be_read_in_two_ways_is_refused() {
        for (input, error) in [
            (&b"x\r\n"[..], ChunkError::Size),
            (b"\r\n", ChunkError::Size),
            (b";a\r\n", ChunkError::Size),
            (b" 3\r\n", ChunkError::Size),
            (b"-3\r\n", ChunkError::Size),
            (b"0x3\r\n", ChunkError::Size),
            (b"3 3\r\nabc", ChunkError::Size),
            (b"3 x\r\nabc", ChunkError::Size),
            (b"3\t\0\r\nabc", ChunkError::Size),
            (b"3 \nabc", ChunkError::Size),
            (b"3\nabc", ChunkError::Size),
            (b"3;a\nabc", ChunkError::Size),
            (b"3\rabc", ChunkError::Size),
            (b"3;a\0\r\n", ChunkError::Size),
            (b"fffffffffffffffff\r\n", ChunkError::Size),
            (b"ffffffffffffffff\r\n", ChunkError::Size),
            (b"3\r\nabcd\r\n", ChunkError::Data),
            (b"3\r\nabc\n", ChunkError::Data),
            (b"0\r\nA b: c\r\n\r\n", ChunkError::Trailers),
            (b"0\r\nA: b\n\r\n", ChunkError::Trailers),
            (b"0\r\n A: b\r\n\r\n", ChunkError::Trailers),
        ] {
            assert_eq!(decode(input), Err(error), "{}", input.escape_ascii());
        }
    }

    #[test]
    fn extensions_and_trailers_are_limited() {
        for (size, rest) in [(b"3;", b'a'), (b"3 ", b' ')] {
            let line = [size.to_vec(), vec![rest; 300], b"\r\n".to_vec()].concat();
            assert_eq!(decode(&line), Err(ChunkError::SizeLine));
        }
        let trailer = [b"0\r\nA: ".to_vec(), vec![b'a'; MAX_TRAILERS], b"\r\n\r\n".to_vec()].concat();
        assert_eq!(decode(&trailer), Err(ChunkError::Trailers));
    }

    proptest! {
        #[test]
        fn however_a_body_is_cut_its_data_and_end_are_the_same(
            chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..8),
            cuts in prop::collection::vec(1..30_usize, 1..60),
        ) {
            let mut input = Vec::new();
            for chunk in &chunks {
                write!(input, "{:X};x=y\r\n", chunk.len()).unwrap();
                input.extend_from_slice(chunk);
                input.extend_from_slice(b"\r\n");
            }
            input.extend_from_slice(b"0\r\nA: b\r\n\r\nGET /");
            let (mut body, mut out, mut rest) = (ChunkedBody::default(), Vec::new(), &input[..]);
            let mut cuts = cuts.into_iter().cycle();
            while !body.is_done() {
                let part = &rest[..rest.len().min(cuts.next().unwrap())];
                let taken = body.advance(part, &mut out).unwrap();
                rest = &rest[taken..];
            }
            prop_assert_eq!(rest, b"GET /");
            // Reading what came out gives the same data.
            let (mut again, mut plain) = (ChunkedBody::default(), Vec::new());
            prop_assert_eq!(again.advance(&out, &mut plain), Ok(out.len()));
            prop_assert_eq!(again.data(), chunks.concat().len() as u64);
            prop_assert!(again.is_done());
        }

        #[test]
        fn no_bytes_make_it_panic_or_end_without_an_end(input in prop::collection::vec(any::<u8>(), 0..200)) {
            let (mut body, mut out) = (ChunkedBody::default(), Vec::new());
            if body.advance(&input, &mut out).is_ok() && body.is_done() {
                prop_assert!(out.ends_with(b"\r\n\r\n"));
            }
        }
    }
}
