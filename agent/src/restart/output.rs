//! What a command has said, as far as it is kept.

use std::fmt;

/// How much of a command's output is kept: enough for a configuration error with its context, and little beside
/// the agent's own memory.
const KEPT: usize = 16 * 1024;

/// The end of what a command has written, its output and its errors in the order in which they came.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Output {
    tail: Vec<u8>,
    /// Bytes that came before `tail` and are gone.
    dropped: u64,
}

impl Output {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.tail.extend_from_slice(bytes);
        let too_many = self.tail.len().saturating_sub(KEPT);
        self.tail.drain(..too_many);
        self.dropped += too_many as u64;
    }

    /// Whether nothing was written.
    pub const fn is_empty(&self) -> bool {
        self.tail.is_empty()
    }
}

/// The text, without the white space at its end; what is no UTF-8 is replaced.
impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.dropped > 0 {
            write!(f, "[{} bytes before this are not kept] ", self.dropped)?;
        }
        f.write_str(String::from_utf8_lossy(&self.tail).trim_end())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_kept() {
        let mut output = Output::default();
        for _ in 0..KEPT {
            output.push(b"ab");
        }
        output.push(b"the end\n");
        let text = output.to_string();
        assert!(text.starts_with(&format!("[{} bytes before this", KEPT + 8)), "{text:.60}");
        assert!(text.ends_with("ababthe end"));
    }

    #[test]
    fn what_is_no_text_is_still_shown() {
        let mut output = Output::default();
        output.push(b"a\xffb");
        assert_eq!(output.to_string(), "a\u{fffd}b");
    }
}
