//! HAProxy's runtime commands (2.6) that are not here, and why.

const NO_MAPS: &str = "maps and lists are read from their files: change those, and send SIGHUP";
const NO_TLS: &str = "TLS is not spoken here";
const NO_MASTER: &str = "there is no master process: SIGHUP reloads, SIGUSR2 upgrades";
const NO_STICK: &str = "there are no stick tables";
const INSIDES: &str = "it is about HAProxy's own insides";
const NO_DYNAMIC: &str = "what cookies are made of stands in the configuration";
const NO_VARIABLES: &str = "there are no variables of the process";

/// The words that they begin with, and why they are not here.
pub const WITHOUT: &[(&str, &str)] = &[
    ("@!<pid>", NO_MASTER),
    ("@<relative pid>", NO_MASTER),
    ("@master", NO_MASTER),
    ("_getsocks", "an upgrade hands over its sockets by itself"),
    ("abort ssl", NO_TLS),
    ("add acl", NO_MAPS),
    ("add map", NO_MAPS),
    ("add ssl", NO_TLS),
    ("clear acl", NO_MAPS),
    ("clear map", NO_MAPS),
    ("clear table", NO_STICK),
    ("commit acl", NO_MAPS),
    ("commit map", NO_MAPS),
    ("commit ssl", NO_TLS),
    ("debug dev", INSIDES),
    ("del acl", NO_MAPS),
    ("del map", NO_MAPS),
    ("del ssl", NO_TLS),
    ("disable dynamic-cookie", NO_DYNAMIC),
    ("enable dynamic-cookie", NO_DYNAMIC),
    ("experimental-mode", "no command needs it"),
    ("expert-mode", "no command needs it"),
    ("get acl", NO_MAPS),
    ("get map", NO_MAPS),
    ("get var", NO_VARIABLES),
    ("httpclient", "no requests of its own are made"),
    ("mcli-debug-mode", NO_MASTER),
    ("new ssl", NO_TLS),
    ("prepare acl", NO_MAPS),
    ("prepare map", NO_MAPS),
    ("reload", NO_MASTER),
    ("set dynamic-cookie-key", NO_DYNAMIC),
    ("set map", NO_MAPS),
    ("set profiling", INSIDES),
    ("set rate-limit", "there is no limit on rates"),
    ("set severity-output", "answers are the same for all"),
    ("set ssl", NO_TLS),
    ("set table", NO_STICK),
    ("set var", NO_VARIABLES),
    ("show acl", NO_MAPS),
    ("show activity", INSIDES),
    ("show cache", "nothing is cached"),
    ("show events", INSIDES),
    ("show fd", INSIDES),
    ("show libs", INSIDES),
    ("show map", NO_MAPS),
    ("show peers", NO_STICK),
    ("show pools", INSIDES),
    ("show proc", NO_MASTER),
    ("show profiling", INSIDES),
    ("show resolvers", "names are looked up once, when the configuration is read"),
    ("show ssl", NO_TLS),
    ("show startup-logs", "the log has what was said at the start, and `-c` says it again"),
    ("show tasks", INSIDES),
    ("show threads", INSIDES),
    ("show tls-keys", NO_TLS),
    ("show trace", INSIDES),
    ("trace", INSIDES),
];

/// What is said of a command that is HAProxy's and not here.
pub(super) fn refusal(words: &[&str]) -> Option<String> {
    if let Some(word) = words.first().filter(|word| word.starts_with('@')) {
        return Some(format!("'{word}' is not supported: {NO_MASTER}.\n"));
    }
    let is_it = |known: &str| {
        let mut known = known.split(' ');
        let count = known.clone().count();
        words.len() >= count && words.iter().all(|word| known.next().is_none_or(|known| known == *word))
    };
    let (known, why) = WITHOUT.iter().find(|(known, _)| is_it(known))?;
    Some(format!("'{known}' is not supported: {why}.\n"))
}
