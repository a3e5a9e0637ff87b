//! Text with values in it: `https://%[hdr(host)]%[path]`, HAProxy's log format (manual, 8.2.4).

use std::sync::Arc;

use super::{
    Context, Scope,
    action::Side,
    alias::{Alias, Given},
    sample::Sample,
    style::Style,
};

/// Text with values in it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Format(Vec<Part>);

/// A part of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Part {
    Text(Arc<str>),
    Sample(Sample, Style),
    Alias(Alias, Style),
}

impl Format {
    /// Text without values.
    pub(super) fn plain(text: &str) -> Self {
        Self(vec![Part::Text(text.into())])
    }

    /// What a rule puts in: what is known as soon as the request is.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let format = Self::parse(text, Style::default())?;
        if format.0.iter().any(|part| matches!(part, Part::Alias(Alias::Given(Given::Number), _))) {
            return Err(
                "'%rt' is known in a log's format and in that of the unique ID: write %ID here".into()
            );
        }
        format.without_end()
    }

    /// What tells a request from all others: what is known before any rule has looked at it.
    pub(super) fn of_ids(text: &str, scope: Scope<'_>) -> Result<Self, String> {
        let format = Self::parse(text, Style::MARKED)?.without_end()?;
        if format.samples().any(Sample::is_kept) {
            return Err(
                "it is made before any rule keeps something: expected what the request itself has".into()
            );
        }
        format.samples().try_for_each(|sample| sample.check(Side::Request, scope))?;
        Ok(format)
    }

    fn without_end(self) -> Result<Self, String> {
        if self.0.iter().any(|part| matches!(part, Part::Alias(Alias::Ended(_), _))) {
            return Err(
                "it has a variable that is known when a request is over: such stand in a log's format only"
                    .into(),
            );
        }
        Ok(self)
    }

    /// A line of the log.
    pub(crate) fn of_line(text: &str, scope: Scope<'_>) -> Result<Self, String> {
        let format = Self::parse(text, Style::MARKED)?;
        format.samples().try_for_each(|sample| sample.check_at_end(scope))?;
        Ok(format)
    }

    /// A line of the log of a proxy with one backend.
    #[cfg(test)]
    pub(crate) fn of_shops_line(text: &str) -> Result<Self, String> {
        let names = super::Names::new(vec![("shop", vec!["s1"])]);
        Self::of_line(text, Scope { names: &names, own: "web" })
    }

    fn parse(text: &str, style: Style) -> Result<Self, String> {
        let (mut style, mut parts, mut plain) = (style, Vec::new(), String::new());
        let mut rest = text;
        while let Some(at) = rest.find('%') {
            plain.push_str(&rest[..at]);
            rest = &rest[at + 1..];
            if let Some(behind) = rest.strip_prefix('%') {
                plain.push('%');
                rest = behind;
                continue;
            }
            let mut own = style;
            if let Some(flags) = rest.strip_prefix('{') {
                let (flags, behind) =
                    flags.split_once('}').ok_or_else(|| format!("'%{rest}' has no closing brace"))?;
                (own, rest) = (style.with(flags)?, behind);
            }
            let part = if let Some(inner) = rest.strip_prefix('[') {
                let (sample, behind) = bracketed(inner)?;
                rest = behind;
                Part::Sample(Sample::read(sample)?.0, own)
            } else {
                let end = rest.bytes().position(|byte| !byte.is_ascii_alphanumeric()).unwrap_or(rest.len());
                let (name, behind) = rest.split_at(end);
                rest = behind;
                if name == "o" {
                    style = own;
                    continue;
                }
                Part::Alias(Alias::named(name)?, own)
            };
            if !plain.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut plain).into()));
            }
            parts.push(part);
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            parts.push(Part::Text(plain.into()));
        }
        Ok(Self(parts))
    }

    /// The text, where no value is in it.
    pub(super) fn fixed(&self) -> Option<String> {
        let text = |part: &Part| match part {
            Part::Text(text) => Some(text.to_string()),
            Part::Sample(..) | Part::Alias(..) => None,
        };
        self.0.iter().map(text).collect()
    }

    /// Its parts.
    pub(crate) fn parts(&self) -> &[Part] {
        &self.0
    }

    /// All that is looked at.
    pub(super) fn samples(&self) -> impl Iterator<Item = &Sample> {
        self.0.iter().filter_map(|part| match part {
            Part::Text(_) | Part::Alias(..) => None,
            Part::Sample(sample, _) => Some(sample),
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
                // Whom rules write for reads no quotation marks of a log.
                Part::Sample(sample, style) => {
                    if let Some(value) = sample.value(context) {
                        style.inner(&value.text(), &mut out);
                    }
                }
                Part::Alias(Alias::Given(given), style) => given.write(context, *style, &mut out),
                Part::Alias(Alias::Ended(_), _) => {}
            }
        }
        out
    }
}

/// What stands between brackets, of which the first has been read, and the rest.
fn bracketed(inner: &str) -> Result<(&str, &str), String> {
    let mut depth = 0_usize;
    for (at, character) in inner.char_indices() {
        match character {
            '(' | '[' => depth += 1,
            ']' if depth == 0 => return Ok((&inner[..at], &inner[at + 1..])),
            ')' | ']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    Err(format!("'%[{inner}' has no closing bracket"))
}
