//! What the log says of tokens that cannot be read and names that cannot be claimed, and what never becomes a
//! line of it.

use cambrian_transport::token::TokenHash;

use super::*;
use crate::clock::ManualClock;
use crate::store::tokens::Tokens;

/// Tables that cannot be read, or only not be written.
struct Broken {
    readable: Arc<AtomicBool>,
}

impl Broken {
    fn error<T>() -> Result<T, TokenError> {
        Err(TokenError::Random("broken".into()))
    }
}

impl Tokens for Broken {
    fn insert(&self, _: &TokenRecord, _: &TokenHash) -> Result<bool, TokenError> {
        Self::error()
    }
    fn list(&self) -> Result<Vec<TokenRecord>, TokenError> {
        Self::error()
    }
    fn find(&self, _: TokenId) -> Result<Option<(TokenRecord, TokenHash)>, TokenError> {
        if self.readable.load(Ordering::Relaxed) { Ok(None) } else { Self::error() }
    }
    fn revoke(&self, _: TokenId, _: Timestamp) -> Result<Option<TokenRecord>, TokenError> {
        Self::error()
    }
    fn claim_worker(&self, _: &str, _: &str, _: u32, _: Timestamp) -> Result<Claim, TokenError> {
        Self::error()
    }
}

const METHOD: &str = "/cambrian.v1.CampaignService/ListCampaigns";

/// What is logged while a policy over broken tables decides.
fn logged_of(decide: impl FnOnce(&Policy, &AtomicBool, &ManualClock)) -> String {
    let log = tempfile::NamedTempFile::new().unwrap();
    let file = Arc::new(log.reopen().unwrap());
    let subscriber = tracing_subscriber::fmt().with_writer(file).finish();
    tracing::subscriber::with_default(subscriber, || {
        let (readable, clock) = (Arc::new(AtomicBool::new(false)), ManualClock::default());
        let register = Some(Register::on(Broken { readable: readable.clone() }));
        let bounds = crate::config::Config::default().bounds();
        let policy = Policy::new(register, Arc::new(clock.clone()), bounds);
        decide(&policy, &readable, &clock);
    });
    std::fs::read_to_string(log.path()).unwrap()
}

fn call(policy: &Policy) -> Code {
    let token = Token::generate().unwrap();
    policy.admit(METHOD, Shown::Token(token)).err().unwrap().code()
}

#[test]
fn tokens_that_cannot_be_read_are_one_line_of_the_log() {
    let text = logged_of(|policy, _, _| {
        for _ in 0..1000 {
            assert_eq!(call(policy), Code::Unavailable);
        }
    });
    assert_eq!(text.matches("cannot be read").count(), 1, "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");
}

#[test]
fn what_cannot_be_logged_now_is_logged_later() {
    let text = logged_of(|policy, readable, clock| {
        call(policy);
        while policy.logged.allows() {}
        readable.store(true, Ordering::Relaxed);
        assert_eq!(call(policy), Code::Unauthenticated);
        clock.advance(cambrian_core::time::Span::from_secs(1));
        call(policy);
        call(policy);
    });
    assert_eq!(text.matches("can be read again").count(), 1, "{text}");
    assert_eq!(text.lines().count(), 2, "{text}");
}

#[test]
fn a_claim_that_fails_says_nothing_of_reading() {
    let text = logged_of(|policy, readable, _| {
        readable.store(true, Ordering::Relaxed);
        let (id, name) = (Token::generate().unwrap().id(), "site".into());
        let caller = Caller::Holder(Arc::new(Holder { id, role: Role::Worker, name }));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        for _ in 0..3 {
            let refused = runtime.block_on(policy.claim_worker(&caller, "gpu-1", 10));
            let refused = refused.unwrap_err();
            assert_eq!(refused.code(), Code::Unavailable);
            assert!(refused.message().contains("name cannot be claimed"), "{refused}");
            call(policy);
        }
    });
    assert_eq!(text.matches("cannot be claimed").count(), 1, "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");
}

#[test]
fn nobody_writes_lines_of_a_log() {
    assert_eq!(legible("a\nb\u{1b}[31m"), "a\u{fffd}b\u{fffd}[31m");
    assert_eq!(legible(&"x".repeat(LONGEST_LINE)), "x".repeat(LONGEST_LINE));
    assert_eq!(legible(&"x".repeat(900)).chars().count(), LONGEST_LINE + 1);
}
