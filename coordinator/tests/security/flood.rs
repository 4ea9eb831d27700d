//! What a token that got into wrong hands can use up, and what all workers of a good one need at once.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use cambrian_coordinator::access::Role;
use cambrian_core::time::Span;
use cambrian_proto::v1;
use cambrian_proto::v1::coordinator_message::Message as Down;
use cambrian_proto::v1::worker_message::Message as Up;
use cambrian_proto::v1::worker_service_client::WorkerServiceClient;
use cambrian_transport::token::Token;
use futures::future::join_all;
use http_body::{Body, Frame};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};
use tower::{Service, ServiceExt};

use crate::place::{Place, guarded};
use crate::scripted::log::logged;
use crate::scripted::{campaign, reference, register};

const PATIENCE: Duration = Duration::from_secs(60);

async fn hear(down: &mut Streaming<v1::CoordinatorMessage>) -> Result<Down, Status> {
    let heard = tokio::time::timeout(PATIENCE, down.message()).await.expect("silence");
    Ok(heard?.expect("the stream ended").message.unwrap())
}

/// Registers a worker, and ends its stream again; whether it was let in.
async fn registered(place: &Place, token: &Token, name: &str, session: u64) -> Result<(), Status> {
    loop {
        let told = match place.work(Some(token), name, session).await {
            Ok((_up, mut down)) => hear(&mut down).await.map(drop),
            Err(status) => Err(status),
        };
        match told {
            // The coordinator has not noticed yet that a stream before has ended.
            Err(status) if status.message().contains("streams of workers open") => {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            told => return told,
        }
    }
}

#[tokio::test]
async fn all_workers_of_one_token_come_back_at_once() {
    let mut config = guarded();
    // Many at once, on a machine that does much else.
    config.limits.register_seconds = 60.0;
    let place = Place::new(&config).await;
    let site = place.token(Role::Worker, "site");
    let place = place.restart(&config).await;
    // The clock stands still: nothing is refilled.
    let connections = (0..10).map(|connection| {
        let (place, site) = (&place, &site);
        async move {
            let (channel, bearer) = place.wire(Some(site)).await;
            let client = WorkerServiceClient::with_interceptor(channel, bearer);
            let workers = (0..60).map(|worker| {
                let mut client = client.clone();
                async move {
                    let (up, messages) = mpsc::channel(1);
                    let name = format!("gpu-{connection}-{worker}");
                    let message = Some(Up::Register(register(&name, 1, vec![])));
                    up.send(v1::WorkerMessage { message }).await.unwrap();
                    let opened = client.work(ReceiverStream::new(messages)).await;
                    let mut down = opened.unwrap().into_inner();
                    let heard = hear(&mut down).await.unwrap();
                    assert!(matches!(heard, Down::Registered(_)), "{heard:?}");
                    (up, down)
                }
            });
            join_all(workers).await
        }
    });
    let open = join_all(connections).await;
    assert_eq!(open.iter().flatten().count(), 600);
    // Each of them may put or get an artifact at once; others have a bound of their own.
    place.clock.advance(Span::from_secs(60));
    let eve = place.token(Role::Worker, "eve");
    let artifact = cambrian_core::artifact::ArtifactId::of(b"absent").to_string();
    let gets = async |token: &Token, most: usize| {
        let (channel, bearer) = place.wire(Some(token)).await;
        let client =
            v1::artifact_service_client::ArtifactServiceClient::with_interceptor(channel, bearer);
        let mut let_in = 0;
        while let_in < most {
            let request = v1::GetArtifactRequest { id: artifact.clone() };
            match client.clone().get_artifact(request).await.unwrap_err().code() {
                Code::NotFound => let_in += 1,
                code => {
                    assert_eq!(code, Code::ResourceExhausted);
                    break;
                }
            }
        }
        let_in
    };
    assert_eq!(gets(&site, 600).await, 600);
    assert_eq!(gets(&eve, 600).await, config.limits.calls_at_once as usize);
}

#[tokio::test]
async fn a_token_has_so_many_names_and_registrations() {
    let mut config = guarded();
    (config.limits.workers, config.limits.calls_at_once) = (3, 3);
    let place = Place::new(&config).await;
    let site = place.token(Role::Worker, "site");
    for name in ["a", "b", "c"] {
        registered(&place, &site, name, 1).await.unwrap();
    }
    let status = registered(&place, &site, "a", 2).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert!(status.message().contains("register too often"), "{status}");
    logged(&["stream ended", "WorkerService/Work", "register too often"]).await;
    place.clock.advance(Span::from_secs(600));
    registered(&place, &site, "a", 2).await.unwrap();
    // A second token of the same holder has no more names.
    let second = place.token(Role::Worker, "site");
    let status = registered(&place, &second, "d", 1).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert!(status.message().contains("names for 3 workers"), "{status}");
    logged(&["stream ended", "names for 3 workers", &second.id().to_string()]).await;
    let vera = place.token(Role::View, "vera");
    let names = async || {
        let listed = place.client(Some(&vera)).await.list_workers(v1::ListWorkersRequest {}).await;
        let workers = listed.unwrap().into_inner().workers;
        workers.into_iter().map(|worker| worker.name).collect::<Vec<_>>()
    };
    assert_eq!(names().await, ["a", "b", "c"]);
    let other = place.token(Role::Worker, "other");
    registered(&place, &other, "d", 1).await.unwrap();
    assert_eq!(names().await, ["a", "b", "c", "d"]);
}

#[tokio::test]
async fn a_registration_cannot_fill_the_journal() {
    let place = Place::new(&guarded()).await;
    let site = place.token(Role::Worker, "site");
    let (channel, bearer) = place.wire(Some(&site)).await;
    let mut client = WorkerServiceClient::with_interceptor(channel, bearer);
    let mut large = register("gpu", 1, vec![]);
    let labels = (0..100).map(|label| (format!("l{label}"), "x".repeat(1024))).collect();
    large.capabilities.as_mut().unwrap().labels = labels;
    let records = place.records();
    let message = v1::WorkerMessage { message: Some(Up::Register(large)) };
    let mut down = client.work(tokio_stream::iter([message])).await.unwrap().into_inner();
    let status = hear(&mut down).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().starts_with("register.capabilities: have"), "{status}");
    logged(&["stream ended", "WorkerService/Work", "register.capabilities: have"]).await;
    assert_eq!(place.records(), records);
}

