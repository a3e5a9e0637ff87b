//! The keywords of `server` and `default-server`.

use std::time::Duration;

use super::{
    directives::Treatment, nearest::did_you_mean, section::Directive, settings::Reading, time, toml,
};

/// What a keyword of a server needs behind it, and what becomes of it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Takes {
    /// Nothing; it sets this.
    Flag(Key),
    /// A time.
    Time(Key),
    /// A number; the least is 0 or 1.
    Number(Key),
    /// Any word.
    Word(Key),
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

/// What a keyword sets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Key {
    Check,
    Address,
    Port,
    Inter,
    FastInter,
    DownInter,
    Rise,
    Fall,
    Weight,
    Cookie,
    MaxConn,
    MinConn,
    MaxQueue,
    SlowStart,
    Backup,
    SendProxy,
    SendProxyV2,
    CheckSendProxy,
    Observe,
    ErrorLimit,
    OnError,
    OnMarkedDown,
    OnMarkedUp,
    AgentCheck,
    AgentPort,
    AgentAddress,
    AgentInter,
    AgentSend,
    Disabled,
    Protocol,
}

const NO_TLS: &str =
    "connections to servers are not encrypted here: let the server listen without TLS on a private network";
const NO_DNS: &str = "names are looked up once, when the configuration is read: reload it when they change";

