//! TLS for the control port, at both ends of it: TLS 1.3 only, by rustls, with what stands in PEM files.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject},
    server::{NoServerSessionStorage, WebPkiClientVerifier},
    version::TLS13,
};

use super::{secret, validity::Validity};
use crate::config::Tls;

/// The one protocol above it.
const HTTP: &[u8] = b"http/1.1";

/// Which of the files it is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Part {
    /// A certificate and its chain.
    Certificate,
    /// The key of a certificate.
    Key,
    /// The certificates of those who sign others.
    Authorities,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Certificate => "a certificate",
            Self::Key => "a private key",
            Self::Authorities => "certificates of authorities",
        })
    }
}

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
#[error("expected {part} in PEM in {}: {why}", path.display())]
pub struct Error {
    /// What it is about.
    pub part: Part,
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub why: String,
}

/// What the agent needs to be trusted: the files are read.
pub fn server(tls: &Tls) -> Result<Arc<ServerConfig>, Error> {
    let chain = certificates(Part::Certificate, &tls.cert)?;
    let key = key(&tls.key)?;
    let versions = ServerConfig::builder_with_provider(provider()).with_protocol_versions(&[&TLS13]);
    let builder = versions.expect("the provider has suites for TLS 1.3");
    let builder = match &tls.client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(authorities(path)?), provider());
            let wrong = |error: rustls::server::VerifierBuilderError| about(Part::Authorities, path, &error);
            builder.with_client_cert_verifier(verifier.build().map_err(wrong)?)
        }
    };
    let mut config =
        builder.with_single_cert(chain, key).map_err(|error| unfit(&tls.cert, &tls.key, &error))?;
    config.alpn_protocols = vec![HTTP.to_vec()];
    // Each connection is one request of somebody who asks now and then: nothing is kept for the next.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

/// What a client needs: who signs the agent's certificate, the host's own authorities unless `ca` names others; and a
/// certificate and its key, where the agent wants one.
pub fn client(ca: Option<&Path>, own: Option<(&Path, &Path)>) -> Result<Arc<ClientConfig>, Error> {
    let roots = match ca {
        Some(path) => authorities(path)?,
        None => of_this_host()?,
    };
    let versions = ClientConfig::builder_with_provider(provider()).with_protocol_versions(&[&TLS13]);
    let builder = versions.expect("the provider has suites for TLS 1.3").with_root_certificates(roots);
    let mut config = match own {
        None => builder.with_no_client_auth(),
        Some((cert, key_file)) => {
            let (chain, key) = (certificates(Part::Certificate, cert)?, key(key_file)?);
            builder.with_client_auth_cert(chain, key).map_err(|error| unfit(cert, key_file, &error))?
        }
    };
    config.alpn_protocols = vec![HTTP.to_vec()];
    Ok(Arc::new(config))
}

/// When all certificates of a file hold.
pub fn validity(part: Part, path: &Path) -> Result<Validity, Error> {
    let certificates = certificates(part, path)?;
    let each: Option<Vec<Validity>> = certificates.iter().map(|one| Validity::of(one)).collect();
    let all = each.and_then(|each| each.into_iter().reduce(Validity::and));
    all.ok_or_else(|| about(part, path, &"found one without dates"))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn about(part: Part, path: &Path, why: &impl ToString) -> Error {
    Error { part, path: path.to_owned(), why: why.to_string() }
}

/// A key that is not this certificate's, or one of them that is of an unknown kind.
fn unfit(cert: &Path, key: &Path, error: &rustls::Error) -> Error {
    about(Part::Certificate, cert, &format!("it does not go with the key in {}: {error}", key.display()))
}

/// All certificates of a file; at least one.
fn certificates(part: Part, path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let text = fs::read(path).map_err(|error| about(part, path, &error))?;
    let read: Result<Vec<_>, pem::Error> = CertificateDer::pem_slice_iter(&text).collect();
    let certificates = read.map_err(|error| about(part, path, &error))?;
    if certificates.is_empty() {
        return Err(about(part, path, &"found no `BEGIN CERTIFICATE`"));
    }
    Ok(certificates)
}

/// The first key of a file that not everybody may read.
fn key(path: &Path) -> Result<PrivateKeyDer<'static>, Error> {
    let text = secret::read(path).map_err(|error| about(Part::Key, path, &error))?;
    PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|error| match error {
        pem::Error::NoItemsFound => about(Part::Key, path, &"found no `BEGIN PRIVATE KEY`"),
        error => about(Part::Key, path, &error),
    })
}

fn authorities(path: &Path) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(Part::Authorities, path)? {
        roots.add(certificate).map_err(|error| about(Part::Authorities, path, &error))?;
    }
    Ok(roots)
}

/// Those whom this host trusts, as OpenSSL finds them.
fn of_this_host() -> Result<RootCertStore, Error> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    // Some of a host's hundred may be of a kind that is not known here.
    let (taken, _unknown) = roots.add_parsable_certificates(found.certs);
    if taken == 0 {
        let why = found.errors.first().map_or_else(|| "found none".to_owned(), ToString::to_string);
        let why = format!("{why}; install ca-certificates, or name the authority's file with --ca");
        return Err(about(Part::Authorities, Path::new("/etc/ssl/certs"), &why));
    }
    Ok(roots)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::scratch::Scratch;

    /// The test certificates, with keys that nobody else may read.
    fn files(scratch: &Scratch) -> Tls {
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tls");
        for entry in fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            let path = scratch.join(entry.file_name().to_str().unwrap());
            fs::copy(entry.path(), &path).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        }
        Tls { cert: scratch.join("server.pem"), key: scratch.join("server.key"), client_ca: None }
    }

    #[test]
    fn what_fits_is_taken() {
        let scratch = Scratch::new("tls-fits");
        let tls = files(&scratch);
        server(&tls).unwrap();
        server(&Tls { client_ca: Some(scratch.join("ca.pem")), ..tls }).unwrap();
        let own = (scratch.join("client.pem"), scratch.join("client.key"));
        client(Some(&scratch.join("ca.pem")), Some((&own.0, &own.1))).unwrap();
    }

    #[test]
    fn each_file_that_does_not_fit_is_named() {
        let scratch = Scratch::new("tls-unfit");
        let tls = files(&scratch);
        let part = |tls: &Tls| {
            let error = server(tls).unwrap_err();
            assert!(error.to_string().contains(scratch.path().to_str().unwrap()), "{error}");
            error.part
        };
        assert_eq!(
            part(&Tls { key: scratch.join("other.key"), ..tls.clone() }),
            Part::Certificate,
            "not its key"
        );
        assert_eq!(part(&Tls { cert: scratch.join("none.pem"), ..tls.clone() }), Part::Certificate);
        assert_eq!(part(&Tls { cert: scratch.join("server.key"), ..tls.clone() }), Part::Certificate);
        assert_eq!(part(&Tls { key: scratch.join("server.pem"), ..tls.clone() }), Part::Key);
        assert_eq!(
            part(&Tls { client_ca: Some(scratch.join("server.key")), ..tls.clone() }),
            Part::Authorities
        );
        fs::set_permissions(&tls.key, fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(part(&tls), Part::Key, "a key that everybody may read");
    }
}
