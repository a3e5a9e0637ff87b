//! Which HAProxy this is, to configurations that ask.

/// The version whose language is read.
pub const VERSION: &str = "2.6.12";

/// What was built in, in HAProxy's words. Neither TLS nor Lua is.
pub(super) const FEATURES: [&str; 6] = ["EPOLL", "POLL", "THREAD", "LINUX_SPLICE", "GETADDRINFO", "ACCEPT4"];

/// Whether [`VERSION`] is `text` or a later one; otherwise what is wrong with that.
pub(super) fn at_least(text: &str) -> Result<bool, String> {
    let wanted =
        parse(text).ok_or_else(|| format!("'{text}' is not a version, such as 2.6, 2.6.1 or 2.6-dev12"))?;
    Ok(parse(VERSION).is_some_and(|own| own >= wanted))
}

/// Major, minor, whether it is released, and the number behind that.
fn parse(text: &str) -> Option<(u32, u32, bool, u32)> {
    let (main, dev) = match text.split_once("-dev") {
        Some((main, dev)) => (main, Some(dev)),
        None => (text.split('-').next()?, None),
    };
    let number = |text: &str| text.parse::<u32>().ok();
    let mut parts = main.split('.');
    let (major, minor) = (number(parts.next()?)?, number(parts.next()?)?);
    let patch = parts.next().map_or(Some(0), number)?;
    if parts.next().is_some() {
        return None;
    }
    Some(match dev {
        None => (major, minor, true, patch),
        Some(dev) => (major, minor, false, number(dev.split('-').next()?)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_development_version_is_before_its_release() {
        assert!(parse("2.6-dev12") < parse("2.6.0") && parse("2.6") < parse("2.6.12"));
        assert_eq!(at_least("2.6-dev0-1"), Ok(true));
        assert_eq!(at_least("2.6.13"), Ok(false));
        assert!(at_least("2").is_err() && at_least("2.6.1.2").is_err() && at_least("").is_err());
    }
}
