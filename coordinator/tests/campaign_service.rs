//! The users' service over real gRPC: answers, errors, watching, restarts, reflection and health.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod scripted;

use std::collections::BTreeSet;
use std::time::Duration;

use cambrian_coordinator::embedded;
use cambrian_coordinator::replay::replay;
use cambrian_coordinator::server::{ServeError, Server};
use cambrian_coordinator::store::sqlite::SqliteStore;
use cambrian_coordinator::verify::verify;
use cambrian_core::spec::CampaignSpec;
use cambrian_proto::v1;
use scripted::*;
use tonic::{Code, Streaming};

/// Longer than anything takes, also on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

fn get(text: &str) -> v1::GetCampaignRequest {
    v1::GetCampaignRequest { campaign: reference(text) }
}

async fn next(
    stream: &mut Streaming<v1::WatchCampaignResponse>,
) -> Option<v1::WatchCampaignResponse> {
    let next = tokio::time::timeout(Duration::from_secs(10), stream.message()).await;
    next.expect("no update").unwrap()
}

/// The last update of a watch, however many come before.
async fn until_end(mut updates: Streaming<v1::WatchCampaignResponse>) -> v1::WatchCampaignResponse {
    let all = async {
        let mut last = None;
        while let Some(update) = next(&mut updates).await {
            last = Some(update);
        }
        last.unwrap()
    };
    tokio::time::timeout(PATIENCE, all).await.expect("the campaign does not end")
}

#[tokio::test]
async fn faults_are_answers_and_create_nothing() {
    let server = serve_memory().await;
    let mut client = client(&server).await;
    let yaml = "name: x\nbudjet: {}\n".to_owned();
    let validate = v1::ValidateCampaignRequest { yaml: yaml.clone() };
    let answer = client.validate_campaign(validate).await.unwrap().into_inner();
    assert!(answer.faults.len() > 1 && answer.resolved_yaml.is_empty());
    assert!(answer.faults.iter().any(|fault| fault.path == "budjet" && fault.line == 2));
    let submit = v1::SubmitCampaignRequest { yaml, submission: vec![1; 16] };
    let answer = client.submit_campaign(submit).await.unwrap().into_inner();
    assert!(answer.campaign == 0 && !answer.faults.is_empty());
    let list = client.list_campaigns(v1::ListCampaignsRequest {}).await.unwrap().into_inner();
    assert!(list.campaigns.is_empty());

    let validate = v1::ValidateCampaignRequest { yaml: campaign(4) };
    let answer = client.validate_campaign(validate).await.unwrap().into_inner();
    assert!(answer.faults.is_empty() && answer.resolved_yaml.contains("seed: 3"));
    stop(server).await;
}

#[tokio::test]
async fn a_repeated_submission_is_the_same_campaign() {
    let server = serve_memory().await;
    assert_eq!(submit(&server, campaign(4)).await, 1);
    assert_eq!(submit(&server, campaign(4)).await, 1);
    assert_eq!(submit(&server, campaign(5)).await, 2);
    let by_name = client(&server).await.get_campaign(get("scripted")).await.unwrap().into_inner();
    assert_eq!(by_name.campaign.unwrap().id, 2, "the latest of that name");
    assert_eq!(by_name.source_yaml, campaign(5));
    stop(server).await;
}

