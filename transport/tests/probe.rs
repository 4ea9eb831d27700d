//! What is said of listeners that cannot be spoken with, each a real one on loopback.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};

use cambrian_transport::client::Credentials;
use cambrian_transport::{probe, server};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// Files of an authority, and of certificates that it has signed.
struct Files(tempfile::TempDir);

impl Files {
    /// The server's certificate is for these names.
    fn new(names: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        std::fs::write(folder.path().join("ca.pem"), params.self_signed(&key).unwrap().pem())
            .unwrap();
        let issuer = Issuer::new(params, key);
        let own = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let certificate = CertificateParams::new(names).unwrap().signed_by(&own, &issuer).unwrap();
        std::fs::write(folder.path().join("own.pem"), certificate.pem()).unwrap();
        std::fs::write(folder.path().join("own.key"), own.serialize_pem()).unwrap();
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn trusting(&self) -> Credentials {
        Credentials { ca: Some(self.path("ca.pem")), ..Credentials::default() }
    }

    /// Serves TLS until the test ends, and says on good connections what a server of HTTP/2 begins with.
    async fn serve(&self, client_ca: Option<&Path>) -> u16 {
        let (certificate, key) = (self.path("own.pem"), self.path("own.key"));
        let settings = server::settings(&certificate, &key, client_ca).unwrap();
        let acceptor = TlsAcceptor::from(settings);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let Ok(mut stream) = acceptor.accept(stream).await else { return };
                    let _ = stream.write_all(b"\0\0\0\x04\0\0\0\0\0").await;
                    let _ = stream.read(&mut [0; 64]).await;
                });
            }
        });
        port
    }
}

/// What is said of an address, and what is to be done.
async fn said(address: String, credentials: &Credentials) -> (String, String) {
    let cause = probe::cause(&address, credentials).await.expect("it is no coordinator");
    (cause.what, cause.way_out)
}

#[tokio::test]
async fn a_coordinator_that_wants_a_certificate_is_said_to() {
    let files = Files::new(&["127.0.0.1"]);
    let port = files.serve(Some(&files.path("ca.pem"))).await;
    let (what, way_out) = said(format!("https://127.0.0.1:{port}"), &files.trusting()).await;
    assert!(what.contains("wants a client certificate"), "{what}");
    assert!(way_out.contains("--tls-certificate") && way_out.contains("--tls-key"), "{way_out}");
    let shown = Credentials {
        certificate: Some(files.path("own.pem")),
        key: Some(files.path("own.key")),
        ..files.trusting()
    };
    assert_eq!(probe::cause(&format!("https://127.0.0.1:{port}"), &shown).await, None);
}

#[tokio::test]
async fn tls_without_a_word_about_it_is_found() {
    let files = Files::new(&["127.0.0.1"]);
    let port = files.serve(None).await;
    let (what, way_out) = said(format!("http://127.0.0.1:{port}"), &Credentials::default()).await;
    assert!(what.contains("speaks TLS"), "{what}");
    assert!(way_out.contains("https://") && way_out.contains("--tls-ca"), "{way_out}");
}

#[tokio::test]
async fn another_name_is_said_as_it_is_dialled() {
    let files = Files::new(&["localhost", "127.0.0.2"]);
    let port = files.serve(None).await;
    let (what, way_out) = said(format!("https://127.0.0.1:{port}"), &files.trusting()).await;
    assert_eq!(what, "its certificate is for localhost and 127.0.0.2");
    assert!(way_out.contains("--tls-server-name"), "{way_out}");
    let foreign = Files::new(&["127.0.0.1"]);
    let (what, way_out) = said(format!("https://127.0.0.1:{port}"), &foreign.trusting()).await;
    assert!(what.contains("--tls-ca") && way_out.contains("right coordinator"), "{what}");
}

#[tokio::test]
async fn whoever_says_nothing_or_something_else_is_no_coordinator() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = silent.local_addr().unwrap().port();
    let files = Files::new(&["127.0.0.1"]);
    for (scheme, credentials) in [("http", Credentials::default()), ("https", files.trusting())] {
        let (what, way_out) = said(format!("{scheme}://127.0.0.1:{port}"), &credentials).await;
        assert!(what.contains("says nothing for 3 s"), "{what}");
        assert!(way_out.contains("check the port"), "{way_out}");
    }
    let chatty = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = chatty.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = chatty.accept().await {
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        }
    });
    let (what, way_out) = said(format!("http://127.0.0.1:{port}"), &Credentials::default()).await;
    assert!(what.contains("no HTTP/2") && way_out.contains("port"), "{what}; {way_out}");
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let (what, _) = said(format!("http://{gone}"), &Credentials::default()).await;
    assert!(what.contains("refused"), "{what}");
}
