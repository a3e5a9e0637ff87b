//! What stands behind `.if` and `.elif`, and `-cc` on the command line (HAProxy's manual, 2.4).

use super::version;

/// Parentheses and `!` within each other at most; nobody can read more.
const MOST_NESTED: usize = 64;

/// Whether the environment has a variable, and what it says.
pub(super) type Environment<'e> = dyn Fn(&str) -> Option<String> + 'e;

/// Whether it holds; otherwise what is wrong with it.
pub(super) fn holds(text: &str, environment: &Environment<'_>) -> Result<bool, String> {
    let mut reader = Reader { text, at: 0, depth: 0, environment };
    let holds = reader.either()?;
    reader.skip_blanks();
    if reader.at < text.len() {
        return Err(format!("unexpected '{}' in conditional expression '{text}'", &text[reader.at..]));
    }
    Ok(holds)
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
    depth: usize,
    environment: &'t Environment<'t>,
}

impl Reader<'_> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn skip_blanks(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_ascii_start().len();
    }

    fn takes(&mut self, token: &str) -> bool {
        self.skip_blanks();
        let is_there = self.rest().starts_with(token);
        if is_there {
            self.at += token.len();
        }
        is_there
    }

    /// Whatever stands behind `||` or `&&` is read, too: a mistake there is one.
    fn either(&mut self) -> Result<bool, String> {
        let mut holds = self.both()?;
        while self.takes("||") {
            holds |= self.both()?;
        }
        Ok(holds)
    }

    fn both(&mut self) -> Result<bool, String> {
        let mut holds = self.term()?;
        while self.takes("&&") {
            holds &= self.term()?;
        }
        Ok(holds)
    }

    fn term(&mut self) -> Result<bool, String> {
        let negated = std::iter::from_fn(|| self.takes("!").then_some(())).count() % 2 == 1;
        if !self.takes("(") {
            return self.predicate().map(|holds| holds != negated);
        }
        self.depth += 1;
        if self.depth > MOST_NESTED {
            return Err(format!("more than {MOST_NESTED} parentheses within each other"));
        }
        let holds = self.either()?;
        self.depth -= 1;
        if !self.takes(")") {
            return Err(format!("missing closing parenthesis in conditional expression '{}'", self.text));
        }
        Ok(holds != negated)
    }

    fn predicate(&mut self) -> Result<bool, String> {
        self.skip_blanks();
        let length =
            self.rest().bytes().take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-')).count();
        let word = self.text[self.at..self.at + length].to_owned();
        self.at += length;
        if !self.rest().starts_with('(') {
            // A number; nothing at all is false.
            return match word.as_str() {
                "" if self.rest().is_empty() => Ok(false),
                number => number
                    .parse::<i64>()
                    .map(|number| number != 0)
                    .map_err(|_| format!("unparsable conditional expression '{}'", self.text)),
            };
        }
        self.at += 1;
        let arguments = self.arguments(&word)?;
        let argument = |index: usize| arguments.get(index).map_or("", String::as_str);
        let wanted = if matches!(word.as_str(), "streq" | "strneq") { 2 } else { 1 };
        let result = match word.as_str() {
            "defined" => (self.environment)(argument(0)).is_some(),
            "feature" => version::FEATURES.contains(&argument(0)),
            "streq" => argument(0) == argument(1),
            "strneq" => argument(0) != argument(1),
            "version_atleast" => version::at_least(argument(0))?,
            "version_before" => !version::at_least(argument(0))?,
            // Without OpenSSL no version of it is there.
            "openssl_version_atleast" | "openssl_version_before" | "ssllib_name_startswith" => false,
            unknown => return Err(format!("unknown predicate '{unknown}' in conditional expression")),
        };
        if arguments.len() != wanted {
            return Err(format!("'{word}' expects {wanted} arguments (got {})", arguments.len()));
        }
        Ok(result)
    }

    /// The value of the variable whose name stands behind `$`, `{NAME}` or bare; nothing where there is none.
    fn variable(&mut self) -> String {
        let is_braced = self.rest().starts_with('{');
        self.at += usize::from(is_braced);
        let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
        let length = self.rest().bytes().take_while(is_name).count();
        let name = self.text[self.at..self.at + length].to_owned();
        self.at += length;
        if is_braced && self.rest().starts_with('}') {
            self.at += 1;
        }
        (self.environment)(&name).unwrap_or_default()
    }

    /// Up to the closing parenthesis; commas part them, and quotes hold together.
    fn arguments(&mut self, of: &str) -> Result<Vec<String>, String> {
        let mut arguments = vec![String::new()];
        let mut quote = None;
        while let Some(character) = self.rest().chars().next() {
            self.at += character.len_utf8();
            match (character, quote) {
                (open, Some(close)) if open == close => quote = None,
                ('"' | '\'', None) => quote = Some(character),
                ('$', Some('"')) => {
                    let value = self.variable();
                    arguments.last_mut().expect("there is always one").push_str(&value);
                }
                (')', None) => return Ok(arguments),
                (',', None) => arguments.push(String::new()),
                _ => arguments.last_mut().expect("there is always one").push(character),
            }
        }
        Err(format!("missing closing parenthesis after arguments to '{of}'"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(text: &str) -> Result<bool, String> {
        holds(text, &|name| (name == "HOME").then(|| "/root".to_owned()))
    }

    #[test]
    fn conditions_are_haproxys() {
        for (text, expected) in [
            ("", false),
            ("1", true),
            ("0", false),
            ("!0", true),
            ("defined(HOME)", true),
            ("!defined(NONE) && 1", true),
            ("defined(NONE) || (1 && !0)", true),
            ("streq(a,a)", true),
            ("streq('a, b','a, b')", true),
            ("strneq(a,b)", true),
            (r#"streq("$HOME/${HOME}x",/root//rootx)"#, true),
            (r#"streq("$NONE","")"#, true),
            ("streq('$HOME',/root)", false),
            ("version_atleast(2.4-dev0)", true),
            ("version_atleast(2.9)", false),
            ("version_before(3.0)", true),
            ("feature(OPENSSL)", false),
            ("feature(EPOLL)", true),
        ] {
            assert_eq!(ask(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_none_is_refused() {
        for text in [
            "(",
            "((1)",
            "1)",
            "nope(1)",
            "streq(a)",
            "defined(HOME",
            "1 2",
            "||",
            "x",
            "version_atleast(x)",
            "defined(a,b)",
        ] {
            assert!(ask(text).is_err(), "{text}");
        }
        assert!(ask(&"(".repeat(100_000)).is_err());
        assert!(ask(&"!".repeat(100_000)).is_ok());
    }
}
