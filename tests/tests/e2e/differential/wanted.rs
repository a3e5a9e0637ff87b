//! The differences that are wanted, each with its reason.

use super::Outcome;

/// A difference.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    /// What it consists in.
    pub(super) kind: Kind,
    /// Why.
    pub(super) reason: &'static str,
}

/// What a difference consists in.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// HAProxy passes what is refused here with this status.
    Refused(u16),
    /// What is refused here as a body that can be read in two ways, HAProxy passes, or refuses when it has not passed
    /// its beginning already.
    Broken,
    /// HAProxy refuses what passes here.
    Taken,
    /// Both refuse, here with this status.
    Status(u16),
    /// The server gets the same request in other words.
    Worded,
    /// The client gets the same body in other letters.
    Letters,
    /// Behind the client's end HAProxy may leave undone what came before it, or find fault with it.
    Unfinished,
}

impl Kind {
    /// Whether this is the difference between ours and HAProxy's.
    pub(super) fn fits(self, ours: &Outcome, theirs: &Outcome) -> bool {
        let is_refused = |outcome: &Outcome| outcome.requests.is_empty() && outcome.statuses != [200];
        match self {
            Self::Refused(502) => ours.statuses == [502] && theirs.statuses != [502],
            Self::Refused(status) => ours.statuses == [status] && is_refused(ours) && !is_refused(theirs),
            Self::Broken => ours.statuses == [400] && is_refused(ours),
            Self::Taken => ours.statuses == [200] && is_refused(theirs),
            Self::Status(status) => {
                ours.statuses == [status]
                    && ours.statuses != theirs.statuses
                    && is_refused(ours)
                    && is_refused(theirs)
            }
            Self::Worded => {
                ours.statuses == theirs.statuses
                    && ours.requests != theirs.requests
                    && ours.requests.len() == theirs.requests.len()
            }
            Self::Letters => ours.body != theirs.body && ours.body.eq_ignore_ascii_case(&theirs.body),
            Self::Unfinished => {
                let good = theirs.statuses.strip_suffix(&[400]).unwrap_or(&theirs.statuses);
                (ours.requests.starts_with(&theirs.requests) && ours.statuses.starts_with(good))
                    || ours == theirs
            }
        }
    }
}

/// Cases whose name holds this differ so, for this reason.
const WANTED: &[(&str, Kind, &str)] = &[
    ("target http://a?b", Kind::Taken, "RFC 3986 allows an empty path before a query"),
    ("target http://a:80/x", Kind::Worded, "a target goes on as it came"),
    ("target https://a:443/x", Kind::Worded, "a target goes on as it came"),
    ("target http:///x", Kind::Refused(400), "an http URI without a host names nobody (RFC 9110 4.2.1)"),
    ("target http://u@a/x", Kind::Refused(400), "user information hides the host (RFC 9110 4.2.4)"),
    ("target http://a:/x", Kind::Refused(400), "it is not the host of the Host field"),
    (r#"connect with \"Host: a:80"#, Kind::Worded, "a Host goes on as it came"),
    (r"host Host: a\r\nhost: A", Kind::Refused(400), "two Host fields that differ, be it in letters"),
    ("line GET / HTTP/0.9", Kind::Refused(400), "there is no such version with a head"),
    (r"line GET\t/\tHTTP/1.1", Kind::Refused(400), "RFC 9112 3 knows blanks only"),
    (r#"coding \"CHUNKED\""#, Kind::Worded, "a coding is written anew"),
    (r#"coding \",chunked\""#, Kind::Status(400), "an empty element is no coding"),
    (r#"coding \"chunked,\""#, Kind::Refused(400), "an empty element is no coding"),
    (r#"chunks \"5\\nhello\\n0"#, Kind::Broken, "no bare LF"),
    (r#"chunks \"5\\r\\nhello\\n0"#, Kind::Broken, "no bare LF"),
    (r#"chunks \"6\\r\\nhello"#, Kind::Broken, "no bare LF behind a chunk"),
    (r#"chunks \"0\\r\\nX T: 1"#, Kind::Broken, "trailers are fields"),
    (r#"chunks \"0\\r\\n X: 1"#, Kind::Broken, "trailers are fields"),
    (r#"chunks \"0\\r\\nX-T: 1\\n"#, Kind::Broken, "no bare LF"),
    (r#"field \"X-A: b\\u{1}\""#, Kind::Refused(400), "no control characters in values (RFC 9110 5.5)"),
    (r#"field \"X-A: b\\0c\""#, Kind::Refused(400), "no NUL"),
    (r#"field \"X-A: b\\nX-B: c\""#, Kind::Refused(400), "no bare LF"),
    (r#"field \"X-A: b\\r\\n\""#, Kind::Unfinished, "an empty line is no request (RFC 9112 2.2)"),
    (r#"field \"Connection: X-A, TE\""#, Kind::Worded, "options are written without blanks"),
    (r#"field \"Connection: Content-Length\""#, Kind::Worded, "a field that frames is never named"),
    (r#"Sec-WebSocket-Key: x\""#, Kind::Taken, "whether a key is sound is the server's to say"),
    ("size of field 17000", Kind::Status(431), "as newer versions"),
    ("size of field 40000", Kind::Status(431), "as newer versions"),
    ("size of target 17000", Kind::Status(414), "as newer versions"),
    ("size of target 40000", Kind::Status(414), "as newer versions"),
    ("size in fields 100", Kind::Taken, "the request line is no field"),
    ("size in fields 102", Kind::Status(431), "as newer versions"),
    ("size in fields 300", Kind::Status(431), "as newer versions"),
    (r#"length \"0\""#, Kind::Unfinished, "who closes its half still gets all its answers"),
    ("sequence", Kind::Unfinished, "who closes its half still gets all its answers"),
    (r#"X-T: 1\\r\\n\\r\\n\" to GET"#, Kind::Letters, "names keep their case, in trailers too"),
    (r#"X-T: 1\\r\\n\\r\\n\" to POST"#, Kind::Letters, "names keep their case, in trailers too"),
    (r#"\"20 x"#, Kind::Refused(502), "a status has three digits"),
    (r#"\"2000 x"#, Kind::Refused(502), "a status has three digits"),
    (r"X-A: b\\0c\\r\\nContent", Kind::Refused(502), "no NUL"),
    (r"200 OK\\nContent", Kind::Refused(502), "no bare LF"),
    ("HTTP/0.9 200", Kind::Refused(502), "there is no such version with a head"),
];

/// The difference that is wanted in the case of this name.
pub(super) fn of(name: &str) -> Option<Wanted> {
    let &(_, kind, reason) = WANTED.iter().find(|(part, ..)| name.contains(part))?;
    Some(Wanted { kind, reason })
}
