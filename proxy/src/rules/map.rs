//! Files of keys and values: HAProxy's converters `map` and `map_…` (manual, 7.3.1).

use std::{collections::HashMap, sync::Arc};

use ipnet::IpNet;

use super::{file, pattern::Regex, sample::Value};

/// What is found in a file for a value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Map {
    entries: Entries,
    default: Option<Arc<str>>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Entries {
    /// The value is a key as a whole; of equal keys this has the first.
    Equal(HashMap<Box<[u8]>, Arc<str>>),
    /// Of several that match, the one with the longest key counts where that is so; else, and of equally long ones, the
    /// first.
    Searched { entries: Vec<(Key, Arc<str>)>, longest: bool },
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Key {
    Begins(Arc<str>),
    Ends(Arc<str>),
    Within(Arc<str>),
    Matches(Regex),
    /// What is found has the groups of the expression in it.
    Rewrites(Regex),
    Network(IpNet),
}

impl Map {
    /// `map_beg(FILE,DEFAULT)`, its method being `beg`.
    pub(super) fn read(method: &str, path: &str, default: Option<&str>) -> Result<Self, String> {
        let text = file::text(path)?;
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let lines = lines.map(|line| line.split_once([' ', '\t']).unwrap_or((line, "")));
        let lines = lines.map(|(key, value)| (key, Arc::from(value.trim_start())));
        let entries = Entries::read(method, lines).map_err(|why| format!("the map '{path}': {why}"))?;
        Ok(Self { entries, default: default.map(Into::into) })
    }

    pub(super) fn value(&self, value: &Value<'_>) -> Option<Vec<u8>> {
        let found = match &self.entries {
            Entries::Equal(known) => known.get(&*value.text()).map(|to| to.as_bytes().to_vec()),
            Entries::Searched { entries, longest } => {
                let mut found =
                    entries.iter().filter_map(|(key, to)| Some((key.length(), key.found(value, to)?)));
                let longer = |best: (usize, Vec<u8>), next: (usize, Vec<u8>)| {
                    if next.0 > best.0 { next } else { best }
                };
                let best = if *longest { found.reduce(longer) } else { found.next() };
                best.map(|(_, found)| found)
            }
        };
        found.or_else(|| self.default.as_ref().map(|to| to.as_bytes().to_vec()))
    }
}

impl Entries {
    fn read<'f>(method: &str, lines: impl Iterator<Item = (&'f str, Arc<str>)>) -> Result<Self, String> {
        if method == "str" {
            let mut known = HashMap::new();
            for (key, to) in lines {
                known.entry(key.as_bytes().into()).or_insert(to);
            }
            return Ok(Self::Equal(known));
        }
        let entries =
            lines.map(|(key, to)| Ok((Key::read(method, key)?, to))).collect::<Result<_, String>>()?;
        Ok(Self::Searched { entries, longest: matches!(method, "beg" | "ip") })
    }
}

impl Key {
    fn read(method: &str, key: &str) -> Result<Self, String> {
        Ok(match method {
            "beg" => Self::Begins(key.into()),
            "end" => Self::Ends(key.into()),
            "sub" => Self::Within(key.into()),
            "reg" => Self::Matches(Regex::new(key, false)?),
            "regm" => Self::Rewrites(Regex::new(key, false)?),
            "ip" => {
                let one = key.parse::<std::net::IpAddr>().map(IpNet::from);
                let network = one.or_else(|_| key.parse::<IpNet>());
                Self::Network(network.map_err(|_| format!("'{key}' is no address or network"))?)
            }
            other => {
                return Err(format!(
                    "'map_{other}' is not known here: expected str, beg, end, sub, reg, regm or ip"
                ));
            }
        })
    }

    fn length(&self) -> usize {
        match self {
            Self::Begins(key) => key.len(),
            Self::Network(network) => network.prefix_len().into(),
            _ => 0,
        }
    }

    /// What is found where it matches.
    fn found(&self, value: &Value<'_>, to: &str) -> Option<Vec<u8>> {
        let text = value.text();
        let holds = match self {
            Self::Begins(key) => text.starts_with(key.as_bytes()),
            Self::Ends(key) => text.ends_with(key.as_bytes()),
            Self::Within(key) => memchr::memmem::find(&text, key.as_bytes()).is_some(),
            Self::Matches(regex) => regex.matches(&text),
            Self::Rewrites(regex) => return regex.rewritten(&text, to.as_bytes()),
            Self::Network(network) => {
                let address = match value {
                    Value::Address(address) => Some(*address),
                    _ => std::str::from_utf8(&text).ok().and_then(|text| text.parse().ok()),
                };
                address.is_some_and(|address| network.contains(&address.to_canonical()))
            }
        };
        holds.then(|| to.as_bytes().to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_are_haproxys() {
        let path = std::env::temp_dir().join(format!("drain-proxy-map-{}", std::process::id()));
        std::fs::write(&path, "# a map\n/a one\n/a/b  two words\n(.*)\\.old \\1.new\n").unwrap();
        let find = |method: &str, key: &str| {
            let map = Map::read(method, path.to_str().unwrap(), Some("none")).unwrap();
            String::from_utf8(map.value(&Value::Text(key.as_bytes().into())).unwrap()).unwrap()
        };
        for (method, key, expected) in [
            ("str", "/a", "one"),
            ("str", "/a/", "none"),
            ("beg", "/a/b/c", "two words"),
            ("beg", "/a/c", "one"),
            ("end", "x/a", "one"),
            ("sub", "x/ay", "one"),
            ("regm", "x.old", "x.new"),
        ] {
            assert_eq!(find(method, key), expected, "{method} {key}");
        }
        std::fs::write(&path, "10.0.0.0/8 inside\n10.1.0.0/16 here\n").unwrap();
        assert_eq!((find("ip", "10.1.2.3"), find("ip", "10.2.2.3")), ("here".into(), "inside".into()));
        assert!(Map::read("ip", "/nowhere", None).is_err());
        std::fs::write(&path, "10.0.0.0/8 first\n10.0.0.0/8 second\n").unwrap();
        assert_eq!(find("ip", "10.1.2.3"), "first");
        std::fs::write(&path, "/a first\n/a second\n").unwrap();
        for method in ["str", "beg", "end", "sub", "reg"] {
            assert_eq!(find(method, "/a"), "first", "{method}");
        }
        std::fs::write(&path, "( x\n").unwrap();
        assert!(Map::read("reg", path.to_str().unwrap(), None).is_err());
        std::fs::remove_file(path).unwrap();
    }
}
