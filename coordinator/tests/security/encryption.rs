//! TLS and mutual TLS: whose certificate is accepted, and which files a coordinator starts with.

use std::path::{Path, PathBuf};

use cambrian_coordinator::config::{Config, Tls};
use cambrian_coordinator::server::{Server, bind};
use cambrian_coordinator::store::memory::MemoryStore;
use cambrian_proto::v1;
use cambrian_proto::v1::campaign_service_client::CampaignServiceClient;
use cambrian_transport::client::Credentials;
use cambrian_transport::failure;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

use crate::place::Place;
use crate::scripted::log::logged;
use crate::scripted::quick;

/// An authority that signs certificates into a directory.
struct Authority {
    directory: tempfile::TempDir,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "an authority");
        let certificate = params.self_signed(&key).unwrap();
        std::fs::write(directory.path().join("ca.pem"), certificate.pem()).unwrap();
        Self { directory, issuer: Issuer::new(params, key) }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn ca(&self) -> PathBuf {
        self.path("ca.pem")
    }

    /// A certificate for `name` and its key.
    fn sign(&self, name: &str) -> (PathBuf, PathBuf) {
        self.sign_with(name, |_| {})
    }

    fn sign_with(
        &self,
        name: &str,
        change: impl FnOnce(&mut CertificateParams),
    ) -> (PathBuf, PathBuf) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        change(&mut params);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let (pem, secret) = (self.path(&format!("{name}.pem")), self.path(&format!("{name}.key")));
        std::fs::write(&pem, certificate.pem()).unwrap();
        std::fs::write(&secret, key.serialize_pem()).unwrap();
        (pem, secret)
    }
}

fn encrypted((certificate, key): (PathBuf, PathBuf), client_ca: Option<PathBuf>) -> Config {
    Config { tls: Some(Tls { certificate, key, client_ca }), ..quick() }
}

fn trusting(ca: &Path) -> Credentials {
    Credentials { ca: Some(ca.to_owned()), ..Credentials::default() }
}

/// A call; why it failed, in words.
async fn call(server: &Server, scheme: &str, credentials: &Credentials) -> Result<(), String> {
    let address = format!("{scheme}://127.0.0.1:{}", server.address().port());
    let endpoint = credentials.endpoint(&address).unwrap();
    let words = |error: &(dyn std::error::Error + 'static)| {
        failure::of_tls(error).unwrap_or_else(|| failure::innermost(error))
    };
    let channel = endpoint.connect().await.map_err(|error| words(&error))?;
    let mut client = CampaignServiceClient::new(channel);
    let answer = client.list_campaigns(v1::ListCampaignsRequest {}).await;
    answer.map(drop).map_err(|status| words(&status))
}

#[tokio::test]
async fn a_client_trusts_its_own_authority_and_the_right_name_only() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let place = Place::new(&encrypted(ours.sign("127.0.0.1"), None)).await;
    let records = place.records();
    assert_eq!(call(&place.server, "https", &trusting(&ours.ca())).await, Ok(()));
    let words = call(&place.server, "https", &trusting(&theirs.ca())).await.unwrap_err();
    assert!(words.contains("no authority that `--tls-ca` names"), "{words}");
    logged(&["connection refused", "does not accept this coordinator's certificate"]).await;
    let elsewhere =
        Credentials { server_name: Some("elsewhere.example".into()), ..trusting(&ours.ca()) };
    let words = call(&place.server, "https", &elsewhere).await.unwrap_err();
    assert!(words.contains("server_name"), "{words}");
    assert!(call(&place.server, "http", &Credentials::default()).await.is_err());
    logged(&["connection refused", "it speaks no TLS"]).await;
    assert_eq!(place.records(), records);
}

#[tokio::test]
async fn with_a_client_authority_a_client_needs_a_certificate_of_it() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let config = encrypted(ours.sign("127.0.0.1"), Some(ours.ca()));
    let place = Place::new(&config).await;
    let records = place.records();
    let of = |(certificate, key): (PathBuf, PathBuf)| Credentials {
        certificate: Some(certificate),
        key: Some(key),
        ..trusting(&ours.ca())
    };
    assert_eq!(call(&place.server, "https", &of(ours.sign("worker"))).await, Ok(()));
    assert!(call(&place.server, "https", &trusting(&ours.ca())).await.is_err());
    logged(&["connection refused", "shows no client certificate"]).await;
    assert!(call(&place.server, "https", &of(theirs.sign("worker"))).await.is_err());
    logged(&["connection refused", "signed by no authority of `client_ca`"]).await;
    assert_eq!(place.records(), records);
}

#[tokio::test]
async fn a_coordinator_does_not_start_with_files_that_cannot_serve() {
    let ours = Authority::new();
    let good = ours.sign("127.0.0.1");
    let other = ours.sign("localhost");
    let expired = ours.sign_with("expired", |params| {
        params.not_before = rcgen::date_time_ymd(2019, 1, 1);
        params.not_after = rcgen::date_time_ymd(2020, 1, 1);
    });
    let future = ours.sign_with("future", |params| {
        params.not_before = rcgen::date_time_ymd(2999, 1, 1);
        params.not_after = rcgen::date_time_ymd(3000, 1, 1);
    });
    let text = ours.path("text.pem");
    std::fs::write(&text, "no certificate").unwrap();
    let cases = [
        ((ours.path("absent.pem"), good.1.clone()), None, "absent.pem"),
        ((text.clone(), good.1.clone()), None, "holds no certificate in PEM form"),
        ((good.0.clone(), text.clone()), None, "holds no private key in PEM form"),
        ((good.0.clone(), other.1), None, "does not belong to the certificate"),
        (expired, None, "expired on"),
        (future, None, "is not valid before"),
        (good.clone(), Some(text), "holds no certificate in PEM form"),
        (good.clone(), Some(ours.path("absent.pem")), "absent.pem"),
    ];
    for (files, client_ca, words) in cases {
        let listener = bind(([127, 0, 0, 1], 0).into()).await.unwrap();
        let clock = std::sync::Arc::new(cambrian_coordinator::clock::SystemClock::new());
        let config = encrypted(files, client_ca);
        let store = Box::new(MemoryStore::default());
        let error = Server::start(&config, store, clock, listener).await.unwrap_err();
        assert!(error.to_string().contains(words), "expected {words}: {error}");
    }
}

#[tokio::test]
async fn connections_are_bounded_and_freed() {
    let mut config = quick();
    config.limits.connections = 1;
    let place = Place::new(&config).await;
    let address = place.server.address();
    let held = tokio::net::TcpStream::connect(address).await.unwrap();
    let mut refused = tokio::net::TcpStream::connect(address).await.unwrap();
    let mut byte = [0];
    let ended = tokio::io::AsyncReadExt::read(&mut refused, &mut byte).await;
    assert!(matches!(ended, Ok(0) | Err(_)), "the second connection was served");
    logged(&["connection refused", "too many are open"]).await;
    drop(held);
    for attempt in 0.. {
        if call(&place.server, "http", &Credentials::default()).await.is_ok() {
            break;
        }
        assert!(attempt < 100, "the place of a connection that ended stays taken");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}
