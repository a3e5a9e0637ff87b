//! The control port: whether its files can be used, and for how long.

use std::path::Path;

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
    if let Err(error) = tls::server(&remote.tls) {
        findings.push(Finding::failure(ABOUT, format!("control.tls: {error}"), CURE));
    } else {
        let files =
            [(Part::Certificate, Some(&remote.tls.cert)), (Part::Authorities, remote.tls.client_ca.as_ref())];
        let files = files.into_iter().filter_map(|(part, path)| Some((part, path?)));
        findings.extend(files.map(|(part, path)| certificates(part, path, unix.cast_signed())));
    }
    if let Err(error) = Tokens::read(&remote.token_file) {
        findings.push(Finding::failure(ABOUT, format!("control.token_file: {error}"), CURE));
    }
    findings
}

/// For how long what is in the file holds.
fn certificates(part: Part, path: &Path, now: i64) -> Finding {
    let (what, distrust, cure) = match part {
        Part::Authorities => (
            "an authority's certificate",
            "no client that it vouches for is let in",
            "have it renewed, put the new one beside it in good time, and reload the agent",
        ),
        Part::Certificate | Part::Key => {
            ("the certificate", "no tool trusts it", "have it renewed, and reload the agent")
        }
    };
    let validity = match tls::validity(part, path) {
        Ok(validity) => validity,
        Err(error) => {
            return Finding::warning(
                ABOUT,
                error.to_string(),
                "see with `openssl x509 -enddate` when it ends",
            );
        }
    };
    let path = path.display();
    let (from, until) = (date(validity.from_unix), date(validity.until_unix));
    if now < validity.from_unix {
        let text = format!("{what} in {path} holds from {from} on: until then {distrust}");
        return Finding::failure(ABOUT, text, "wait, or have another made; is the clock right?");
    }
    if now > validity.until_unix {
        return Finding::failure(ABOUT, format!("{what} in {path} has held until {until}: {distrust}"), cure);
    }
    if validity.until_unix - now < RENEWED_BEFORE {
        return Finding::warning(ABOUT, format!("{what} in {path} ends soon, at {until}"), cure);
    }
    Finding::ok(ABOUT, format!("{what} in {path} holds until {until}"))
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
    fn the_end_of_whoever_signs_the_clients_certificates_is_told_too() {
        let scratch = Scratch::new("doctor-authority");
        let mut remote = remote(&scratch);
        let ca = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tls/ca.pem");
        remote.tls.client_ca = Some(ca);
        assert_eq!(levels(&remote, END - 31 * DAY), [Level::Ok; 2]);
        let found = files(&remote, END - 29 * DAY);
        assert!(found.len() == 2 && found[1].level == Level::Warning, "{found:?}");
        assert!(found[1].text.contains("an authority's certificate in") && found[1].text.contains("ca.pem"));
        let found = files(&remote, END + 1);
        assert!(found[1].level == Level::Failure && found[1].text.contains("no client"), "{found:?}");
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
