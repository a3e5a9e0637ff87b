//! The name of a unit that can be guarded.

use std::{
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
};

use super::DIRECTORY;

/// The name of a service of systemd's: `apache2.service`, `app@1.service`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UnitName(String);

/// What stands where the name of a service should stand.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("expected the name of a service such as apache2 or app@1.service, found {0:?}")]
pub struct NoUnit(String);

/// systemd's own limit for a name (`UNIT_NAME_MAX`), less what the companion's name adds.
const LONGEST: usize = 255 - "-drain".len();

impl UnitName {
    /// The whole name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name without its ending.
    pub fn stem(&self) -> &str {
        self.0.strip_suffix(".service").unwrap_or(&self.0)
    }

    /// The unit that drains before this one stops. An instance's is no instance itself: `app-1-drain.service`.
    pub fn companion(&self) -> String {
        format!("{}-drain.service", self.stem().replace('@', "-"))
    }

    /// Where that unit is written.
    pub fn companion_path(&self) -> PathBuf {
        Path::new(DIRECTORY).join(self.companion())
    }

    /// The link that is there while that unit is enabled.
    pub fn companion_link(&self) -> PathBuf {
        Path::new(DIRECTORY).join(format!("{self}.wants")).join(self.companion())
    }
}

impl FromStr for UnitName {
    type Err = NoUnit;

    /// Reads a name; `.service` may be left out.
    fn from_str(text: &str) -> Result<Self, NoUnit> {
        let stem = text.strip_suffix(".service").unwrap_or(text);
        let is_sound = |byte: u8| byte.is_ascii_alphanumeric() || b":-_.\\@".contains(&byte);
        let (prefix, instance) = stem.split_once('@').unwrap_or((stem, "1"));
        let other = [".socket", ".target", ".timer", ".path", ".mount", ".slice", ".scope"];
        if prefix.is_empty()
            || instance.is_empty()
            || instance.contains('@')
            || stem.starts_with('-')
            || stem.len() + ".service".len() > LONGEST
            || !stem.bytes().all(is_sound)
            || other.iter().any(|end| stem.ends_with(end))
        {
            return Err(NoUnit(text.to_owned()));
        }
        Ok(Self(format!("{stem}.service")))
    }
}

impl fmt::Display for UnitName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_is_named_with_or_without_its_ending() {
        for (text, name, companion) in [
            ("apache2", "apache2.service", "apache2-drain.service"),
            ("apache2.service", "apache2.service", "apache2-drain.service"),
            ("php8.2-fpm", "php8.2-fpm.service", "php8.2-fpm-drain.service"),
            ("app@1.service", "app@1.service", "app-1-drain.service"),
        ] {
            let unit: UnitName = text.parse().unwrap();
            assert_eq!((unit.as_str(), unit.companion().as_str()), (name, companion));
        }
    }

    #[test]
    fn what_is_no_service_is_refused() {
        let long = "a".repeat(250);
        for text in [
            "",
            ".service",
            "a b",
            "a/b",
            "../x",
            "x.socket",
            "app@.service",
            "@1",
            "-n",
            "a@b@c",
            "a\nb",
            &long,
        ] {
            assert!(text.parse::<UnitName>().is_err(), "{text:?}");
        }
    }
}
