//! What rules answer themselves.

use std::sync::Arc;

use super::{
    file,
    message::{Message, is_kept},
    returned::Return,
};

/// An answer, but for how it ends.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reply {
    /// The status that the client gets.
    pub status: u16,
    /// The one that is counted and logged: that of the error, where a file answers it with another.
    pub code: u16,
    /// What stands behind it.
    pub reason: Arc<str>,
    /// Whole lines.
    pub fields: Vec<u8>,
    /// The body.
    pub body: Vec<u8>,
    /// How the request ended, for the log.
    pub cause: [u8; 2],
    /// The client waits first.
    pub is_delayed: bool,
    /// The connection closes without a word.
    pub is_nothing: bool,
}

/// Statuses that have a text, HAProxy's.
const TEXTS: [(u16, &str, &str); 18] = [
    (200, "OK", "Service ready."),
    (400, "Bad request", "Your browser sent an invalid request."),
    (401, "Unauthorized", "You need a valid user and password to access this content."),
    (403, "Forbidden", "Request forbidden by administrative rules."),
    (404, "Not Found", "The resource could not be found."),
    (
        405,
        "Method Not Allowed",
        "A request was made of a resource using a request method not supported by that resource",
    ),
    (407, "Unauthorized", "You need a valid user and password to access this content."),
    (408, "Request Time-out", "Your browser didn't send a complete request in time."),
    (410, "Gone", "The resource is no longer available and will not be available again."),
    (413, "Payload Too Large", "The request entity exceeds the maximum allowed."),
    (421, "Misdirected Request", "Request sent to a non-authoritative server."),
    (425, "Too Early", "Your browser sent early data."),
    (429, "Too Many Requests", "You have sent too many requests in a given amount of time."),
    (500, "Internal Server Error", "An internal server error occurred."),
    (
        501,
        "Not Implemented",
        "The server does not support the functionality required to fulfill the request.",
    ),
    (502, "Bad Gateway", "The server returned an invalid or incomplete response."),
    (503, "Service Unavailable", "No server is available to handle this request."),
    (504, "Gateway Time-out", "The server didn't respond in time."),
];

/// Those whose answer a file may replace, as keys of a table.
pub(super) const ERRORS: [(&str, u16); 18] = [
    ("200", 200),
    ("400", 400),
    ("401", 401),
    ("403", 403),
    ("404", 404),
    ("405", 405),
    ("407", 407),
    ("408", 408),
    ("410", 410),
    ("413", 413),
    ("421", 421),
    ("425", 425),
    ("429", 429),
    ("500", 500),
    ("501", 501),
    ("502", 502),
    ("503", 503),
    ("504", 504),
];

/// What stands behind a status that a rule gives; HAProxy's words, which are not those of its texts.
const REASONS: [(u16, &str); 65] = [
    (200, "OK"),
    (201, "Created"),
    (202, "Accepted"),
    (203, "Non-Authoritative Information"),
    (204, "No Content"),
    (205, "Reset Content"),
    (206, "Partial Content"),
    (207, "Multi-Status"),
    (210, "Content Different"),
    (226, "IM Used"),
    (300, "Multiple Choices"),
    (301, "Moved Permanently"),
    (302, "Moved Temporarily"),
    (303, "See Other"),
    (304, "Not Modified"),
    (305, "Use Proxy"),
    (307, "Temporary Redirect"),
    (308, "Permanent Redirect"),
    (310, "Too many Redirects"),
    (400, "Bad Request"),
    (401, "Unauthorized"),
    (402, "Payment Required"),
    (403, "Forbidden"),
    (404, "Not Found"),
    (405, "Method Not Allowed"),
    (406, "Not Acceptable"),
    (407, "Proxy Authentication Required"),
    (408, "Request Time-out"),
    (409, "Conflict"),
    (410, "Gone"),
    (411, "Length Required"),
    (412, "Precondition Failed"),
    (413, "Request Entity Too Large"),
    (414, "Request-URI Too Long"),
    (415, "Unsupported Media Type"),
    (416, "Requested range unsatisfiable"),
    (417, "Expectation failed"),
    (418, "I'm a teapot"),
    (421, "Misdirected Request"),
    (422, "Unprocessable Content"),
    (423, "Locked"),
    (424, "Method failure"),
    (425, "Too Early"),
    (426, "Upgrade Required"),
    (428, "Precondition Required"),
    (429, "Too Many Requests"),
    (431, "Request Header Fields Too Large"),
    (449, "Retry With"),
    (450, "Blocked by Windows Parental Controls"),
    (451, "Unavailable For Legal Reasons"),
    (456, "Unrecoverable Error"),
    (499, "client has closed connection"),
    (500, "Internal Server Error"),
    (501, "Not Implemented"),
    (502, "Bad Gateway or Proxy Error"),
    (503, "Service Unavailable"),
    (504, "Gateway Time-out"),
    (505, "HTTP Version not supported"),
    (506, "Variant also negotiate"),
    (507, "Insufficient storage"),
    (508, "Loop detected"),
    (509, "Bandwidth Limit Exceeded"),
    (510, "Not extended"),
    (511, "Network authentication required"),
    (520, "Web server is returning an unknown error"),
];

