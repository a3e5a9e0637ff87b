//! Text with values in it: `https://%[hdr(host)]%[path]`.

use std::sync::Arc;

use super::{Context, sample::Sample};

/// Text with values in it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Format(Vec<Part>);

#[derive(Clone, PartialEq, Eq, Debug)]
enum Part {
    Text(Arc<str>),
    Sample(Sample),
}

impl Format {
    /// Text without values.
    pub(super) fn plain(text: &str) -> Self {
        Self(vec![Part::Text(text.into())])
    }

    pub(super) fn read(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(at) = rest.find('%') {
            plain.push_str(&rest[..at]);
            rest = &rest[at + 1..];
            if let Some(behind) = rest.strip_prefix('%') {
                plain.push('%');
                rest = behind;
                continue;
            }
            let (sample, behind) = variable(rest)?;
            if !plain.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut plain).into()));
            }
            parts.push(Part::Sample(Sample::read(sample)?.0));
            rest = behind;
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            parts.push(Part::Text(plain.into()));
        }
        Ok(Self(parts))
    }

    /// All that is looked at.
    pub(super) fn samples(&self) -> impl Iterator<Item = &Sample> {
        self.0.iter().filter_map(|part| match part {
            Part::Text(_) => None,
            Part::Sample(sample) => Some(sample),
        })
    }

    /// The text for a request, on one line. A value that is not there is left out.
    pub(super) fn text(&self, context: &Context<'_>) -> Vec<u8> {
        let mut out = self.whole_text(context);
        out.retain(|byte| !matches!(byte, b'\r' | b'\n' | 0));
        out
    }

    /// The same, of any number of lines.
    pub(super) fn whole_text(&self, context: &Context<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => out.extend_from_slice(text.as_bytes()),
                Part::Sample(sample) => {
                    if let Some(value) = sample.value(context) {
                        out.extend_from_slice(&value.text());
                    }
                }
            }
        }
        out
    }
}

/// What stands behind `%`, as a sample, and the rest.
fn variable(text: &str) -> Result<(&str, &str), String> {
    if let Some(inner) = text.strip_prefix('[') {
        let mut depth = 0_usize;
        for (at, character) in inner.char_indices() {
            match character {
                '(' | '[' => depth += 1,
                ']' if depth == 0 => return Ok((&inner[..at], &inner[at + 1..])),
                ')' | ']' => depth = depth.saturating_sub(1),
                _ => {}
            }
        }
        return Err(format!("'%{text}' has no closing bracket"));
    }
    let names = [
        ("ci", "src"),
        ("cp", "src_port"),
        ("fi", "dst"),
        ("fp", "dst_port"),
        ("f", "fe_name"),
        ("ft", "fe_name"),
        ("b", "be_name"),
        ("HM", "method"),
        ("HU", "url"),
        ("HPO", "path"),
        ("HP", "path"),
    ];
    let end = text.bytes().position(|byte| !byte.is_ascii_alphanumeric()).unwrap_or(text.len());
    let (word, rest) = text.split_at(end);
    let known = names.into_iter().find(|(name, _)| *name == word).map(|(_, sample)| (sample, rest));
    known.ok_or_else(|| {
        format!("'%{word}' is no variable that is known here: expected such as %[src], %ci or %%")
    })
}
