//! The models of a campaign and when they are fitted. Fitting is pure, so it can happen anywhere
//! and as late as a model is needed; whoever comes first does it. It must not know how a model is
//! used.

use std::fmt;
use std::sync::{Arc, OnceLock};

use super::parameters::Parameters;
use crate::algorithm::model::regression::{Form, Regression};
use crate::algorithm::observations::{Lessons, Observation, evenly, representatives};
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

/// What evaluations have taught, and what is computed of that when it is first needed.
struct Lazy<T> {
    lessons: Lessons,
    cell: OnceLock<T>,
}

impl<T> Lazy<T> {
    fn new(lessons: Lessons) -> Self {
        Self { lessons, cell: OnceLock::new() }
    }
}

/// The forms of all outputs, for the next many results.
pub(super) struct Forms {
    setting: Arc<Setting>,
    lazy: Lazy<FormsOf>,
}

/// One form an output, where there is something to learn it from.
struct FormsOf {
    objectives: Vec<Form>,
    violation: Option<Form>,
    failure: Option<Form>,
}

impl fmt::Debug for Forms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Forms").field("lessons", &self.lessons()).finish_non_exhaustive()
    }
}

impl Forms {
    /// The forms after these lessons.
    pub(super) fn new(setting: Arc<Setting>, lessons: Lessons) -> Self {
        Self { setting, lazy: Lazy::new(lessons) }
    }

    /// The number of lessons that they rest on.
    pub(super) fn lessons(&self) -> usize {
        self.lazy.lessons.count()
    }

    fn get(&self) -> &FormsOf {
        self.lazy.cell.get_or_init(|| {
            let features = &self.setting.features;
            let rows = Rows::of(&self.lazy.lessons, &self.setting, FORM_RESULTS);
            let form = |inputs: &[f64], outputs: &[f64]| Form::new(inputs, features, outputs);
            FormsOf {
                objectives: rows.objectives.iter().map(|row| form(&rows.inputs, row)).collect(),
                violation: rows.violation.map(|(inputs, outputs)| form(&inputs, &outputs)),
                failure: rows
                    .failure
                    .map(|(inputs, outputs)| Form::unwarped(&inputs, features, &outputs)),
            }
        })
    }
}

/// A model of every objective that is not computed, and of whether a candidate keeps the constraints and
/// can be evaluated at all if some did not.
pub(super) struct Model {
    forms: Arc<Forms>,
    lazy: Lazy<Regressions>,
}

/// The fitted parts of a model.
pub(super) struct Regressions {
    /// One a modelled objective.
    pub(super) objectives: Vec<Regression>,
    /// The violation of constraints, where candidates differ in it.
    pub(super) violation: Option<Regression>,
    /// Whether an evaluation fails, 0 or 1, where one has.
    pub(super) failure: Option<Regression>,
}

impl fmt::Debug for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Model").field("lessons", &self.lessons()).finish_non_exhaustive()
    }
}

impl Model {
    /// The model after these lessons.
    pub(super) fn new(forms: Arc<Forms>, lessons: Lessons) -> Self {
        Self { forms, lazy: Lazy::new(lessons) }
    }

    /// The number of lessons that it rests on.
    pub(super) fn lessons(&self) -> usize {
        self.lazy.lessons.count()
    }

    /// Its parts; fitted now if nobody has.
    pub(super) fn regressions(&self) -> &Regressions {
        self.lazy.cell.get_or_init(|| {
            let setting = self.forms.setting.as_ref();
            let limit = setting.parameters.training_results as usize;
            let rows = Rows::of(&self.lazy.lessons, setting, limit);
            let forms = self.forms.get();
            let streams = setting.objectives + 1;
            let fit = |form: &Form, (inputs, outputs): (Vec<f64>, &[f64]), at: u64| {
                let mut rng = rng::stream(setting.seed, Purpose::Model, at);
                Regression::new(form, inputs, &setting.features, outputs, &mut rng)
            };
            let ordinal = |at: usize| (self.lessons() * streams + at) as u64;
            let objectives = rows.objectives.iter().zip(&forms.objectives).enumerate();
            Regressions {
                objectives: objectives
                    .map(|(at, (row, form))| fit(form, (rows.inputs.clone(), row), ordinal(at)))
                    .collect(),
                violation: rows.violation.map(|(inputs, outputs)| {
                    // A violation can appear between two searches for forms.
                    let form = forms.violation.clone();
                    let fresh = || Form::new(&inputs, &setting.features, &outputs);
                    let form = form.unwrap_or_else(fresh);
                    fit(&form, (inputs, &outputs), ordinal(rows.objectives.len()))
                }),
                failure: rows.failure.map(|(inputs, outputs)| {
                    let form = forms.failure.clone();
                    let fresh = || Form::unwarped(&inputs, &setting.features, &outputs);
                    let form = form.unwrap_or_else(fresh);
                    fit(&form, (inputs, &outputs), u64::MAX - self.lessons() as u64)
                }),
            }
        })
    }
}