/// The keywords of `server` and `default-server`.
pub(super) const KEYWORDS: &[(&str, Takes)] = &[
    ("addr", Takes::Word(Key::Address)),
    ("agent-addr", Takes::Word(Key::AgentAddress)),
    ("agent-check", Takes::Flag(Key::AgentCheck)),
    ("agent-inter", Takes::Time(Key::AgentInter)),
    ("agent-port", Takes::Number(Key::AgentPort)),
    ("agent-send", Takes::Word(Key::AgentSend)),
    ("allow-0rtt", Takes::Refused(0, NO_TLS)),
    ("alpn", Takes::Refused(1, NO_TLS)),
    ("backup", Takes::Flag(Key::Backup)),
    ("ca-file", Takes::Refused(1, NO_TLS)),
    ("check", Takes::Flag(Key::Check)),
    ("check-alpn", Takes::Refused(1, NO_TLS)),
    ("check-proto", Takes::Refused(1, "checks speak HTTP/1: leave it out")),
    ("check-send-proxy", Takes::Flag(Key::CheckSendProxy)),
    ("check-sni", Takes::Refused(1, NO_TLS)),
    ("check-ssl", Takes::Refused(0, NO_TLS)),
    ("check-via-socks4", Takes::Refused(0, "there is no SOCKS: leave it out")),
    ("ciphers", Takes::Refused(1, NO_TLS)),
    ("ciphersuites", Takes::Refused(1, NO_TLS)),
    ("cookie", Takes::Word(Key::Cookie)),
    ("crl-file", Takes::Refused(1, NO_TLS)),
    ("crt", Takes::Refused(1, NO_TLS)),
    ("disabled", Takes::Flag(Key::Disabled)),
    ("downinter", Takes::Time(Key::DownInter)),
    ("enabled", Takes::Ignored(0, "")),
    ("error-limit", Takes::Number(Key::ErrorLimit)),
    ("fall", Takes::Number(Key::Fall)),
    ("fastinter", Takes::Time(Key::FastInter)),
    ("force-sslv3", Takes::Refused(0, NO_TLS)),
    ("force-tlsv10", Takes::Refused(0, NO_TLS)),
    ("force-tlsv11", Takes::Refused(0, NO_TLS)),
    ("force-tlsv12", Takes::Refused(0, NO_TLS)),
    ("force-tlsv13", Takes::Refused(0, NO_TLS)),
    ("id", Takes::Ignored(1, "servers are numbered in the order of the file")),
    ("init-addr", Takes::Refused(1, NO_DNS)),
    ("inter", Takes::Time(Key::Inter)),
    ("log-proto", Takes::Ignored(1, "it is about log servers")),
    ("max-reuse", Takes::Ignored(1, "connections to servers serve as long as both sides keep them")),
    ("maxconn", Takes::Number(Key::MaxConn)),
    ("maxqueue", Takes::Number(Key::MaxQueue)),
    ("minconn", Takes::Number(Key::MinConn)),
    ("namespace", Takes::Refused(1, "start drain-proxy in the namespace in which its servers are")),
    ("no-agent-check", Takes::Ignored(0, "")),
    ("no-backup", Takes::Ignored(0, "")),
    ("no-check", Takes::Ignored(0, "")),
    ("no-check-ssl", Takes::Ignored(0, "")),
    ("no-check-send-proxy", Takes::Ignored(0, "")),
    ("no-send-proxy", Takes::Ignored(0, "")),
    ("no-send-proxy-v2", Takes::Ignored(0, "")),
    ("no-send-proxy-v2-ssl", Takes::Ignored(0, "")),
    ("no-send-proxy-v2-ssl-cn", Takes::Ignored(0, "")),
    ("no-ssl", Takes::Ignored(0, "")),
    ("no-ssl-reuse", Takes::Ignored(0, "")),
    ("no-sslv3", Takes::Ignored(0, "")),
    ("no-tfo", Takes::Ignored(0, "")),
    ("no-tls-tickets", Takes::Ignored(0, "")),
    ("no-tlsv10", Takes::Ignored(0, "")),
    ("no-tlsv11", Takes::Ignored(0, "")),
    ("no-tlsv12", Takes::Ignored(0, "")),
    ("no-tlsv13", Takes::Ignored(0, "")),
    ("no-verifyhost", Takes::Ignored(0, "")),
    ("non-stick", Takes::Ignored(0, "there are no stick tables")),
    ("npn", Takes::Refused(1, NO_TLS)),
    ("observe", Takes::Word(Key::Observe)),
    ("on-error", Takes::Word(Key::OnError)),
    ("on-marked-down", Takes::Word(Key::OnMarkedDown)),
    ("on-marked-up", Takes::Word(Key::OnMarkedUp)),
    ("pool-low-conn", Takes::Ignored(1, "idle connections belong to a core each")),
    ("pool-max-conn", Takes::Ignored(1, "idle connections are kept as long as they are used")),
    ("pool-purge-delay", Takes::Ignored(1, "idle connections are kept as long as they are used")),
    ("port", Takes::Number(Key::Port)),
    ("proto", Takes::Word(Key::Protocol)),
    ("proxy-v2-options", Takes::Refused(1, "the header says addresses only: leave it out")),
    ("redir", Takes::Refused(1, "write `http-request redirect prefix …` in the frontend")),
    ("resolve-net", Takes::Refused(1, NO_DNS)),
    ("resolve-opts", Takes::Refused(1, NO_DNS)),
    ("resolve-prefer", Takes::Refused(1, NO_DNS)),
    ("resolvers", Takes::Refused(1, NO_DNS)),
    ("rise", Takes::Number(Key::Rise)),
    ("send-proxy", Takes::Flag(Key::SendProxy)),
    ("send-proxy-v2", Takes::Flag(Key::SendProxyV2)),
    ("send-proxy-v2-ssl", Takes::Refused(0, NO_TLS)),
    ("send-proxy-v2-ssl-cn", Takes::Refused(0, NO_TLS)),
    ("shard", Takes::Ignored(1, "it is about peers")),
    ("slowstart", Takes::Time(Key::SlowStart)),
    ("sni", Takes::Refused(1, NO_TLS)),
    ("socks4", Takes::Refused(1, "there is no SOCKS: leave it out")),
    ("source", Takes::Refused(1, "the kernel's routes say from which address connections go out")),
    ("ssl", Takes::Refused(0, NO_TLS)),
    ("ssl-max-ver", Takes::Refused(1, NO_TLS)),
    ("ssl-min-ver", Takes::Refused(1, NO_TLS)),
    ("ssl-reuse", Takes::Ignored(0, "connections to servers are not encrypted")),
    ("stick", Takes::Ignored(0, "there are no stick tables")),
    ("tcp-ut", Takes::Ignored(1, "the kernel's own limit for what is not acknowledged holds")),
    ("tfo", Takes::Ignored(0, "connections are opened without data")),
    ("tls-tickets", Takes::Ignored(0, "connections to servers are not encrypted")),
    ("track", Takes::Refused(1, "give the server a check of its own: `check port …`")),
    ("usesrc", Takes::Refused(1, "there is no transparent proxying: use `option forwardfor`")),
    ("verify", Takes::Refused(1, NO_TLS)),
    ("verifyhost", Takes::Refused(1, NO_TLS)),
    ("weight", Takes::Number(Key::Weight)),
    ("ws", Takes::Ignored(1, "WebSockets go through as HTTP/1.1")),
];

