//! The words of rules.

/// `name(first,second)`: the name, its arguments, and what stands behind. Quotes hold an argument together.
pub(super) fn call(text: &str) -> Result<(&str, Vec<String>, &str), String> {
    let end = text.find(['(', ',']).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    let Some(rest) = rest.strip_prefix('(') else { return Ok((name, Vec::new(), rest)) };
    let mut arguments = vec![String::new()];
    let mut quote = None;
    let mut nested = 0_usize;
    let mut characters = rest.char_indices();
    while let Some((at, character)) = characters.next() {
        let last = arguments.last_mut().expect("there is always one");
        match (character, quote) {
            (open, Some(close)) if open == close => quote = None,
            ('"' | '\'', None) => quote = Some(character),
            ('\\', None) => last.extend(characters.next().map(|(_, escaped)| escaped)),
            (')', None) if nested == 0 => {
                if arguments.len() == 1 && arguments[0].is_empty() {
                    arguments.clear();
                }
                return Ok((name, arguments, &rest[at + 1..]));
            }
            (',', None) if nested == 0 => arguments.push(String::new()),
            (other, _) => {
                match (other, quote) {
                    ('(', None) => nested += 1,
                    (')', None) => nested -= 1,
                    _ => {}
                }
                last.push(other);
            }
        }
    }
    Err(format!("'{text}' has no closing parenthesis"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_has_arguments() {
        let read = |text| call(text).map(|(name, arguments, rest)| (name, arguments.join("|"), rest));
        assert_eq!(read("path"), Ok(("path", String::new(), "")));
        assert_eq!(read("hdr(host,-1),lower"), Ok(("hdr", "host|-1".into(), ",lower")));
        assert_eq!(read("regsub('a(,)',b)"), Ok(("regsub", "a(,)|b".into(), "")));
        assert_eq!(read("f((a,b),c)"), Ok(("f", "(a,b)|c".into(), "")));
        assert!(call("hdr(host").is_err());
    }
}
