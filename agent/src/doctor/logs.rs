//! Whether an access log tells the agent's own requests from users'.

use std::{
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom},
    path::Path,
};

use memchr::memmem;

use super::Finding;
use crate::{
    config::{AccessLog, Config, Lines, Probe, Traffic},
    fetch::USER_AGENT,
};

const ABOUT: &str = "access_log";

/// So much of a log's end is read: some thousand lines, among which are probes where they are logged at all.
const END_BYTES: u64 = 256 * 1024;

/// Of each log in which the agent's probes seem to stand as if users had asked. Blocking.
pub(super) fn nameless(config: &Config) -> Vec<Finding> {
    let Probe::Http { url, .. } = &config.server.ready.probe else { return Vec::new() };
    let logs = config.traffic.iter().filter_map(|traffic| match traffic {
        Traffic::AccessLog(AccessLog { lines: Lines::File(path), ignore }) => Some((path, ignore)),
        _ => None,
    });
    logs.filter_map(|(path, ignore)| {
        // One that can't be read holds a drain, which is told of elsewhere.
        let end = end_of(path).ok()?;
        let counts = |line: &[u8]| ignore.as_ref().is_none_or(|pattern| !pattern.matches(line));
        judge(path, url.path(), &end, counts)
    })
    .collect()
}

/// What the end of a log says; `counts` tells which lines are taken for users.
fn judge(log: &Path, probed: &str, end: &[u8], counts: impl Fn(&[u8]) -> bool) -> Option<Finding> {
    let request = format!(" {probed} ");
    // The first line may have been cut.
    let mut lines = end.split(|byte| *byte == b'\n').skip(1).filter(|line| counts(line));
    if memmem::find(end, USER_AGENT.as_bytes()).is_some()
        || !lines.any(|line| memmem::find(line, request.as_bytes()).is_some())
    {
        return None;
    }
    Some(Finding::warning(
        ABOUT,
        format!(
            "{} has requests for {probed}, which the readiness probe asks for, and never names the agent: its own \
             probes count as users, and hold a drain until its limit",
            log.display()
        ),
        format!(
            "let the log name the browser, in quotes (HAProxy: `capture request header User-Agent len 64` and \
             `\"%[capture.req.hdr(0)]\"` in its log-format); or set `ignore` beside access_log to a pattern that leaves \
             out {probed}"
        ),
    ))
}

fn end_of(log: &Path) -> io::Result<Vec<u8>> {
    // Before it is opened: nobody else may read a FIFO, and opening one waits.
    let meta = fs::metadata(log)?;
    if !meta.is_file() {
        return Ok(Vec::new());
    }
    let mut file = File::open(log)?;
    file.seek(SeekFrom::Start(meta.len().saturating_sub(END_BYTES)))?;
    let mut end = vec![b'\n'];
    file.take(END_BYTES).read_to_end(&mut end)?;
    Ok(end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    /// HAProxy's own format has no browser.
    const HAPROXY: &str = "\nNov 23 lb[1]: 127.0.0.1:5 [x] f b/s 0/0/0/1/1 200 9 - - ---- 1/1/0/0/0 0/0 \"GET /health HTTP/1.1\"\n";

    #[test]
    fn probes_without_a_name_are_found() {
        let of = |end: &str, counts: bool| judge(Path::new("/l"), "/health", end.as_bytes(), |_| counts);
        assert!(of(HAPROXY, true).is_some());
        assert!(of(HAPROXY, false).is_none(), "a pattern leaves them out");
        assert!(
            of(&format!("{HAPROXY}\"GET /health HTTP/1.1\" \"drain-agent\"\n"), true).is_none(),
            "they are named"
        );
        assert!(of(&HAPROXY.replace("/health", "/healthy"), true).is_none(), "another page");
        assert!(of("", true).is_none());
    }

    #[test]
    fn only_the_end_of_a_log_is_read() {
        let scratch = Scratch::new("doctor-log");
        let log = scratch.join("access.log");
        fs::write(&log, "x\n".repeat(END_BYTES as usize)).unwrap();
        assert_eq!(end_of(&log).unwrap().len() as u64, END_BYTES + 1);
        assert!(end_of(&scratch.join("none")).is_err());
    }
}
