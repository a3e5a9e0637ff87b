//! Who may use the control port: tokens, each with a name.
//!
//! A line of the file is `NAME TOKEN`, or `NAME TOKEN look` for who may not drain; a line that is nothing but a token
//! calls it `token`. Blank lines and those that begin with `#` say nothing.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use subtle::ConstantTimeEq;

use super::secret::{self, SecretError};

/// So many characters are not guessed: 16 of base 64 have 96 bits.
const LEAST_CHARS: usize = 16;
/// A request's head, in which it stands, has 8 KiB.
const MOST_CHARS: usize = 512;
/// Each request is compared with all of them.
const MOST_TOKENS: usize = 64;
/// The longest name: it stands in logs and reports.
const LONGEST_NAME: usize = 64;
/// What a token is called that stands alone.
const NAMELESS: &str = "token";
/// The word that takes the right to drain.
const LOOK: &str = "look";

/// Somebody who has a token.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Holder {
    /// What its token is called.
    pub name: Arc<str>,
    /// Whether it may do more than look.
    pub may_drain: bool,
}

/// All tokens of a file.
#[derive(Clone, Default)]
pub struct Tokens(Vec<(Holder, Box<str>)>);

/// Why there are no tokens.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The file is not taken.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// A line is not understood.
    #[error("{}:{line}: {why}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Its line, from 1.
        line: usize,
        /// What is wrong; never the token.
        why: String,
    },
    /// There is none, or there are too many.
    #[error(
        "expected 1 to {MOST_TOKENS} tokens in {}, a line `NAME TOKEN` each, found {count}; \
         `echo \"deploy $(openssl rand -hex 32)\"` makes such a line",
        path.display()
    )]
    Count {
        /// The file.
        path: PathBuf,
        /// How many there are.
        count: usize,
    },
}

impl Tokens {
    /// Reads a file that not everybody may read.
    pub fn read(path: &Path) -> Result<Self, TokenError> {
        let text = secret::read(path)?;
        let mut tokens = Self::default();
        for (index, line) in text.lines().enumerate() {
            let wrong = |why: String| TokenError::Line { path: path.to_owned(), line: index + 1, why };
            if let Some((holder, token)) = line_of(line).map_err(wrong)? {
                if tokens.0.iter().any(|(other, _)| other.name == holder.name) {
                    return Err(wrong(format!(
                        "expected names that differ, found {} once more",
                        holder.name
                    )));
                }
                tokens.0.push((holder, token.into()));
            }
        }
        match tokens.0.len() {
            1..=MOST_TOKENS => Ok(tokens),
            count => Err(TokenError::Count { path: path.to_owned(), count }),
        }
    }

    /// Whose token this is. It takes as long wherever the token differs.
    pub fn holder(&self, token: &str) -> Option<&Holder> {
        let mut found = None;
        for (holder, known) in &self.0 {
            if bool::from(known.as_bytes().ct_eq(token.as_bytes())) {
                found = Some(holder);
            }
        }
        found
    }

    /// The first token itself, for who presents it.
    pub fn first(&self) -> &str {
        self.0.first().map_or("", |(_, token)| token)
    }
}

/// Without the tokens.
impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(holder, _)| holder)).finish()
    }
}

/// What a line says, if anything.
fn line_of(line: &str) -> Result<Option<(Holder, &str)>, String> {
    if line.trim_start().starts_with('#') {
        return Ok(None);
    }
    let words: Vec<&str> = line.split_whitespace().collect();
    let (name, token, may_drain) = match words[..] {
        [] => return Ok(None),
        [token] => (NAMELESS, token, true),
        [name, token] => (name, token, true),
        [name, token, LOOK] => (name, token, false),
        [_, _, _] => {
            return Err(format!("expected nothing or `{LOOK}` behind `NAME TOKEN`, found another word"));
        }
        _ => {
            return Err(format!("expected `NAME TOKEN` or `NAME TOKEN {LOOK}`, found {} words", words.len()));
        }
    };
    let is_name = |char: char| char.is_ascii_alphanumeric() || matches!(char, '-' | '_' | '.' | '@');
    if name.len() > LONGEST_NAME || !name.chars().all(is_name) {
        return Err(format!(
            "expected a name of at most {LONGEST_NAME} letters, digits, `-`, `_`, `.` or `@`"
        ));
    }
    if !(LEAST_CHARS..=MOST_CHARS).contains(&token.len())
        || !token.bytes().all(|byte| byte.is_ascii_graphic())
    {
        return Err(format!(
            "expected a token of {LEAST_CHARS} to {MOST_CHARS} ASCII characters, found {}; `openssl rand -hex 32` makes one",
            token.chars().count()
        ));
    }
    Ok(Some((Holder { name: name.into(), may_drain }, token)))
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;
    use crate::scratch::Scratch;

    const TOKEN: &str = "0123456789abcdef0123456789abcdef";

    fn read(text: &str) -> Result<Tokens, String> {
        let scratch = Scratch::new("tokens");
        let path = scratch.join("tokens");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        Tokens::read(&path).map_err(|error| error.to_string())
    }

    #[test]
    fn a_line_says_who_may_do_what() {
        let text = format!("# people\n\ndeploy {TOKEN}\n  monitor  {TOKEN}x  look\n{TOKEN}y\n");
        let tokens = read(&text).unwrap();
        let holder = |token: &str| tokens.holder(token).map(|holder| (&*holder.name, holder.may_drain));
        assert_eq!(holder(TOKEN), Some(("deploy", true)));
        assert_eq!(holder(&format!("{TOKEN}x")), Some(("monitor", false)));
        assert_eq!(holder(&format!("{TOKEN}y")), Some(("token", true)));
        assert_eq!(tokens.first(), TOKEN);
        for wrong in ["", "0123", &TOKEN[1..], &TOKEN.to_uppercase(), &format!("{TOKEN}z")] {
            assert_eq!(holder(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn what_is_no_line_is_refused_without_the_token_in_the_text() {
        for (text, expected) in [
            (format!("a {TOKEN} drain"), ":1: expected nothing or `look`"),
            (format!("a {TOKEN} look now"), "found 4 words"),
            (format!("\na/b {TOKEN}"), ":2: expected a name"),
            ("deploy short".to_owned(), "expected a token of 16 to 512 ASCII characters, found 5"),
            (format!("a {TOKEN}\na {TOKEN}2"), ":2: expected names that differ"),
            ("# nothing".to_owned(), "found 0"),
        ] {
            let error = read(&text).unwrap_err();
            assert!(error.contains(expected) && !error.contains(TOKEN), "{error}");
        }
    }

    #[test]
    fn no_token_is_in_a_log() {
        let shown = format!("{:?}", read(&format!("deploy {TOKEN}")).unwrap());
        assert!(shown.contains("deploy") && !shown.contains(TOKEN), "{shown}");
    }
}
