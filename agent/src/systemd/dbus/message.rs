//! Messages as they go over the wire.

use thiserror::Error;

/// Longer ones are none that systemd sends about one unit: thousands of its processes fit into it.
pub(super) const LONGEST: usize = 4 * 1024 * 1024;

/// The fixed beginning of a header, and the length of its fields.
pub(super) const FIXED: usize = 16;

const LITTLE: u8 = b'l';
const BIG: u8 = b'B';
const VERSION: u8 = 1;

/// What a message is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// It asks for something.
    Call,
    /// It answers a call.
    Reply,
    /// It answers a call with an error.
    Error,
    /// It tells everybody.
    Signal,
    /// A kind of a later version, to be ignored.
    Other,
}

impl Kind {
    const fn code(self) -> u8 {
        match self {
            Self::Call => 1,
            Self::Reply => 2,
            Self::Error => 3,
            Self::Signal => 4,
            Self::Other => 0,
        }
    }

    const fn of(code: u8) -> Self {
        match code {
            1 => Self::Call,
            2 => Self::Reply,
            3 => Self::Error,
            4 => Self::Signal,
            _ => Self::Other,
        }
    }
}

/// A message that has come.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Message {
    /// What it is.
    pub kind: Kind,
    /// To which call it belongs.
    pub reply_serial: Option<u32>,
    /// The method or signal.
    pub member: Option<String>,
    /// The error's name.
    pub error: Option<String>,
    /// What it says.
    body: Vec<u8>,
    little: bool,
}

/// What came is not as the specification has it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("expected a message of D-Bus, found {0}")]
pub struct Malformed(&'static str);

impl Message {
    /// How long a message is in all, of which the first [`FIXED`] bytes are here.
    pub(super) fn length(fixed: &[u8; FIXED]) -> Result<usize, Malformed> {
        let little = is_little(fixed[0])?;
        if fixed[3] != VERSION {
            return Err(Malformed("another version"));
        }
        let number = |at: usize| {
            let bytes = [fixed[at], fixed[at + 1], fixed[at + 2], fixed[at + 3]];
            if little { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) }
        };
        let length = FIXED + (number(12) as usize).next_multiple_of(8) + number(4) as usize;
        if length > LONGEST { Err(Malformed("one that is longer than any of systemd's")) } else { Ok(length) }
    }

    /// Reads a whole message.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let little = is_little(*bytes.first().ok_or(Malformed("nothing"))?)?;
        let mut reader = Reader { bytes, at: 1, little };
        let kind = Kind::of(reader.byte()?);
        reader.at = 4;
        let body_length = reader.u32()? as usize;
        reader.at = 12;
        let mut message =
            Self { kind, reply_serial: None, member: None, error: None, body: Vec::new(), little };
        reader.array(8, |field| {
            let code = field.byte()?;
            let signature = field.signature()?;
            match (code, signature) {
                (3, "s") => message.member = Some(field.string()?.to_owned()),
                (4, "s") => message.error = Some(field.string()?.to_owned()),
                (5, "u") => message.reply_serial = Some(field.u32()?),
                (_, "s" | "o") => drop(field.string()?),
                (_, "u") => drop(field.u32()?),
                (_, "g") => drop(field.signature()?),
                _ => return Err(Malformed("a field of an unknown type")),
            }
            Ok(())
        })?;
        reader.align(8)?;
        message.body = reader.take(body_length)?.to_owned();
        Ok(message)
    }

    /// A signal that says this.
    #[cfg(test)]
    pub fn told(body: Writer) -> Self {
        Self { kind: Kind::Signal, reply_serial: None, member: None, error: None, body: body.0, little: true }
    }

    /// What it says.
    pub fn body(&self) -> Reader<'_> {
        Reader { bytes: &self.body, at: 0, little: self.little }
    }
}

const fn is_little(mark: u8) -> Result<bool, Malformed> {
    match mark {
        LITTLE => Ok(true),
        BIG => Ok(false),
        _ => Err(Malformed("no mark of its byte order")),
    }
}