/// `no-…` keywords, and what each takes back.
const TAKEN_BACK: &[(&str, &[Key])] = &[
    ("enabled", &[Key::Disabled]),
    ("no-agent-check", &[Key::AgentCheck]),
    ("no-backup", &[Key::Backup]),
    ("no-check", &[Key::Check]),
    ("no-check-send-proxy", &[Key::CheckSendProxy]),
    ("no-send-proxy", &[Key::SendProxy]),
    ("no-send-proxy-v2", &[Key::SendProxyV2]),
];

/// The keywords that hold, each with its value in TOML.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct Keywords(Vec<(Key, String)>);

impl Keywords {
    pub(super) fn value(&self, key: Key) -> Option<&str> {
        self.0.iter().find(|(of, _)| *of == key).map(|(_, value)| value.as_str())
    }

    pub(super) fn has(&self, key: Key) -> bool {
        self.value(key).is_some()
    }

    fn set(&mut self, key: Key, value: impl Into<String>) {
        self.unset(key);
        self.0.push((key, value.into()));
    }

    fn unset(&mut self, key: Key) {
        self.0.retain(|(of, _)| *of != key);
    }

    /// Reads keywords, on top of those there are.
    pub(super) fn read(
        &mut self,
        words: &[String],
        what: &str,
        directive: &Directive,
        reading: &mut Reading<'_>,
    ) {
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let Some((_, takes)) = KEYWORDS.iter().find(|(known, _)| known == word) else {
                let names = KEYWORDS.iter().map(|(name, _)| *name);
                let text = format!("{what} : unknown keyword '{word}'{}", did_you_mean(word, names));
                reading.alert(&directive.place, text);
                return;
            };
            let mut argument = || words.next().map(String::as_str);
            let problem = match *takes {
                Takes::Flag(key) => {
                    self.set(key, "true");
                    None
                }
                Takes::Time(key) => match argument().map(|text| (text, time::read(text, MILLISECOND))) {
                    Some((_, Some(found))) if found.is_zero() && key != Key::SlowStart => {
                        Some("must not be 0".to_owned())
                    }
                    Some((_, Some(found))) => {
                        if found.is_zero() {
                            self.unset(key);
                        } else {
                            self.set(key, time::written(found));
                        }
                        None
                    }
                    Some((text, None)) => Some(format!("expects a time such as 500ms, but '{text}' follows")),
                    None => Some("expects a time".to_owned()),
                },
                Takes::Number(key) => match argument() {
                    Some(text) => match text.parse::<u32>() {
                        // What is 0 in HAProxy is not limited.
                        Ok(0) if matches!(key, Key::MaxConn | Key::MinConn | Key::MaxQueue) => {
                            self.unset(key);
                            None
                        }
                        Ok(number) => {
                            self.set(key, number.to_string());
                            None
                        }
                        Err(_) => Some(format!("expects a number, but '{text}' follows")),
                    },
                    None => Some("expects a number".to_owned()),
                },
                Takes::Word(key) => match argument() {
                    Some(text) => {
                        self.set(key, toml::text(text));
                        None
                    }
                    None => Some("expects an argument".to_owned()),
                },
                Takes::Ignored(count, why) => {
                    words.by_ref().take(count).for_each(|_| {});
                    let taken = TAKEN_BACK.iter().find(|(name, _)| name == word);
                    taken.iter().flat_map(|(_, keys)| *keys).for_each(|key| self.unset(*key));
                    if !why.is_empty() {
                        reading
                            .messages
                            .warn(&directive.place, format!("{what} : '{word}' is ignored: {why}"));
                    }
                    None
                }
                Takes::Refused(count, why) => {
                    words.by_ref().take(count).for_each(|_| {});
                    Some(format!("is not supported: {why}"))
                }
            };
            if let Some(problem) = problem {
                reading.alert(&directive.place, format!("{what} : '{word}' {problem}"));
            }
        }
    }
}

const MILLISECOND: Duration = Duration::from_millis(1);

/// `default-server KEYWORD…`
pub(super) fn default_server(reading: &mut Reading<'_>, directive: &Directive) {
    let mut keywords = std::mem::take(&mut reading.settings.default_server);
    keywords.read(reading.arguments(directive), "'default-server'", directive, reading);
    reading.settings.default_server = keywords;
}
