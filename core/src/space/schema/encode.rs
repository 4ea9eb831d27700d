//! The fixed-length encoding that models learn from. It must not know models.

use super::REAL_VALUES;
use super::dag;
use super::node::Node;

/// What one number of an encoding means to a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Feature {
    /// One of this many unordered values; encoded as its index.
    Category(u32),
    /// A number; encoded as its position in its range, 0 to 1.
    Ordered,
}

impl Node {
    /// Appends what each number of the encoding means.
    pub(super) fn features(&self, features: &mut Vec<Feature>) {
        match self {
            Self::Choice { values, ordered: false } => features.push(Feature::Category(*values)),
            Self::Choice { ordered: true, .. } | Self::Logarithmic(_) | Self::Real => {
                features.push(Feature::Ordered);
            }
            Self::Mask { items, .. } => {
                features.extend((0..*items).map(|_| Feature::Category(2)));
            }
            Self::Group { members, .. } => {
                members.iter().for_each(|member| member.features(features));
            }
            Self::Switch { arms, .. } => {
                features.push(Feature::Category(arms.len() as u32));
                arms.iter().for_each(|arm| arm.features(features));
            }
            Self::Repeat { bodies, body, .. } => {
                features.push(Feature::Ordered);
                (0..*bodies).for_each(|_| body.features(features));
            }
            Self::Dag(table) => {
                features.push(Feature::Ordered);
                features.extend((0..table.edges()).map(|_| Feature::Category(2)));
                let inner = 0..table.nodes().end() - 2;
                features.extend(inner.map(|_| Feature::Category(table.labels())));
            }
        }
    }

    /// Appends the encoding of the values; NaN where a feature does not apply.
    pub(super) fn encode(&self, values: &[u32], applies: bool, features: &mut Vec<f64>) {
        let mut push = |value: f64| features.push(if applies { value } else { f64::NAN });
        match self {
            Self::Choice { ordered: false, .. } => push(f64::from(values[0])),
            Self::Choice { values: limit, ordered: true } => {
                push(position(values[0], 0, limit - 1))
            }
            Self::Logarithmic(ratios) => push(ratios.position(values[0])),
            Self::Real => push(f64::from(values[0]) / (REAL_VALUES - 1) as f64),
            Self::Mask { items, .. } => {
                (0..*items).for_each(|bit| push(f64::from(values[0] >> bit & 1)));
            }
            Self::Group { members, .. } => {
                let mut at = 0;
                for member in members {
                    member.encode(&values[at..at + member.slots()], applies, features);
                    at += member.slots();
                }
            }
            Self::Switch { arms, .. } => {
                push(f64::from(values[0]));
                let mut at = 1;
                for (arm, node) in arms.iter().enumerate() {
                    let chosen = applies && arm == values[0] as usize;
                    node.encode(&values[at..at + node.slots()], chosen, features);
                    at += node.slots();
                }
            }
            Self::Repeat { at_least, at_most, bodies, body, .. } => {
                push(position(values[0], *at_least, *at_most));
                for copy in 0..*bodies as usize {
                    let at = 1 + copy * body.slots();
                    let there = applies && copy < values[0] as usize;
                    body.encode(&values[at..at + body.slots()], there, features);
                }
            }
            Self::Dag(table) => {
                let (least, most) = (*table.nodes().start(), *table.nodes().end());
                push(position(values[0], least, most));
                for j in 1..most {
                    for i in 0..j {
                        let present = values[1] & dag::edge(i, j) != 0;
                        push(f64::from(u8::from(present)));
                    }
                }
                for node in 1..most - 1 {
                    let there = applies && node + 1 < values[0];
                    let label = f64::from(values[node as usize + 1]);
                    features.push(if there { label } else { f64::NAN });
                }
            }
        }
    }
}

/// Where a value lies in its range, 0 to 1. Slots of genes that do not apply hold 0, below any range.
fn position(value: u32, low: u32, high: u32) -> f64 {
    if low == high { 0.0 } else { f64::from(value.saturating_sub(low)) / f64::from(high - low) }
}
