//! The table of metrics: names, units and meaning, and the formula of those that follow from the
//! graph alone.
//!
//! A new metric is one line here; if it is measured, a worker's evaluator delivers it by name. It must not know
//! which evaluators deliver it.

use std::sync::Arc;

use super::{Goal, MetricName};
use crate::graph::Graph;

/// How the value of a metric comes about, and who may read it.
#[derive(Clone, Copy)]
pub enum MetricKind {
    /// Computed from the graph by the coordinator, before anything is leased.
    Analytic(fn(&Graph) -> f64),
    /// Reported by a worker.
    Measured,
    /// Reported by a worker for the record only: no objective, constraint or algorithm may read it.
    Sealed,
}

/// One line of [`METRICS`].
#[derive(Clone, Copy)]
pub struct MetricDescriptor {
    /// The name, as campaigns spell it.
    pub name: &'static str,
    /// The unit of every value, empty for a pure number.
    pub unit: &'static str,
    /// What is better unless a campaign says otherwise.
    pub goal: Goal,
    /// How the value comes about.
    pub kind: MetricKind,
    /// One sentence for the reader of a report.
    pub summary: &'static str,
}

impl std::fmt::Debug for MetricKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Analytic(_) => "Analytic",
            Self::Measured => "Measured",
            Self::Sealed => "Sealed",
        })
    }
}