#[tokio::test]
async fn a_token_watches_so_many_times_at_once() {
    let mut config = guarded();
    config.limits.watches = 2;
    let place = Place::new(&config).await;
    let (sam, vera) = (place.token(Role::Submit, "sam"), place.token(Role::View, "vera"));
    let number = place.submit(Some(&sam), campaign(4)).await.unwrap();
    let watch = async |token: &Token| {
        let request = v1::WatchCampaignRequest { campaign: reference(&number.to_string()) };
        place.client(Some(token)).await.watch_campaign(request).await.map(|it| it.into_inner())
    };
    let first = watch(&vera).await.unwrap();
    let _second = watch(&vera).await.unwrap();
    let status = watch(&vera).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert!(status.message().contains("limits.watches"), "{status}");
    logged(&["call refused", "WatchCampaign", "limits.watches", &vera.id().to_string()]).await;
    assert!(watch(&sam).await.is_ok(), "each token has its own bound");
    drop(first);
    let again = async {
        while watch(&vera).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, again).await.expect("a watch that has ended still counts");
}

/// What is submitted is kept for ever, also of campaigns that were refused or cancelled.
#[tokio::test]
async fn a_token_submits_so_many_bytes_within_an_hour() {
    let place = Place::new(&guarded()).await;
    let (ada, bob) = (place.token(Role::Submit, "ada"), place.token(Role::Submit, "bob"));
    let submit = async |token: &Token, number: u128| {
        let yaml = format!("version: 1\n# {}\n", "long".repeat(250_000));
        let submission = number.to_be_bytes().to_vec();
        let request = v1::SubmitCampaignRequest { yaml, submission };
        let answer = place.client(Some(token)).await.submit_campaign(request).await;
        answer.map(|_| ()).map_err(|status| status.code())
    };
    for number in 0..16 {
        assert_eq!(submit(&ada, number).await, Ok(()));
    }
    assert_eq!(submit(&ada, 16).await, Err(Code::ResourceExhausted));
    assert_eq!(submit(&bob, 17).await, Ok(()));
    place.clock.advance(Span::from_secs(100));
    assert_eq!(submit(&ada, 18).await, Ok(()));
    assert_eq!(submit(&ada, 19).await, Err(Code::ResourceExhausted));
}

/// A message that is announced and never comes.
struct Announced(Option<Bytes>);

impl Body for Announced {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let Some(announced) = self.0.take() else { return Poll::Pending };
        Poll::Ready(Some(Ok(Frame::data(announced))))
    }
}

#[tokio::test]
async fn unfinished_questions_count_and_end_with_their_token() {
    let mut config = guarded();
    config.limits.questions = 1;
    let place = Place::new(&config).await;
    let (vera, other) = (place.token(Role::View, "vera"), place.token(Role::View, "other"));
    let (mut channel, _) = place.wire(None).await;
    let announced = Bytes::from_static(&[0, 0, 1, 0, 0, 1, 2, 3]);
    let request = http::Request::post("/cambrian.v1.CampaignService/ValidateCampaign")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("authorization", format!("Bearer {}", vera.reveal()))
        .body(tonic::body::Body::new(Announced(Some(announced))))
        .unwrap();
    let unfinished = channel.ready().await.unwrap().call(request);
    let unfinished = tokio::spawn(unfinished);
    let list = async |token: &Token| {
        let mut client = place.client(Some(token)).await;
        let listed = client.list_campaigns(v1::ListCampaignsRequest {});
        tokio::time::timeout(Duration::from_millis(500), listed).await
    };
    while list(&vera).await.is_ok() {}
    assert!(list(&other).await.expect("each token has its own turn").is_ok());
    place.revoke(&vera);
    let answer = tokio::time::timeout(PATIENCE, unfinished).await.expect("it is still open");
    let status = Status::from_header_map(answer.unwrap().unwrap().headers()).unwrap();
    assert_eq!(status.code(), Code::Unauthenticated, "{status}");
}
