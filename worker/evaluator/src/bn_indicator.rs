//! `bn_indicator`: what batch normalisation has learned to let through: the sum over blocks of the mean
//! magnitude of the scales of the block's last batch normalisation (BN-NAS, Chen et al., ICCV 2021; with frozen
//! orthogonal convolutions the reading of arXiv 2307.02263, experimental).
//!
//! A graph has no blocks, so they are found by their ends: batch normalisations whose values come to a sum or
//! a stack of several values before they come to another layer with weights, and those that a convolution
//! reads without an activation between, as behind a linear bottleneck. Where there is neither, as in a plain
//! chain, each is a block's.
//! It must not know how the network was trained.

use cambrian_core::graph::{Graph, Op};
use tch::Kind;

use crate::failure::EvaluationError;
use crate::network::Network;

/// The score of `network`, which executes `graph`.
///
/// # Errors
/// [`EvaluationError::NotApplicable`] without batch normalisation on the way to the output.
pub fn bn_indicator(graph: &Graph, network: &Network) -> Result<f64, EvaluationError> {
    let scales = network.scales();
    if scales.is_empty() {
        return Err(EvaluationError::NotApplicable {
            metric: "bn_indicator",
            reason: "no batch normalisation of the network reaches its output".to_owned(),
        });
    }
    let ends = block_ends(graph);
    let plain = !scales.iter().any(|(node, _)| ends[node.0 as usize]);
    let mut score = 0.0;
    for (node, scale) in scales {
        if plain || ends[node.0 as usize] {
            score += scale.f_detach()?.f_abs()?.f_mean(Kind::Double)?.f_double_value(&[])?;
        }
    }
    Ok(score)
}

/// For each node whether a block ends with it if it is a batch normalisation.
fn block_ends(graph: &Graph) -> Vec<bool> {
    let mut joins = vec![false; graph.nodes().len()];
    let mut read_plainly = joins.clone();
    for (position, node) in graph.nodes().iter().enumerate().rev() {
        let several = node.inputs.len() > 1;
        let leads = match node.op {
            Op::Add | Op::Concat => several || joins[position],
            Op::Conv2d { .. } | Op::Linear { .. } | Op::BatchNorm | Op::Zero => false,
            _ => joins[position],
        };
        for input in &node.inputs {
            joins[input.0 as usize] |= leads;
            read_plainly[input.0 as usize] |= matches!(node.op, Op::Conv2d { .. });
        }
    }
    joins.iter().zip(&read_plainly).map(|(joins, plainly)| *joins || *plainly).collect()
}

#[cfg(test)]
mod tests {
    use cambrian_core::graph::{GraphBuilder, NodeId, Shape, Window};
    use tch::{Device, Kind};

    use super::*;
    use crate::network::golden::conv;
    use crate::train::Randomness;

    const POINT: Op = Op::Conv2d {
        out_channels: 2,
        window: Window { kernel: 1, stride: 1, padding: 0 },
        dilation: 1,
        groups: 1,
        bias: false,
    };

    /// The score where the scales of the n-th batch normalisation are all +-10^n.
    fn score(builder: GraphBuilder, output: NodeId) -> Result<f64, EvaluationError> {
        let graph = builder.finish(output).unwrap();
        let mut generator = Randomness::Weights.stream(0);
        let network = Network::new(&graph, &mut generator, Device::Cpu, Kind::Double).unwrap();
        let _guard = tch::no_grad_guard();
        for (place, (_, mut scale)) in network.scales().into_iter().enumerate() {
            let sign = if place % 2 == 0 { 1.0 } else { -1.0 };
            let _ = scale.fill_(sign * 10f64.powi(place as i32));
        }
        bn_indicator(&graph, &network)
    }

    fn builder() -> (GraphBuilder, NodeId) {
        let builder = GraphBuilder::new(Shape::Map { channels: 2, height: 4, width: 4 });
        let input = builder.input();
        (builder, input)
    }

    fn chain(builder: &mut GraphBuilder, from: NodeId, ops: &[Op]) -> NodeId {
        ops.iter().fold(from, |last, op| builder.add(*op, &[last]).unwrap())
    }

    #[test]
    fn the_last_normalisation_before_a_sum_counts() {
        let (mut builder, input) = builder();
        let stem = chain(&mut builder, input, &[conv(2), Op::BatchNorm, Op::Relu]);
        let inner = [conv(2), Op::BatchNorm, Op::Relu, conv(2), Op::BatchNorm];
        let branch = chain(&mut builder, stem, &inner);
        let sum = builder.add(Op::Add, &[stem, branch]).unwrap();
        let last = chain(&mut builder, sum, &[conv(2), Op::BatchNorm, Op::Relu, Op::GlobalAvgPool]);
        let output = builder.add(Op::Linear { out_features: 3, bias: false }, &[last]).unwrap();
        // The stem's and the branch's second.
        assert_eq!(score(builder, output).unwrap(), 1.0 + 100.0);
    }

    #[test]
    fn linear_bottlenecks_end_where_the_next_convolution_reads_them() {
        let (mut builder, input) = builder();
        let block = [POINT, Op::BatchNorm, Op::Relu, conv(2), Op::BatchNorm];
        let first = chain(&mut builder, input, &block);
        let second = chain(&mut builder, first, &block);
        let output = chain(&mut builder, second, &[conv(2), Op::GlobalAvgPool]);
        assert_eq!(score(builder, output).unwrap(), 10.0 + 1000.0);
    }

    #[test]
    fn in_a_plain_chain_every_normalisation_counts() {
        let (mut builder, input) = builder();
        let layer = [conv(2), Op::BatchNorm, Op::Relu];
        let last = chain(&mut builder, input, &layer.repeat(3));
        let output = builder.add(Op::GlobalAvgPool, &[last]).unwrap();
        assert_eq!(score(builder, output).unwrap(), 111.0);
    }

    #[test]
    fn a_network_without_normalisation_has_no_score() {
        let (mut builder, input) = builder();
        let output = chain(&mut builder, input, &[conv(2), Op::GlobalAvgPool]);
        let error = score(builder, output).unwrap_err();
        assert!(matches!(error, EvaluationError::NotApplicable { .. }), "{error}");
    }
}
