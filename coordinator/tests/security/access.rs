//! Tokens, roles, ownership, names of workers, rates.

use std::time::Duration;

use cambrian_coordinator::access::Role;
use cambrian_core::artifact::ArtifactId;
use cambrian_core::time::Span;
use cambrian_proto::v1;
use cambrian_proto::v1::artifact_service_client::ArtifactServiceClient;
use cambrian_proto::v1::coordinator_message::Message as Down;
use cambrian_proto::v1::token_service_client::TokenServiceClient;
use cambrian_proto::v1::worker_message::Message as Up;
use cambrian_transport::token::Token;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::MetadataValue;
use tonic::{Code, Request, Status, Streaming};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::place::{Place, guarded};
use crate::scripted::log::logged;
use crate::scripted::{campaign, measured, quick, reference};

const PATIENCE: Duration = Duration::from_secs(20);

async fn list(place: &Place, token: Option<&Token>) -> Result<(), Status> {
    let answer = place.client(token).await.list_campaigns(v1::ListCampaignsRequest {}).await;
    answer.map(drop)
}

fn code(answer: Result<(), Status>) -> Code {
    answer.map_or_else(|status| status.code(), |()| Code::Ok)
}

/// The next message of a worker's stream, or how it ended.
async fn hear(down: &mut Streaming<v1::CoordinatorMessage>) -> Result<Option<Down>, Status> {
    let heard = tokio::time::timeout(PATIENCE, down.message()).await.expect("silence");
    heard.map(|message| message.and_then(|message| message.message))
}

async fn say(up: &mpsc::Sender<v1::WorkerMessage>, message: Up) {
    up.send(v1::WorkerMessage { message: Some(message) }).await.unwrap();
}

#[tokio::test]
async fn who_shows_no_good_token_learns_nothing_and_changes_nothing() {
    let place = Place::new(&guarded()).await;
    let short = place.short_token(Role::Admin, "ada", Span::from_secs(60));
    let revoked = place.token(Role::Admin, "ada");
    assert_eq!(code(list(&place, Some(&short)).await), Code::Ok);
    assert_eq!(code(list(&place, Some(&revoked)).await), Code::Ok);
    let records = place.records();
    // The engine's time does not go on meanwhile.
    place.clock.set_forward(Span::from_secs(61));
    place.revoke(&revoked);

    let unknown = Token::generate().unwrap();
    let mut forged = revoked.reveal();
    let last = if forged.ends_with('0') { '1' } else { '0' };
    forged.pop();
    forged.push(last);
    let forged: Token = forged.parse().unwrap();
    let cases: [(Option<&Token>, &str); 5] = [
        (None, "wants a token"),
        (Some(&unknown), "knows no token"),
        (Some(&forged), "knows no token"),
        (Some(&short), "has expired"),
        (Some(&revoked), "has been revoked"),
    ];
    for (token, words) in cases {
        let status = list(&place, token).await.unwrap_err();
        assert_eq!(status.code(), Code::Unauthenticated, "{words}");
        assert!(status.message().contains(words), "{status}");
        let status = place.submit(token, campaign(4)).await.unwrap_err();
        assert_eq!(status.code(), Code::Unauthenticated, "{words}");
        let id = token.map_or("none".to_owned(), |token| token.id().to_string());
        logged(&["call refused", "SubmitCampaign", words, &id]).await;
        if let Some(token) = token {
            assert!(!status.message().contains(&token.reveal()[13..]));
        }
    }
    for value in ["", "Basic YTpi", "Bearer", "Bearer x", "bearer cmb_"] {
        let mut request = Request::new(v1::ListCampaignsRequest {});
        let value: MetadataValue<_> = value.parse().unwrap();
        request.metadata_mut().insert("authorization", value);
        let status = place.client(None).await.list_campaigns(request).await.unwrap_err();
        assert_eq!(status.code(), Code::Unauthenticated);
    }
    assert_eq!(place.records(), records);
}