#[tokio::test]
async fn errors_have_their_codes() {
    let server = serve_memory().await;
    let mut client = client(&server).await;
    let code = |result: Result<(), tonic::Status>| result.unwrap_err().code();
    assert_eq!(code(client.get_campaign(get("9")).await.map(drop)), Code::NotFound);
    assert_eq!(code(client.get_campaign(get("")).await.map(drop)), Code::InvalidArgument);
    let nameless = v1::GetFrontRequest { campaign: None };
    assert_eq!(code(client.get_front(nameless).await.map(drop)), Code::InvalidArgument);
    let short = v1::SubmitCampaignRequest { yaml: campaign(4), submission: vec![1; 3] };
    assert_eq!(code(client.submit_campaign(short).await.map(drop)), Code::InvalidArgument);
    submit(&server, campaign(4)).await;
    let resume = v1::ResumeCampaignRequest { campaign: reference("1") };
    let status = client.resume_campaign(resume).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert_eq!(status.message(), "campaign 1 is running, so it cannot be resumed");
    let huge = v1::ListCandidatesRequest {
        campaign: reference("1"),
        page_size: 1001,
        ..Default::default()
    };
    assert_eq!(code(client.list_candidates(huge).await.map(drop)), Code::InvalidArgument);
    let nothing = v1::ExplainRequest { subject: None };
    assert_eq!(code(client.explain(nothing).await.map(drop)), Code::InvalidArgument);
    let task = v1::ExplainRequest { subject: Some(v1::explain_request::Subject::Task(77)) };
    assert_eq!(code(client.explain(task).await.map(drop)), Code::NotFound);
    let worker = v1::explain_request::Subject::Worker("nobody".into());
    let worker = v1::ExplainRequest { subject: Some(worker) };
    assert_eq!(code(client.explain(worker).await.map(drop)), Code::NotFound);
    stop(server).await;
}

#[tokio::test]
async fn a_report_reaches_a_watcher_within_a_second() {
    let server = serve_memory().await;
    submit(&server, campaign(3)).await;
    let mut worker = Worker::registered(&server, "gpu", 1).await;
    let watch = v1::WatchCampaignRequest { campaign: reference("1") };
    let mut updates = client(&server).await.watch_campaign(watch).await.unwrap().into_inner();
    let first = next(&mut updates).await.unwrap();
    assert_eq!(first.campaign.as_ref().unwrap().evaluations_budget, 3);
    assert!(first.front.is_some(), "the first update shows the front");
    worker.ready(1).await;
    let assignment = worker.assignment().await;
    worker.say(scripted_progress(&assignment)).await;
    worker.say(report(&assignment, 66.0)).await;
    let shown = async {
        loop {
            let update = next(&mut updates).await.unwrap();
            if let Some(front) = update.front {
                return front;
            }
        }
    };
    let front = tokio::time::timeout(Duration::from_secs(1), shown).await.expect("too late");
    let [member] = &front.members[..] else { panic!("one member") };
    assert_eq!(member.id.unwrap().ordinal, 1);
    let accuracy = member.measurements.iter().find(|found| found.metric == "accuracy").unwrap();
    assert_eq!(
        (accuracy.value, accuracy.provenance.as_ref().unwrap().source.as_str()),
        (66.0, "synthetic")
    );
    stop(server).await;
}

fn report(assignment: &v1::Assignment, accuracy: f64) -> v1::worker_message::Message {
    v1::worker_message::Message::Report(measured(assignment, accuracy))
}

fn scripted_progress(assignment: &v1::Assignment) -> v1::worker_message::Message {
    v1::worker_message::Message::Progress(v1::Progress {
        task: assignment.task,
        attempt: assignment.attempt,
        step: 1,
        steps: 2,
        metrics: [("accuracy".to_owned(), 12.5)].into(),
    })
}

#[tokio::test]
async fn progress_is_shown_while_it_runs() {
    let server = serve_memory().await;
    submit(&server, campaign(3)).await;
    let mut worker = Worker::registered(&server, "gpu", 1).await;
    worker.ready(1).await;
    let assignment = worker.assignment().await;
    worker.say(scripted_progress(&assignment)).await;
    let watch = v1::WatchCampaignRequest { campaign: reference("1") };
    let mut updates = client(&server).await.watch_campaign(watch).await.unwrap().into_inner();
    let shown = async {
        loop {
            let update = next(&mut updates).await.unwrap();
            let [running] = &update.in_work[..] else { continue };
            assert_eq!((running.worker.as_str(), running.stage.as_str()), ("gpu", "try"));
            if running.step == 1 {
                return (update.workers_connected, running.clone());
            }
        }
    };
    let (workers, running) = tokio::time::timeout(PATIENCE, shown).await.expect("no progress");
    assert_eq!((running.steps, running.metrics["accuracy"], workers), (2, 12.5, 1));
    stop(server).await;
}

