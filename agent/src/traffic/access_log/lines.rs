//! Lines in what was read, counted as requests.

use memchr::{memchr, memmem};

use crate::{config::Pattern, fetch::USER_AGENT};

/// So much of a line is looked at. The longest request that a server takes by default has 8 KiB.
const LINE_MAX: usize = 16 * 1024;

/// The lines of one file.
#[derive(Clone, Debug, Default)]
pub(super) struct Lines {
    /// The beginning of a line of which the end has not been read.
    partial: Vec<u8>,
}

impl Lines {
    /// How many requests end in `bytes`, which follow what was taken before.
    pub(super) fn take(&mut self, mut bytes: &[u8], ignore: Option<&Pattern>) -> u64 {
        let mut requests = 0;
        while let Some(end) = memchr(b'\n', bytes) {
            let (line, rest) = bytes.split_at(end);
            if self.partial.is_empty() {
                requests += u64::from(is_request(line, ignore));
            } else {
                self.keep(line);
                requests += u64::from(is_request(&self.partial, ignore));
                self.partial.clear();
            }
            bytes = &rest[1..];
        }
        self.keep(bytes);
        requests
    }

    /// What follows does not follow what was taken before.
    pub(super) fn break_off(&mut self) {
        self.partial.clear();
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = LINE_MAX - self.partial.len();
        self.partial.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }
}

/// Whether a line is a user's request: it is not empty, not the agent's own, and nobody has said to leave it out.
fn is_request(line: &[u8], ignore: Option<&Pattern>) -> bool {
    // A log that was cut to nothing under a server that does not append begins with a hole.
    let line = line.trim_ascii().strip_prefix(b"\0").map_or(line, without_hole);
    let line = line[..line.len().min(LINE_MAX)].trim_ascii();
    !line.is_empty() && !is_own(line) && ignore.is_none_or(|pattern| !pattern.matches(line))
}

fn without_hole(line: &[u8]) -> &[u8] {
    let begins = line.iter().position(|byte| *byte != 0).unwrap_or(line.len());
    &line[begins..]
}

/// Whether the agent has asked itself, as the usual formats tell it: `"drain-agent"` at the place of the browser.
fn is_own(line: &[u8]) -> bool {
    memmem::find_iter(line, USER_AGENT).any(|at| {
        let before = at.checked_sub(1).and_then(|before| line.get(before));
        before == Some(&b'"') && line.get(at + USER_AGENT.len()) == Some(&b'"')
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{AccessLog, Config, Traffic};

    fn pattern(text: &str) -> Pattern {
        let text = format!(
            "listen = '127.0.0.1:1'\nserver.ports = [80]\nrestart.command = ['true']\n\
             traffic = {{ access_log = '/l', ignore = '{text}' }}"
        );
        match Config::parse("f", &text, Some("s")).unwrap().traffic.remove(0) {
            Traffic::AccessLog(AccessLog { ignore: Some(pattern), .. }) => pattern,
            other => panic!("{other:?}"),
        }
    }

    fn requests(parts: &[&[u8]], ignore: Option<&Pattern>) -> u64 {
        let mut lines = Lines::default();
        parts.iter().map(|part| lines.take(part, ignore)).sum()
    }

    #[test]
    fn each_whole_line_is_a_request() {
        assert_eq!(requests(&[b"a\nb\nc"], None), 2);
        assert_eq!(requests(&[b"a\nb", b"b\nc", b"c", b"\n"], None), 3);
        assert_eq!(requests(&[b"\n\r\n  \n"], None), 0, "empty ones are none");
    }

    #[test]
    fn what_matches_the_pattern_is_left_out() {
        let health = pattern("\"(GET|HEAD) /health ");
        let log = b"1.2.3.4 \"GET /health HTTP/1.0\" 200\n1.2.3.4 \"GET /healthy HTTP/1.0\" 200\n";
        assert_eq!(requests(&[log], Some(&health)), 1);
        assert_eq!(requests(&[&log[..12], &log[12..]], Some(&health)), 1, "also where it is read in parts");
    }

    #[test]
    fn the_agents_own_probes_are_left_out() {
        let own = b"::1 - - [x] \"GET /health HTTP/1.1\" 200 3 \"-\" \"drain-agent\"\n";
        assert_eq!(requests(&[own], None), 0);
        assert_eq!(requests(&[b"\"GET /drain-agent HTTP/1.1\" \"curl\"\n"], None), 1, "a page of that name");
    }

    #[test]
    fn a_giant_line_is_one_request_and_takes_little_memory() {
        let mut lines = Lines::default();
        for _ in 0..1000 {
            assert_eq!(lines.take(&[b'x'; 4096], None), 0);
        }
        assert!(lines.partial.len() <= LINE_MAX);
        assert_eq!(lines.take(b"\nnext\n", None), 2);
    }

    #[test]
    fn garbage_is_lines_like_any_other() {
        assert_eq!(requests(&[b"\xff\xfe\0\x80\n\xc3\x28\n"], Some(&pattern("health"))), 2);
    }

    #[test]
    fn a_hole_before_a_line_is_no_part_of_it() {
        let hole = [vec![0; 100_000], b"GET /health\n".to_vec()].concat();
        assert_eq!(requests(&[&hole], Some(&pattern("^GET /health$"))), 0);
    }

    #[test]
    fn what_is_broken_off_is_no_part_of_the_next_line() {
        let mut lines = Lines::default();
        lines.take(b"GET /", None);
        lines.break_off();
        assert_eq!(lines.take(b"health\n", Some(&pattern("^health$"))), 0);
    }
}