/// What is fitted: encodings, row-major, and an output for each.
struct Rows {
    inputs: Vec<f64>,
    /// One row a modelled objective.
    objectives: Vec<Vec<f64>>,
    violation: Option<(Vec<f64>, Vec<f64>)>,
    failure: Option<(Vec<f64>, Vec<f64>)>,
}

impl Rows {
    /// Of about `limit` lessons, at most half as many more where candidates have no objectives.
    fn of(lessons: &Lessons, setting: &Setting, limit: usize) -> Self {
        let chosen = representatives(&lessons.results, setting.objectives, limit);
        let inputs = inputs(&chosen);
        let value = |at: &usize| chosen.iter().map(|result| result.objectives[*at]).collect();
        let constrained = chosen.iter().any(|result| result.violation > 0.0);
        let violating = evenly(&lessons.violating, limit / 2);
        let violation = (constrained || !violating.is_empty()).then(|| {
            let features = violating.iter().flat_map(|found| &found.features);
            let outputs = chosen.iter().map(|result| result.violation);
            (
                inputs.iter().chain(features).copied().collect(),
                outputs.chain(violating.iter().map(|found| found.violation)).collect(),
            )
        });
        let lost = evenly(&lessons.lost, limit / 2);
        let failure = (!lost.is_empty()).then(|| {
            let evaluated = evenly(&chosen, limit - lost.len());
            let sound = evaluated.iter().map(|result| &*result.features);
            let sound = sound.chain(violating.iter().map(|found| &*found.features));
            let failed = lost.iter().map(AsRef::as_ref);
            let count = evaluated.len() + violating.len();
            (
                sound.chain(failed).flatten().copied().collect(),
                (0..count + lost.len()).map(|at| f64::from(u8::from(at >= count))).collect(),
            )
        });
        Self {
            objectives: setting.modelled.iter().map(value).collect(),
            inputs,
            violation,
            failure,
        }
    }
}

fn inputs(observations: &[Arc<Observation>]) -> Vec<f64> {
    observations.iter().flat_map(|observation| observation.features.iter().copied()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::algorithm::observations::{Observations, encode, features};
    use crate::algorithm::{AlgorithmContext, Origin, Outcome, Proposal};
    use crate::id::Ordinal;
    use crate::rng::stream;
    use crate::space::SPACES;
    use crate::space::contract::build;

    const CELLS: u32 = 80;

    #[test]
    fn operations_that_nobody_reads_are_paid_for() {
        let entry = SPACES.iter().find(|entry| entry.name == "nasbench201").unwrap();
        let space = build(entry, "{}");
        let context = AlgorithmContext {
            space: Some(space.clone()),
            evaluations: None,
            seed: 1,
            objectives: vec!["macs".into()],
            maximized: vec![false],
            computed: None,
        };
        let mut observations = Observations::new(&context);
        for id in 1..=CELLS {
            let genotype = space.schema().sample(&mut stream(3, Purpose::Proposal, id.into()));
            let key = space.canonical_hash(&genotype).unwrap();
            let macs = space.lower(&genotype).unwrap().macs() as f64;
            let proposal = Proposal { genotype, key, origin: Origin::Sampled };
            observations.propose(Ordinal(id), &proposal);
            let outcome = Outcome::Scored { objectives: &[macs], violation: 0.0 };
            observations.resolve(Ordinal(id), outcome);
        }
        let setting = Setting {
            features: features(&*space),
            objectives: 1,
            modelled: vec![0],
            parameters: Parameters::default(),
            seed: 1,
        };
        let lessons = observations.lessons();
        let forms = Arc::new(Forms::new(Arc::new(setting), lessons.clone()));
        let model = Model::new(forms, lessons);
        let expected = |cell: &str| {
            let genotype = space.parse(cell).unwrap();
            let mut encoding = Vec::new();
            encode(&*space, &genotype, &mut encoding);
            let macs = space.lower(&genotype).unwrap().macs() as f64;
            (model.regressions().objectives[0].expected(&encoding), macs)
        };
        // One skip from the input to the output, alone and beside two convolutions that lead nowhere.
        let (alone, macs_alone) =
            expected("|none~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|");
        let (beside, macs_beside) =
            expected("|nor_conv_3x3~0|+|none~0|nor_conv_3x3~1|+|skip_connect~0|none~1|none~2|");
        let error = (beside - alone) / (macs_beside - macs_alone) - 1.0;
        assert!(
            error.abs() < 0.2,
            "{alone} and {beside}, by the networks {macs_alone} and {macs_beside}"
        );
    }
}
