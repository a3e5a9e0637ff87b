//! "Did you mean", in HAProxy's words.

/// Below this likeness (0 to 1) a word is another one and not a slip.
const ALIKE: f64 = 0.7;

/// `; did you mean 'check' maybe ?`, where one of these words is near; else nothing.
pub(crate) fn did_you_mean<'w>(word: &str, words: impl IntoIterator<Item = &'w str>) -> String {
    let near = words
        .into_iter()
        .map(|known| (strsim::jaro_winkler(word, known), known))
        .filter(|(likeness, _)| *likeness > ALIKE)
        .max_by(|a, b| a.0.total_cmp(&b.0));
    near.map_or(String::new(), |(_, known)| format!("; did you mean '{known}' maybe ?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_its_word() {
        assert_eq!(did_you_mean("chek", ["cookie", "check"]), "; did you mean 'check' maybe ?");
        assert_eq!(did_you_mean("zzz", ["cookie", "check"]), "");
    }
}
