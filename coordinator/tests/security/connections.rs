//! Connections of strangers: they take the place of nobody for long.

use std::time::{Duration, Instant};

use cambrian_coordinator::access::Role;
use cambrian_core::time::Span;
use cambrian_proto::v1;
use cambrian_proto::v1::campaign_service_client::CampaignServiceClient;
use cambrian_proto::v1::worker_message::Message as Up;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::place::{Place, Wire, guarded};
use crate::scripted::log::logged;

const PATIENCE: Duration = Duration::from_secs(20);
/// What HTTP/2 begins with, and an empty frame of settings.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

#[tokio::test]
async fn connections_without_a_call_that_is_let_in_are_closed() {
    let mut config = guarded();
    config.limits.connections = 3;
    let place = Place::new(&config).await;
    let token = place.token(Role::View, "vera");
    let address = place.server.address();
    let silent = TcpStream::connect(address).await.unwrap();
    let mut polite = TcpStream::connect(address).await.unwrap();
    polite.write_all(PREFACE).await.unwrap();
    // Whoever asks for the health alone is a stranger all the same.
    let (channel, _) = place.wire(None).await;
    let mut probe = HealthClient::new(channel);
    probe.check(HealthCheckRequest { service: String::new() }).await.unwrap();

    let started = Instant::now();
    let list = || async {
        let (channel, bearer) = place.try_wire(Some(&token)).await.ok()?;
        let mut client = CampaignServiceClient::with_interceptor(channel, bearer);
        client.list_campaigns(v1::ListCampaignsRequest {}).await.ok()?;
        Some(client)
    };
    let mut client = loop {
        if let Some(client) = list().await {
            break client;
        }
        assert!(started.elapsed() < PATIENCE, "strangers hold all connections");
        // So much is logged a second.
        place.clock.advance(Span::from_secs(1));
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    for mut stranger in [silent, polite] {
        let mut heard = Vec::new();
        let read = tokio::time::timeout(PATIENCE, stranger.read_to_end(&mut heard)).await;
        // Closed in either way.
        let _ = read.expect("a stranger's connection stays open");
    }
    logged(&["connection closed", "nobody made a call"]).await;
    // That of somebody who was let in stays for longer.
    tokio::time::sleep(Duration::from_secs_f64(2.0 * config.limits.register_seconds)).await;
    client.list_campaigns(v1::ListCampaignsRequest {}).await.unwrap();
}

#[tokio::test]
async fn an_address_may_have_a_bound() {
    let mut config = guarded();
    config.limits.connections_per_address = Some(1);
    let place = Place::new(&config).await;
    let token = place.token(Role::View, "vera");
    let (channel, bearer) = place.wire(Some(&token)).await;
    let mut client = CampaignServiceClient::with_interceptor(channel, bearer);
    client.list_campaigns(v1::ListCampaignsRequest {}).await.unwrap();
    let mut other = TcpStream::connect(place.server.address()).await.unwrap();
    let mut heard = Vec::new();
    let read = tokio::time::timeout(PATIENCE, other.read_to_end(&mut heard)).await;
    assert!(!matches!(read.expect("it stays open"), Ok(bytes) if bytes > 0));
    logged(&["connection refused", "of its address"]).await;
}

/// One good call does not keep a place for ever, and whoever loses it so does not notice.
#[tokio::test]
async fn connections_on_which_nothing_is_open_are_closed_and_others_stay() {
    let mut config = guarded();
    config.limits.connections = 3;
    config.limits.idle_seconds = 1.0;
    let place = Place::new(&config).await;
    let (vera, site) = (place.token(Role::View, "vera"), place.token(Role::Worker, "site"));
    let (up, mut down) = place.work(Some(&site), "gpu", 1).await.unwrap();
    down.message().await.unwrap();
    let list = async |mut client: CampaignServiceClient<Wire>| {
        client.list_campaigns(v1::ListCampaignsRequest {}).await.map(drop)
    };
    let (first, second) = (place.client(Some(&vera)).await, place.client(Some(&vera)).await);
    list(first.clone()).await.unwrap();
    list(second).await.unwrap();
    let started = Instant::now();
    let third = loop {
        if let Ok((channel, bearer)) = place.try_wire(Some(&vera)).await {
            let third = CampaignServiceClient::with_interceptor(channel, bearer);
            if list(third.clone()).await.is_ok() {
                break third;
            }
        }
        assert!(started.elapsed() < PATIENCE, "they keep their places");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    drop(third);
    let again = async { while list(first.clone()).await.is_err() {} };
    tokio::time::timeout(PATIENCE, again).await.expect("it does not connect anew");
    // The stream of the worker was open all the time.
    let credit = Some(Up::Ready(v1::Ready { credit: 1 }));
    up.send(v1::WorkerMessage { message: credit }).await.unwrap();
    let heard = tokio::time::timeout(Duration::from_secs(1), down.message()).await;
    assert!(heard.is_err(), "the stream of a worker was closed: {heard:?}");
}