#[tokio::test]
async fn a_watch_ends_with_the_campaign_and_a_shutdown_ends_the_rest() {
    let server = serve_memory().await;
    submit(&server, campaign(12)).await;
    submit(&server, campaign(500)).await;
    let mut client = client(&server).await;
    client.pause_campaign(v1::PauseCampaignRequest { campaign: reference("2") }).await.unwrap();
    let watch = |id| v1::WatchCampaignRequest { campaign: reference(id) };
    let ending = client.watch_campaign(watch("1")).await.unwrap().into_inner();
    let mut waiting = client.watch_campaign(watch("2")).await.unwrap().into_inner();
    let worker = Worker::registered(&server, "gpu", 1).await;
    let working = tokio::spawn(worker.evaluate_all());
    let last = until_end(ending).await.campaign.unwrap();
    assert_eq!((last.status(), last.scored), (v1::CampaignStatus::Finished, 12));
    assert_eq!(last.reason, "budget spent");
    assert!(last.hypervolume > 0.0 && last.reference_point.len() == 2, "{last:?}");
    server.stop();
    let status = loop {
        let heard = tokio::time::timeout(PATIENCE, waiting.message()).await;
        match heard.expect("the watch goes on") {
            Ok(Some(_)) => {}
            Ok(None) => panic!("ended without a status"),
            Err(status) => break status,
        }
    };
    assert_eq!(status.code(), Code::Unavailable);
    server.join().await.unwrap();
    working.await.unwrap();
}

#[tokio::test]
async fn candidates_come_in_pages_and_by_status() {
    let server = serve_memory().await;
    submit(&server, campaign(12)).await;
    let worker = Worker::registered(&server, "gpu", 1).await;
    let watch = v1::WatchCampaignRequest { campaign: reference("1") };
    let mut client = client(&server).await;
    let updates = client.watch_campaign(watch).await.unwrap().into_inner();
    let working = tokio::spawn(worker.evaluate_all());
    until_end(updates).await;
    let (mut after, mut ordinals) = (0, Vec::new());
    loop {
        let request = v1::ListCandidatesRequest {
            campaign: reference("1"),
            after,
            page_size: 5,
            statuses: vec![v1::CandidateStatus::Scored.into()],
        };
        let page = client.list_candidates(request).await.unwrap().into_inner();
        assert!(page.candidates.len() <= 5);
        ordinals.extend(page.candidates.iter().map(|candidate| candidate.id.unwrap().ordinal));
        after = page.next_after;
        if after == 0 {
            break;
        }
    }
    assert_eq!(ordinals, (1..=12).collect::<Vec<_>>());
    let failed = v1::ListCandidatesRequest {
        campaign: reference("1"),
        statuses: vec![v1::CandidateStatus::Failed.into()],
        ..Default::default()
    };
    let page = client.list_candidates(failed).await.unwrap().into_inner();
    assert!(page.candidates.is_empty() && page.metrics[0].name == "accuracy");
    let workers = client.list_workers(v1::ListWorkersRequest {}).await.unwrap().into_inner();
    assert_eq!(workers.workers[0].completed, 12);
    let subject =
        v1::explain_request::Subject::Candidate(v1::CandidateId { campaign: 1, ordinal: 3 });
    let explained = client.explain(v1::ExplainRequest { subject: Some(subject) }).await.unwrap();
    assert!(explained.into_inner().headline.contains("1/3"));
    stop(server).await;
    working.await.unwrap();
}

/// A campaign in the same space that begins with candidates of an earlier one.
fn beginning_with(start: &str) -> String {
    let text = campaign(12).replace("name: scripted", "name: second\ncache: on");
    format!("{text}start: [{{{start}}}]\n")
}

/// The architectures that a campaign begins with, as they are stored.
async fn begun_with(server: &Server, number: u32) -> Vec<String> {
    let found = client(server).await.get_campaign(get(&number.to_string())).await;
    let spec = CampaignSpec::parse(&found.unwrap().into_inner().resolved_yaml).unwrap();
    spec.start.iter().map(|(genotype, _)| spec.space.format(genotype)).collect()
}

async fn refusal(server: &Server, yaml: String) -> v1::Fault {
    let request = v1::SubmitCampaignRequest { yaml, submission: vec![7; 16] };
    let answer = client(server).await.submit_campaign(request).await.unwrap().into_inner();
    assert_eq!(answer.campaign, 0);
    let [fault] = &answer.faults[..] else { panic!("one fault: {:?}", answer.faults) };
    fault.clone()
}