impl std::fmt::Debug for MetricDescriptor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MetricDescriptor").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Every metric that a campaign can name.
pub const METRICS: &[MetricDescriptor] = &[
    MetricDescriptor {
        name: "accuracy",
        unit: "%",
        goal: Goal::Maximize,
        kind: MetricKind::Measured,
        summary: "correctly classified share of the validation split; spread = standard error",
    },
    MetricDescriptor {
        name: "test_accuracy",
        unit: "%",
        goal: Goal::Maximize,
        kind: MetricKind::Sealed,
        summary: "correctly classified share of the test split, which no algorithm reads",
    },
    MetricDescriptor {
        name: "introspectability",
        unit: "",
        goal: Goal::Maximize,
        kind: MetricKind::Measured,
        summary: "mean cosine distance between class-mean activations, 0 to 2 (XNAS)",
    },
    MetricDescriptor {
        name: "flatness",
        unit: "",
        goal: Goal::Maximize,
        kind: MetricKind::Measured,
        summary: "how little noise on the trained parameters raises the validation loss (GeNAS)",
    },
    MetricDescriptor {
        name: "bn_indicator",
        unit: "",
        goal: Goal::Maximize,
        kind: MetricKind::Measured,
        summary: "sum over blocks of the mean |scale| of their last batch normalisation; experimental",
    },
    MetricDescriptor {
        name: "latency",
        unit: "ms",
        goal: Goal::Minimize,
        kind: MetricKind::Measured,
        summary: "median time of one inference on the device; spread = interquartile range",
    },
    MetricDescriptor {
        name: "energy",
        unit: "mJ",
        goal: Goal::Minimize,
        kind: MetricKind::Measured,
        summary: "energy of one inference; its source says whether it was measured or modelled",
    },
    MetricDescriptor {
        name: "grad_norm",
        unit: "",
        goal: Goal::Maximize,
        kind: MetricKind::Measured,
        summary: "sum over layers of the norm of the loss gradient, untrained (Abdelfattah et al. 2021)",
    },
    MetricDescriptor {
        name: "plain",
        unit: "",
        goal: Goal::Maximize,
        kind: MetricKind::Measured,
        summary: "sum of weight times gradient, untrained (Abdelfattah et al. 2021)",
    },
    MetricDescriptor {
        name: "snip",
        unit: "",
        goal: Goal::Maximize,
        kind: MetricKind::Measured,
        summary: "sum of |weight times gradient|, untrained (Lee et al. 2019)",
    },
    MetricDescriptor {
        name: "grasp",
        unit: "",
        goal: Goal::Maximize,
        kind: MetricKind::Measured,
        summary: "minus the sum of weight times Hessian times gradient, untrained (Wang et al. 2020)",
    },
    MetricDescriptor {
        name: "synflow",
        unit: "",
        goal: Goal::Maximize,
        kind: MetricKind::Measured,
        summary: "synaptic flow: sum of weight times gradient of a linearised network (Tanaka et al. 2020)",
    },
    MetricDescriptor {
        name: "fisher",
        unit: "",
        goal: Goal::Maximize,
        kind: MetricKind::Measured,
        summary: "Fisher information of the channels, untrained (Theis et al. 2018)",
    },
    MetricDescriptor {
        name: "jacob_cov",
        unit: "",
        goal: Goal::Maximize,
        kind: MetricKind::Measured,
        summary: "how little the input gradients of different images correlate (Mellor et al. 2020)",
    },
    MetricDescriptor {
        name: "naswot",
        unit: "",
        goal: Goal::Maximize,
        kind: MetricKind::Measured,
        summary: "log determinant of the kernel of activation patterns (Mellor et al. 2021)",
    },
    MetricDescriptor {
        name: "linear_regions",
        unit: "",
        goal: Goal::Maximize,
        kind: MetricKind::Measured,
        summary: "distinct activation patterns among random 3x3 images (TE-NAS, Chen et al. 2021)",
    },
    MetricDescriptor {
        name: "ntk_condition",
        unit: "",
        goal: Goal::Minimize,
        kind: MetricKind::Measured,
        summary: "condition number of the neural tangent kernel (TE-NAS, Chen et al. 2021)",
    },
    MetricDescriptor {
        name: "zen",
        unit: "",
        goal: Goal::Maximize,
        kind: MetricKind::Measured,
        summary: "Zen-score: sensitivity of Gaussian networks to their input (Lin et al. 2021)",
    },
    MetricDescriptor {
        name: "zico",
        unit: "",
        goal: Goal::Maximize,
        kind: MetricKind::Measured,
        summary: "inverse variation of gradients between batches (Li et al. 2023)",
    },
    MetricDescriptor {
        name: "grad_sign",
        unit: "",
        goal: Goal::Maximize,
        kind: MetricKind::Measured,
        summary: "agreement of the signs of gradients between samples (Zhang & Jia 2022)",
    },
    MetricDescriptor {
        name: "knas_mgm",
        unit: "",
        goal: Goal::Maximize,
        kind: MetricKind::Measured,
        summary: "mean of the gradient Gram matrix (KNAS, Xu et al. 2021), as in the paper",
    },
    MetricDescriptor {
        name: "knas_mgm_code",
        unit: "",
        goal: Goal::Maximize,
        kind: MetricKind::Measured,
        summary: "the score of the code that was released for KNAS (Xu et al. 2021)",
    },
    MetricDescriptor {
        name: "jacobian_mean_square",
        unit: "",
        goal: Goal::Maximize,
        kind: MetricKind::Measured,
        summary: "mean squared singular value of the input-output Jacobian; experimental",
    },
    MetricDescriptor {
        name: "jacobian_condition",
        unit: "",
        goal: Goal::Minimize,
        kind: MetricKind::Measured,
        summary: "largest over smallest singular value of the Jacobian; experimental",
    },
    MetricDescriptor {
        name: "nn_mass",
        unit: "",
        goal: Goal::Maximize,
        kind: MetricKind::Measured,
        summary: "density of links that skip layers, times width and depth (Bhardwaj et al. 2021)",
    },
    MetricDescriptor {
        name: "autost",
        unit: "",
        goal: Goal::Maximize,
        kind: MetricKind::Measured,
        summary: "operations of the spiking network in G, all time steps (AutoST 2023)",
    },
    MetricDescriptor {
        name: "spiking_energy",
        unit: "mJ",
        goal: Goal::Minimize,
        kind: MetricKind::Measured,
        summary: "modelled energy of one inference of the spiking network, by its rates at initialisation",
    },
    MetricDescriptor {
        name: "params",
        unit: "",
        goal: Goal::Minimize,
        kind: MetricKind::Analytic(|graph| graph.params() as f64),
        summary: "number of trainable parameters",
    },
    MetricDescriptor {
        name: "macs",
        unit: "",
        goal: Goal::Minimize,
        kind: MetricKind::Analytic(|graph| graph.macs() as f64),
        summary: "multiply-accumulate operations of convolutions and linear layers, one sample",
    },
    MetricDescriptor {
        name: "depth",
        unit: "layers",
        goal: Goal::Minimize,
        kind: MetricKind::Analytic(|graph| f64::from(graph.depth())),
        summary: "weighted layers on the longest path from input to output",
    },
    MetricDescriptor {
        name: "peak_activation_memory",
        unit: "B",
        goal: Goal::Minimize,
        kind: MetricKind::Analytic(|graph| graph.peak_activation_bytes() as f64),
        summary: "largest sum of live f32 feature maps during inference of one sample",
    },
    MetricDescriptor {
        name: "modelled_energy",
        unit: "mJ",
        goal: Goal::Minimize,
        kind: MetricKind::Analytic(Graph::modelled_energy_millijoules),
        summary: "compute and memory energy of one inference by the 45 nm model (Horowitz 2014)",
    },
];

