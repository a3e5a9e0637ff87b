//! A line of commands, taken apart. Pure.

/// Words of one command: more than any has.
pub(super) const MOST_WORDS: usize = 64;

/// The commands of a line, each as its words: separated by `;`, words by blanks; behind a backslash both mean
/// themselves.
pub fn commands(line: &str) -> Vec<Vec<String>> {
    let mut commands = vec![vec![String::new()]];
    let mut escaped = false;
    for letter in line.chars() {
        let words = commands.last_mut().expect("there is one from the beginning");
        let has_room = words.len() < MOST_WORDS;
        let word = words.last_mut().expect("each begins with one");
        match letter {
            _ if escaped => {
                word.push(letter);
                escaped = false;
            }
            '\\' => escaped = true,
            ';' => commands.push(vec![String::new()]),
            ' ' | '\t' | '\r' if word.is_empty() => {}
            ' ' | '\t' | '\r' if has_room => words.push(String::new()),
            ' ' | '\t' | '\r' => {}
            letter => word.push(letter),
        }
    }
    for words in &mut commands {
        if words.last().is_some_and(String::is_empty) {
            words.pop();
        }
    }
    commands
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, expected: &[&[&str]]) {
        assert_eq!(commands(line), expected, "{line}");
    }

    #[test]
    fn commands_and_words_are_told_apart() {
        check("show stat", &[&["show", "stat"]]);
        check("  show   info;show stat\r", &[&["show", "info"], &["show", "stat"]]);
        check("get weight a\\;b/c\\ d", &[&["get", "weight", "a;b/c d"]]);
        check("", &[&[]]);
        check("quit;", &[&["quit"], &[]]);
        assert_eq!(commands(&"a ".repeat(1000))[0].len(), MOST_WORDS);
    }
}
