//! Where a head ends, found once however many reads it takes.

use thiserror::Error;

/// Looks for the end of a head in a buffer that grows; no byte is looked at twice.
#[derive(Clone, Copy, Debug, Default)]
pub struct HeadScan {
    /// Bytes that have been looked at.
    seen: usize,
    /// Where the line begins that is being looked at.
    line: usize,
    /// The number of that line, from 0.
    number: u32,
    folded: bool,
    /// The length of the first line, once it is known.
    start_line: usize,
}

/// Why there is no head in these bytes, whatever may follow.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum ScanError {
    /// A line that ends without CR.
    #[error("expected lines to end with CR LF, found a bare LF")]
    BareLf,
    /// A first line or first field that begins with a blank, and so continues nothing.
    #[error("expected a field name, found a blank at the start of the first field line")]
    FoldedFirst,
}

impl HeadScan {
    /// The length of the head once `bytes`, which may only grow between two calls, holds all of it.
    pub fn resume(&mut self, bytes: &[u8]) -> Result<Option<usize>, ScanError> {
        while let Some(found) = memchr::memchr(b'\n', &bytes[self.seen..]) {
            let lf = self.seen + found;
            if lf == self.line || bytes[lf - 1] != b'\r' {
                return Err(ScanError::BareLf);
            }
            if lf - 1 == self.line {
                return Ok(Some(lf + 1));
            }
            if matches!(bytes[self.line], b' ' | b'\t') {
                if self.number < 2 {
                    return Err(ScanError::FoldedFirst);
                }
                self.folded = true;
            }
            if self.number == 0 {
                self.start_line = lf + 1;
            }
            self.line = lf + 1;
            self.seen = lf + 1;
            self.number = self.number.saturating_add(1);
        }
        self.seen = bytes.len();
        Ok(None)
    }

    /// The head has a field that goes on in a further line; [`unfold`] is due before it is parsed.
    pub const fn folded(&self) -> bool {
        self.folded
    }

    /// The length of the start line with its end, once that has been seen.
    pub const fn start_line(&self) -> Option<usize> {
        if self.number > 0 { Some(self.start_line) } else { None }
    }
}

/// Joins fields that are spread over several lines (RFC 9112 5.2): the line ends within them become blanks.
pub fn unfold(head: &mut [u8]) {
    for at in 2..head.len() {
        if matches!(head[at], b' ' | b'\t') && head[at - 2] == b'\r' && head[at - 1] == b'\n' {
            head[at - 2] = b' ';
            head[at - 1] = b' ';
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scan(bytes: &[u8]) -> Result<Option<usize>, ScanError> {
        HeadScan::default().resume(bytes)
    }

    #[test]
    fn a_head_ends_with_its_empty_line_and_not_later() {
        assert_eq!(scan(b"GET / HTTP/1.1\r\nA: b\r\n\r\nmore\r\n\r\n"), Ok(Some(24)));
        assert_eq!(scan(b"GET / HTTP/1.1\r\n\r\n"), Ok(Some(18)));
    }

    #[test]
    fn a_head_that_comes_in_single_bytes_is_found_at_the_same_place() {
        let head = b"GET / HTTP/1.1\r\nA: b\r\n\r\n";
        let mut scan = HeadScan::default();
        for end in 0..head.len() {
            assert_eq!(scan.resume(&head[..end]), Ok(None), "after {end} bytes");
        }
        assert_eq!(scan.resume(head), Ok(Some(head.len())));
    }

    #[test]
    fn a_bare_lf_is_refused_wherever_it_stands() {
        for bytes in
            [&b"GET / HTTP/1.1\n\n"[..], b"\n", b"GET / HTTP/1.1\r\nA: b\n\r\n", b"GET / HTTP/1.1\r\n\n"]
        {
            assert_eq!(scan(bytes), Err(ScanError::BareLf), "{:?}", bytes.escape_ascii().to_string());
        }
    }

    #[test]
    fn a_folded_field_becomes_one_line() {
        let mut head = b"GET / HTTP/1.1\r\nA: b\r\n\tc\r\n d\r\n\r\n".to_vec();
        let mut scan = HeadScan::default();
        assert_eq!(scan.resume(&head), Ok(Some(head.len())));
        assert!(scan.folded());
        unfold(&mut head);
        assert_eq!(head, b"GET / HTTP/1.1\r\nA: b  \tc   d\r\n\r\n");
    }

    #[test]
    fn a_blank_before_the_first_field_is_refused() {
        assert_eq!(scan(b"GET / HTTP/1.1\r\n A: b\r\n\r\n"), Err(ScanError::FoldedFirst));
    }
}