/// Reads values one after the other; each has its alignment.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    little: bool,
}

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let end = self.at.checked_add(length).filter(|end| *end <= self.bytes.len());
        let end = end.ok_or(Malformed("one that ends too early"))?;
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    fn align(&mut self, to: usize) -> Result<(), Malformed> {
        let padding = self.at.next_multiple_of(to) - self.at;
        self.take(padding).map(drop)
    }

    /// `y`
    pub fn byte(&mut self) -> Result<u8, Malformed> {
        Ok(self.take(1)?[0])
    }

    /// `u`
    pub fn u32(&mut self) -> Result<u32, Malformed> {
        self.align(4)?;
        let bytes = self.take(4)?.try_into().map_err(|_| Malformed("no number"))?;
        Ok(if self.little { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) })
    }

    /// `s`, `o`
    pub fn string(&mut self) -> Result<&'a str, Malformed> {
        let length = self.u32()? as usize;
        self.text(length)
    }

    /// `g`, as it stands before the value of a variant too.
    pub fn signature(&mut self) -> Result<&'a str, Malformed> {
        let length = self.byte()?.into();
        self.text(length)
    }

    fn text(&mut self, length: usize) -> Result<&'a str, Malformed> {
        let text = str::from_utf8(self.take(length)?).map_err(|_| Malformed("text that is no UTF-8"))?;
        if self.byte()? == 0 { Ok(text) } else { Err(Malformed("text without its end")) }
    }

    /// `a`, whose elements, aligned so, `element` reads.
    pub fn array(
        &mut self,
        alignment: usize,
        mut element: impl FnMut(&mut Self) -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        let length = self.u32()? as usize;
        self.align(alignment)?;
        let end = self.at.checked_add(length).filter(|end| *end <= self.bytes.len());
        let end = end.ok_or(Malformed("an array that ends too early"))?;
        while self.at < end {
            self.align(alignment)?;
            element(self)?;
        }
        Ok(())
    }

    /// `(`
    pub fn structure(&mut self) -> Result<(), Malformed> {
        self.align(8)
    }

    /// `v`, whose value must have this type.
    pub fn variant(&mut self, of: &str) -> Result<(), Malformed> {
        if self.signature()? == of { Ok(()) } else { Err(Malformed("a value of another type")) }
    }

    /// `as`
    pub fn strings(&mut self) -> Result<Vec<String>, Malformed> {
        let mut strings = Vec::new();
        self.array(4, |element| {
            strings.push(element.string()?.to_owned());
            Ok(())
        })?;
        Ok(strings)
    }
}

/// Writes values one after the other.
#[derive(Debug, Default)]
pub struct Writer(Vec<u8>);

impl Writer {
    fn align(&mut self, to: usize) -> &mut Self {
        self.0.resize(self.0.len().next_multiple_of(to), 0);
        self
    }

    /// `y`
    pub fn byte(&mut self, byte: u8) -> &mut Self {
        self.0.push(byte);
        self
    }

    /// `u`, and `b` as 0 and 1.
    pub fn u32(&mut self, number: u32) -> &mut Self {
        self.align(4).0.extend(number.to_le_bytes());
        self
    }

    /// `t`
    pub fn u64(&mut self, number: u64) -> &mut Self {
        self.align(8).0.extend(number.to_le_bytes());
        self
    }

    /// `s`, `o`
    pub fn string(&mut self, text: &str) -> &mut Self {
        self.u32(text.len() as u32).0.extend(text.as_bytes());
        self.byte(0)
    }

    /// `g`, as it stands before the value of a variant too; all of ours are short.
    pub fn signature(&mut self, text: &str) -> &mut Self {
        self.byte(text.len() as u8).0.extend(text.as_bytes());
        self.byte(0)
    }

    /// `(`
    pub fn structure(&mut self) -> &mut Self {
        self.align(8)
    }