/// The metric called `name`, if there is one.
#[must_use]
pub fn metric(name: &str) -> Option<&'static MetricDescriptor> {
    METRICS.iter().find(|descriptor| descriptor.name == name)
}

/// A metric that a campaign declares itself: a column of a table, or what an evaluator of the
/// user's own delivers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeclaredMetric {
    /// The name: letters, digits and `_`, none of [`METRICS`].
    pub name: MetricName,
    /// The unit of every value, empty for a pure number.
    pub unit: Arc<str>,
    /// What is better unless an objective says otherwise.
    pub goal: Goal,
}

/// The metrics that a campaign can name: those of [`METRICS`] and its own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Metrics {
    declared: Vec<DeclaredMetric>,
}

/// What is known of a metric.
#[derive(Debug, Clone, Copy)]
pub struct FoundMetric<'a> {
    /// The name.
    pub name: &'a str,
    /// The unit of every value, empty for a pure number.
    pub unit: &'a str,
    /// What is better unless an objective says otherwise.
    pub goal: Goal,
    /// How the value comes about.
    pub kind: MetricKind,
    /// Whether the campaign declares it.
    pub is_declared: bool,
}

impl Metrics {
    /// The built-in metrics and these.
    #[must_use]
    pub fn with(declared: Vec<DeclaredMetric>) -> Self {
        Self { declared }
    }

    /// The campaign's own metrics.
    #[must_use]
    pub fn declared(&self) -> &[DeclaredMetric] {
        &self.declared
    }

    /// The metric called `name`, if there is one.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<FoundMetric<'_>> {
        let declared = self.declared.iter().find(|declared| declared.name.as_str() == name);
        let declared = declared.map(|declared| FoundMetric {
            name: declared.name.as_str(),
            unit: &declared.unit,
            goal: declared.goal,
            kind: MetricKind::Measured,
            is_declared: true,
        });
        declared.or_else(|| {
            metric(name).map(|found| FoundMetric {
                name: found.name,
                unit: found.unit,
                goal: found.goal,
                kind: found.kind,
                is_declared: false,
            })
        })
    }

    /// Every metric, the built-in ones first.
    pub fn iter(&self) -> impl Iterator<Item = FoundMetric<'_>> {
        let built_in = METRICS.iter().map(|metric| metric.name);
        let declared = self.declared.iter().map(|declared| declared.name.as_str());
        built_in.chain(declared).filter_map(|name| self.find(name))
    }
}
