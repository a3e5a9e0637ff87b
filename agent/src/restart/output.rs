//! What a command has said, as far as it is kept.

use std::fmt;

/// How much of a command's output is kept: enough for a configuration error with its context, and little beside
/// the agent's own memory.
pub(super) const KEPT: usize = 16 * 1024;

/// The end of what a command has written, its output and its errors in the order in which they came.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Output {
    tail: Vec<u8>,
    /// Bytes that came before `tail` and are gone.
    dropped: u64,
}

impl Output {
    /// This end of what was written, before which so many bytes came that are not kept.
    pub(super) const fn new(tail: Vec<u8>, dropped: u64) -> Self {
        Self { tail, dropped }
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
    fn what_is_not_kept_is_counted() {
        let output = Output::new(b"the end\n".to_vec(), 3);
        assert_eq!(output.to_string(), "[3 bytes before this are not kept] the end");
    }

    #[test]
    fn what_is_no_text_is_still_shown() {
        assert_eq!(Output::new(b"a\xffb".to_vec(), 0).to_string(), "a\u{fffd}b");
    }
}
