//! The lines of a head on their way into another one.

/// Copies the lines of a head that go on as they are, neighbours at once: most of them are written as they would be here.
pub(super) struct Lines<'b> {
    bytes: &'b [u8],
    /// Where those begin that are to be copied.
    from: usize,
    /// Where they end, and the next line begins.
    at: usize,
}

impl<'b> Lines<'b> {
    /// Those of a head's fields, from the first on.
    pub(super) const fn of(bytes: &'b [u8]) -> Self {
        Self { bytes, from: 0, at: 0 }
    }

    /// The next line, which has this name and value, goes on.
    pub(super) fn keep(&mut self, name: &[u8], value: &[u8], out: &mut Vec<u8>) {
        let colon = self.at + name.len();
        let end = colon + value.len() + b": \r\n".len();
        // With other blanks it is longer, and without any the colon has none behind it.
        let is_plain =
            self.bytes.get(colon..colon + 2) == Some(b": ") && self.bytes.get(end - 2..end) == Some(b"\r\n");
        if is_plain {
            self.at = end;
        } else {
            self.leave(out);
            field(name, value, out);
        }
    }

    /// The next line does not go on as it is. What is written next stands in its place.
    pub(super) fn leave(&mut self, out: &mut Vec<u8>) {
        self.copy(out);
        let rest = &self.bytes[self.at..];
        self.at += memchr::memchr(b'\n', rest).map_or(rest.len(), |end| end + 1);
        self.from = self.at;
    }

    /// Copies what is to be copied.
    pub(super) fn copy(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.bytes[self.from..self.at]);
        self.from = self.at;
    }
}

/// Writes one line.
pub(super) fn field(name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}
