//! The models of a campaign and when they are fitted. Fitting is pure, so it can happen anywhere
//! and as late as a model is needed; whoever comes first does it. It must not know how a model is
//! used.

use std::fmt;
use std::sync::{Arc, OnceLock};

use super::parameters::Parameters;
use crate::algorithm::model::regression::{Form, Regression};
use crate::algorithm::observations::{Observation, representatives};
use crate::rng::{self, Purpose};
use crate::space::schema::Feature;

/// The most results that the slow part of a fit looks at.
const FORM_RESULTS: usize = 120;

/// What all models of a campaign share.
#[derive(Debug, PartialEq)]
pub(super) struct Setting {
    pub(super) features: Vec<Feature>,
    pub(super) objectives: usize,
    /// The positions of the objectives that are predicted, ascending; the others are computed.
    pub(super) modelled: Vec<usize>,
    pub(super) parameters: Parameters,
    pub(super) seed: u64,
}

/// Results and what is computed of them when it is first needed.
struct Lazy<T> {
    results: Vec<Arc<Observation>>,
    cell: OnceLock<T>,
}

impl<T> Lazy<T> {
    fn new(results: &[Arc<Observation>]) -> Self {
        Self { results: results.to_vec(), cell: OnceLock::new() }
    }
}

/// The forms of all outputs, for the next many results.
pub(super) struct Forms {
    setting: Arc<Setting>,
    lazy: Lazy<Vec<Form>>,
}

impl fmt::Debug for Forms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Forms").field("results", &self.lazy.results.len()).finish_non_exhaustive()
    }
}

impl Forms {
    /// The forms after these results.
    pub(super) fn new(setting: Arc<Setting>, results: &[Arc<Observation>]) -> Self {
        Self { setting, lazy: Lazy::new(results) }
    }

    /// The number of results that they rest on.
    pub(super) fn results(&self) -> usize {
        self.lazy.results.len()
    }

    fn get(&self) -> &[Form] {
        self.lazy.cell.get_or_init(|| {
            let Setting { features, objectives, modelled, .. } = self.setting.as_ref();
            let chosen = representatives(&self.lazy.results, *objectives, FORM_RESULTS);
            let inputs = inputs(&chosen);
            outputs(&chosen, modelled)
                .map(|outputs| Form::new(&inputs, features, &outputs))
                .collect()
        })
    }
}

/// A model of every objective that is not computed, and of the violation of constraints if there is any.
pub(super) struct Model {
    forms: Arc<Forms>,
    lazy: Lazy<Vec<Regression>>,
}

impl fmt::Debug for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Model").field("results", &self.results()).finish_non_exhaustive()
    }
}

impl Model {
    /// The model after these results.
    pub(super) fn new(forms: Arc<Forms>, results: &[Arc<Observation>]) -> Self {
        Self { forms, lazy: Lazy::new(results) }
    }

    /// The number of results that it rests on.
    pub(super) fn results(&self) -> usize {
        self.lazy.results.len()
    }

    /// One regression a modelled objective, then one for the violation of constraints where results
    /// differ in it; fitted now if nobody has.
    pub(super) fn regressions(&self) -> &[Regression] {
        self.lazy.cell.get_or_init(|| {
            let Setting { features, objectives, modelled, parameters, seed } =
                self.forms.setting.as_ref();
            let limit = parameters.training_results as usize;
            let chosen = representatives(&self.lazy.results, *objectives, limit);
            let inputs = inputs(&chosen);
            let forms = self.forms.get();
            let outputs = outputs(&chosen, modelled).enumerate();
            outputs
                .map(|(at, outputs)| {
                    // A violation can appear between two searches for forms.
                    let fresh;
                    let form = match forms.get(at) {
                        Some(form) => form,
                        None => {
                            fresh = Form::new(&inputs, features, &outputs);
                            &fresh
                        }
                    };
                    let ordinal = (self.results() * (objectives + 1) + at) as u64;
                    let mut rng = rng::stream(*seed, Purpose::Model, ordinal);
                    Regression::new(form, inputs.clone(), features, &outputs, &mut rng)
                })
                .collect()
        })
    }
}

fn inputs(observations: &[Arc<Observation>]) -> Vec<f64> {
    observations.iter().flat_map(|observation| observation.features.iter().copied()).collect()
}

/// The values of each modelled objective, then those of the violation where they differ.
fn outputs(
    observations: &[Arc<Observation>],
    modelled: &[usize],
) -> impl Iterator<Item = Vec<f64>> {
    let constrained = observations.iter().any(|observation| observation.violation > 0.0);
    let objectives = modelled
        .iter()
        .map(|at| observations.iter().map(|observation| observation.objectives[*at]).collect());
    let violations = || observations.iter().map(|observation| observation.violation).collect();
    objectives.chain(constrained.then(violations))
}
