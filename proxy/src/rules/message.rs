//! A head that rules may change.

use crate::http1::{RequestHead, ResponseHead};

/// The head of a request or a response, apart from the bytes it was read from.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Message {
    pub(super) method: Vec<u8>,
    pub(super) target: Vec<u8>,
    /// `HTTP/1.1`
    pub(super) version: Vec<u8>,
    /// Else it is a request.
    is_response: bool,
    /// Of a response.
    pub(super) status: u16,
    pub(super) reason: Vec<u8>,
    fields: Vec<(Vec<u8>, Vec<u8>)>,
    /// Some rule has changed it.
    pub(super) is_edited: bool,
}

impl Message {
    /// Of a request.
    pub fn of_request(head: &RequestHead<'_, '_>) -> Self {
        let fields = head.fields.iter().map(|(_, name, value)| (name.to_vec(), value.to_vec()));
        Self {
            method: head.method_text.to_vec(),
            target: head.target.to_vec(),
            version: head.version.as_bytes().to_vec(),
            fields: fields.collect(),
            ..Self::default()
        }
    }

    /// Of a response.
    pub fn of_response(head: &ResponseHead<'_, '_>) -> Self {
        let fields = head.fields.iter().map(|(_, name, value)| (name.to_vec(), value.to_vec()));
        let reason = head.line.splitn(3, |byte| *byte == b' ').nth(2).unwrap_or_default();
        Self {
            version: head.version.as_bytes().to_vec(),
            is_response: true,
            status: head.status,
            reason: reason.to_vec(),
            fields: fields.collect(),
            ..Self::default()
        }
    }

    /// Of an answer of the proxy's own.
    pub(super) fn of_answer(status: u16, reason: &[u8], fields: Vec<(Vec<u8>, Vec<u8>)>) -> Self {
        let version = b"HTTP/1.1".to_vec();
        Self { version, is_response: true, status, reason: reason.to_vec(), fields, ..Self::default() }
    }

    /// The method of a request, by now.
    pub fn method(&self) -> &[u8] {
        &self.method
    }

    /// The head as bytes, where it has been changed.
    pub fn edited(&self) -> Option<Vec<u8>> {
        if !self.is_edited {
            return None;
        }
        let mut out = Vec::with_capacity(1024);
        if self.is_response {
            out.extend_from_slice(&self.version);
            out.extend_from_slice(format!(" {:03} ", self.status).as_bytes());
            out.extend_from_slice(&self.reason);
        } else {
            for part in [&self.method[..], b" ", &self.target, b" ", &self.version] {
                out.extend_from_slice(part);
            }
        }
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(&self.lines());
        out.extend_from_slice(b"\r\n");
        Some(out)
    }

    /// Its fields, each on a line.
    pub(super) fn lines(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(1024);
        for (name, value) in &self.fields {
            for part in [&name[..], b": ", value, b"\r\n"] {
                out.extend_from_slice(part);
            }
        }
        out
    }

    /// The values of all fields of this name.
    pub(super) fn all<'m, 'n>(&'m self, name: &'n [u8]) -> impl Iterator<Item = &'m [u8]> + use<'m, 'n> {
        self.fields
            .iter()
            .filter(move |(field, _)| field.eq_ignore_ascii_case(name))
            .map(|(_, value)| &value[..])
    }

    pub(super) fn last(&self, name: &[u8]) -> Option<&[u8]> {
        self.fields
            .iter()
            .rev()
            .find(|(field, _)| field.eq_ignore_ascii_case(name))
            .map(|(_, value)| &value[..])
    }

    pub(super) fn add(&mut self, name: &[u8], value: Vec<u8>) {
        self.is_edited = true;
        self.fields.push((name.to_vec(), value));
    }

    /// Takes away the fields whose names are so.
    pub(super) fn remove(&mut self, is_meant: impl Fn(&[u8]) -> bool) {
        let before = self.fields.len();
        // What decides where the message ends, and the like, is not for rules.
        self.fields.retain(|(name, _)| is_kept(name) || !is_meant(name));
        self.is_edited |= self.fields.len() != before;
    }

    /// Gives each value of this name to `change`; what it gives back stands there.
    pub(super) fn change(&mut self, name: &[u8], change: impl Fn(&[u8]) -> Option<Vec<u8>>) {
        for (field, value) in &mut self.fields {
            if field.eq_ignore_ascii_case(name)
                && let Some(changed) = change(value)
            {
                *value = changed;
                self.is_edited = true;
            }
        }
    }
}

/// Fields that say how a message ends or what becomes of its connection: rules may not touch them.
pub(super) fn is_kept(name: &[u8]) -> bool {
    const KEPT: [&[u8]; 4] = [b"content-length", b"transfer-encoding", b"connection", b"upgrade"];
    KEPT.iter().any(|kept| name.eq_ignore_ascii_case(kept))
}