pub(super) fn reason(status: u16) -> &'static str {
    let known = REASONS.iter().find(|(code, _)| *code == status).map(|(_, reason)| *reason);
    known.unwrap_or(match status {
        0..200 => "Informational",
        200..300 => "Success",
        300..400 => "Redirection",
        400..500 => "Client Error",
        500..600 => "Server Error",
        _ => "Other",
    })
}

/// Whether a refusal may have this status.
pub(super) fn has_text(status: u16) -> bool {
    TEXTS.iter().any(|(code, ..)| *code == status)
}

impl Reply {
    /// HAProxy's text for those who are not let in.
    pub fn unauthorized(realm: &str) -> Self {
        let mut reply = Self::standard(401, *b"LR");
        let realm: String = realm.chars().filter(|c| !c.is_control() && *c != '"').collect();
        reply.fields.extend_from_slice(format!("www-authenticate: Basic realm=\"{realm}\"\r\n").as_bytes());
        reply
    }

    /// Whether it refuses the request (`deny`, `tarpit`), and is not what was asked for.
    pub(crate) fn is_refusal(&self) -> bool {
        self.cause[0] == b'P'
    }

    /// A page of the proxy's own, with these lines in its head.
    pub fn page(status: u16, fields: Vec<u8>, body: Vec<u8>) -> Self {
        Self { fields, body, ..Self::bare(status, *b"LR") }
    }

    /// A status with its reason, no field and no body.
    pub(super) fn bare(status: u16, cause: [u8; 2]) -> Self {
        let reason = reason(status).into();
        let (fields, body) = (Vec::new(), Vec::new());
        Self { status, code: status, reason, fields, body, cause, is_delayed: false, is_nothing: false }
    }

    /// Sends whoever gets it to another place (HAProxy: `errorloc302` and its like); it stands for `code`.
    pub(super) fn elsewhere(code: u16, status: u16, location: &str) -> Self {
        let fields = format!("cache-control: no-cache\r\nlocation: {location}\r\n").into_bytes();
        Self { code, cause: *b"PR", ..Self::redirect(status, fields) }
    }

    /// Sends a client to another place, which its `Location` says.
    pub(super) fn redirect(status: u16, fields: Vec<u8>) -> Self {
        let reply = Self::bare(status, *b"LR");
        let reason = if status == 302 { "Found".into() } else { reply.reason };
        Self { reason, fields, ..reply }
    }

    /// HAProxy's text for a status.
    pub(crate) fn standard(status: u16, cause: [u8; 2]) -> Self {
        let text = TEXTS.iter().find(|(code, ..)| *code == status);
        let (reason, sentence) =
            text.map_or((reason(status), ""), |(_, reason, sentence)| (*reason, *sentence));
        Self {
            reason: reason.into(),
            fields: b"cache-control: no-cache\r\ncontent-type: text/html\r\n".to_vec(),
            body: format!("<html><body><h1>{status} {reason}</h1>\n{sentence}\n</body></html>\n")
                .into_bytes(),
            ..Self::bare(status, cause)
        }
    }

