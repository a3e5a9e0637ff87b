//! `capture`: what a rule puts at a declared place, for the log and for rules behind it.

use super::{Context, action::Side, sample::Sample, slots::Values};
use crate::config;

/// What is put where.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Capture {
    pub(super) sample: Sample,
    /// By its number among those that the frontend declares. Where there are less, nothing is put anywhere.
    pub(super) place: usize,
    side: Side,
}

impl Capture {
    /// `capture SAMPLE id N`
    pub(super) fn read(side: Side, arguments: &[String]) -> Result<Self, String> {
        let declared = match side {
            Side::Request => "capture_request_headers",
            Side::Response => "capture_response_headers",
        };
        let (expression, place) = match arguments {
            [expression, word, place] if word == "id" => (expression, place.parse().ok()),
            [_, word, _] if word == "len" => {
                return Err(format!(
                    "'capture … len' is haproxy.cfg's: declare a place, as `{{ length = 40 }}` in {declared}, and write 'id' with its number, from 0"
                ));
            }
            _ => return Err("'capture' expects an expression, 'id' and the number of a place".into()),
        };
        let place = place.ok_or("'capture' expects the number of a place behind 'id', from 0")?;
        let (sample, None) = Sample::read(expression)? else {
            return Err(format!("'{expression}' compares a value: expected one alone, such as path"));
        };
        Ok(Self { sample, place, side })
    }

    /// The value, as far as there is room for it; where there is none, what was there stays.
    pub(super) fn value(&self, context: &Context<'_>) -> Option<Vec<u8>> {
        let config::Captures { request_headers, response_headers, .. } = context.origin.captures;
        let declared = if self.side == Side::Request { request_headers } else { response_headers };
        let room = declared.get(self.place)?.length;
        let value = self.sample.value(context)?;
        let text = value.text();
        Some(text[..text.len().min(room)].to_vec())
    }

    pub(super) fn keep(&self, value: Option<Vec<u8>>, to: &mut Values) {
        if let Some(value) = value {
            to.set(self.place, &value);
        }
    }
}
