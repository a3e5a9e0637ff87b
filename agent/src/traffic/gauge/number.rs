//! How a number is found in an answer.
//!
//! | the field | and the answer | is read as |
//! |---|---|---|
//! | none | | the number that the answer is |
//! | `/a/b` | | a JSON pointer (RFC 6901) |
//! | `active`, `reading`, `writing`, `waiting` | begins with `Active connections:` | nginx's `stub_status` |
//! | `Scoreboard` | has a line `Scoreboard: …` | Apache's `mod_status?auto`: how many workers serve a request |
//! | `NAME` | has a line `NAME: N` | Apache's `mod_status?auto` |
//! | `NAME` or `NAME{label="value"}` | has such metrics | Prometheus: their sum |
//!
//! A fraction counts as a whole one more: what is not zero is not quiet.

use serde_json::Value;
use thiserror::Error;

/// A number is not where it was expected.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum NotFound {
    /// There is nothing of that name.
    #[error("expected {field:?} in the answer, found none in {found:?}; correct `field`{hint}")]
    Nothing {
        /// What was looked for.
        field: String,
        /// How the answer begins.
        found: String,
        /// What may be the matter.
        hint: &'static str,
    },
    /// What is there is no number of requests.
    #[error("expected a number that is not negative, found {found:?}; correct `field`")]
    NoNumber {
        /// What is there.
        found: String,
    },
    /// The answer is no JSON.
    #[error("expected JSON, because `field` begins with a slash, found: {0}")]
    NoJson(String),
}

/// So much of an answer is quoted.
const QUOTED: usize = 60;

/// The number of `field` in `body`; without a field it is all there is.
pub(super) fn read(body: &[u8], field: Option<&str>) -> Result<u32, NotFound> {
    let text = String::from_utf8_lossy(body);
    let Some(field) = field else { return number(&text) };
    if field.starts_with('/') {
        return pointed(body, field);
    }
    let found = if text.trim_start().starts_with("Active connections:") {
        nginx(&text, field)
    } else {
        apache(&text, field).or_else(|| prometheus(&text, field))
    };
    found.unwrap_or_else(|| {
        let hint = if text.trim_start().starts_with('<') {
            "; this is an HTML page: Apache's `server-status` needs `?auto` in `url`"
        } else {
            ""
        };
        Err(NotFound::Nothing { field: field.to_owned(), found: quoted(&text), hint })
    })
}

/// RFC 6901.
fn pointed(body: &[u8], field: &str) -> Result<u32, NotFound> {
    let json: Value = serde_json::from_slice(body).map_err(|error| NotFound::NoJson(error.to_string()))?;
    match json.pointer(field) {
        Some(Value::Number(found)) => number(&found.to_string()),
        Some(other) => Err(NotFound::NoNumber { found: quoted(&other.to_string()) }),
        None => {
            let found = quoted(&json.to_string());
            Err(NotFound::Nothing { field: field.to_owned(), found, hint: "" })
        }
    }
}

/// `Active connections: 2`, and further down `Reading: 0 Writing: 1 Waiting: 1`.
fn nginx(text: &str, field: &str) -> Option<Result<u32, NotFound>> {
    if field.eq_ignore_ascii_case("active") {
        let line = text.trim_start().strip_prefix("Active connections:")?;
        return Some(number(line.lines().next()?));
    }
    let mut words = text.split_whitespace();
    words.find(|word| word.strip_suffix(':').is_some_and(|name| name.eq_ignore_ascii_case(field)))?;
    Some(number(words.next()?))
}

/// `BusyWorkers: 1`.
fn apache(text: &str, field: &str) -> Option<Result<u32, NotFound>> {
    let value = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
    if field == "Scoreboard" {
        // Reading a request, writing, DNS, closing, logging, finishing: not one that waits, starts or is kept alive.
        let busy = value.bytes().filter(|worker| b"RWDCLG".contains(worker)).count();
        return Some(Ok(u32::try_from(busy).unwrap_or(u32::MAX)));
    }
    Some(number(value))
}

/// `requests_in_flight{handler="page"} 1 1712345678`, where the labels that `field` names are so.
fn prometheus(text: &str, field: &str) -> Option<Result<u32, NotFound>> {
    let (name, wanted) = series(field)?;
    let mut sum: Option<u32> = None;
    for line in text.lines().filter(|line| line.starts_with(name)) {
        let Some((found, rest)) = split_series(line) else { continue };
        let Some((found, labels)) = series(found) else { continue };
        if found != name || !wanted.iter().all(|label| labels.contains(label)) {
            continue;
        }
        match number(rest.split_whitespace().next().unwrap_or_default()) {
            Ok(value) => sum = Some(sum.unwrap_or(0).saturating_add(value)),
            wrong @ Err(_) => return Some(wrong),
        }
    }
    sum.map(Ok)
}

/// A line's name with its labels, and what follows.
fn split_series(line: &str) -> Option<(&str, &str)> {
    let end = match line.find(['{', ' ', '\t'])? {
        brace if line.as_bytes()[brace] == b'{' => brace + closing(&line[brace..])? + 1,
        space => space,
    };
    Some(line.split_at(end))
}

/// Where the labels that begin `text` end: at the first brace outside of quotes.
fn closing(text: &str) -> Option<usize> {
    let (mut quoted, mut escaped) = (false, false);
    text.bytes().position(|byte| {
        let ends = byte == b'}' && !quoted;
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = quoted,
            b'"' => quoted = !quoted,
            _ => {}
        }
        ends
    })
}

