//! Reading a header.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    str::FromStr,
};

use thiserror::Error;

use super::{LOCAL, MAX_V1_BYTES, MAX_V2_BYTES, PROXY, Passage, SIGNATURE, TCP4, TCP6, VERSION_2};

/// What a header begins with in version 1.
const WORD: &[u8] = b"PROXY ";

/// Signature, version and command, family, length.
const FIXED_BYTES: usize = 16;

/// What has been read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Read {
    /// It has not come as a whole yet.
    Incomplete,
    /// It has.
    Header {
        /// So many bytes; what follows is the client's.
        length: usize,
        /// What it says; `None`: nothing, the connection's own addresses hold.
        passage: Option<Passage>,
    },
}

/// Why bytes are no header.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum HeaderError {
    /// It begins otherwise.
    #[error("expected a PROXY protocol header, found something else: is the sender configured to send it?")]
    Absent,
    /// Version 1: the line.
    #[error("expected `PROXY TCP4|TCP6 SOURCE DESTINATION PORT PORT` or `PROXY UNKNOWN`, found another line")]
    Line,
    /// Version 1: its length.
    #[error("expected a line of at most {MAX_V1_BYTES} bytes with CR LF at its end, found a longer one")]
    TooLong,
    /// Version 2: version and command.
    #[error("expected version 2 with command LOCAL or PROXY, found {0:#04x}")]
    Command(u8),
    /// Version 2: family and protocol.
    #[error("expected a known address family and protocol, found {0:#04x}")]
    Family(u8),
    /// Version 2: the length.
    #[error("expected a length that holds the addresses, at most {MAX_V2_BYTES} in all, found {0}")]
    Length(u16),
    /// Version 2: the extensions.
    #[error("expected extensions that end with the header, found one that goes beyond")]
    Extension,
}

/// Reads the header that `bytes` begins with.
pub fn read(bytes: &[u8]) -> Result<Read, HeaderError> {
    let begins_like = |start: &[u8]| {
        let length = bytes.len().min(start.len());
        bytes[..length] == start[..length]
    };
    if bytes.is_empty() {
        Ok(Read::Incomplete)
    } else if begins_like(SIGNATURE) {
        version_2(bytes)
    } else if begins_like(WORD) {
        version_1(bytes)
    } else {
        Err(HeaderError::Absent)
    }
}

fn version_1(bytes: &[u8]) -> Result<Read, HeaderError> {
    let within = &bytes[..bytes.len().min(MAX_V1_BYTES)];
    let Some(end) = memchr::memchr(b'\n', within) else {
        let whole = bytes.len() >= MAX_V1_BYTES;
        return if whole { Err(HeaderError::TooLong) } else { Ok(Read::Incomplete) };
    };
    let line = within[..end].strip_suffix(b"\r").ok_or(HeaderError::Line)?;
    let line = line.strip_prefix(WORD).ok_or(HeaderError::Line)?;
    let line = std::str::from_utf8(line).map_err(|_| HeaderError::Line)?;
    let mut words = line.split(' ');
    let passage = match words.next() {
        Some("UNKNOWN") => None,
        Some("TCP4") => Some(addresses::<Ipv4Addr>(words).ok_or(HeaderError::Line)?),
        Some("TCP6") => Some(addresses::<Ipv6Addr>(words).ok_or(HeaderError::Line)?),
        _ => return Err(HeaderError::Line),
    };
    Ok(Read::Header { length: end + 1, passage })
}

/// The rest of a line: two addresses, their ports, and nothing else.
fn addresses<'l, A: FromStr + Into<IpAddr>>(mut words: impl Iterator<Item = &'l str>) -> Option<Passage> {
    let [source, destination] = [words.next()?, words.next()?].map(|word| word.parse::<A>().ok());
    let [from, to] = [words.next()?, words.next()?].map(port);
    let passage = Passage {
        source: SocketAddr::new(source?.into(), from?),
        destination: SocketAddr::new(destination?.into(), to?),
    };
    words.next().is_none().then_some(passage)
}

/// Digits alone, without zeros before them.
fn port(word: &str) -> Option<u16> {
    let is_plain = word.bytes().all(|byte| byte.is_ascii_digit()) && (word == "0" || !word.starts_with('0'));
    is_plain.then(|| word.parse().ok()).flatten()
}

