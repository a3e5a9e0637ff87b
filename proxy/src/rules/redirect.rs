//! `redirect`: an answer that leads elsewhere.

use super::{Context, answer::Reply, fetch, format::Format, sample::Sample};

/// Where it leads, and how.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Redirect {
    kind: RedirectTo,
    to: Format,
    status: u16,
    drops_query: bool,
    appends_slash: bool,
    /// A `Set-Cookie` value.
    cookie: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum RedirectTo {
    Location,
    Prefix,
    Scheme,
}

impl Redirect {
    /// `redirect {location | prefix | scheme} FORMAT [code N] [drop-query] [append-slash] [set-cookie C] [clear-cookie C]`
    pub(super) fn read(arguments: &[String]) -> Result<Self, String> {
        let mut target = None;
        let (mut status, mut drops_query, mut appends_slash, mut cookie) = (302, false, false, None);
        let mut words = arguments.iter().map(String::as_str);
        while let Some(word) = words.next() {
            let mut argument = || words.next().ok_or_else(|| format!("'{word}' expects an argument"));
            match word {
                "location" => target = Some((RedirectTo::Location, Format::read(argument()?)?)),
                "prefix" => target = Some((RedirectTo::Prefix, Format::read(argument()?)?)),
                "scheme" => target = Some((RedirectTo::Scheme, Format::read(argument()?)?)),
                "code" => {
                    let code = argument()?.parse().ok();
                    status = code
                        .filter(|code| [301, 302, 303, 307, 308].contains(code))
                        .ok_or("'code' expects 301, 302, 303, 307 or 308")?;
                }
                "drop-query" => drops_query = true,
                "append-slash" => appends_slash = true,
                "set-cookie" => cookie = Some(format!("{}; path=/;", argument()?)),
                "clear-cookie" => cookie = Some(format!("{}; path=/; Max-Age=0;", argument()?)),
                other => {
                    return Err(format!(
                        "'{other}' is not known here behind 'redirect': expected location, prefix, scheme, code, drop-query, append-slash, set-cookie or clear-cookie"
                    ));
                }
            }
        }
        let (kind, to) = target.ok_or("'redirect' expects 'location', 'prefix' or 'scheme'")?;
        Ok(Self { kind, to, status, drops_query, appends_slash, cookie })
    }

    /// All that is looked at.
    pub(super) fn samples(&self) -> impl Iterator<Item = &Sample> {
        self.to.samples()
    }

    /// The answer.
    pub(super) fn reply(&self, context: &Context<'_>) -> Reply {
        let target = fetch::path_query(&context.message.target);
        let (path, query) = match memchr::memchr(b'?', target) {
            Some(at) => target.split_at(at),
            None => (target, &b""[..]),
        };
        let mut location = self.to.text(context);
        if self.kind == RedirectTo::Scheme {
            location.extend_from_slice(b"://");
            location.extend_from_slice(context.message.last(b"host").unwrap_or_default());
        }
        if self.kind != RedirectTo::Location {
            // A prefix of `/` alone adds nothing.
            if self.kind == RedirectTo::Prefix && location == b"/" {
                location.clear();
            }
            // `//host`, and what browsers take for it, is another site.
            let is_bare = location.is_empty() && path.starts_with(b"/");
            let slashes = path.iter().take_while(|byte| matches!(byte, b'/' | b'\\')).count();
            location.extend_from_slice(if is_bare { &path[slashes - 1..] } else { path });
            if is_bare {
                location[0] = b'/';
            }
            if self.appends_slash && !path.ends_with(b"/") {
                location.push(b'/');
            }
            if !self.drops_query {
                location.extend_from_slice(query);
            }
        }
        let mut fields = b"location: ".to_vec();
        fields.extend_from_slice(&location);
        fields.extend_from_slice(b"\r\n");
        if matches!(self.status, 302 | 303 | 307) {
            fields.extend_from_slice(b"cache-control: no-cache\r\n");
        }
        if let Some(cookie) = &self.cookie {
            fields.extend_from_slice(format!("set-cookie: {cookie}\r\n").as_bytes());
        }
        Reply::redirect(self.status, fields)
    }
}
