//! Parts of networks that several spaces build. It must not know genes.

use crate::graph::{GraphBuilder, GraphError, NodeId, Op};

/// Squeeze-and-excitation (Hu, Shen and Sun, CVPR 2018): the channels of the map at `input` weighted by
/// `gate` of what two linear layers, the first with so many `hidden` features, make of their means.
pub(super) fn squeeze_and_excite(
    graph: &mut GraphBuilder,
    input: NodeId,
    channels: u32,
    hidden: u32,
    gate: Op,
) -> Result<NodeId, GraphError> {
    let squeezed = graph.add(Op::GlobalAvgPool, &[input])?;
    let reduced = graph.add(Op::Linear { out_features: hidden, bias: true }, &[squeezed])?;
    let active = graph.add(Op::Relu, &[reduced])?;
    let expanded = graph.add(Op::Linear { out_features: channels, bias: true }, &[active])?;
    let weights = graph.add(gate, &[expanded])?;
    graph.add(Op::Multiply, &[input, weights])
}
