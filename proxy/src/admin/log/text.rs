//! Numbers, addresses and foreign text, written into a line without detours: this is done for every request.

use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// A number in decimal digits.
pub(super) fn number(mut number: u64, out: &mut Vec<u8>) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// A number with leading zeros, in so many digits.
pub(super) fn padded(number: u32, digits: u32, out: &mut Vec<u8>) {
    for place in (0..digits).rev() {
        out.push(b'0' + (number / 10_u32.pow(place) % 10) as u8);
    }
}

/// Whole milliseconds; `-1` for what was not reached.
pub(super) fn millis(duration: Option<Duration>, out: &mut Vec<u8>) {
    match duration {
        Some(duration) => number(duration.as_millis() as u64, out),
        None => out.extend_from_slice(b"-1"),
    }
}

/// A status; `-1` where there was none.
pub(super) fn status(status: Option<u16>, out: &mut Vec<u8>) {
    match status {
        Some(status) => number(status.into(), out),
        None => out.extend_from_slice(b"-1"),
    }
}

/// A client's address, without brackets.
pub(super) fn address(client: SocketAddr, out: &mut Vec<u8>) {
    match client.ip() {
        IpAddr::V4(ip) => {
            let [first, rest @ ..] = ip.octets();
            number(first.into(), out);
            for octet in rest {
                out.push(b'.');
                number(octet.into(), out);
            }
        }
        IpAddr::V6(ip) => write!(out, "{ip}").expect("a vector takes everything"),
    }
}

/// A set of bytes that may not stand in a field.
pub(super) type Special = [bool; 256];

/// HAProxy's `url_encode_map`: what would end or blur a request line.
pub(super) const IN_LINE: Special = special(b"\"#");

/// HAProxy's `hdr_encode_map`: the same for a captured header.
pub(super) const IN_HEADER: Special = special(b"\"#{|}");

/// Appends the text, with `#XX` for what may not stand there, until the line is `end` bytes long.
pub(super) fn escape(text: &[u8], special: &Special, end: usize, out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let mut rest = &text[..text.len().min(end.saturating_sub(out.len()))];
    while let Some(clean) = rest.iter().position(|&byte| special[usize::from(byte)]) {
        let byte = rest[clean];
        out.extend_from_slice(&rest[..clean]);
        out.extend_from_slice(&[b'#', DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
        rest = &rest[clean + 1..];
    }
    out.extend_from_slice(rest);
}

const fn special(marks: &[u8]) -> Special {
    let mut set = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        set[byte] = byte < 32 || byte > 126;
        byte += 1;
    }
    let mut at = 0;
    while at < marks.len() {
        set[marks[at] as usize] = true;
        at += 1;
    }
    set
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn numbers_read_as_numbers() {
        for value in [0, 7, 10, 4096, u64::MAX] {
            assert_eq!(text(|out| number(value, out)), value.to_string());
        }
        assert_eq!(text(|out| padded(7, 3, out)), "007");
        assert_eq!(text(|out| padded(1_234, 3, out)), "234");
        assert_eq!(text(|out| millis(Some(Duration::from_micros(2_900)), out)), "2");
        assert_eq!(text(|out| millis(None, out)), "-1");
    }

    #[test]
    fn addresses_have_no_brackets() {
        assert_eq!(text(|out| address("10.0.255.1:80".parse().unwrap(), out)), "10.0.255.1");
        assert_eq!(text(|out| address("[2001:db8::1]:80".parse().unwrap(), out)), "2001:db8::1");
    }

    #[test]
    fn what_would_end_a_field_is_written_in_digits() {
        let escaped = |special| text(|out| escape(b"a\"{|}#\n\x7f\xe9 z", special, 100, out));
        assert_eq!(escaped(&IN_LINE), "a#22{|}#23#0A#7F#E9 z");
        assert_eq!(escaped(&IN_HEADER), "a#22#7B#7C#7D#23#0A#7F#E9 z");
    }

    #[test]
    fn no_more_is_looked_at_than_the_line_has_room_for() {
        let long = vec![b'"'; 1_000_000];
        assert_eq!(text(|out| escape(&long, &IN_LINE, 4, out)), "#22#22#22#22");
    }
}
