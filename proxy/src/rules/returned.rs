//! `return` and `deny`: an answer with a content of its own, or the proxy's for that status.

use std::sync::Arc;

use super::{
    Context,
    answer::{ErrorFile, Reply, has_text},
    edit::field_name,
    file,
    format::Format,
    sample::Sample,
};

/// What is in it.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Content {
    Nothing,
    Text(Format),
    /// A whole response.
    File(Box<ErrorFile>),
    /// What the proxy answers with this status: its file (`errorfile`), else HAProxy's text.
    Standard,
}

/// An answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Return {
    status: u16,
    content: Content,
    content_type: Option<Arc<str>>,
    fields: Vec<(Arc<str>, Format)>,
    /// How the request ended, for the log.
    cause: [u8; 2],
    /// The client waits first.
    is_delayed: bool,
}

impl Return {
    /// `return [status N] [content-type T] [CONTENT] [hdr NAME F]…`
    pub(super) fn read(arguments: &[String]) -> Result<Self, String> {
        Self { status: 200, cause: *b"LR", ..Self::empty() }.with("return", arguments)
    }

    /// `deny [deny_status N] …`, and `tarpit`, which has the client wait.
    pub(super) fn refusal(arguments: &[String], is_delayed: bool) -> Result<Self, String> {
        let (name, status, cause) = if is_delayed { ("tarpit", 500, *b"PT") } else { ("deny", 403, *b"PR") };
        let says_more = arguments.chunks(2).any(|words| !is_status(&words[0]));
        let content = if says_more { Content::Nothing } else { Content::Standard };
        Self { status, content, cause, is_delayed, ..Self::empty() }.with(name, arguments)
    }

    /// `http-error`: what answers an error of this status.
    pub(super) fn page(status: u16, arguments: &[String]) -> Result<Self, String> {
        Self { status, cause: *b"PR", ..Self::empty() }.with("http-error", arguments)
    }

    /// The answer, where it is the same for all requests.
    pub(super) fn fixed(&self) -> Option<Reply> {
        match &self.content {
            // Whatever fields are said beside it.
            Content::File(file) => return Some(Reply { cause: self.cause, ..file.reply().clone() }),
            Content::Standard => return Some(Reply::standard(self.status, self.cause)),
            Content::Nothing | Content::Text(_) => {}
        }
        let mut fields = Vec::new();
        for (name, value) in &self.fields {
            fields.extend_from_slice(format!("{name}: {}\r\n", value.fixed()?).as_bytes());
        }
        let body = match &self.content {
            Content::Text(text) => text.fixed()?,
            _ => String::new(),
        };
        Some(self.made(fields, body.into_bytes()))
    }

    fn made(&self, mut fields: Vec<u8>, body: Vec<u8>) -> Reply {
        // Of nothing there is no type.
        if let Some(kind) = self.content_type.as_ref().filter(|_| !body.is_empty()) {
            fields.extend_from_slice(format!("content-type: {kind}\r\n").as_bytes());
        }
        Reply { fields, body, ..Reply::bare(self.status, self.cause) }
    }

    fn empty() -> Self {
        let (content, content_type, fields) = (Content::Nothing, None, Vec::new());
        Self { status: 200, content, content_type, fields, cause: *b"LR", is_delayed: false }
    }

    /// What the words say.
    fn with(mut self, name: &str, arguments: &[String]) -> Result<Self, String> {
        let mut error_file = None;
        let mut words = arguments.iter().map(String::as_str);
        while let Some(word) = words.next() {
            let mut argument = || words.next().ok_or_else(|| format!("'{word}' expects an argument"));
            match word {
                // That of an error's page is the error's.
                status if is_status(status) && name != "http-error" => {
                    let status = argument()?.parse().ok().filter(|status| (200..=599).contains(status));
                    self.status =
                        status.ok_or_else(|| format!("'{word}' expects a number from 200 to 599"))?;
                }
                "content-type" => self.content_type = Some(one_line(word, argument()?)?.into()),
                "string" => self.content = Content::Text(Format::plain(argument()?)),
                "lf-string" => self.content = Content::Text(Format::read(argument()?)?),
                "file" | "lf-file" => {
                    let text = file::text(argument()?)?;
                    let text = if word == "file" { Format::plain(&text) } else { Format::read(&text)? };
                    self.content = Content::Text(text);
                }
                "errorfile" => error_file = Some(argument()?),
                "default-errorfiles" => self.content = Content::Standard,
                "hdr" => {
                    let name = field_name(argument()?)?;
                    let value = Format::read(argument()?)?;
                    if let Some(text) = value.fixed() {
                        one_line(word, &text)?;
                    }
                    self.fields.push((name, value));
                }
                other => {
                    let status = if name == "http-error" { "" } else { "status, " };
                    return Err(format!(
                        "'{other}' is not known here behind '{name}': expected {status}content-type, string, lf-string, file, lf-file, errorfile, default-errorfiles or hdr"
                    ));
                }
            }
        }
        if let Some(path) = error_file {
            self.content = Content::File(ErrorFile::read(self.status, path)?.into());
        }
        if matches!(self.content, Content::Text(_)) && self.content_type.is_none() {
            return Err(format!("'{name}' with a body expects 'content-type'"));
        }
        if self.content == Content::Standard && !has_text(self.status) {
            return Err("the status of an answer with the proxy's text is one of 200, 400, 401, 403, 404, 405, 407, 408, 410, 413, 421, 425, 429 and 500 to 504".into());
        }
        Ok(self)
    }

    /// All that is looked at.
    pub(super) fn samples(&self) -> impl Iterator<Item = &Sample> {
        let text = match &self.content {
            Content::Text(text) => Some(text),
            _ => None,
        };
        text.into_iter().chain(self.fields.iter().map(|(_, value)| value)).flat_map(Format::samples)
    }

    /// The answer; `own` is what the proxy answers with a status.
    pub(super) fn reply(&self, context: &Context<'_>, own: impl Fn(u16) -> Option<Reply>) -> Reply {
        let reply = match &self.content {
            Content::Standard => own(self.status).unwrap_or_else(|| Reply::standard(self.status, self.cause)),
            Content::File(file) => file.reply().clone(),
            Content::Nothing => Reply { fields: self.lines(context), ..Reply::bare(self.status, self.cause) },
            Content::Text(text) => self.made(self.lines(context), text.whole_text(context)),
        };
        Reply { cause: self.cause, is_delayed: self.is_delayed, ..reply }
    }

    fn lines(&self, context: &Context<'_>) -> Vec<u8> {
        let mut lines = Vec::new();
        for (name, value) in &self.fields {
            lines.extend_from_slice(name.as_bytes());
            lines.extend_from_slice(b": ");
            lines.extend_from_slice(&value.text(context));
            lines.extend_from_slice(b"\r\n");
        }
        lines
    }
}

/// What goes into a field as it stands there.
fn one_line<'t>(word: &str, text: &'t str) -> Result<&'t str, String> {
    if text.contains(['\r', '\n', '\0']) {
        return Err(format!("'{word}' expects a value of one line"));
    }
    Ok(text)
}

fn is_status(word: &str) -> bool {
    matches!(word, "status" | "deny_status")
}
