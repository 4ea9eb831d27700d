//! Texts and messages that are meant to harm.

use cambrian_coordinator::access::Role;
use cambrian_proto::v1;
use cambrian_proto::v1::worker_message::Message as Up;
use tonic::Code;

use crate::place::{Place, guarded};
use crate::scripted::log::logged;
use crate::scripted::{Worker, campaign, quick, reference, register};

#[tokio::test]
async fn hostile_campaigns_are_answered_with_faults() {
    let place = Place::new(&quick()).await;
    let records = place.records();
    let mut bomb = "a: &a [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for (at, name) in ('b'..='z').enumerate() {
        let before = char::from(b'a' + at as u8);
        let aliases = vec![format!("*{before}"); 10].join(", ");
        bomb += &format!("{name}: &{name} [{aliases}]\n");
    }
    let deep = format!("space: {}1{}\n", "{a: ".repeat(5_000), "}".repeat(5_000));
    let digits = "9".repeat(100_000);
    let good = campaign(4);
    let texts = [
        bomb,
        deep,
        "[".repeat(500_000),
        good.replace("seed: 3", &format!("seed: {digits}")),
        good.replace("evaluations: 4", "evaluations: 1e300"),
        good.replace("evaluations: 4", "evaluations: -1"),
        good.replace("channels: 4", "channels: 4294967296"),
        good.replace("timeout: 1m", &format!("timeout: {digits}d")),
        good.replace("name: scripted", "name: ../../etc/passwd"),
        good.replace("name: scripted", "name: /etc/passwd"),
        good.replace("name: scripted", "name: \"a\\0b\""),
        "\u{0}\u{1}\u{2}".to_owned(),
    ];
    let mut client = place.client(None).await;
    for yaml in texts {
        let shown: String = yaml.chars().take(60).collect();
        let request = v1::SubmitCampaignRequest { yaml, submission: vec![1; 16] };
        let answer = client.submit_campaign(request).await.unwrap().into_inner();
        assert!(answer.campaign == 0 && !answer.faults.is_empty(), "accepted: {shown}");
        let longest = answer.faults.iter().map(|fault| fault.message.len()).max();
        assert!(longest < Some(2_000), "a fault repeats what it was sent: {shown}");
    }
    logged(&["campaign refused", "SubmitCampaign", "passwd"]).await;
    assert_eq!(place.records(), records);
}

#[tokio::test]
async fn messages_beyond_the_limit_are_refused() {
    let mut config = guarded();
    config.limits.message_mib = 1;
    let place = Place::new(&config).await;
    let admin = place.token(Role::Admin, "ada");
    let records = place.records();
    let yaml = format!("{}# {}\n", campaign(4), "x".repeat(2 << 20));
    let status = place.submit(Some(&admin), yaml).await.unwrap_err();
    assert_eq!(status.code(), Code::OutOfRange, "{status}");
    logged(&["call refused", "SubmitCampaign", "OutOfRange", &admin.id().to_string()]).await;
    // What carries no text is short.
    let request = v1::GetCampaignRequest { campaign: reference(&"x".repeat(100_000)) };
    let status = place.client(Some(&admin)).await.get_campaign(request).await.unwrap_err();
    assert_eq!(status.code(), Code::OutOfRange, "{status}");
    assert_eq!(place.records(), records);
}

#[tokio::test]
async fn names_of_workers_are_names() {
    let place = Place::new(&quick()).await;
    let records = place.records();
    for bad in ["", "a\nb", "\u{0}", &"x".repeat(300)] {
        let worker = Worker::connect(&place.server).await;
        worker.say(Up::Register(register(bad, 1, vec![]))).await;
        assert_eq!(worker.end().await.unwrap_err().code(), Code::InvalidArgument);
    }
    for words in ["register.name: is empty", "register.name: contains", "register.name: has 300"] {
        logged(&["stream ended", "WorkerService/Work", "InvalidArgument", words]).await;
    }
    let worker = Worker::connect(&place.server).await;
    worker.say_nothing_at_all().await;
    assert_eq!(worker.end().await.unwrap_err().code(), Code::InvalidArgument);
    logged(&["stream ended", "WorkerService/Work", "must be the first message"]).await;
    assert_eq!(place.records(), records);
}

/// A worker gets what its slots can work on and some more, not a whole campaign.
#[tokio::test]
async fn whoever_asks_for_everything_gets_a_share() {
    let place = Place::new(&quick()).await;
    let mut client = place.client(None).await;
    let request = v1::SubmitCampaignRequest { yaml: campaign(500), submission: vec![1; 16] };
    let answer = client.submit_campaign(request).await.unwrap().into_inner();
    assert_eq!(answer.faults, []);
    let mut worker = Worker::registered(&place.server, "greedy", 1).await;
    worker.ready(u32::MAX).await;
    worker.ready(u32::MAX).await;
    worker.assignment().await;
    let held = place
        .server
        .handle()
        .query(|state| state.workers().map(|worker| worker.leases().len()).sum());
    let held: usize = held.await.unwrap();
    assert_eq!(held, 64, "of 500, with four slots");
}