fn version_2(bytes: &[u8]) -> Result<Read, HeaderError> {
    let Some((fixed, rest)) = bytes.split_at_checked(FIXED_BYTES) else { return Ok(Read::Incomplete) };
    let (command, family) = (fixed[12], fixed[13]);
    let stated = u16::from_be_bytes([fixed[14], fixed[15]]);
    let length = usize::from(stated);
    if command & 0xf0 != VERSION_2 || !matches!(command & 0x0f, LOCAL | PROXY) {
        return Err(HeaderError::Command(command));
    }
    let address_bytes = match family {
        0x00 => 0,
        0x11 | 0x12 => 12,
        0x21 | 0x22 => 36,
        0x31 | 0x32 => 216,
        _ => return Err(HeaderError::Family(family)),
    };
    let is_local = command & 0x0f == LOCAL;
    if FIXED_BYTES + length > MAX_V2_BYTES || (!is_local && length < address_bytes) {
        return Err(HeaderError::Length(stated));
    }
    let Some(payload) = rest.get(..length) else { return Ok(Read::Incomplete) };
    let header = |passage| Ok(Read::Header { length: FIXED_BYTES + length, passage });
    if is_local {
        // What it carries besides is to be skipped, whatever it is.
        return header(None);
    }
    let (addresses, extensions) = payload.split_at(address_bytes);
    skip(extensions)?;
    header(match family {
        TCP4 => passage::<4>(addresses),
        TCP6 => passage::<16>(addresses),
        _ => None,
    })
}

/// Two addresses, and their ports.
fn passage<const BYTES: usize>(bytes: &[u8]) -> Option<Passage>
where
    IpAddr: From<[u8; BYTES]>,
{
    let (source, rest) = bytes.split_first_chunk::<BYTES>()?;
    let (destination, ports) = rest.split_first_chunk::<BYTES>()?;
    let (from, to) = (ports.first_chunk::<2>()?, ports.last_chunk::<2>()?);
    Some(Passage {
        source: (*source, u16::from_be_bytes(*from)).into(),
        destination: (*destination, u16::from_be_bytes(*to)).into(),
    })
}

