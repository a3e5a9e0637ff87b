//! `bind`: where requests come in.

use super::{directives::Treatment, nearest::did_you_mean, section::Directive, settings::Reading, toml};

/// What becomes of a keyword of `bind`.
#[derive(Clone, Copy, Debug)]
pub(super) enum Takes {
    AcceptProxy,
    V4V6,
    V6Only,
    /// A version of HTTP.
    Protocol,
    /// So many words; it is ignored, for this reason.
    Ignored(usize, &'static str),
    /// So many words; it is refused, for this reason.
    Refused(usize, &'static str),
}

impl Takes {
    pub(super) const fn treatment(self) -> Treatment {
        match self {
            // It asks for what is so anyway, or takes back what another has asked for.
            Self::Ignored(_, why) if !why.is_empty() => Treatment::Ignored(why),
            Self::Refused(_, why) => Treatment::Refused(why),
            _ => Treatment::Supported(""),
        }
    }
}

const NO_TLS: &str = "TLS is not spoken here: put a program in front that ends it, and let it send the PROXY protocol (`accept-proxy`)";
const NO_UNIX: &str = "clients come by TCP: leave it out";
const KERNEL: &str = "the kernel's own setting holds";

/// The keywords of `bind`.
pub(super) const KEYWORDS: &[(&str, Takes)] = &[
    ("accept-netscaler-cip", Takes::Refused(1, "use `accept-proxy`")),
    ("accept-proxy", Takes::AcceptProxy),
    ("allow-0rtt", Takes::Refused(0, NO_TLS)),
    ("alpn", Takes::Refused(1, NO_TLS)),
    ("backlog", Takes::Ignored(1, "4096 connections may wait in the kernel")),
    ("ca-file", Takes::Refused(1, NO_TLS)),
    ("ca-ignore-err", Takes::Refused(1, NO_TLS)),
    ("ca-sign-file", Takes::Refused(1, NO_TLS)),
    ("ca-sign-pass", Takes::Refused(1, NO_TLS)),
    ("ca-verify-file", Takes::Refused(1, NO_TLS)),
    ("ciphers", Takes::Refused(1, NO_TLS)),
    ("ciphersuites", Takes::Refused(1, NO_TLS)),
    ("crl-file", Takes::Refused(1, NO_TLS)),
    ("crt", Takes::Refused(1, NO_TLS)),
    ("crt-ignore-err", Takes::Refused(1, NO_TLS)),
    ("crt-list", Takes::Refused(1, NO_TLS)),
    ("curves", Takes::Refused(1, NO_TLS)),
    (
        "defer-accept",
        Takes::Ignored(0, "a connection is accepted at once, and costs no memory until data come"),
    ),
    ("ecdhe", Takes::Refused(1, NO_TLS)),
    ("expose-fd", Takes::Refused(1, "it belongs to `stats socket`")),
    ("force-sslv3", Takes::Refused(0, NO_TLS)),
    ("force-tlsv10", Takes::Refused(0, NO_TLS)),
    ("force-tlsv11", Takes::Refused(0, NO_TLS)),
    ("force-tlsv12", Takes::Refused(0, NO_TLS)),
    ("force-tlsv13", Takes::Refused(0, NO_TLS)),
    ("generate-certificates", Takes::Refused(0, NO_TLS)),
    ("gid", Takes::Refused(1, NO_UNIX)),
    ("group", Takes::Refused(1, NO_UNIX)),
    ("id", Takes::Ignored(1, "listeners have no numbers")),
    ("interface", Takes::Refused(1, "bind an address of the interface")),
    ("level", Takes::Refused(1, "it belongs to `stats socket`")),
    ("maxconn", Takes::Refused(1, "set `maxconn` of the frontend")),
    ("mode", Takes::Refused(1, NO_UNIX)),
    ("mss", Takes::Ignored(1, KERNEL)),
    ("name", Takes::Ignored(1, "")),
    ("namespace", Takes::Refused(1, "start drain-proxy in that namespace")),
    ("nbconn", Takes::Refused(1, "clients come to this proxy")),
    ("nice", Takes::Ignored(1, "all connections are served alike")),
    ("no-alpn", Takes::Ignored(0, "")),
    ("no-ca-names", Takes::Refused(0, NO_TLS)),
    ("no-sslv3", Takes::Ignored(0, "")),
    ("no-tls-tickets", Takes::Ignored(0, "")),
    ("no-tlsv10", Takes::Ignored(0, "")),
    ("no-tlsv11", Takes::Ignored(0, "")),
    ("no-tlsv12", Takes::Ignored(0, "")),
    ("no-tlsv13", Takes::Ignored(0, "")),
    ("npn", Takes::Refused(1, NO_TLS)),
    ("prefer-client-ciphers", Takes::Refused(0, NO_TLS)),
    ("process", Takes::Ignored(1, "each core has its own listener")),
    ("proto", Takes::Protocol),
    ("quic-force-retry", Takes::Refused(0, "there is no QUIC")),
    ("severity-output", Takes::Refused(1, "it belongs to `stats socket`")),
    ("shards", Takes::Ignored(1, "each core has its own listener")),
    ("ssl", Takes::Refused(0, NO_TLS)),
    ("ssl-max-ver", Takes::Refused(1, NO_TLS)),
    ("ssl-min-ver", Takes::Refused(1, NO_TLS)),
    ("strict-sni", Takes::Refused(0, NO_TLS)),
    ("tcp-ut", Takes::Ignored(1, KERNEL)),
    ("tfo", Takes::Ignored(0, KERNEL)),
    ("thread", Takes::Ignored(1, "each core has its own listener")),
    ("tls-ticket-keys", Takes::Refused(1, NO_TLS)),
    ("transparent", Takes::Refused(0, "there is no transparent proxying")),
    ("uid", Takes::Refused(1, NO_UNIX)),
    ("user", Takes::Refused(1, NO_UNIX)),
    ("v4v6", Takes::V4V6),
    ("v6only", Takes::V6Only),
    ("verify", Takes::Refused(1, NO_TLS)),
];

/// Ports of a range at most: each takes a listener on every core.
const MOST_PORTS: u16 = 256;

/// `bind [ADDRESS]:PORT[,…] KEYWORD…`
pub(super) fn bind(reading: &mut Reading<'_>, directive: &Directive) {
    let [addresses, keywords @ ..] = reading.arguments(directive) else {
        return reading.alert(
            &directive.place,
            "'bind' expects [addr1]:port1[-end1]{,[addr]:port[-end]}... as arguments.",
        );
    };
    let mut v6_only = false;
    let mut accepts_proxy = false;
    let mut words = keywords.iter();
    while let Some(word) = words.next() {
        let what = format!("'bind {addresses}' in section '{}'", reading.kind.word());
        match KEYWORDS.iter().find(|(known, _)| known == word).map(|(_, takes)| *takes) {
            Some(Takes::AcceptProxy) => accepts_proxy = true,
            Some(Takes::V4V6) => v6_only = false,
            Some(Takes::V6Only) => v6_only = true,
            Some(Takes::Protocol) => {
                if words.next().is_none_or(|protocol| protocol != "h1") {
                    let text = format!(
                        "{what} : 'proto' : clients are spoken to in HTTP/1: leave it out, or write `proto h1`"
                    );
                    reading.alert(&directive.place, text);
                }
            }
            Some(Takes::Ignored(count, why)) => {
                words.by_ref().take(count).for_each(|_| {});
                if !why.is_empty() {
                    reading.messages.warn(&directive.place, format!("{what} : '{word}' is ignored: {why}"));
                }
            }
            Some(Takes::Refused(count, why)) => {
                words.by_ref().take(count).for_each(|_| {});
                reading.alert(&directive.place, format!("{what} : '{word}' is not supported: {why}"));
            }
            None => {
                let names = KEYWORDS.iter().map(|(name, _)| *name);
                let text = format!("{what}: unknown keyword '{word}'{}", did_you_mean(word, names));
                return reading.alert(&directive.place, text);
            }
        }
    }
    let mut comments = directive.comments.clone();
    for address in addresses.split(',') {
        match expand(address, v6_only) {
            Ok(expanded) => {
                for one in expanded {
                    let mut piece = reading.piece(toml::text(&one), directive);
                    piece.comments = std::mem::take(&mut comments);
                    reading.settings.binds.push(piece);
                }
            }
            Err(why) => reading.alert(&directive.place, format!("'bind' : '{address}' {why}")),
        }
    }
    let before = reading.settings.accept_proxy.is_some();
    let first = reading.settings.binds.len() == addresses.split(',').count();
    if accepts_proxy {
        reading.settings.accept_proxy = Some(reading.piece("true", directive));
    }
    if !first && before != accepts_proxy {
        let text = "'bind' : 'accept-proxy' must stand on all `bind` lines of a section or on none: give the others a section of their own";
        reading.alert(&directive.place, text);
    }
}

/// Each single address that is meant.
pub(super) fn expand(text: &str, v6_only: bool) -> Result<Vec<String>, String> {
    let refused =
        "is no address that can be listened on: expected such as *:80, 10.0.0.1:80, [::]:80 or fd@3";
    if let Some(number) = text.strip_prefix("fd@") {
        let number: u16 = number.parse().map_err(|_| refused.to_owned())?;
        return Ok(vec![format!("fd@{number}")]);
    }
    let bare = ["ipv4@", "ipv6@"].iter().find_map(|family| text.strip_prefix(family)).unwrap_or(text);
    if bare.contains('@') || bare.starts_with('/') {
        return Err("is not supported: clients come by TCP, to an address such as *:80".into());
    }
    let (host, ports) = bare.rsplit_once(':').ok_or(refused)?;
    let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
    let port = |text: &str| text.parse::<u16>().map_err(|_| refused.to_owned());
    let (first, last) = (port(first)?, port(last)?);
    if last < first || last - first >= MOST_PORTS {
        return Err(format!("is no range of ports, of which at most {MOST_PORTS} can be listened on"));
    }
    let host = host.trim_matches(['[', ']']);
    let hosts: Vec<String> = match host {
        "" | "*" if text.starts_with("ipv6@") => vec!["[::]".into()],
        "" | "*" => vec!["0.0.0.0".into()],
        // As the kernel does, unless it is told otherwise.
        "::" if !v6_only => vec!["[::]".into(), "0.0.0.0".into()],
        host if host.contains(':') => vec![format!("[{host}]")],
        host => vec![host.to_owned()],
    };
    let each = |port| hosts.iter().map(move |host| format!("{host}:{port}"));
    Ok((first..=last).flat_map(each).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_haproxys() {
        for (text, expected) in [
            (":80", &["0.0.0.0:80"][..]),
            ("*:80-82", &["0.0.0.0:80", "0.0.0.0:81", "0.0.0.0:82"]),
            ("10.0.0.1:80", &["10.0.0.1:80"]),
            ("ipv4@10.0.0.1:80", &["10.0.0.1:80"]),
            (":::80", &["[::]:80", "0.0.0.0:80"]),
            ("[::1]:80", &["[::1]:80"]),
            ("ipv6@:80", &["[::]:80"]),
            ("fd@7", &["fd@7"]),
        ] {
            assert_eq!(expand(text, false).unwrap(), expected, "{text}");
        }
        assert_eq!(expand(":::80", true).unwrap(), ["[::]:80"]);
        for text in ["", "80", "*:", "*:x", "*:82-80", "*:1-60000", "/run/x", "abns@x", "unix@/x", "fd@x"] {
            assert!(expand(text, false).is_err(), "{text}");
        }
    }
}
