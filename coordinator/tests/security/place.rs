//! A coordinator that demands tokens, its store, its log, and clients that show what they have.

use std::path::PathBuf;
use std::sync::Arc;

use cambrian_coordinator::access::Role;
use cambrian_coordinator::clock::{Clock, ManualClock};
use cambrian_coordinator::config::Config;
use cambrian_coordinator::server::{Server, open_store};
use cambrian_coordinator::store::Store;
use cambrian_coordinator::store::sqlite::SqliteStore;
use cambrian_coordinator::store::tokens::Register;
use cambrian_core::time::{Span, Timestamp};
use cambrian_proto::v1;
use cambrian_proto::v1::campaign_service_client::CampaignServiceClient;
use cambrian_proto::v1::worker_message::Message as Up;
use cambrian_proto::v1::worker_service_client::WorkerServiceClient;
use cambrian_transport::client::{Bearer, Credentials, TokenSource};
use cambrian_transport::token::Token;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Status, Streaming};

use crate::scripted::log::log;
use crate::scripted::{quick, register, serve_with};

pub(crate) type Wire = InterceptedService<Channel, Bearer>;

/// A running coordinator with what is needed to talk to it.
pub(crate) struct Place {
    directory: tempfile::TempDir,
    pub(crate) server: Server,
    pub(crate) clock: ManualClock,
}

/// The settings of a coordinator that demands tokens.
pub(crate) fn guarded() -> Config {
    Config { tokens: true, ..quick() }
}

impl Place {
    pub(crate) async fn new(config: &Config) -> Self {
        Self::on(tempfile::tempdir().unwrap(), config).await
    }

    async fn on(directory: tempfile::TempDir, config: &Config) -> Self {
        log();
        let clock = ManualClock::default();
        clock.advance(Span::from_secs(1_000));
        let store = open_store(&directory.path().join("cambrian.db")).await.unwrap();
        let server = serve_with(config, Box::new(store), Arc::new(clock.clone())).await;
        Self { directory, server, clock }
    }

    /// The same store behind a new coordinator.
    pub(crate) async fn restart(self, config: &Config) -> Self {
        let Self { directory, server, .. } = self;
        server.stop();
        server.join().await.unwrap();
        Self::on(directory, config).await
    }

    fn database(&self) -> PathBuf {
        self.directory.path().join("cambrian.db")
    }

    pub(crate) fn register(&self) -> Register {
        Register::open(&self.database()).unwrap()
    }

    /// A token that does not expire.
    pub(crate) fn token(&self, role: Role, name: &str) -> Token {
        self.register().create(role, name, None, self.clock.now()).unwrap().0
    }

    /// A token that holds for so long.
    pub(crate) fn short_token(&self, role: Role, name: &str, valid: Span) -> Token {
        self.register().create(role, name, Some(valid), self.clock.now()).unwrap().0
    }

    pub(crate) fn revoke(&self, token: &Token) {
        self.register().revoke(token.id(), Timestamp(self.clock.now().0)).unwrap();
    }

    /// How many durable events there are.
    pub(crate) fn records(&self) -> u64 {
        SqliteStore::open_read_only(&self.database()).unwrap().sequence()
    }

    pub(crate) async fn wire(&self, token: Option<&Token>) -> (Channel, Bearer) {
        self.try_wire(token).await.unwrap()
    }

    pub(crate) async fn try_wire(
        &self,
        token: Option<&Token>,
    ) -> Result<(Channel, Bearer), tonic::transport::Error> {
        let token = token.cloned().map(TokenSource::Given);
        let credentials = Credentials { token, ..Credentials::default() };
        let address = format!("http://{}", self.server.address());
        let endpoint = credentials.endpoint(&address).unwrap();
        Ok((endpoint.connect().await?, credentials.bearer().unwrap()))
    }

    pub(crate) async fn client(&self, token: Option<&Token>) -> CampaignServiceClient<Wire> {
        let (channel, bearer) = self.wire(token).await;
        CampaignServiceClient::with_interceptor(channel, bearer)
            .max_encoding_message_size(usize::MAX)
    }

    /// Submits a campaign; its number.
    pub(crate) async fn submit(&self, token: Option<&Token>, yaml: String) -> Result<u32, Status> {
        let submission = blake3::hash(yaml.as_bytes()).as_bytes()[..16].to_vec();
        let request = v1::SubmitCampaignRequest { yaml, submission };
        let answer = self.client(token).await.submit_campaign(request).await?.into_inner();
        assert_eq!(answer.faults, []);
        Ok(answer.campaign)
    }

    /// Opens the stream of a worker and registers; the stream may end with a status at any time.
    pub(crate) async fn work(
        &self,
        token: Option<&Token>,
        name: &str,
        session: u64,
    ) -> Result<(mpsc::Sender<v1::WorkerMessage>, Streaming<v1::CoordinatorMessage>), Status> {
        let (channel, bearer) = self.wire(token).await;
        let mut client = WorkerServiceClient::with_interceptor(channel, bearer);
        let (up, messages) = mpsc::channel(16);
        let message = Some(Up::Register(register(name, session, vec![])));
        up.send(v1::WorkerMessage { message }).await.unwrap();
        let down = client.work(ReceiverStream::new(messages)).await?.into_inner();
        Ok((up, down))
    }
}