async fn finished(server: &Server, number: u32) {
    let watch = v1::WatchCampaignRequest { campaign: reference(&number.to_string()) };
    until_end(client(server).await.watch_campaign(watch).await.unwrap().into_inner()).await;
}

#[tokio::test]
async fn a_campaign_begins_with_the_best_of_an_earlier_one() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cambrian.db");
    let server = serve_file(&path).await;
    submit(&server, campaign(12)).await;
    let working = tokio::spawn(Worker::registered(&server, "gpu", 1).await.evaluate_all());
    finished(&server, 1).await;
    let front = v1::GetFrontRequest { campaign: reference("1") };
    let front = client(&server).await.get_front(front).await.unwrap().into_inner().front;
    let front: BTreeSet<_> =
        front.unwrap().members.into_iter().map(|member| member.genotype).collect();

    let three = beginning_with("from_campaign: scripted, at_most: 3");
    assert_eq!(submit(&server, three.clone()).await, 2);
    let begun = begun_with(&server, 2).await;
    assert_eq!(begun.len(), 3);
    let of_front = begun.iter().filter(|genotype| front.contains(*genotype)).count();
    assert_eq!(of_front, front.len().min(3), "{begun:?} of {front:?}");
    submit(&server, beginning_with("from_campaign: 1, front_only: true")).await;
    assert_eq!(begun_with(&server, 3).await.into_iter().collect::<BTreeSet<_>>(), front);
    submit(&server, beginning_with("from_campaign: 1")).await;
    let all = begun_with(&server, 4).await;
    assert_eq!((all.len(), &all[..3]), (12, &begun[..]));
    finished(&server, 4).await;

    // Another campaign of that name: neither is meant for sure, but a repeated submission is the same.
    submit(&server, campaign(9)).await;
    assert_eq!(submit(&server, three.clone()).await, 2);
    finished(&server, 5).await;
    stop(server).await;
    working.await.unwrap();
    let store = SqliteStore::open_read_only(&path).unwrap();
    let report = verify(&store).unwrap();
    assert!(report.is_sound(), "{:?}", report.problems);
    assert_eq!(replay(&store).unwrap().mismatch, None);
}

#[tokio::test]
async fn earlier_campaigns_that_cannot_be_meant_are_faults_with_a_place() {
    let server = serve_memory().await;
    submit(&server, campaign(4)).await;
    let other = "version: 1\nname: numbers\nobjectives: [accuracy]\nalgorithm: random\n\
                 space: {kind: declared, genes: {x: {int: [1, 9]}}}\n\
                 stages: [{evaluator: tabular, measures: [accuracy],
                   settings: {table: t.csv, columns: {accuracy: a}}}]\n\
                 budget: {evaluations: 4}\n";
    submit(&server, other.to_owned()).await;
    let refused = async |start: &str| refusal(&server, beginning_with(start)).await;
    let unknown = refused("from_campaign: nobody").await;
    assert_eq!((unknown.path.as_str(), unknown.column), ("start[0]", 9));
    let line = beginning_with("").lines().count() as u32;
    assert_eq!((unknown.line, unknown.message.as_str()), (line, "there is no campaign `nobody`"));
    let space = refused("from_campaign: numbers").await.message;
    assert_eq!(
        space,
        "campaign 2 (numbers) searches the space declared, this one the space nasbench201"
    );
    let early = refused("from_campaign: 1").await.message;
    assert_eq!(early, "campaign 1 (scripted) has no scored candidate");
    submit(&server, campaign(5)).await;
    let ambiguous = refused("from_campaign: scripted").await;
    assert_eq!(ambiguous.message, "the campaigns 1, 3 are called `scripted`");
    assert_eq!(ambiguous.help, "name one of them by its number");
    let validate = v1::ValidateCampaignRequest { yaml: beginning_with("from_campaign: scripted") };
    let answer = client(&server).await.validate_campaign(validate).await.unwrap().into_inner();
    assert_eq!(answer.faults, [ambiguous]);
    stop(server).await;
}