#[tokio::test]
async fn each_role_may_do_its_part_only() {
    let place = Place::new(&guarded()).await;
    let worker = place.token(Role::Worker, "site");
    let view = place.token(Role::View, "vera");
    let submit = place.token(Role::Submit, "sam");
    let admin = place.token(Role::Admin, "ada");
    let records = place.records();
    for (token, expected) in [
        (&worker, Code::PermissionDenied),
        (&view, Code::Ok),
        (&submit, Code::Ok),
        (&admin, Code::Ok),
    ] {
        assert_eq!(code(list(&place, Some(token)).await), expected);
    }
    for token in [&worker, &view] {
        let status = place.submit(Some(token), campaign(4)).await.unwrap_err();
        assert_eq!(status.code(), Code::PermissionDenied);
        assert!(status.message().contains("submit or admin"), "{status}");
        logged(&["call refused", "SubmitCampaign", &token.id().to_string()]).await;
    }
    for token in [&view, &submit] {
        let refused = place.work(Some(token), "gpu", 1).await.err().unwrap();
        assert_eq!(refused.code(), Code::PermissionDenied);
    }
    for token in [&worker, &view, &submit] {
        let (channel, bearer) = place.wire(Some(token)).await;
        let mut tokens = TokenServiceClient::with_interceptor(channel, bearer);
        let request = v1::CreateTokenRequest {
            role: v1::TokenRole::Admin.into(),
            name: "eve".into(),
            valid_micros: 0,
        };
        assert_eq!(tokens.create_token(request).await.unwrap_err().code(), Code::PermissionDenied);
        let revoke = v1::RevokeTokenRequest { id: admin.id().to_string() };
        assert_eq!(tokens.revoke_token(revoke).await.unwrap_err().code(), Code::PermissionDenied);
    }
    assert_eq!(place.records(), records);
    assert_eq!(place.register().list().unwrap().len(), 4, "a token was made or lost");
    assert!(place.register().list().unwrap().iter().all(|token| token.revoked_at.is_none()));
    // A probe needs no token.
    let channel = place.wire(None).await.0;
    let mut health = HealthClient::new(channel);
    let check = HealthCheckRequest { service: String::new() };
    assert!(health.check(check).await.is_ok());
}

#[tokio::test]
async fn an_administrator_makes_lists_and_revokes_tokens_from_afar() {
    let place = Place::new(&guarded()).await;
    let admin = place.token(Role::Admin, "ada");
    let (channel, bearer) = place.wire(Some(&admin)).await;
    let mut tokens = TokenServiceClient::with_interceptor(channel, bearer);
    let request = |role: v1::TokenRole, name: &str| v1::CreateTokenRequest {
        role: role.into(),
        name: name.into(),
        valid_micros: 60_000_000,
    };
    let made = tokens.create_token(request(v1::TokenRole::View, "vera")).await.unwrap();
    let v1::CreateTokenResponse { record, token } = made.into_inner();
    let token: Token = token.parse().unwrap();
    assert_eq!(record.unwrap().id, token.id().to_string());
    assert_eq!(code(list(&place, Some(&token)).await), Code::Ok);
    for (role, name) in [(v1::TokenRole::Unspecified, "vera"), (v1::TokenRole::View, "a\nb")] {
        let status = tokens.create_token(request(role, name)).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
    }
    let revoke = |id: String| v1::RevokeTokenRequest { id };
    tokens.revoke_token(revoke(token.id().to_string())).await.unwrap();
    assert_eq!(code(list(&place, Some(&token)).await), Code::Unauthenticated);
    let status = tokens.revoke_token(revoke("00000000".into())).await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
    let status = tokens.revoke_token(revoke("../../x".into())).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    let listed = tokens.list_tokens(v1::ListTokensRequest {}).await.unwrap().into_inner().tokens;
    let listed: Vec<_> =
        listed.iter().map(|token| (token.name.as_str(), token.revoked_at_micros > 0)).collect();
    assert_eq!(listed.len(), 2);
    assert!(listed.contains(&("ada", false)) && listed.contains(&("vera", true)));
}

