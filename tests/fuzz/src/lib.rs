//! What must hold of the proxy's parsers, whatever bytes they are given.
//!
//! Each target is a plain function that panics where a claim does not hold. Two programs drive it: `drain-fuzz`, which
//! changes the inputs of `corpus/` by a seeded generator and so does the same on every machine (`tests/run fuzz`), and
//! libFuzzer with coverage (`tests/fuzz/long`). An input that broke a claim belongs into the corpus, with its name.
//!
//! What comes out of a parser is judged by [`strict`], a second reader that knows nothing of the first.

mod chunked;
mod cookie;
mod corpus;
mod haproxy_cfg;
mod mutation;
mod proxy_header;
mod request_head;
mod response_head;
pub mod strict;

pub use corpus::Corpus;
pub use mutation::Mutator;

/// A parser, and what must hold of it.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name, and its folder in `corpus/`.
    pub name: &'static str,
    /// Panics where a claim does not hold.
    pub run: fn(&[u8]),
    /// What its inputs are made of.
    pub words: &'static [&'static [u8]],
}

/// All of them.
pub const TARGETS: [Target; 6] = [
    Target { name: "request_head", run: request_head::run, words: request_head::WORDS },
    Target { name: "response_head", run: response_head::run, words: response_head::WORDS },
    Target { name: "chunked", run: chunked::run, words: chunked::WORDS },
    Target { name: "cookie", run: cookie::run, words: cookie::WORDS },
    Target { name: "haproxy_cfg", run: haproxy_cfg::run, words: haproxy_cfg::WORDS },
    Target { name: "proxy_header", run: proxy_header::run, words: proxy_header::WORDS },
];

impl Target {
    /// The target of this name.
    pub fn named(name: &str) -> Option<Self> {
        TARGETS.into_iter().find(|target| target.name == name)
    }
}

/// The ends of parts into which an input of this length is cut, some other way for each input: they grow, and the last
/// is the whole.
fn cuts(input: &[u8]) -> impl Iterator<Item = usize> {
    let seed = input.iter().fold(input.len() as u64, |sum, byte| sum.rotate_left(7) ^ u64::from(*byte));
    let mut rng = fastrand::Rng::with_seed(seed);
    let (mut end, length) = (0, input.len());
    std::iter::from_fn(move || {
        if end == length {
            return None;
        }
        let step = if rng.u8(..4) == 0 { rng.usize(1..64) } else { rng.usize(1..4) };
        end = length.min(end + step);
        Some(end)
    })
}

/// Wherever a head is cut into parts, its end is found at the same place, or the same is wrong with it. Gives what was
/// found.
fn scanned(bytes: &[u8]) -> Option<(usize, bool)> {
    use drain_proxy::http1::HeadScan;
    let mut whole = HeadScan::default();
    let result = whole.resume(bytes);
    let mut scan = HeadScan::default();
    let mut in_parts = Ok(None);
    for end in cuts(bytes) {
        in_parts = scan.resume(&bytes[..end]);
        if in_parts != Ok(None) {
            break;
        }
    }
    assert_eq!(in_parts, result, "the end of a head depends on how it came");
    assert!(result != Ok(None) || scan.start_line() == whole.start_line());
    result.ok().flatten().map(|length| (length, whole.folded()))
}

/// Whether a second proxy would take a head that the first has written: with fields of its own it may have more than
/// any takes.
fn can_be_taken(written: &[u8]) -> bool {
    let lines = written.windows(2).filter(|end| end == b"\r\n").count();
    // The first line and the empty one are no fields.
    lines - 2 <= drain_proxy::http1::MAX_FIELDS
}