#[tokio::test]
async fn a_campaign_goes_on_after_a_restart_and_its_journal_proves_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cambrian.db");
    let server = serve_file(&path).await;
    submit(&server, campaign(30)).await;
    let mut worker = Worker::registered(&server, "gpu", 1).await;
    let mut done = 0;
    worker.ready(2).await;
    let unreported = loop {
        let assignment = worker.assignment().await;
        if done == 10 {
            break assignment;
        }
        worker.say(report(&assignment, 50.0 + f64::from(done))).await;
        worker.acknowledged().await;
        worker.ready(1).await;
        done += 1;
    };
    let before = server.handle().query(|state| state.digest()).await.unwrap();
    stop(server).await;

    let server = serve_file(&path).await;
    assert_eq!(server.handle().query(|state| state.digest()).await.unwrap(), before);
    let mut worker = Worker::holding(&server, "gpu", 2, vec![held(&unreported)]).await;
    worker.say(report(&unreported, 99.0)).await;
    assert_eq!(worker.acknowledged().await, (unreported.task, unreported.attempt));
    let watch = v1::WatchCampaignRequest { campaign: reference("1") };
    let updates = client(&server).await.watch_campaign(watch).await.unwrap().into_inner();
    let working = tokio::spawn(worker.evaluate_all());
    until_end(updates).await;
    let live = verify(&SqliteStore::open_read_only(&path).unwrap()).unwrap();
    assert!(live.is_sound(), "while it runs: {:?}", live.problems);
    let digest = server.handle().query(|state| state.digest()).await.unwrap();
    stop(server).await;
    working.await.unwrap();

    let store = SqliteStore::open_read_only(&path).unwrap();
    let report = verify(&store).unwrap();
    assert!(report.is_sound(), "{:?}", report.problems);
    assert_eq!((report.completed, report.campaigns[0].scored), (30, 30));
    let replayed = replay(&store).unwrap();
    assert_eq!((replayed.mismatch, replayed.digest), (None, digest));
}

#[tokio::test]
async fn an_embedded_coordinator_takes_its_store_for_itself() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cambrian.db");
    let first = embedded::start(&path, &quick()).await.unwrap();
    assert!(first.address().ip().is_loopback() && first.address().port() != 0);
    let second = embedded::start(&path, &quick()).await.unwrap_err();
    assert!(matches!(second, ServeError::Store(_)), "{second}");
    assert!(second.to_string().contains("another coordinator"), "{second}");
    stop(first).await;
    stop(embedded::start(&path, &quick()).await.unwrap()).await;
}

#[tokio::test]
async fn an_exposed_listener_is_refused() {
    let listener = cambrian_coordinator::server::bind(([0, 0, 0, 0], 0).into()).await.unwrap();
    let store = Box::new(cambrian_coordinator::store::memory::MemoryStore::default());
    let clock = std::sync::Arc::new(cambrian_coordinator::clock::SystemClock::new());
    let error = Server::start(&quick(), store, clock, listener).await;
    assert!(error.unwrap_err().to_string().contains("--insecure"));
}

#[tokio::test]
async fn health_and_reflection_answer() {
    use tonic_health::pb::HealthCheckRequest;
    use tonic_health::pb::health_check_response::ServingStatus;
    use tonic_health::pb::health_client::HealthClient;
    use tonic_reflection::pb::v1::ServerReflectionRequest;
    use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
    use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
    use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

    let server = serve_memory().await;
    for service in ["", "cambrian.v1.CampaignService", "cambrian.v1.WorkerService"] {
        let request = HealthCheckRequest { service: service.into() };
        let answer = HealthClient::new(channel(&server).await).check(request).await.unwrap();
        assert_eq!(answer.into_inner().status(), ServingStatus::Serving, "{service}");
    }
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut client = ServerReflectionClient::new(channel(&server).await);
    let mut answers =
        client.server_reflection_info(tokio_stream::iter([request])).await.unwrap().into_inner();
    let answer = answers.message().await.unwrap().unwrap().message_response.unwrap();
    let MessageResponse::ListServicesResponse(list) = answer else { panic!("no list") };
    let names: Vec<_> = list.service.iter().map(|service| service.name.as_str()).collect();
    assert!(names.contains(&"cambrian.v1.CampaignService"), "{names:?}");
    stop(server).await;
}
