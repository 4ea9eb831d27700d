//! An exact hypervolume in parts that can be computed at the same time. It must not know threads:
//! the caller lends them.

use super::exact::Terms;

/// Fewer points are not worth a second thread.
pub(super) const FROM: usize = 500;

/// Part of a hypervolume's computation.
#[derive(Debug)]
pub struct Part<'a> {
    gains: &'a [f64],
    number: usize,
    parts: usize,
    compute: Terms,
    terms: Option<Vec<f64>>,
}

impl<'a> Part<'a> {
    /// All `parts` (at least 1) parts of the volume that `compute` gives the terms of.
    pub(super) fn all(gains: &'a [f64], parts: usize, compute: Terms) -> Vec<Self> {
        (0..parts).map(|number| Self { gains, number, parts, compute, terms: None }).collect()
    }

    /// Computes it, on whatever thread; once is enough.
    pub fn compute(&mut self) {
        self.terms.get_or_insert_with(|| (self.compute)(self.gains, self.number, self.parts));
    }

    /// The sum of all terms in the order of their points, whichever part they are of: the same sum as
    /// without parts. Parts that nobody has computed are computed here.
    pub(super) fn sum(mut parts: Vec<Self>) -> f64 {
        parts.iter_mut().for_each(Part::compute);
        let terms = |at: usize| {
            let terms = parts.get(at % parts.len()).and_then(|part| part.terms.as_ref());
            terms.and_then(|terms| terms.get(at / parts.len()).copied())
        };
        (0..).map_while(terms).sum()
    }
}
