//! Foreign text in lines of the log, where it may neither end a field nor a line.

/// A set of bytes that may not stand in a field.
pub(crate) type Special = [bool; 256];

/// HAProxy's `url_encode_map`: what would end or blur a request line.
pub(crate) const IN_LINE: Special = special(b"\"#");

/// HAProxy's `hdr_encode_map`: the same for a captured header.
pub(crate) const IN_HEADER: Special = special(b"\"#{|}");

/// Appends the text, with `#XX` for what may not stand there, until the line is `end` bytes long.
pub(crate) fn escape(text: &[u8], special: &Special, end: usize, out: &mut Vec<u8>) {
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
