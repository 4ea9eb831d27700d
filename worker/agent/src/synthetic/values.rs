//! Made-up values of a network: plausible trade-offs with noise that depends on the network alone.
//!
//! Only additions, products, quotients and square roots, whose results IEEE 754 fixes, so that
//! every machine finds the same bits. Must not know stages, seeds or messages.

use cambrian_core::graph::Graph;

/// The metrics that can be made up.
pub(super) const METRICS: [&str; 5] =
    ["accuracy", "test_accuracy", "introspectability", "latency", "energy"];

/// The value of `metric` for `graph`, in the metric's unit; 0 for an unknown one.
pub(super) fn value(graph: &Graph, metric: &str) -> f64 {
    let (params, macs) = (graph.params() as f64, graph.macs() as f64);
    let depth = f64::from(graph.depth());
    // Capacity has diminishing returns: half of what can be gained comes with 200,000 parameters.
    let capacity = params / (params + 2e5);
    let accuracy =
        45.0 + 40.0 * capacity + 5.0 * (depth / (depth + 8.0)) + 6.0 * noise(graph, "accuracy");
    match metric {
        "accuracy" => accuracy,
        "test_accuracy" => accuracy - 0.5 + noise(graph, metric),
        "introspectability" => 1.0 - 0.6 * capacity + 0.5 * noise(graph, metric),
        "latency" => 0.05 + 0.02 * depth + macs / 2e9 * 1e3 + 0.1 * noise(graph, metric),
        "energy" => 0.1 + macs * 5e-9 + params.sqrt() * 1e-3 + 0.05 * noise(graph, metric),
        _ => 0.0,
    }
}

/// A number from 0 up to 1 that depends on the network and the purpose.
fn noise(graph: &Graph, purpose: &str) -> f64 {
    let mut hasher = blake3::Hasher::new_derive_key("cambrian 2026 synthetic evaluator v1");
    hasher.update(graph.canonical_hash().as_bytes());
    hasher.update(purpose.as_bytes());
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
    (u64::from_le_bytes(bytes) >> 11) as f64 / (1_u64 << 53) as f64
}

/// 16 hexadecimal digits that stand for these values, whatever their order.
pub fn digest<'a>(values: impl Iterator<Item = (&'a str, f64)>) -> String {
    let mut values: Vec<(&str, f64)> = values.collect();
    values.sort_by(|a, b| a.0.cmp(b.0));
    let mut hasher = blake3::Hasher::new();
    for (metric, value) in values {
        hasher.update(&(metric.len() as u64).to_le_bytes());
        hasher.update(metric.as_bytes());
        hasher.update(&value.to_bits().to_le_bytes());
    }
    hasher.finalize().to_hex()[..16].to_owned()
}
