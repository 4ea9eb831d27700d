//! What a token has open: streams of workers, artifacts on their way, watches, questions. Each kind has its bound,
//! so that one token that got into wrong hands does not use up what all share.
//!
//! Must not know roles: who may call at all is decided before.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cambrian_transport::token::TokenId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tonic::Status;

use super::methods::Kind;

/// How long an artifact or a question waits for its turn.
const TURN: Duration = Duration::from_secs(30);
/// So many times as many of them wait as are open.
const WAITING: usize = 16;

/// How much a token may have open at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OpenLimits {
    /// Streams of workers.
    pub(crate) workers: u32,
    /// Artifacts on their way in, and as many out.
    pub(crate) transfers: u32,
    /// Streams that tell what changes.
    pub(crate) watches: u32,
    /// Questions that are not answered yet.
    pub(crate) questions: u32,
}

/// What every token has open. Only known tokens have an entry.
#[derive(Debug)]
pub(super) struct Open {
    limits: OpenLimits,
    turn: Duration,
    tokens: Mutex<BTreeMap<TokenId, Arc<Slots>>>,
}

/// What is left for one token.
#[derive(Debug)]
struct Slots {
    workers: Arc<Semaphore>,
    uploads: Queue,
    downloads: Queue,
    watches: Arc<Semaphore>,
    questions: Queue,
}

/// Slots that are waited for, and the bound of those that wait or have one.
#[derive(Debug)]
struct Queue {
    slots: Arc<Semaphore>,
    present: Arc<Semaphore>,
}

/// Something that is open; it counts while it lives.
#[derive(Debug)]
pub(super) struct Slot {
    _permits: [Option<OwnedSemaphorePermit>; 2],
}

impl Queue {
    fn new(slots: usize) -> Self {
        let present = slots.saturating_mul(WAITING + 1).min(Semaphore::MAX_PERMITS);
        Self { slots: semaphore(slots), present: semaphore(present) }
    }

    async fn take(&self, turn: Duration, refusal: impl Fn() -> String) -> Result<Slot, Status> {
        let refused = || Status::resource_exhausted(refusal());
        let present = self.present.clone().try_acquire_owned().map_err(|_| refused())?;
        let slot = timeout(turn, self.slots.clone().acquire_owned()).await;
        let slot = slot.ok().and_then(Result::ok).ok_or_else(refused)?;
        Ok(Slot { _permits: [Some(present), Some(slot)] })
    }
}

impl Open {
    pub(super) fn new(limits: OpenLimits) -> Self {
        Self { limits, turn: TURN, tokens: Mutex::default() }
    }

    /// How many streams of workers a token has open.
    pub(super) fn workers(&self, id: TokenId) -> u32 {
        let free = self.slots(id).workers.available_permits();
        self.limits.workers.saturating_sub(u32::try_from(free).unwrap_or(u32::MAX))
    }

    /// Opens something. Artifacts and questions wait a while for their turn.
    ///
    /// # Errors
    /// A status with the code `ResourceExhausted`.
    pub(super) async fn take(&self, id: TokenId, kind: Kind) -> Result<Slot, Status> {
        let slots = self.slots(id);
        let OpenLimits { workers, transfers, watches, questions } = self.limits;
        let artifacts = || {
            format!(
                "this token has {transfers} artifacts on their way already, and others wait; try \
                 again (limits.transfers)"
            )
        };
        let asked = || {
            format!(
                "this token has {questions} calls open already, and others wait; try again \
                 (limits.questions)"
            )
        };
        match kind {
            Kind::Question => slots.questions.take(self.turn, asked).await,
            Kind::Upload => slots.uploads.take(self.turn, artifacts).await,
            Kind::Download => slots.downloads.take(self.turn, artifacts).await,
            Kind::Work => at_once(&slots.workers, || {
                format!(
                    "this token has {workers} streams of workers open already; use another token \
                     for the others (limits.workers)"
                )
            }),
            Kind::Watch => at_once(&slots.watches, || {
                format!(
                    "this token watches {watches} times already; end a watch, or use another token \
                     (limits.watches)"
                )
            }),
        }
    }

