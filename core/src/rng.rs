//! The only source of randomness: independent streams named by (campaign seed, purpose, ordinal).
//!
//! A stream does not depend on how many numbers others have drawn, so a restarted coordinator
//! continues exactly as an uninterrupted one would. ChaCha8 is portable and its output is fixed by
//! definition, unlike the library's default generators, which may change between releases.
//!
//! It must not know what is drawn from a stream.

use std::fmt;

use rand::SeedableRng;
use rand::rngs::ChaCha8Rng;

/// A seeded generator; see [`stream`].
pub type Stream = ChaCha8Rng;

/// What the random numbers are for. Streams of different purposes never overlap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Purpose {
    /// Breeding the candidate with the ordinal given.
    Proposal,
    /// Training and measuring the candidate with the ordinal given.
    Evaluation,
    /// Measuring a candidate once more, with the stage and the repeat as the ordinal, under a seed of the
    /// candidate.
    Repeat,
    /// Noise of made-up results.
    Noise,
    /// Fitting the model with the ordinal given.
    Model,
    /// The survival of a population with the ordinal given.
    Survival,
    /// Faults of a simulated cluster.
    Simulation,
}

impl Purpose {
    fn label(self) -> &'static [u8] {
        match self {
            Purpose::Proposal => b"proposal",
            Purpose::Evaluation => b"evaluation",
            Purpose::Repeat => b"repeat",
            Purpose::Noise => b"noise",
            Purpose::Model => b"model",
            Purpose::Survival => b"survival",
            Purpose::Simulation => b"simulation",
        }
    }
}

/// The stream for `purpose` number `ordinal` under `seed`.
#[must_use]
pub fn stream(seed: u64, purpose: Purpose, ordinal: u64) -> Stream {
    Streams::new(seed, purpose).stream(ordinal)
}

/// All streams of one purpose under one seed, for whoever opens many: the key that they have in
/// common is derived once.
#[derive(Clone)]
pub struct Streams {
    key: [u8; 32],
}

impl Streams {
    /// The streams for `purpose` under `seed`.
    #[must_use]
    pub fn new(seed: u64, purpose: Purpose) -> Self {
        Self { key: key(seed, purpose) }
    }

    /// The stream number `ordinal`, as [`stream`] gives it.
    #[must_use]
    pub fn stream(&self, ordinal: u64) -> Stream {
        let mut generator = Stream::from_seed(self.key);
        generator.set_stream(ordinal);
        generator
    }
}

impl fmt::Debug for Streams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Streams").finish_non_exhaustive()
    }
}

/// A 64-bit seed for a generator outside this crate (libtorch's, say), under the same rule.
#[must_use]
pub fn derived_seed(seed: u64, purpose: Purpose, ordinal: u64) -> u64 {
    use rand::Rng;
    stream(seed, purpose, ordinal).next_u64()
}

/// A number from the standard normal distribution (Box and Muller 1958).
#[must_use]
pub fn standard_normal(rng: &mut Stream) -> f64 {
    use rand::RngExt;
    let (first, second) = (rng.random::<f64>(), rng.random::<f64>());
    libm::sqrt(-2.0 * libm::log(1.0 - first)) * libm::cos(std::f64::consts::TAU * second)
}

fn key(seed: u64, purpose: Purpose) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key("cambrian 2026 random stream v1");
    hasher.update(&seed.to_le_bytes());
    hasher.update(purpose.label());
    *hasher.finalize().as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::Rng;

    #[test]
    fn the_same_name_gives_the_same_numbers() {
        let mut a = stream(7, Purpose::Proposal, 3);
        let mut b = stream(7, Purpose::Proposal, 3);
        assert_eq!(
            (0..8).map(|_| a.next_u64()).collect::<Vec<_>>(),
            (0..8).map(|_| b.next_u64()).collect::<Vec<_>>()
        );
    }

    /// Journals of earlier releases are replayed with these numbers.
    #[test]
    fn streams_stay_what_they_are() {
        assert_eq!(stream(7, Purpose::Proposal, 3).next_u64(), 1_888_481_174_117_257_787);
    }

    #[test]
    fn seed_purpose_and_ordinal_each_matter() {
        let base = stream(7, Purpose::Proposal, 3).next_u64();
        assert_ne!(base, stream(8, Purpose::Proposal, 3).next_u64());
        assert_ne!(base, stream(7, Purpose::Evaluation, 3).next_u64());
        assert_ne!(base, stream(7, Purpose::Proposal, 4).next_u64());
    }
}
