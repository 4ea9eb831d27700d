//! What every algorithm does with a drawn genotype: keep it if its network is new, else draw
//! again, and know when nothing new is left. It must not know how a population is kept.

use rand::RngExt;

use super::{Known, Origin, Proposal, Suggestion};
use crate::rng::Stream;
use crate::space::{Genotype, SearchSpace};

/// How often breeding is repeated when its child is known, unless a campaign says otherwise.
pub(super) const DUPLICATE_REDRAWS: u32 = 20;
/// The most that a campaign may say: each costs a child, on the time of all campaigns.
pub(super) const MOST_REDRAWS: u32 = 10_000;
/// How often a genotype is drawn uniformly before the space is searched for a new one.
const SAMPLE_DRAWS: u32 = 200;

/// A space together with the networks that must not be proposed again.
#[derive(Clone, Copy)]
pub(super) struct Novelty<'a> {
    space: &'a dyn SearchSpace,
    known: &'a dyn Known,
}

impl<'a> Novelty<'a> {
    /// Only networks of `space` that are not `known` pass.
    pub(super) fn new(space: &'a dyn SearchSpace, known: &'a dyn Known) -> Self {
        Self { space, known }
    }

    /// The first new child of at most `1 + redraws` that `breed` delivers, otherwise as
    /// [`Self::sample`].
    pub(super) fn breed(
        &self,
        redraws: u32,
        rng: &mut Stream,
        breed: impl Fn(&mut Stream) -> (Genotype, Origin),
    ) -> Suggestion {
        let child = (0..=redraws).find_map(|_| {
            let (genotype, origin) = breed(rng);
            self.admit(genotype, origin)
        });
        child.map_or_else(|| self.sample(rng), Suggestion::Propose)
    }

    /// A new genotype drawn uniformly, and if some hundred draws meet only known networks, the
    /// first new one from a random rank onwards.
    ///
    /// [`Suggestion::Exhausted`] is exact for spaces of up to [`SearchSpace::searched`] genotypes, a million
    /// where their networks need not be built. A larger space counts as exhausted when so many draws in a row
    /// were known: if more than 14 in a million of its genotypes were new, a million draws would miss them less
    /// than once in a million campaigns. Under constraints on a larger space, draws that break one count as
    /// known, and shares are of the space without constraints.
    pub(super) fn sample(&self, rng: &mut Stream) -> Suggestion {
        let found = self.try_sample(rng).or_else(|| {
            let limit = self.space.searched();
            match u32::try_from(self.space.schema().cardinality()) {
                Ok(cardinality) if cardinality <= limit => self.sweep(cardinality, rng),
                _ => self.draw(limit, rng),
            }
        });
        found.map_or(Suggestion::Exhausted, Suggestion::Propose)
    }

    /// A new genotype drawn uniformly, if some hundred draws meet one.
    pub(super) fn try_sample(&self, rng: &mut Stream) -> Option<Proposal> {
        self.draw(SAMPLE_DRAWS, rng)
    }

    fn draw(&self, draws: u32, rng: &mut Stream) -> Option<Proposal> {
        let schema = self.space.schema();
        (0..draws).find_map(|_| self.admit(schema.draw_once(rng)?, Origin::Sampled))
    }

    /// Starts anywhere, so that the sweeps of a campaign do not pass the same known genotypes
    /// again and again: emptying a space of N genotypes costs about N log N steps in all.
    fn sweep(&self, cardinality: u32, rng: &mut Stream) -> Option<Proposal> {
        if cardinality == 0 {
            return None;
        }
        let start = rng.random_range(0..cardinality);
        let mut ranks = (start..cardinality).chain(0..start);
        ranks
            .find_map(|rank| self.admit(self.space.schema().unrank(&rank.into())?, Origin::Sampled))
    }

    /// The genotype as a proposal, if its network is new.
    pub(super) fn admit(&self, genotype: Genotype, origin: Origin) -> Option<Proposal> {
        let key = self.space.canonical_hash(&genotype).ok()?;
        (!self.known.contains(&key)).then_some(Proposal { genotype, key, origin })
    }
}
