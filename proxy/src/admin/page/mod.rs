//! The live page: a browser's view of all servers, by server-sent events, without a reload and without anything from
//! elsewhere.
//!
//! ```text
//! Statistics ─► Observer, each second ─► Look ─┬─► a Viewer for each open page: what has changed for it
//!                    └─► History, 5 minutes ───┘
//! ```
//!
//! | event | when | what |
//! |---|---|---|
//! | `layout` | at the begin, and when a reload has changed it | what there is, and the plots so far |
//! | `look` | each second | numbers; of servers only those that have changed |

mod events;
mod history;
mod layout;
mod look;
mod view;

pub use self::events::Observer;

/// The page itself.
pub const PAGE: &str = include_str!("page.html");

/// How it looks.
pub const STYLE: &str = include_str!("page.css");

/// What it does.
pub const SCRIPT: &str = include_str!("page.js");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_small_and_needs_nothing_from_elsewhere() {
        let all = [PAGE, STYLE, SCRIPT].concat();
        assert!(all.len() < 100_000, "{} bytes", all.len());
        // The name of SVG's namespace is no address that is asked.
        let all = all.replace("http://www.w3.org/2000/svg", "");
        for elsewhere in ["http:", "https:", "//cdn", "@import", "url("] {
            assert!(!all.contains(elsewhere), "{elsewhere}");
        }
    }
}
