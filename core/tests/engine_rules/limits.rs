//! What nobody may use up for others: campaigns without end, and the numbers of sessions.

use super::*;

#[test]
fn an_owner_has_a_thousand_unfinished_campaigns_at_most() {
    let mut cluster = Cluster::new();
    let spec = support::campaign(&yaml("", 1));
    let submit = |cluster: &mut Cluster, number: u128, owner: &str| {
        let (submission, spec) = (SubmissionId(number), spec.clone());
        let (source, owner) = ("".into(), Some(owner.into()));
        // The whole state is checked once, at the end.
        let command = Command::SubmitCampaign { submission, spec, source, owner };
        cluster.engine.step(command, cluster.now).map(|_| ())
    };
    for number in 1..=1_000 {
        assert_eq!(submit(&mut cluster, number, "ada"), Ok(()));
    }
    let refused = Rejected::TooManyCampaigns { open: 1_000 };
    assert_eq!(submit(&mut cluster, 1_001, "ada"), Err(refused));
    assert_eq!(submit(&mut cluster, 1_000, "ada"), Ok(()), "one that is there already is answered");
    assert_eq!(submit(&mut cluster, 1_002, "bob"), Ok(()));
    cluster.expect(Command::CancelCampaign(FIRST));
    assert_eq!(submit(&mut cluster, 1_003, "ada"), Ok(()));
}

#[test]
fn a_session_from_the_far_future_does_not_use_up_a_name() {
    let mut cluster = Cluster::new();
    let register = |cluster: &mut Cluster, session: u64| {
        let name: Arc<str> = "a".into();
        let (session, holding) = (SessionId(session), vec![]);
        let capabilities = usual_capabilities();
        let command = Command::RegisterWorker { name, session, capabilities, holding };
        cluster.try_step(command).map(|_| ())
    };
    let day = Span::from_secs(86_400).0;
    let refused = Err(Rejected::SessionAhead { name: "a".into() });
    assert_eq!(register(&mut cluster, u64::MAX), refused);
    assert_eq!(register(&mut cluster, 31 * day), refused);
    assert_eq!(register(&mut cluster, 2 * day), Ok(()), "clocks differ");
    assert_eq!(register(&mut cluster, 31 * day), refused);
    assert_eq!(register(&mut cluster, 2 * day + 1), Ok(()));
}