    /// `a`, whose elements, aligned so, `elements` writes.
    pub fn array(&mut self, alignment: usize, elements: impl FnOnce(&mut Self)) -> &mut Self {
        self.u32(0);
        let length_at = self.0.len() - 4;
        self.align(alignment);
        let from = self.0.len();
        elements(self);
        let length = (self.0.len() - from) as u32;
        self.0[length_at..length_at + 4].copy_from_slice(&length.to_le_bytes());
        self
    }

    /// The call of a method with this as what it says, of the type `signature`.
    pub(super) fn call(self, serial: u32, to: &Address<'_>, signature: &str) -> Vec<u8> {
        let body = self.0;
        let mut message = Self::default();
        message.byte(LITTLE).byte(Kind::Call.code()).byte(0).byte(VERSION);
        message.u32(body.len() as u32).u32(serial);
        message.array(8, |fields| {
            let mut field = |code, of: &str, text: &str| {
                fields.structure().byte(code).signature(of).string(text);
            };
            field(1, "o", to.path);
            field(2, "s", to.interface);
            field(3, "s", to.member);
            field(6, "s", to.destination);
            if !signature.is_empty() {
                fields.structure().byte(8).signature("g").signature(signature);
            }
        });
        message.align(8).0.extend(body);
        message.0
    }
}

/// What is called.
#[derive(Clone, Copy, Debug)]
pub(super) struct Address<'a> {
    pub(super) destination: &'a str,
    pub(super) path: &'a str,
    pub(super) interface: &'a str,
    pub(super) member: &'a str,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ADDRESS: Address<'_> = Address {
        destination: "org.freedesktop.systemd1",
        path: "/org/freedesktop/systemd1",
        interface: "org.freedesktop.systemd1.Manager",
        member: "RestartUnit",
    };

    fn call(body: Writer, signature: &str) -> Vec<u8> {
        body.call(7, &ADDRESS, signature)
    }

    #[test]
    fn what_is_written_is_read() {
        let mut body = Writer::default();
        body.string("apache2.service").array(4, |words| {
            words.string("a").string("");
        });
        body.structure().u32(5).string("x");
        let bytes = call(body, "sas(us)");
        let fixed = bytes[..FIXED].try_into().unwrap();
        assert_eq!(Message::length(&fixed), Ok(bytes.len()));
        let message = Message::parse(&bytes).unwrap();
        assert_eq!((message.kind, message.member.as_deref()), (Kind::Call, Some("RestartUnit")));
        let mut body = message.body();
        assert_eq!(body.string(), Ok("apache2.service"));
        assert_eq!(body.strings().unwrap(), ["a", ""]);
        body.structure().unwrap();
        assert_eq!((body.u32(), body.string()), (Ok(5), Ok("x")));
        assert!(body.byte().is_err(), "there is no more");
    }

    #[test]
    fn a_reply_of_a_big_endian_peer_is_read() {
        // An error that answers call 9, without a body, as the specification lays it out.
        let mut bytes = vec![BIG, 3, 1, VERSION, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 8];
        bytes.extend([5, 1, b'u', 0, 0, 0, 0, 9]);
        let message = Message::parse(&bytes).unwrap();
        assert_eq!((message.kind, message.reply_serial), (Kind::Error, Some(9)));
    }

    #[test]
    fn a_length_beyond_all_bounds_is_refused() {
        let mut fixed = [0; FIXED];
        fixed[..4].copy_from_slice(&[LITTLE, 2, 0, VERSION]);
        fixed[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
        fixed[12..].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(Message::length(&fixed).is_err());
    }

    proptest! {
        #[test]
        fn whatever_comes_is_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200), cut in 0_usize..200) {
            drop(Message::parse(&bytes));
            let mut body = Writer::default();
            body.string("shop.service");
            let mut sound = call(body, "s");
            let at = cut % sound.len();
            sound[at] ^= bytes.first().copied().unwrap_or(1);
            if let Ok(message) = Message::parse(&sound) {
                drop(message.body().strings());
            }
            drop(Message::parse(&sound[..at]));
        }
    }
}