#[tokio::test]
async fn a_campaign_is_steered_by_its_owner_and_administrators() {
    let place = Place::new(&guarded()).await;
    let sam = place.token(Role::Submit, "sam");
    let number = place.submit(Some(&sam), campaign(4)).await.unwrap();
    // Ownership outlives the process, and a new token of the same name takes over.
    let place = place.restart(&guarded()).await;
    place.revoke(&sam);
    let sam = place.token(Role::Submit, "sam");
    let eve = place.token(Role::Submit, "eve");
    let admin = place.token(Role::Admin, "ada");
    let records = place.records();
    let campaign = || reference(&number.to_string());
    let mut client = place.client(Some(&eve)).await;
    let status = client
        .cancel_campaign(v1::CancelCampaignRequest { campaign: campaign() })
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
    assert!(status.message().contains("belongs to `sam`"), "{status}");
    logged(&["refused", "belongs to `sam`"]).await;
    let refused = client.pause_campaign(v1::PauseCampaignRequest { campaign: campaign() }).await;
    assert_eq!(refused.unwrap_err().code(), Code::PermissionDenied);
    assert_eq!(place.records(), records);
    let got = client.get_campaign(v1::GetCampaignRequest { campaign: campaign() }).await.unwrap();
    assert_eq!(got.into_inner().campaign.unwrap().owner, "sam", "everybody may look");

    let mut client = place.client(Some(&sam)).await;
    client.pause_campaign(v1::PauseCampaignRequest { campaign: campaign() }).await.unwrap();
    client.resume_campaign(v1::ResumeCampaignRequest { campaign: campaign() }).await.unwrap();
    let mut client = place.client(Some(&admin)).await;
    client.cancel_campaign(v1::CancelCampaignRequest { campaign: campaign() }).await.unwrap();
    let of = format!("campaign={number} ");
    for (what, who) in [("paused", "sam"), ("resumed", "sam"), ("cancelled", "ada")] {
        logged(&[&format!("campaign {what}"), &of, &format!("by=\"{who}\"")]).await;
    }
    logged(&["campaign finished", &of, "reason=cancelled"]).await;
}

#[tokio::test]
async fn a_name_means_nobody_elses_campaign_unasked() {
    let place = Place::new(&guarded()).await;
    let [sam, eve, vera] = [(Role::Submit, "sam"), (Role::Submit, "eve"), (Role::View, "vera")]
        .map(|(role, name)| place.token(role, name));
    place.submit(Some(&sam), campaign(4)).await.unwrap();
    let his = place.submit(Some(&sam), campaign(5)).await.unwrap();
    let get = async |token: &Token, name: &str| {
        let request = v1::GetCampaignRequest { campaign: reference(name) };
        let got = place.client(Some(token)).await.get_campaign(request).await;
        got.map(|got| got.into_inner().campaign.unwrap().id)
    };
    assert_eq!(get(&vera, "scripted").await.unwrap(), his, "the latest of its only owner");
    let hers = place.submit(Some(&eve), campaign(6)).await.unwrap();
    assert_eq!(get(&sam, "scripted").await.unwrap(), his);
    assert_eq!(get(&eve, "scripted").await.unwrap(), hers);
    let status = get(&vera, "scripted").await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert!(status.message().contains(&format!("{his} and {hers}")), "{status}");
    assert_eq!(get(&vera, &hers.to_string()).await.unwrap(), hers);
    assert_eq!(get(&vera, "absent").await.unwrap_err().code(), Code::NotFound);
    let cancel = v1::CancelCampaignRequest { campaign: reference("scripted") };
    let mut client = place.client(Some(&sam)).await;
    client.cancel_campaign(cancel.clone()).await.unwrap();
    let again = client.cancel_campaign(cancel).await.unwrap_err();
    assert!(again.message().contains(&his.to_string()), "{again}");
}

#[tokio::test]
async fn campaigns_from_before_tokens_belong_to_administrators() {
    let place = Place::new(&quick()).await;
    let number = place.submit(None, campaign(4)).await.unwrap();
    let place = place.restart(&guarded()).await;
    let pause = || v1::PauseCampaignRequest { campaign: reference(&number.to_string()) };
    let sam = place.token(Role::Submit, "sam");
    let status = place.client(Some(&sam)).await.pause_campaign(pause()).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
    assert!(status.message().contains("nobody"), "{status}");
    let admin = place.token(Role::Admin, "ada");
    place.client(Some(&admin)).await.pause_campaign(pause()).await.unwrap();
}

