//! What the figures were measured on, and with what.

use std::{fs, process::Command};

/// A paragraph for above the tables.
pub(crate) fn description() -> String {
    let file = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name)).and_then(|line| line.split_once(':'));
        line.map_or_else(|| "unknown".to_owned(), |(_, value)| value.trim().to_owned())
    };
    let processors = std::thread::available_parallelism().map_or(0, usize::from);
    let [kernel, load] =
        ["/proc/sys/kernel/osrelease", "/proc/loadavg"].map(|path| file(path).trim().to_owned());
    let memory = field(&file("/proc/meminfo"), "MemTotal");
    let programs: Vec<String> =
        [("haproxy", "-v"), ("nginx", "-v"), ("varnishd", "-V"), ("caddy", "version"), ("wrk", "-v")]
            .iter()
            .filter_map(|(program, flag)| version(program, flag))
            .collect();
    format!(
        "{processors} processors ({}), {memory}, Linux {kernel}, load {load} at the start; {}. The proxy alone on \
         processor {}, servers and load on processor {}.",
        field(&file("/proc/cpuinfo"), "model name"),
        programs.join(", "),
        crate::PROXY_CPU,
        crate::LOAD_CPU,
    )
}

/// The first line of what the program says of itself, up to its first bracket.
fn version(program: &str, flag: &str) -> Option<String> {
    let out = Command::new(program).arg(flag).output().ok()?;
    let said = [out.stdout, out.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    let line = said.lines().next()?.trim_start_matches("nginx version: ").to_owned();
    let line = line.split(['(', ')', '[']).nth(usize::from(line.starts_with("varnishd"))).unwrap_or_default();
    let words: Vec<&str> = line.split_whitespace().take(3).collect();
    Some(if program == "caddy" { format!("caddy {}", words.first()?) } else { words.join(" ") })
}
