//! What goes out.

use axum::http::StatusCode;

use super::{
    Answer,
    request::{Method, Refusal},
};
use crate::lifecycle::Phase;

/// The longest reason that is sent: a line for people, which some balancers show in a column.
const REASON_CHARS: usize = 200;

/// Tells Envoy at once what it otherwise takes `unhealthy_threshold` answers for; others ignore it.
const ENVOY: &str = "x-envoy-immediate-health-check-fail: true\r\n";

/// The answer to a check.
pub(super) fn to_check(answer: &Answer, method: Method) -> Vec<u8> {
    let body = line(&answer.reason);
    let envoy = if answer.phase == Phase::Up { "" } else { ENVOY };
    render(answer.status, envoy, answer, &body, method == Method::Head)
}

/// The answer to something that is not a check.
pub(super) fn to_refused(answer: &Answer, refusal: Refusal) -> Vec<u8> {
    let (status, extra, body) = match refusal {
        Refusal::Malformed => (400, "", "this is not an HTTP/1 request; expected GET, HEAD or OPTIONS"),
        Refusal::Method => {
            (405, "allow: GET, HEAD, OPTIONS\r\n", "this is a health check; expected GET, HEAD or OPTIONS")
        }
        Refusal::TooSlow => (408, "", "the request did not come to its end in time"),
        Refusal::TooLarge => (431, "", "the request's head is too large for a health check"),
    };
    render(status, extra, answer, body, false)
}

fn render(status: u16, extra: &str, answer: &Answer, body: &str, head_only: bool) -> Vec<u8> {
    let phrase =
        StatusCode::from_u16(status).ok().and_then(|code| code.canonical_reason()).unwrap_or("Status");
    let Answer { phase, reason, since_unix, .. } = answer;
    let (length, reason) = (body.len() + 1, quoted(reason));
    let shown = if head_only { String::new() } else { format!("{body}\n") };
    format!(
        "HTTP/1.1 {status} {phrase}\r\n\
         content-type: text/plain; charset=utf-8\r\n\
         content-length: {length}\r\n\
         cache-control: no-store\r\n\
         connection: close\r\n\
         x-drain-state: {phase}; reason={reason}; since={since_unix}\r\n\
         {extra}\r\n{shown}"
    )
    .into_bytes()
}

/// A reason as one line: no control characters, not too long.
fn line(reason: &str) -> String {
    reason.chars().take(REASON_CHARS).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// A reason as a quoted string (RFC 9110 section 5.6.4), in ASCII.
fn quoted(reason: &str) -> String {
    let mut quoted = String::from("\"");
    for c in line(reason).chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_ascii() => quoted.push(c),
            _ => quoted.push('?'),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, phase: Phase, reason: &str) -> Answer {
        Answer { status, phase, reason: reason.to_owned(), since_unix: 1_700_000_000, generation: 1 }
    }

    fn text(bytes: Vec<u8>) -> String {
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn an_answer_is_this_and_nothing_else() {
        let soft = answer(404, Phase::Soft, "soft drain by root");
        assert_eq!(
            text(to_check(&soft, Method::Get)),
            "HTTP/1.1 404 Not Found\r\n\
             content-type: text/plain; charset=utf-8\r\n\
             content-length: 19\r\n\
             cache-control: no-store\r\n\
             connection: close\r\n\
             x-drain-state: soft; reason=\"soft drain by root\"; since=1700000000\r\n\
             x-envoy-immediate-health-check-fail: true\r\n\
             \r\n\
             soft drain by root\n"
        );
    }

    #[test]
    fn envoy_is_told_of_everything_but_up() {
        for phase in [
            Phase::Up,
            Phase::Soft,
            Phase::Hard,
            Phase::Restarting,
            Phase::Warming,
            Phase::Failed,
            Phase::Down,
        ] {
            let sent = text(to_check(&answer(503, phase, ""), Method::Get));
            assert_eq!(sent.contains(ENVOY), phase != Phase::Up, "{sent}");
        }
    }

    #[test]
    fn head_gets_the_length_but_no_body() {
        let up = answer(200, Phase::Up, "up");
        let sent = text(to_check(&up, Method::Head));
        assert!(sent.contains("content-length: 3\r\n") && sent.ends_with("\r\n\r\n"), "{sent}");
        for method in [Method::Get, Method::Options] {
            assert!(text(to_check(&up, method)).ends_with("\r\n\r\nup\n"));
        }
    }

    #[test]
    fn a_reason_can_break_neither_header_nor_body() {
        let failed = answer(500, Phase::Failed, "exit 1:\r\nx-evil: \"a\\b\" déjà");
        let sent = text(to_check(&failed, Method::Get));
        assert!(
            sent.contains("x-drain-state: failed; reason=\"exit 1:  x-evil: \\\"a\\\\b\\\" d?j?\"; since="),
            "{sent}"
        );
        assert!(sent.ends_with("\r\n\r\nexit 1:  x-evil: \"a\\b\" déjà\n"), "{sent}");
        let length = "exit 1:  x-evil: \"a\\b\" déjà\n".len();
        assert!(sent.contains(&format!("content-length: {length}\r\n")));
    }

    #[test]
    fn a_long_reason_is_cut() {
        let sent = text(to_check(&answer(500, Phase::Failed, &"x".repeat(5000)), Method::Get));
        assert!(sent.len() < 2 * REASON_CHARS + 300);
    }

    #[test]
    fn a_number_without_a_name_is_sent_all_the_same() {
        assert!(
            text(to_check(&answer(299, Phase::Up, "up"), Method::Get)).starts_with("HTTP/1.1 299 Status\r\n")
        );
    }

    #[test]
    fn refusals_tell_the_state_too() {
        let up = answer(200, Phase::Up, "up");
        for (refusal, status) in [
            (Refusal::Malformed, 400),
            (Refusal::Method, 405),
            (Refusal::TooSlow, 408),
            (Refusal::TooLarge, 431),
        ] {
            let sent = text(to_refused(&up, refusal));
            assert!(sent.starts_with(&format!("HTTP/1.1 {status} ")), "{sent}");
            assert!(sent.contains("x-drain-state: up; ") && sent.contains("connection: close\r\n"), "{sent}");
            assert_eq!(sent.contains("allow: GET, HEAD, OPTIONS\r\n"), status == 405);
        }
    }
}
