//! Durations, statuses and foreign text, written into a line without detours: this is done for every request.

use std::time::Duration;

use crate::decimal::number;

/// A number with leading zeros, in so many digits.
pub(super) fn padded<const DIGITS: usize>(mut number: u32, out: &mut Vec<u8>) {
    let mut digits = [0; DIGITS];
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
    out.extend_from_slice(&digits);
}

/// Whole milliseconds; `-1` for what was not reached.
pub(super) fn millis(duration: Option<Duration>, out: &mut Vec<u8>) {
    match duration {
        Some(duration) => number(duration.as_secs() * 1_000 + u64::from(duration.subsec_millis()), out),
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
        assert_eq!(text(|out| padded::<3>(7, out)), "007");
        assert_eq!(text(|out| padded::<3>(1_234, out)), "234");
        assert_eq!(text(|out| millis(Some(Duration::from_micros(2_900)), out)), "2");
        assert_eq!(text(|out| millis(None, out)), "-1");
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