/// A metric's name, and its labels as they are written: `name="value"`.
fn series(text: &str) -> Option<(&str, Vec<&str>)> {
    let Some((name, labels)) = text.split_once('{') else { return Some((text.trim(), Vec::new())) };
    let labels = labels.trim_end().strip_suffix('}')?;
    let (mut quoted, mut escaped) = (false, false);
    let parts = labels.split(|letter| {
        let ends = letter == ',' && !quoted;
        match letter {
            _ if escaped => escaped = false,
            '\\' => escaped = quoted,
            '"' => quoted = !quoted,
            _ => {}
        }
        ends
    });
    Some((name.trim(), parts.map(str::trim).filter(|part| !part.is_empty()).collect()))
}

/// A number of requests, rounded up.
fn number(text: &str) -> Result<u32, NotFound> {
    let text = text.trim();
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() && number >= 0.0 => Ok(number.ceil() as u32),
        _ => Err(NotFound::NoNumber { found: quoted(text) }),
    }
}

/// The beginning of a text.
fn quoted(text: &str) -> String {
    text.trim_start().chars().take(QUOTED).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const APACHE: &str = "localhost\nServerVersion: Apache/2.4.71 (Debian)\nTotal Accesses: 7\nBusyWorkers: 3\n\
                          IdleWorkers: 22\nScoreboard: __W_K.R.SC\n";
    const NGINX: &str = "Active connections: 5 \nserver accepts handled requests\n 9 9 12 \n\
                         Reading: 1 Writing: 2 Waiting: 3 \n";
    const METRICS: &str = "# HELP http_in_flight Requests.\n# TYPE http_in_flight gauge\n\
                           http_in_flight{handler=\"a, {b}\",code=\"2\"} 1\n\
                           http_in_flight{handler=\"c \\\" d\",code=\"2\"} 2.0 1712345678000\n\
                           http_in_flight_max 9\nplain 4e0 # {trace=\"x\"} 1\nbad NaN\nless -1\n";

    fn found(body: &str, field: &str) -> u32 {
        read(body.as_bytes(), Some(field)).unwrap_or_else(|error| panic!("{error}"))
    }

    fn error(body: &str, field: Option<&str>) -> String {
        read(body.as_bytes(), field).unwrap_err().to_string()
    }

    #[test]
    fn a_page_may_be_a_number() {
        for (body, number) in [("7", 7), (" 0\n", 0), ("1.2\r\n", 2), ("3e2", 300)] {
            assert_eq!(read(body.as_bytes(), None), Ok(number), "{body:?}");
        }
        for body in ["", "no", "-1", "NaN", "inf", "1 2"] {
            assert!(read(body.as_bytes(), None).is_err(), "{body:?}");
        }
    }

    #[test]
    fn apache_tells_its_busy_workers() {
        assert_eq!(found(APACHE, "BusyWorkers"), 3);
        assert_eq!(found(APACHE, "Scoreboard"), 3, "R, W and C; not the one that is kept alive");
    }

    #[test]
    fn an_html_page_is_no_status() {
        let said = error("<!DOCTYPE HTML><html>Apache Server Status", Some("BusyWorkers"));
        assert!(said.contains("`?auto`") && said.contains("<!DOCTYPE HTML>"), "{said}");
    }

    #[test]
    fn nginx_tells_its_connections() {
        let fields = ["active", "reading", "writing", "waiting"].map(|field| found(NGINX, field));
        assert_eq!(fields, [5, 1, 2, 3]);
        assert!(error(NGINX, Some("busy")).contains("found none"));
    }

    #[test]
    fn metrics_are_summed_over_the_labels_that_are_not_named() {
        assert_eq!(found(METRICS, "http_in_flight"), 3);
        assert_eq!(found(METRICS, "http_in_flight{code=\"2\"}"), 3);
        assert_eq!(found(METRICS, "http_in_flight{ handler=\"a, {b}\" }"), 1);
        assert_eq!(found(METRICS, "http_in_flight{handler=\"c \\\" d\", code=\"2\"}"), 2);
        assert_eq!(found(METRICS, "http_in_flight_max"), 9);
        assert_eq!(found(METRICS, "plain"), 4);
    }

    #[test]
    fn a_metric_that_is_missing_or_no_number_is_unknown() {
        for field in ["http_in", "http_in_flight{code=\"5\"}", "bad", "less", "http_in_flight{code=\"2\""] {
            assert!(read(METRICS.as_bytes(), Some(field)).is_err(), "{field}");
        }
    }

    #[test]
    fn json_is_pointed_into() {
        let json = r#"{"server":{"requests":[{"active":4},2.5]},"name":"x"}"#;
        assert_eq!(found(json, "/server/requests/0/active"), 4);
        assert_eq!(found(json, "/server/requests/1"), 3);
        assert!(error(json, Some("/name")).contains("expected a number"));
        assert!(error(json, Some("/nobody")).contains("found none"));
        assert!(error("4", Some("/x")).contains("found none"));
        assert!(error("no", Some("/x")).contains("expected JSON"));
    }

    proptest::proptest! {
        #[test]
        fn no_answer_makes_it_panic(body: Vec<u8>, text in "\\PC{0,40}", field in "[a-z/{}\",= \\\\]{0,12}") {
            for field in [None, Some(field.as_str())] {
                let _ = read(&body, field);
                let _ = read(text.as_bytes(), field);
                let _ = read(format!("{}{text} 1", field.unwrap_or_default()).as_bytes(), field);
            }
        }
    }
}