    fn slots(&self, id: TokenId) -> Arc<Slots> {
        let OpenLimits { workers, transfers, watches, questions } = self.limits;
        let [workers, transfers, watches, questions] =
            [workers, transfers, watches, questions].map(|most| most as usize);
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Slots {
            workers: semaphore(workers),
            uploads: Queue::new(transfers),
            downloads: Queue::new(transfers),
            watches: semaphore(watches),
            questions: Queue::new(questions),
        };
        tokens.entry(id).or_insert_with(|| Arc::new(new())).clone()
    }
}

fn semaphore(permits: usize) -> Arc<Semaphore> {
    Arc::new(Semaphore::new(permits))
}

fn at_once(slots: &Arc<Semaphore>, refusal: impl FnOnce() -> String) -> Result<Slot, Status> {
    let slot = slots.clone().try_acquire_owned();
    let slot = slot.map_err(|_| Status::resource_exhausted(refusal()))?;
    Ok(Slot { _permits: [Some(slot), None] })
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;

    const LIMITS: OpenLimits = OpenLimits { workers: 3, transfers: 1, watches: 2, questions: 1 };
    const ONE: TokenId = TokenId(1);

    fn open(turn: Duration) -> Open {
        Open { turn, ..Open::new(LIMITS) }
    }

    fn code(taken: Result<Slot, Status>) -> Code {
        taken.map_or_else(|status| status.code(), |_| Code::Ok)
    }

    #[tokio::test]
    async fn each_token_has_its_own_bound_of_each_kind() {
        let open = open(TURN);
        for (kind, most, words) in
            [(Kind::Work, 3, "limits.workers"), (Kind::Watch, 2, "limits.watches")]
        {
            let mut taken = Vec::new();
            for _ in 0..most {
                taken.push(open.take(ONE, kind).await.unwrap());
            }
            let refused = open.take(ONE, kind).await.unwrap_err();
            assert_eq!(refused.code(), Code::ResourceExhausted);
            assert!(refused.message().contains(words), "{refused}");
            assert_eq!(code(open.take(TokenId(2), kind).await), Code::Ok);
            taken.pop();
            assert_eq!(code(open.take(ONE, kind).await), Code::Ok, "one has ended");
        }
        assert_eq!((open.workers(ONE), open.workers(TokenId(2))), (0, 0));
        let _one = open.take(ONE, Kind::Work).await;
        assert_eq!((open.workers(ONE), open.workers(TokenId(2))), (1, 0));
    }

    #[tokio::test]
    async fn questions_wait_for_their_turn_and_not_for_ever() {
        let impatient = open(Duration::from_millis(5));
        let first = impatient.take(ONE, Kind::Question).await.unwrap();
        let refused = impatient.take(ONE, Kind::Question).await.unwrap_err();
        assert_eq!(refused.code(), Code::ResourceExhausted);
        assert!(refused.message().contains("limits.questions"), "{refused}");
        assert_eq!(code(impatient.take(TokenId(2), Kind::Question).await), Code::Ok);
        let patient = open(Duration::from_secs(600));
        let held = patient.take(ONE, Kind::Question).await.unwrap();
        let (second, ()) =
            tokio::join!(biased; patient.take(ONE, Kind::Question), async { drop(held) });
        assert_eq!(code(second), Code::Ok);
        drop(first);
        assert_eq!(code(impatient.take(ONE, Kind::Question).await), Code::Ok);
    }

    #[tokio::test]
    async fn artifacts_wait_for_their_turn_and_not_for_ever() {
        let impatient = open(Duration::from_millis(5));
        let first = impatient.take(ONE, Kind::Upload).await.unwrap();
        assert_eq!(code(impatient.take(ONE, Kind::Upload).await), Code::ResourceExhausted);
        assert_eq!(code(impatient.take(ONE, Kind::Download).await), Code::Ok);
        drop(first);
        let patient = open(Duration::from_secs(600));
        let first = patient.take(ONE, Kind::Upload).await.unwrap();
        let waiting = async {
            let waiting = (0..WAITING).map(|_| patient.take(ONE, Kind::Upload));
            let codes = futures::future::join_all(waiting.map(|taken| async { code(taken.await) }));
            assert!(codes.await.into_iter().all(|code| code == Code::Ok));
        };
        let others = async {
            // Those before this one are polled first and wait already.
            assert_eq!(code(patient.take(ONE, Kind::Upload).await), Code::ResourceExhausted);
            drop(first);
        };
        tokio::join!(biased; waiting, others);
    }
}
