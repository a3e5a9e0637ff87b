//! The control port: whether its files can be used, and for how long.

use jiff::Timestamp;

use super::Finding;
use crate::{
    config::Remote,
    control::{
        tls::{self, Part},
        tokens::Tokens,
    },
};

const ABOUT: &str = "control_port";

/// So long before its end a certificate is to be renewed, in seconds: 30 days, the time at which those of 90 days are.
const RENEWED_BEFORE: i64 = 30 * 24 * 60 * 60;

/// Whether the agent could open its port with the files as they are at `unix`. Blocking.
pub(super) fn files(remote: &Remote, unix: u64) -> Vec<Finding> {
    const CURE: &str = "mend the file, and reload the agent: it opens the port then, or takes the new file";
    let mut findings = Vec::new();
    match tls::server(&remote.tls) {
        Err(error) => findings.push(Finding::failure(ABOUT, format!("control.tls: {error}"), CURE)),
        Ok(_) => findings.push(certificate(remote, unix.cast_signed())),
    }
    if let Err(error) = Tokens::read(&remote.token_file) {
        findings.push(Finding::failure(ABOUT, format!("control.token_file: {error}"), CURE));
    }
    findings
}

/// For how long the certificate holds.
fn certificate(remote: &Remote, now: i64) -> Finding {
    const CURE: &str = "have it renewed, and reload the agent";
    let path = remote.tls.cert.display();
    let validity = match tls::validity(Part::Certificate, &remote.tls.cert) {
        Ok(validity) => validity,
        Err(error) => {
            return Finding::warning(
                ABOUT,
                error.to_string(),
                "see with `openssl x509 -enddate` when it ends",
            );
        }
    };
    let (from, until) = (date(validity.from_unix), date(validity.until_unix));
    if now < validity.from_unix {
        let text = format!("the certificate in {path} holds from {from} on: no tool trusts it yet");
        return Finding::failure(ABOUT, text, "wait, or have another made; is the clock right?");
    }
    if now > validity.until_unix {
        return Finding::failure(
            ABOUT,
            format!("the certificate in {path} has held until {until}: no tool trusts it"),
            CURE,
        );
    }
    if validity.until_unix - now < RENEWED_BEFORE {
        return Finding::warning(ABOUT, format!("the certificate in {path} ends soon, at {until}"), CURE);
    }
    Finding::ok(ABOUT, format!("the certificate in {path} holds until {until}"))
}

fn date(unix: i64) -> String {
    Timestamp::from_second(unix).map_or_else(|_far| "the end of time".to_owned(), |time| time.to_string())
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt, path::Path};

    use super::{super::Level, *};
    use crate::{config::Tls, scratch::Scratch};

    /// When the test certificates end: with the year 2999.
    const END: u64 = 32_503_679_999;
    const DAY: u64 = 24 * 60 * 60;

    fn remote(scratch: &Scratch) -> Remote {
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tls");
        let secret = |name: &str, bytes: &[u8]| {
            let path = scratch.join(name);
            fs::write(&path, bytes).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            path
        };
        let copy = |name: &str| secret(name, &fs::read(from.join(name)).unwrap());
        Remote {
            listen: ([127, 0, 0, 1], 1).into(),
            tls: Tls { cert: copy("server.pem"), key: copy("server.key"), client_ca: None },
            token_file: secret("tokens", b"deploy 0123456789abcdef0123456789abcdef\n"),
        }
    }

    fn levels(remote: &Remote, unix: u64) -> Vec<Level> {
        files(remote, unix).iter().map(|finding| finding.level).collect()
    }

    #[test]
    fn a_certificates_end_is_told_thirty_days_before() {
        let scratch = Scratch::new("doctor-certificate");
        let remote = remote(&scratch);
        assert_eq!(levels(&remote, END - 31 * DAY), [Level::Ok]);
        assert_eq!(levels(&remote, END - 29 * DAY), [Level::Warning]);
        assert_eq!(levels(&remote, END + 1), [Level::Failure], "it is over");
        assert_eq!(levels(&remote, 1), [Level::Failure], "it has not begun");
        assert!(files(&remote, END + 1)[0].text.contains("2999-12-31T23:59:59Z"));
    }

    #[test]
    fn each_file_that_cant_be_used_is_named() {
        let scratch = Scratch::new("doctor-remote");
        let remote = remote(&scratch);
        fs::write(&remote.tls.key, "no key").unwrap();
        fs::write(&remote.token_file, "deploy short").unwrap();
        let found = files(&remote, END);
        assert_eq!(found.len(), 2, "{found:?}");
        for (finding, file) in found.iter().zip(["server.key", "tokens"]) {
            assert_eq!(finding.level, Level::Failure);
            assert!(finding.text.contains(file) && finding.cure.is_some(), "{finding:?}");
        }
    }
}
