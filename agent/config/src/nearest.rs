//! "Did you mean": the word that was probably meant.

/// Below this likeness (0 to 1) a word is another one and not a slip; clap's own number.
const ALIKE: f64 = 0.7;

/// The one of `words` that is nearest to `word`, if one is near at all.
pub(crate) fn nearest<'w>(word: &str, words: impl IntoIterator<Item = &'w str>) -> Option<&'w str> {
    words
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(&word.to_lowercase(), candidate), candidate))
        .filter(|(likeness, _)| *likeness > ALIKE)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

/// `words` as a sentence lists them: "a", "a" or "b", "a", "b" or "c"; each in `quote`s.
pub(crate) fn listed<'w>(words: impl IntoIterator<Item = &'w str>, quote: char) -> String {
    let words: Vec<_> = words.into_iter().map(|word| format!("{quote}{word}{quote}")).collect();
    match words.as_slice() {
        [] => String::new(),
        [only] => only.clone(),
        [init @ .., last] => format!("{} or {last}", init.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_its_word() {
        let keys = ["listen", "state", "answers", "server", "restart"];
        assert_eq!(nearest("lisen", keys), Some("listen"));
        assert_eq!(nearest("Restart", keys), Some("restart"));
        assert_eq!(nearest("severs", keys), Some("server"));
    }

    #[test]
    fn another_word_finds_none() {
        assert_eq!(nearest("colour", ["listen", "state"]), None);
        assert_eq!(nearest("x", []), None);
    }

    #[test]
    fn lists_read_like_a_sentence() {
        assert_eq!(listed(["a"], '`'), "`a`");
        assert_eq!(listed(["a", "b", "c"], '"'), r#""a", "b" or "c""#);
    }
}
