//! When a rule holds: `if` and `unless` with access lists.

use std::sync::Arc;

use super::{Context, fetch::Fetch, file, pattern::Patterns, sample::Sample};

/// One thing that is looked at.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Test {
    sample: Sample,
    patterns: Patterns,
}

impl Test {
    /// `CRITERION [-i] [-m METHOD] [-f FILE] [--] PATTERN…`
    fn read(words: &[String]) -> Result<Self, String> {
        let (criterion, mut rest) = words.split_first().ok_or("a criterion is missing, such as path_beg")?;
        let (mut sample, mut method) = Sample::read(criterion)?;
        // Unlike the fetch of this name, which is found in either head.
        if criterion.starts_with("hdr") {
            sample.of_request();
        }
        let mut ignores_case = false;
        let mut patterns = Vec::new();
        loop {
            rest = match rest {
                [flag, behind @ ..] if flag == "-i" => {
                    ignores_case = true;
                    behind
                }
                [flag, behind @ ..] if flag == "-n" => behind,
                [flag, word, behind @ ..] if flag == "-m" => {
                    let known = [
                        "found", "bool", "str", "beg", "end", "sub", "dir", "dom", "reg", "int", "len", "ip",
                    ];
                    let found = known.into_iter().find(|known| known == word);
                    method = Some(found.ok_or_else(|| {
                        format!("'-m {word}' is not known here: expected one of {}", known.join(", "))
                    })?);
                    behind
                }
                [flag, path, behind @ ..] if flag == "-f" => {
                    let text = file::text(path)?;
                    let lines =
                        text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
                    patterns.extend(lines.map(str::to_owned));
                    behind
                }
                [flag, behind @ ..] if flag == "--" => {
                    rest = behind;
                    break;
                }
                [flag, ..] if flag.len() == 2 && flag.starts_with('-') => {
                    return Err(format!("'{flag}' is not known here: expected -i, -m METHOD, -f FILE or --"));
                }
                _ => break,
            };
        }
        patterns.extend_from_slice(rest);
        // What it holds may be of any kind.
        if method.is_none() && sample.converters.is_empty() && matches!(sample.fetch, Fetch::Variable(_)) {
            return Err(format!(
                "'{criterion}' may hold anything: say by '-m METHOD' how it is compared, such as -m str"
            ));
        }
        let patterns = Patterns::read(&sample, method, ignores_case, &patterns)?;
        Ok(Self { sample, patterns })
    }

    fn holds(&self, context: &Context<'_>) -> bool {
        let mut holds = false;
        self.sample.each(context, &mut |value| {
            holds = self.patterns.match_value(&value);
            holds
        });
        holds
    }
}

/// The access lists of a proxy, by name; one of several of a name is enough.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct Lists(Vec<(String, Arc<Test>)>);

/// What HAProxy knows without being told.
const PREDEFINED: [(&str, &str); 18] = [
    ("TRUE", "always_true"),
    ("FALSE", "always_false"),
    ("HTTP", "req.ver 1.0 1.1"),
    ("HTTP_1.0", "req.ver 1.0"),
    ("HTTP_1.1", "req.ver 1.1"),
    ("HTTP_CONTENT", "req.hdr(content-length) -m int gt 0"),
    ("HTTP_URL_ABS", "url_reg ^[^/:]*://"),
    ("HTTP_URL_SLASH", "url_beg /"),
    ("HTTP_URL_STAR", "url *"),
    ("LOCALHOST", "src 127.0.0.0/8 ::1"),
    ("METH_CONNECT", "method CONNECT"),
    ("METH_DELETE", "method DELETE"),
    ("METH_GET", "method GET HEAD"),
    ("METH_HEAD", "method HEAD"),
    ("METH_OPTIONS", "method OPTIONS"),
    ("METH_POST", "method POST"),
    ("METH_PUT", "method PUT"),
    ("METH_TRACE", "method TRACE"),
];

impl Lists {
    /// `NAME CRITERION …`
    pub(super) fn add(&mut self, words: &[String]) -> Result<(), String> {
        let (name, rest) = words.split_first().ok_or("expected a name and a criterion")?;
        self.0.push((name.clone(), Arc::new(Test::read(rest)?)));
        Ok(())
    }

    fn named(&self, name: &str) -> Result<Vec<Arc<Test>>, String> {
        let own: Vec<_> = self.0.iter().filter(|(of, _)| of == name).map(|(_, test)| test.clone()).collect();
        if !own.is_empty() {
            return Ok(own);
        }
        let known = PREDEFINED.iter().find(|(of, _)| *of == name);
        let (_, text) = known.ok_or_else(|| format!("no such ACL : '{name}'"))?;
        let words: Vec<_> = text.split(' ').map(str::to_owned).collect();
        Ok(vec![Arc::new(Test::read(&words)?)])
    }
}

/// When a rule holds.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct Condition {
    /// It holds unless the terms do.
    negated: bool,
    /// All of one of these; none at all: always.
    any: Vec<Vec<Term>>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Term {
    negated: bool,
    tests: Vec<Arc<Test>>,
}

impl Condition {
    /// `if …`, `unless …`, or nothing.
    pub(super) fn read(words: &[String], lists: &Lists) -> Result<Self, String> {
        let (negated, mut rest) = match words.split_first() {
            None => return Ok(Self::default()),
            Some((word, rest)) if word == "if" => (false, rest),
            Some((word, rest)) if word == "unless" => (true, rest),
            Some((word, _)) => return Err(format!("expected 'if', 'unless' or nothing more (got '{word}')")),
        };
        let mut any = vec![Vec::new()];
        while let Some((word, mut behind)) = rest.split_first() {
            if word == "||" || word == "or" {
                any.push(Vec::new());
                rest = behind;
                continue;
            }
            let mut word = word.as_str();
            let mut term_negated = false;
            loop {
                while let Some(without) = word.strip_prefix('!') {
                    term_negated = !term_negated;
                    word = without;
                }
                if !word.is_empty() {
                    break;
                }
                let (next, further) = behind.split_first().ok_or("nothing stands behind '!'")?;
                (word, behind) = (next, further);
            }
            let tests = if word == "{" {
                let end = behind.iter().position(|word| word == "}").ok_or("'{' has no '}'")?;
                let test = Test::read(&behind[..end])?;
                behind = &behind[end + 1..];
                vec![Arc::new(test)]
            } else {
                lists.named(word)?
            };
            any.last_mut().expect("there is always one").push(Term { negated: term_negated, tests });
            rest = behind;
        }
        if any.iter().any(Vec::is_empty) {
            return Err(format!("nothing stands behind '{}'", words[0]));
        }
        Ok(Self { negated, any })
    }

    pub(super) fn holds(&self, context: &Context<'_>) -> bool {
        if self.any.is_empty() {
            return true;
        }
        let term = |term: &Term| term.tests.iter().any(|test| test.holds(context)) != term.negated;
        self.any.iter().any(|all| all.iter().all(term)) != self.negated
    }

    /// All that it looks at.
    pub(super) fn samples(&self) -> impl Iterator<Item = &Sample> {
        self.any.iter().flatten().flat_map(|term| &term.tests).map(|test| &test.sample)
    }
}

/// Where a rule's condition begins.
pub(super) fn split(words: &[String]) -> (&[String], &[String]) {
    let at = words.iter().position(|word| word == "if" || word == "unless").unwrap_or(words.len());
    words.split_at(at)
}