#[tokio::test]
async fn a_worker_speaks_for_itself_only() {
    let place = Place::new(&guarded()).await;
    let sam = place.token(Role::Submit, "sam");
    let north = place.token(Role::Worker, "north");
    let south = place.token(Role::Worker, "south");
    let number = place.submit(Some(&sam), campaign(1)).await.unwrap();
    let scored = async || {
        let request = v1::GetCampaignRequest { campaign: reference(&number.to_string()) };
        let mut client = place.client(Some(&sam)).await;
        client.get_campaign(request).await.unwrap().into_inner().campaign.unwrap().scored
    };

    let (up, mut down) = place.work(Some(&north), "gpu", 5).await.unwrap();
    assert!(matches!(hear(&mut down).await, Ok(Some(Down::Registered(_)))));
    say(&up, Up::Ready(v1::Ready { credit: 1 })).await;
    let Ok(Some(Down::Assign(v1::Assign { assignment: Some(assignment) }))) = hear(&mut down).await
    else {
        panic!("no assignment")
    };

    // Another token cannot take the name, connected or not, nor end the stream of its owner.
    let records = place.records();
    let (_up, mut refused) = place.work(Some(&south), "gpu", 9).await.unwrap();
    let status = hear(&mut refused).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
    assert!(status.message().contains("belongs to `north`"), "{status}");
    logged(&["stream ended", "WorkerService/Work", "belongs to `north`", &south.id().to_string()])
        .await;
    assert_eq!(place.records(), records);

    // Under its own name it cannot report what somebody else has.
    let (thief, mut thieves) = place.work(Some(&south), "other", 1).await.unwrap();
    assert!(matches!(hear(&mut thieves).await, Ok(Some(Down::Registered(_)))));
    let records = place.records();
    say(&thief, Up::Report(measured(&assignment, 99.0))).await;
    assert!(matches!(hear(&mut thieves).await, Ok(Some(Down::Acknowledged(_)))));
    assert_eq!((scored().await, place.records()), (0, records), "a stolen report counted");
    logged(&["report dropped", &format!("task {}", assignment.task)]).await;

    // The owner's counts once, however often it is said.
    for _ in 0..3 {
        say(&up, Up::Report(measured(&assignment, 50.0))).await;
        assert!(matches!(hear(&mut down).await, Ok(Some(Down::Acknowledged(_)))));
    }
    assert_eq!(scored().await, 1);
    let records = place.records();
    // A registration that is played again is older than the present one.
    let (_up, mut replayed) = place.work(Some(&north), "gpu", 5).await.unwrap();
    assert_eq!(hear(&mut replayed).await.unwrap_err().code(), Code::Aborted);
    logged(&["stream ended", "WorkerService/Work", "Aborted", &north.id().to_string()]).await;
    assert_eq!(place.records(), records);
}

/// How a stream ends, whatever it says before.
async fn end<T>(stream: &mut Streaming<T>) -> Status {
    loop {
        match tokio::time::timeout(PATIENCE, stream.message()).await.expect("it goes on") {
            Ok(Some(_)) => {}
            Ok(None) => panic!("the stream ended without a reason"),
            Err(status) => return status,
        }
    }
}

