//! A second reader of HTTP/1.1, as narrow as RFC 9112 allows and written without a look at the first: what the proxy
//! passes on must be sound to it, and must mean the same.

/// A message as it went out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Message {
    /// The words of its first line, split at single blanks into three.
    pub start: [Vec<u8>; 3],
    /// Names in small letters, values without blanks around them.
    pub fields: Vec<(Vec<u8>, Vec<u8>)>,
    /// How its body ends, as its fields say.
    pub body: Body,
}

/// How a body ends, as the fields say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Body {
    /// They say nothing.
    Unstated,
    /// So many bytes.
    Length(u64),
    /// `chunked`.
    Chunked,
}

/// Reads a head from the beginning of `bytes`, and gives what follows it.
///
/// # Errors
/// There is none, or one that could be read in two ways; says what is wrong.
pub fn head(bytes: &[u8]) -> Result<(Message, &[u8]), String> {
    let mut lines = Vec::new();
    let mut rest = bytes;
    loop {
        let (line, after) = line(rest)?;
        rest = after;
        if line.is_empty() {
            break;
        }
        lines.push(line);
    }
    let (start, fields) = lines.split_first().ok_or("an empty head")?;
    let mut words = start.splitn(3, |byte| *byte == b' ');
    let mut word = || words.next().map(<[u8]>::to_vec).ok_or_else(|| "less than three words".to_owned());
    let start = [word()?, word()?, word()?];
    let fields = fields.iter().map(|line| field(line)).collect::<Result<Vec<_>, _>>()?;
    let body = body(&fields)?;
    Ok((Message { start, fields, body }, rest))
}

/// Reads a chunked body from the beginning of `bytes`: its data, its trailers, and what follows it; `None`: it has not
/// ended.
///
/// # Errors
/// It is malformed.
#[expect(clippy::type_complexity, reason = "the parts are said in the comment, and have no other use")]
pub fn chunks(bytes: &[u8]) -> Result<Option<(Vec<u8>, Vec<(Vec<u8>, Vec<u8>)>, &[u8])>, String> {
    let (mut data, mut rest) = (Vec::new(), bytes);
    loop {
        if !rest.windows(2).any(|pair| pair == b"\r\n") {
            return Ok(None);
        }
        let (size, after) = line(rest)?;
        let text = std::str::from_utf8(size).map_err(|_| "a size that is no text")?;
        if text.is_empty() || !text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(format!("a size {text:?}"));
        }
        let size = usize::from_str_radix(text, 16).map_err(|error| error.to_string())?;
        rest = after;
        if size == 0 {
            break;
        }
        let Some(chunk) = rest.get(..size + 2) else { return Ok(None) };
        let chunk = chunk.strip_suffix(b"\r\n").ok_or("no CR LF behind a chunk")?;
        data.extend_from_slice(chunk);
        rest = &rest[size + 2..];
    }
    let mut trailers = Vec::new();
    loop {
        if !rest.windows(2).any(|pair| pair == b"\r\n") {
            return Ok(None);
        }
        let (line, after) = line(rest)?;
        rest = after;
        if line.is_empty() {
            return Ok(Some((data, trailers, rest)));
        }
        trailers.push(field(line)?);
    }
}

impl Message {
    /// The values of all fields of this name, which is in small letters.
    pub fn all<'m>(&'m self, name: &str) -> impl Iterator<Item = &'m [u8]> {
        let name = name.as_bytes().to_vec();
        self.fields.iter().filter(move |(own, _)| *own == name).map(|(_, value)| value.as_slice())
    }
}

fn line(bytes: &[u8]) -> Result<(&[u8], &[u8]), String> {
    let end = bytes.windows(2).position(|pair| pair == b"\r\n").ok_or("a line without CR LF")?;
    let (line, rest) = (&bytes[..end], &bytes[end + 2..]);
    match line.iter().find(|byte| matches!(byte, b'\r' | b'\n' | 0)) {
        Some(byte) => Err(format!("byte {byte:#04x} in {:?}", line.escape_ascii().to_string())),
        None => Ok((line, rest)),
    }
}

fn field(line: &[u8]) -> Result<(Vec<u8>, Vec<u8>), String> {
    let show = || line.escape_ascii().to_string();
    let colon =
        line.iter().position(|byte| *byte == b':').ok_or_else(|| format!("no colon in {}", show()))?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    let is_text = |byte: &u8| matches!(byte, b'\t' | 0x20..=0x7e | 0x80..);
    if name.is_empty() || !name.iter().all(is_token) || !value.iter().all(is_text) {
        return Err(format!("a field {}", show()));
    }
    Ok((name.to_ascii_lowercase(), value.trim_ascii().to_vec()))
}

fn body(fields: &[(Vec<u8>, Vec<u8>)]) -> Result<Body, String> {
    let all = |name: &[u8]| {
        fields.iter().filter(|(own, _)| own == name).map(|(_, value)| value).collect::<Vec<_>>()
    };
    match (&all(b"content-length")[..], &all(b"transfer-encoding")[..]) {
        ([], []) => Ok(Body::Unstated),
        ([], [coding]) if coding.as_slice() == b"chunked" => Ok(Body::Chunked),
        ([length], []) if !length.is_empty() && length.iter().all(u8::is_ascii_digit) => {
            let text = String::from_utf8_lossy(length);
            text.parse().map(Body::Length).map_err(|error| format!("{text}: {error}"))
        }
        (lengths, codings) => Err(format!("{} lengths and {} codings", lengths.len(), codings.len())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_message_is_read_and_what_follows_is_left() {
        let (message, rest) = head(b"GET / HTTP/1.1\r\nA:  b \r\nContent-Length: 3\r\n\r\nabc").unwrap();
        assert_eq!((message.body, rest), (Body::Length(3), &b"abc"[..]));
        assert_eq!(message.all("a").collect::<Vec<_>>(), [b"b"]);
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_not() {
        for bytes in [
            &b"GET / HTTP/1.1\nA: b\r\n\r\n"[..],
            b"GET / HTTP/1.1\r\nA : b\r\n\r\n",
            b"GET / HTTP/1.1\r\n A: b\r\n\r\n",
            b"GET / HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n",
            b"GET / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"GET / HTTP/1.1\r\nTransfer-Encoding: x\r\n\r\n",
            b"GET / HTTP/1.1\r\nContent-Length: +3\r\n\r\n",
            b"GET / HTTP/1.1\r\nA: b\0\r\n\r\n",
        ] {
            assert!(head(bytes).is_err(), "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn chunks_end_with_their_empty_line() {
        let (data, trailers, rest) = chunks(b"3\r\nabc\r\n0\r\nA: b\r\n\r\nGET").unwrap().unwrap();
        assert_eq!((data.as_slice(), trailers.len(), rest), (&b"abc"[..], 1, &b"GET"[..]));
        assert_eq!(chunks(b"3\r\nabc\r\n0\r\n"), Ok(None));
        assert!(chunks(b"3;x\r\nabc\r\n0\r\n\r\n").is_err());
    }
}