/// Extensions, each a type, a length in two bytes, and so much.
fn skip(mut extensions: &[u8]) -> Result<(), HeaderError> {
    while !extensions.is_empty() {
        let &[_, high, low, ref rest @ ..] = extensions else { return Err(HeaderError::Extension) };
        let length = usize::from(u16::from_be_bytes([high, low]));
        extensions = rest.get(length..).ok_or(HeaderError::Extension)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{
        super::{Version, local, write},
        *,
    };

    fn said(bytes: &[u8]) -> Result<Option<Passage>, HeaderError> {
        match read(bytes)? {
            Read::Header { length, passage } => {
                assert_eq!(length, bytes.len());
                Ok(passage)
            }
            Read::Incomplete => panic!("{} is incomplete", bytes.escape_ascii()),
        }
    }

    fn between(source: &str, destination: &str) -> Passage {
        Passage { source: source.parse().unwrap(), destination: destination.parse().unwrap() }
    }

    fn v2(command: u8, family: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = SIGNATURE.to_vec();
        bytes.extend([command, family]);
        bytes.extend(u16::try_from(payload.len()).unwrap().to_be_bytes());
        bytes.extend(payload);
        bytes
    }

    #[test]
    fn a_line_says_who_connects_to_what() {
        assert_eq!(
            said(b"PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n"),
            Ok(Some(between("192.0.2.1:56324", "198.51.100.2:443")))
        );
        assert_eq!(
            said(b"PROXY TCP6 2001:db8::1 ::1 1 65535\r\n"),
            Ok(Some(between("[2001:db8::1]:1", "[::1]:65535")))
        );
        assert_eq!(said(b"PROXY UNKNOWN\r\n"), Ok(None));
        assert_eq!(said(b"PROXY UNKNOWN what ever\r\n"), Ok(None));
    }

    #[test]
    fn a_line_that_could_be_read_otherwise_is_refused() {
        for line in [
            "PROXY TCP4 192.0.2.1 198.51.100.2 56324\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.2 56324 443 1\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.2 56324 443 \r\n",
            "PROXY TCP4  192.0.2.1 198.51.100.2 56324 443\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.2 56324 65536\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.2 056 443\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.2 +56 443\r\n",
            "PROXY TCP4 192.0.02.1 198.51.100.2 56324 443\r\n",
            "PROXY TCP4 ::1 ::1 1 2\r\n",
            "PROXY TCP6 192.0.2.1 198.51.100.2 1 2\r\n",
            "PROXY TCP5 192.0.2.1 198.51.100.2 1 2\r\n",
            "PROXY UNKNOWNX\r\n",
            "PROXY UNKNOWN\n",
            "PROXY \r\n",
        ] {
            assert_eq!(read(line.as_bytes()), Err(HeaderError::Line), "{line:?}");
        }
        let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(MAX_V1_BYTES));
        assert_eq!(read(long.as_bytes()), Err(HeaderError::TooLong));
    }

    #[test]
    fn anything_else_is_no_header() {
        for bytes in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"\r\n\r\nGET", b"proxy ", b"PROXX", b"P\n", b"\0"] {
            assert_eq!(read(bytes), Err(HeaderError::Absent), "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn a_binary_header_says_it_too_and_its_extensions_are_skipped() {
        let four = [192, 0, 2, 1, 198, 51, 100, 2, 0xdc, 4, 1, 187];
        let passage = between("192.0.2.1:56324", "198.51.100.2:443");
        assert_eq!(said(&v2(0x21, TCP4, &four)), Ok(Some(passage)));
        let extended = [&four[..], &[4, 0, 2, 1, 1], &[0x20, 0, 0]].concat();
        assert_eq!(said(&v2(0x21, TCP4, &extended)), Ok(Some(passage)));
        for (payload, error) in [
            ([&four[..], &[4, 0]].concat(), HeaderError::Extension),
            ([&four[..], &[4, 0, 2, 1]].concat(), HeaderError::Extension),
            (four[..11].to_vec(), HeaderError::Length(11)),
        ] {
            assert_eq!(read(&v2(0x21, TCP4, &payload)), Err(error));
        }
    }

    #[test]
    fn what_names_no_tcp_addresses_leaves_those_of_the_connection() {
        assert_eq!(said(&v2(0x20, 0, &[])), Ok(None));
        assert_eq!(said(&v2(0x20, TCP4, &[1, 2, 3])), Ok(None));
        assert_eq!(said(&v2(0x21, 0, &[])), Ok(None));
        assert_eq!(said(&v2(0x21, 0x12, &[0; 12])), Ok(None));
        assert_eq!(said(&v2(0x21, 0x31, &[0; 216])), Ok(None));
    }

    #[test]
    fn reserved_values_are_refused() {
        assert_eq!(read(&v2(0x11, TCP4, &[0; 12])), Err(HeaderError::Command(0x11)));
        assert_eq!(read(&v2(0x22, TCP4, &[0; 12])), Err(HeaderError::Command(0x22)));
        assert_eq!(read(&v2(0x21, 0x41, &[0; 12])), Err(HeaderError::Family(0x41)));
        assert_eq!(read(&v2(0x21, 0x10, &[0; 12])), Err(HeaderError::Family(0x10)));
        assert_eq!(read(&v2(0x21, TCP4, &[0; 3_000])), Err(HeaderError::Length(3_000)));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(ips: [u128; 2], ports: [u16; 2], four: bool, newer: bool) {
            // Without the IPv6 addresses that stand for IPv4 ones: these are written as such.
            let ip = |at: usize| if four {
                IpAddr::from(Ipv4Addr::from_bits(ips[at] as u32))
            } else {
                IpAddr::from(Ipv6Addr::from_bits(ips[at] | 1 << 127))
            };
            let address = |at: usize| SocketAddr::new(ip(at), ports[at]);
            let passage = Passage { source: address(0), destination: address(1) };
            let mut out = Vec::new();
            write(if newer { Version::V2 } else { Version::V1 }, passage, &mut out);
            for end in 0..out.len() {
                prop_assert_eq!(read(&out[..end]), Ok(Read::Incomplete));
            }
            out.extend_from_slice(b"GET /");
            prop_assert_eq!(read(&out), Ok(Read::Header { length: out.len() - 5, passage: Some(passage) }));
        }

        #[test]
        fn no_bytes_make_it_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..300), start in 0..3) {
            let start = [&b""[..], SIGNATURE, WORD][start as usize];
            bytes.splice(..0, start.iter().copied());
            if let Ok(Read::Header { length, .. }) = read(&bytes) {
                prop_assert!(length <= bytes.len());
            }
        }
    }

    #[test]
    fn a_check_speaks_for_the_proxy_itself() {
        let own = between("10.0.0.1:5", "10.0.0.2:80");
        let mut out = Vec::new();
        local(Version::V1, own, &mut out);
        assert_eq!(out, b"PROXY TCP4 10.0.0.1 10.0.0.2 5 80\r\n");
        out.clear();
        local(Version::V2, own, &mut out);
        assert_eq!(out, v2(0x20, 0, &[]));
    }
}
