//! Connections of strangers: they take the place of nobody for long.

use std::time::{Duration, Instant};

use cambrian_coordinator::access::Role;
use cambrian_core::time::Span;
use cambrian_proto::v1;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::place::{Place, guarded};
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
        let mut client =
            v1::campaign_service_client::CampaignServiceClient::with_interceptor(channel, bearer);
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
    // That of somebody who was let in stays, however quiet it is.
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
    let mut client =
        v1::campaign_service_client::CampaignServiceClient::with_interceptor(channel, bearer);
    client.list_campaigns(v1::ListCampaignsRequest {}).await.unwrap();
    let mut other = TcpStream::connect(place.server.address()).await.unwrap();
    let mut heard = Vec::new();
    let read = tokio::time::timeout(PATIENCE, other.read_to_end(&mut heard)).await;
    assert!(!matches!(read.expect("it stays open"), Ok(bytes) if bytes > 0));
    logged(&["connection refused", "of its address"]).await;
}
