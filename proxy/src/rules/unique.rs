//! What tells a request from all others (HAProxy: `unique-id-format`, `unique-id-header`).

use std::sync::Arc;

use drain_config::Table;

use super::{Context, Memory, Message, Origin, Scope, edit::field_name, format::Format};

/// How long one may be: HAProxy's limit.
const MOST_BYTES: usize = 127;

/// How it is made, and who is told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UniqueId {
    format: Format,
    /// The field of the request that tells it to the server.
    header: Option<Arc<str>>,
}

impl UniqueId {
    /// `unique_id = { format = "%{+X}o %ci:%cp_%fi:%fp_%Ts_%rt:%pid", header = "X-Request-ID" }`
    pub(super) fn read(table: &Table<'_>, scope: Scope<'_>) -> Option<Self> {
        let format = table.require("format", r#""%{+X}o %ci:%cp_%fi:%fp_%Ts_%rt:%pid""#)?;
        let read = Format::of_ids(format.string()?, scope);
        if let Err(why) = &read {
            format.wrong("is no format", why.as_str());
        }
        let header = table.take("header").and_then(|value| {
            let name = field_name(value.string()?);
            if let Err(why) = &name {
                value.wrong("is no header's name", why.as_str());
            }
            name.ok()
        });
        Some(Self { format: read.ok()?, header })
    }

    /// That of a request, before any rule has looked at it.
    pub fn of(&self, message: &Message, origin: &Origin<'_>) -> Vec<u8> {
        let mut id = self.format.text(&Context::of_request(message, origin, &Memory::default()));
        id.truncate(MOST_BYTES);
        id
    }

    /// The field that tells it.
    pub(super) const fn header(&self) -> Option<&Arc<str>> {
        self.header.as_ref()
    }

    /// Tells it to the server.
    pub fn tell(&self, id: &[u8], message: &mut Message) {
        if let Some(header) = &self.header {
            message.add(header.as_bytes(), id.to_vec());
        }
    }
}