#[tokio::test]
async fn revocation_ends_what_is_open() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = guarded();
    config.artifacts.directory = Some(folder.path().to_owned());
    let place = Place::new(&config).await;
    let sam = place.token(Role::Submit, "sam");
    let north = place.token(Role::Worker, "north");
    let number = place.submit(Some(&sam), campaign(4)).await.unwrap();
    let (_up, mut down) = place.work(Some(&north), "gpu", 1).await.unwrap();
    assert!(matches!(hear(&mut down).await, Ok(Some(Down::Registered(_)))));
    let watch = v1::WatchCampaignRequest { campaign: reference(&number.to_string()) };
    let mut updates =
        place.client(Some(&sam)).await.watch_campaign(watch).await.unwrap().into_inner();
    assert!(updates.message().await.unwrap().is_some());
    let (channel, bearer) = place.wire(Some(&sam)).await;
    let mut health = HealthClient::with_interceptor(channel, bearer);
    let check = HealthCheckRequest { service: String::new() };
    let mut health = health.watch(check).await.unwrap().into_inner();
    assert!(health.message().await.unwrap().is_some());
    // One artifact on its way out, of more than what is on its way at a time, and one on its way in.
    let content = vec![7; 24 << 20];
    let id = ArtifactId::of(&content).to_string();
    std::fs::write(folder.path().join(&id), content).unwrap();
    let (channel, bearer) = place.wire(Some(&north)).await;
    let artifacts = ArtifactServiceClient::with_interceptor(channel, bearer);
    let mut artifacts = artifacts.max_decoding_message_size(2 << 20);
    let get = v1::GetArtifactRequest { id: id.clone() };
    let mut chunks = artifacts.get_artifact(get).await.unwrap().into_inner();
    assert!(chunks.message().await.unwrap().is_some());
    let (parts, sent) = mpsc::channel(4);
    let header = v1::ArtifactHeader { id: ArtifactId::of(b"other").to_string(), size_bytes: 5 };
    let part = Some(v1::put_artifact_request::Part::Header(header));
    parts.send(v1::PutArtifactRequest { part }).await.unwrap();
    let mut other = artifacts.clone();
    let put = tokio::spawn(async move { artifacts.put_artifact(ReceiverStream::new(sent)).await });
    while parts.capacity() < parts.max_capacity() {
        tokio::task::yield_now().await;
    }
    // What comes later on the same connection has found it let in.
    let absent = v1::GetArtifactRequest { id: ArtifactId::of(b"absent").to_string() };
    assert_eq!(other.get_artifact(absent).await.unwrap_err().code(), Code::NotFound);

    place.revoke(&north);
    place.revoke(&sam);
    assert_eq!(end(&mut down).await.code(), Code::Unauthenticated);
    assert_eq!(end(&mut updates).await.code(), Code::Unauthenticated);
    assert_eq!(end(&mut health).await.code(), Code::Unauthenticated);
    let status = tokio::time::timeout(PATIENCE, put).await.expect("it goes on").unwrap();
    assert_eq!(status.unwrap_err().code(), Code::Unauthenticated);
    drop(parts);
    assert_eq!(end(&mut chunks).await.code(), Code::Unauthenticated);
    for (token, method) in [
        (&north, "WorkerService/Work"),
        (&north, "PutArtifact"),
        (&north, "GetArtifact"),
        (&sam, "WatchCampaign"),
        (&sam, "Health/Watch"),
    ] {
        logged(&["stream ended", "revoked", method, &token.id().to_string()]).await;
    }
}

#[tokio::test]
async fn a_token_that_calls_too_often_has_to_wait_and_others_have_not() {
    let mut config = guarded();
    config.limits.calls_at_once = 3;
    config.limits.calls_per_second = 1.0;
    let place = Place::new(&config).await;
    let (fast, calm) = (place.token(Role::View, "fast"), place.token(Role::View, "calm"));
    for _ in 0..3 {
        assert_eq!(code(list(&place, Some(&fast)).await), Code::Ok);
    }
    assert_eq!(code(list(&place, Some(&fast)).await), Code::ResourceExhausted);
    logged(&["call refused", "too many calls", &fast.id().to_string()]).await;
    assert_eq!(code(list(&place, Some(&calm)).await), Code::Ok);
    place.clock.advance(Span::from_secs(1));
    assert_eq!(code(list(&place, Some(&fast)).await), Code::Ok);
    assert_eq!(code(list(&place, Some(&fast)).await), Code::ResourceExhausted);
}

#[tokio::test]
async fn workers_put_artifacts_and_viewers_only_get_them() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = guarded();
    config.artifacts.directory = Some(folder.path().to_owned());
    let place = Place::new(&config).await;
    let id = ArtifactId::of(b"").to_string();
    let put = async |token: Option<&Token>| {
        let header = v1::ArtifactHeader { id: id.clone(), size_bytes: 0 };
        let part = Some(v1::put_artifact_request::Part::Header(header));
        let (channel, bearer) = place.wire(token).await;
        let mut client = ArtifactServiceClient::with_interceptor(channel, bearer);
        let parts = tokio_stream::iter([v1::PutArtifactRequest { part }]);
        code(client.put_artifact(parts).await.map(drop))
    };
    let get = async |token: Option<&Token>| {
        let (channel, bearer) = place.wire(token).await;
        let mut client = ArtifactServiceClient::with_interceptor(channel, bearer);
        code(client.get_artifact(v1::GetArtifactRequest { id: id.clone() }).await.map(drop))
    };
    assert_eq!(put(None).await, Code::Unauthenticated);
    assert_eq!(get(None).await, Code::Unauthenticated);
    let tokens = [Role::Worker, Role::Admin, Role::Submit, Role::View];
    let tokens = tokens.map(|role| place.token(role, "ada"));
    for (token, code) in
        tokens.iter().zip([Code::Ok, Code::Ok, Code::PermissionDenied, Code::PermissionDenied])
    {
        assert_eq!(put(Some(token)).await, code);
        assert_eq!(get(Some(token)).await, Code::Ok);
    }
}
