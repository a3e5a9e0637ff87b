//! What is still to come of a message's body.

use std::rc::Rc;

use crate::http1::{ChunkedBody, Framing, Withholds};

/// What is still to come.
#[derive(Debug)]
pub(super) enum Body {
    Done,
    Length(u64),
    Chunked(ChunkedBody),
    UntilClose,
}

impl Body {
    /// All of a body of this kind, whose trailers do not have these fields.
    pub(super) fn of(framing: Framing, withheld: Option<&Rc<dyn Withholds>>) -> Self {
        match framing {
            Framing::None | Framing::Length(0) => Self::Done,
            Framing::Length(length) => Self::Length(length),
            Framing::Chunked => Self::Chunked(ChunkedBody::without(withheld.cloned())),
            Framing::UntilClose => Self::UntilClose,
        }
    }

    /// Bytes that have not come, where that is known.
    pub(super) const fn left(&self) -> Option<u64> {
        match *self {
            Self::Length(left) => Some(left),
            _ => None,
        }
    }

    /// So many bytes have come: gives how many of them belong to it as they are. Chunks do not: they are framed anew.
    pub(super) fn take(&mut self, bytes: usize) -> usize {
        match self {
            Self::Done | Self::Chunked(_) => 0,
            Self::UntilClose => bytes,
            Self::Length(left) => {
                let count = bytes.min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= count as u64;
                if *left == 0 {
                    *self = Self::Done;
                }
                count
            }
        }
    }
}
