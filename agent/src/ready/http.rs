//! The HTTP probe: one GET on a connection of its own.

use std::sync::Arc;

use reqwest::Url;

use super::ProbeError;
use crate::{
    config::StatusSet,
    fetch::{ClientError, Fetch, FetchError},
    traffic::sockets::Own,
};

/// How much of an answer's body is read. A health page is smaller; a probe must not become a download.
const BODY_MAX: usize = 64 * 1024;

#[derive(Debug)]
pub(super) struct Http {
    fetch: Fetch,
    status: StatusSet,
    body: Option<Arc<str>>,
}

impl Http {
    pub(super) fn new(
        url: Url,
        status: StatusSet,
        body: Option<Arc<str>>,
        own: &Own,
    ) -> Result<Self, ClientError> {
        Ok(Self { fetch: Fetch::new(url, None, own)?, status, body })
    }

    /// One probe at a time; how long it may take is the caller's business.
    pub(super) async fn probe(&self) -> Result<(), ProbeError> {
        let answer = self.fetch.get(BODY_MAX).await.map_err(|error| match error {
            FetchError::Unconnected(error) => ProbeError::unconnected(self.fetch.at(), error),
            FetchError::Broken(what) => ProbeError::Broken(what),
        })?;
        if !self.status.contains(answer.status) {
            return Err(ProbeError::Status { expected: self.status.to_string(), found: answer.status });
        }
        match &self.body {
            Some(expected) if !contains(&answer.body, expected.as_bytes()) => {
                Err(ProbeError::Body { expected: expected.to_string(), searched: answer.body.len() })
            }
            _ => Ok(()),
        }
    }
}

fn contains(body: &[u8], part: &[u8]) -> bool {
    part.is_empty() || body.windows(part.len()).any(|window| window == part)
}
