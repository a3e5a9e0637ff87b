//! The load: `wrk`, pinned away from the proxy under test.

use std::{
    env, fs,
    process::{self, Command},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};

/// One run of `wrk`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    /// Client connections.
    pub(crate) connections: u32,
    /// How long it runs.
    pub(crate) length: Duration,
    /// A connection of its own for every request.
    pub(crate) close: bool,
    /// So many bytes are posted with each request; 0: it is a GET.
    pub(crate) body: usize,
}

/// What came back.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Outcome {
    /// Requests answered with 2xx or 3xx.
    pub(crate) requests: u64,
    /// As many of them in a second.
    pub(crate) per_second: f64,
    /// Median latency in microseconds.
    pub(crate) p50_us: f64,
    /// 99th percentile of the latency in microseconds.
    pub(crate) p99_us: f64,
}

impl Load {
    /// Runs the load on processor `cpu` against `url`.
    ///
    /// Errors where any request failed: a figure from a failing proxy says nothing.
    pub(crate) fn run(self, cpu: usize, url: &str) -> Result<Outcome> {
        let mut wrk = Command::new("taskset");
        wrk.args(["-c", &cpu.to_string(), "wrk", "--latency", "-t1"])
            .arg(format!("-c{}", self.connections))
            .arg(format!("-d{}s", self.length.as_secs()));
        if self.close {
            wrk.args(["-H", "Connection: close"]);
        }
        let script = env::temp_dir().join(format!("drain-bench-{}-{}.lua", process::id(), self.body));
        if self.body > 0 {
            let text = format!("wrk.method = \"POST\"\nwrk.body = string.rep(\"x\", {})\n", self.body);
            fs::write(&script, text).context("write wrk's script")?;
            wrk.arg("-s").arg(&script);
        }
        let output = wrk.arg(url).output().context("wrk can't be started; `apt-get install wrk`")?;
        if self.body > 0 {
            let _ = fs::remove_file(&script);
        }
        let text = String::from_utf8_lossy(&output.stdout);
        ensure!(output.status.success(), "wrk failed: {text}{}", String::from_utf8_lossy(&output.stderr));
        parse(&text)
    }
}

/// Reads wrk's report.
fn parse(text: &str) -> Result<Outcome> {
    for line in text.lines().map(str::trim) {
        if line.starts_with("Socket errors:") || line.starts_with("Non-2xx") {
            bail!("requests failed under load: {line}");
        }
    }
    let requests = text
        .lines()
        .find_map(|l| l.trim().split_once(" requests in ")?.0.parse().ok())
        .with_context(|| format!("no count of requests in wrk's report:\n{text}"))?;
    ensure!(requests > 0, "no request was answered in time: measure for more --seconds");
    let per_second = text
        .lines()
        .find_map(|l| l.trim().strip_prefix("Requests/sec:")?.trim().parse().ok())
        .with_context(|| format!("no rate in wrk's report:\n{text}"))?;
    Ok(Outcome { requests, per_second, p50_us: percentile(text, "50%")?, p99_us: percentile(text, "99%")? })
}

/// Finds one line of the latency distribution, in microseconds.
fn percentile(text: &str, label: &str) -> Result<f64> {
    let value = text
        .lines()
        .find_map(|l| l.trim().strip_prefix(label).map(str::trim))
        .with_context(|| format!("no {label} in wrk's report:\n{text}"))?;
    for (unit, factor) in [("us", 1.0), ("ms", 1e3), ("s", 1e6)] {
        if let Some(number) = value.strip_suffix(unit) {
            return Ok(number.parse::<f64>().with_context(|| format!("odd latency '{value}'"))? * factor);
        }
    }
    bail!("odd latency '{value}'")
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORT: &str = "Running 1s test @ http://127.0.0.1:1/\n  1 threads and 8 connections\n  Thread Stats   Avg\n  \
        Latency Distribution\n     50%  250.00us\n     75%  1.00ms\n     99%    2.50ms\n  12345 requests in 1.00s, 9.00MB read\nRequests/sec:  12300.50\n";

    #[test]
    fn a_report_is_read_in_one_unit() {
        let seen = parse(REPORT).unwrap();
        assert_eq!(seen, Outcome { requests: 12_345, per_second: 12_300.5, p50_us: 250.0, p99_us: 2500.0 });
    }

    #[test]
    fn failed_requests_spoil_the_figure() {
        assert!(parse(&format!("{REPORT}  Non-2xx or 3xx responses: 1\n")).is_err());
        assert!(parse(&format!("{REPORT}  Socket errors: connect 0, read 1, write 0, timeout 0\n")).is_err());
    }
}