    /// Its head, for rules to change.
    pub(crate) fn message(&self) -> Message {
        let lines = self.fields.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
        let fields = lines.filter_map(|line| {
            let colon = memchr::memchr(b':', line)?;
            Some((line[..colon].to_vec(), line[colon + 1..].trim_ascii().to_vec()))
        });
        Message::of_answer(self.status, self.reason.as_bytes(), fields.collect())
    }

    /// The same with what rules have made of its head; whether it has a body stays as it is.
    pub(crate) fn with_head(self, message: &Message) -> Self {
        if !message.is_edited {
            return self;
        }
        let reason = String::from_utf8_lossy(&message.reason).into_owned().into();
        let code = if message.status == self.status { self.code } else { message.status };
        Self { status: message.status, code, reason, fields: message.lines(), ..self }
    }

    /// Appends the whole answer; without its body where HEAD was asked.
    pub fn write(&self, keep_alive: bool, head_only: bool, out: &mut Vec<u8>) {
        if self.is_nothing {
            return;
        }
        out.extend_from_slice(format!("HTTP/1.1 {} {}\r\n", self.status, self.reason).as_bytes());
        // Neither has a body, nor says how long it would be (RFC 9110 8.6).
        let is_empty = matches!(self.status, 204 | 304);
        if !is_empty {
            out.extend_from_slice(format!("content-length: {}\r\n", self.body.len()).as_bytes());
        }
        out.extend_from_slice(&self.fields);
        if !keep_alive {
            out.extend_from_slice(b"connection: close\r\n");
        }
        out.extend_from_slice(b"\r\n");
        if !head_only && !is_empty {
            out.extend_from_slice(&self.body);
        }
    }
}

/// The file that an error is answered with (HAProxy: `errorfile`): a whole response.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct ErrorFile(Reply);

/// What an error of the proxy's own is answered with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum ErrorPage {
    /// Always the same.
    Fixed(Box<Reply>),
    /// Made for each request (HAProxy: `http-error` with `lf-string` and the like).
    Made(Return),
}

/// HAProxy's limit, its buffer.
const MOST_FILE_BYTES: usize = 16_384;

impl ErrorFile {
    pub(super) fn read(status: u16, path: &str) -> Result<Self, String> {
        let bytes = file::bytes(path, MOST_FILE_BYTES as u64)?;
        Self::of(status, &bytes).ok_or_else(|| {
            format!("'{path}' is no HTTP response of at most {MOST_FILE_BYTES} bytes: expected a status line, fields, an empty line and a body, or nothing at all")
        })
    }

    /// Fields that say how the message ends are left out.
    fn of(status: u16, bytes: &[u8]) -> Option<Self> {
        if bytes.len() > MOST_FILE_BYTES {
            return None;
        }
        if bytes.is_empty() {
            let nothing = Reply { is_nothing: true, ..Reply::bare(status, *b"PR") };
            return Some(Self(nothing));
        }
        let (mut at, mut lines) = (0, Vec::new());
        loop {
            let end = at + memchr::memchr(b'\n', &bytes[at..])?;
            let line = std::str::from_utf8(&bytes[at..end]).ok()?.trim_end_matches('\r');
            at = end + 1;
            if line.is_empty() {
                break;
            }
            lines.push(line);
        }
        let (first, fields) = lines.split_first()?;
        let mut words = first.splitn(3, ' ');
        let version = words.next()?;
        let own = words.next()?.parse::<u16>().ok()?;
        if !version.starts_with("HTTP/1.") || !(200..=999).contains(&own) {
            return None;
        }
        let mut kept = String::new();
        for field in fields {
            let (name, value) = field.split_once(':')?;
            if !is_kept(name.as_bytes()) {
                kept.push_str(&format!("{}: {}\r\n", name.to_ascii_lowercase(), value.trim()));
            }
        }
        let reason = words.next().unwrap_or("").into();
        let body = bytes[at..].to_vec();
        let fields = kept.into_bytes();
        Some(Self(Reply { reason, fields, body, code: status, ..Reply::bare(own, *b"PR") }))
    }

    /// The answer.
    pub(super) fn reply(&self) -> &Reply {
        &self.0
    }
}
