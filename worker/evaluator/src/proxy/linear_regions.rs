//! `linear_regions`: how many different activation patterns standard normal images of few pixels have
//! (TE-NAS, Chen et al., ICLR 2021), with weights after He et al.
//!
//! Images are of 3x3 pixels, or of the smallest larger square that the network takes, because nearly
//! every image of a full size has a pattern of its own. TE-NAS counts them in a copy of the network
//! with one channel and one cell a stage; here it is the network itself. Networks with ReLUs that
//! take such a map alone. Must not know the data's images, nor how a pattern is found.

use std::collections::HashSet;

use cambrian_core::graph::{Graph, Shape};
use tch::{Kind, Tensor};

use super::Probe;
use super::patterns::{Pattern, patterns};
use crate::failure::EvaluationError;
use crate::network::Initialization;

const METRIC: &str = "linear_regions";
/// The sides that are tried, in pixels.
const SIDES: std::ops::RangeInclusive<u32> = 3..=8;

pub(super) fn score(probe: &Probe<'_>) -> Result<f64, EvaluationError> {
    let graph = shrunken(probe.graph())?;
    let network = probe.build(&graph, Initialization::KaimingFanIn, probe.kind())?;
    let images = probe.standard_normal(probe.batch_size(), graph.input_shape(), 0)?;
    let patterns = patterns(METRIC, &graph, &network, &images)?;
    Ok(distinct(&patterns)? as f64)
}

/// The same operations on the smallest map that they take.
fn shrunken(graph: &Graph) -> Result<Graph, EvaluationError> {
    let Shape::Map { channels, .. } = graph.input_shape() else {
        let reason = "the network takes no images".to_owned();
        return Err(EvaluationError::NotApplicable { metric: METRIC, reason });
    };
    let of_side = |side: u32| {
        let input = Shape::Map { channels, height: side, width: side };
        let nodes = graph.nodes().iter().map(|node| (node.op, node.inputs.to_vec())).collect();
        Graph::from_parts(nodes, input, graph.output())
    };
    // Layers that do not shrink with the image, such as one behind `flatten`, fail on every side.
    SIDES.map(of_side).find_map(Result::ok).ok_or_else(|| EvaluationError::NotApplicable {
        metric: METRIC,
        reason: format!(
            "the network does not take images of {0}x{0} to {1}x{1} pixels",
            SIDES.start(),
            SIDES.end()
        ),
    })
}

/// How many samples differ from all earlier ones in some unit.
pub(super) fn distinct(patterns: &[Pattern]) -> Result<usize, EvaluationError> {
    let active: Vec<&Tensor> = patterns.iter().map(|pattern| &pattern.active).collect();
    let codes = Tensor::f_cat(&active, 1)?.f_to_kind(Kind::Uint8)?.f_contiguous()?;
    let units = codes.size()[1].max(1) as usize;
    let codes = Vec::<u8>::try_from(codes.f_view([-1])?)?;
    Ok(codes.chunks(units).collect::<HashSet<_>>().len())
}
