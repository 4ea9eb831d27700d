//! How much memory the tables of a schema's genes need, before any is built: running sums of counts, and the
//! graphs of `dag` genes. It must not know what the tables say.

use super::gene::{Gene, GeneKind, MAX_DAG_NODES, SchemaError};

/// The most bits of all tables, 256 MiB.
const MOST: u64 = 1 << 31;
/// At least what a number of any size takes beside its bits.
const NUMBER: u64 = 256;
/// The bits of a slot's value, at most.
const SLOT: u64 = 32;

/// Refuses genes whose tables would need too much memory.
///
/// # Errors
/// [`SchemaError`] at the first gene with which it is too much.
pub(super) fn check(genes: &[Gene]) -> Result<(), SchemaError> {
    let mut sum = 0u64;
    for gene in genes {
        sum = sum.saturating_add(size(&gene.kind).tables);
        if sum > MOST {
            return Err(SchemaError {
                path: gene.name.to_string(),
                reason: format!(
                    "needs tables of its values of {} MiB with the genes before it, of {} at most",
                    sum >> 23,
                    MOST >> 23
                ),
                help: "allow fewer copies of a `repeat`, or fewer nodes or edges of a `dag`"
                    .to_owned(),
            });
        }
    }
    Ok(())
}

/// In bits.
#[derive(Default)]
struct Size {
    /// The largest number of values.
    count: u64,
    tables: u64,
}

impl Size {
    fn and(self, other: Self) -> Self {
        Self {
            count: self.count.saturating_add(other.count),
            tables: self.tables.saturating_add(other.tables),
        }
    }

    fn plain(slots: u64) -> Self {
        Self { count: SLOT.saturating_mul(slots), tables: 0 }
    }
}

fn group(genes: &[Gene]) -> Size {
    genes.iter().fold(Size::default(), |sum, gene| sum.and(size(&gene.kind)))
}

fn size(kind: &GeneKind) -> Size {
    match kind {
        GeneKind::Switch { arms } => {
            let all = arms.iter().fold(Size::default(), |sum, (_, genes)| sum.and(group(genes)));
            let sums = (arms.len() as u64).saturating_mul(all.count.saturating_add(NUMBER));
            Size { count: all.count.saturating_add(SLOT), tables: all.tables.saturating_add(sums) }
        }
        GeneKind::Repeat { at_least, at_most, shared, body } => {
            let body = group(body);
            let (least, most) =
                (u64::from(*at_least).min(u64::from(*at_most)), u64::from(*at_most));
            let bodies = if *shared { 1 } else { most };
            let count = body.count.saturating_mul(bodies).saturating_add(SLOT);
            // One sum for each length; they grow with the copies, so that their bits are in the middle on average.
            let middle =
                if *shared { count } else { body.count.saturating_mul((least + most).div_ceil(2)) };
            let sums = (most - least + 1).saturating_mul(middle.saturating_add(NUMBER));
            Size { count, tables: body.tables.saturating_add(sums) }
        }
        GeneKind::Dag { most_nodes, max_edges, .. } => {
            let nodes = u64::from((*most_nodes).min(MAX_DAG_NODES));
            let graphs = graphs(nodes * nodes.saturating_sub(1) / 2, u64::from(*max_edges));
            Size { count: SLOT * nodes, tables: SLOT.saturating_mul(graphs / 8) }
        }
        GeneKind::Edges { nodes, .. } | GeneKind::Parents { nodes, .. } => {
            let nodes = u64::from(*nodes);
            Size::plain(nodes.saturating_mul(nodes))
        }
        GeneKind::Tied { .. } => Size::default(),
        GeneKind::Integer { .. }
        | GeneKind::Real { .. }
        | GeneKind::Boolean
        | GeneKind::Categorical { .. }
        | GeneKind::Subset { .. } => Size::plain(1),
    }
}

/// How many sets of at most `most` of `edges` there are; about one in eight of those of many nodes connects
/// all of them.
fn graphs(edges: u64, most: u64) -> u64 {
    let mut sets = 1u64;
    let mut sum = sets;
    for taken in 1..=most.min(edges) {
        sets = sets.saturating_mul(edges + 1 - taken) / taken;
        sum = sum.saturating_add(sets);
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repeat(at_most: u32, shared: bool) -> GeneKind {
        let body = vec![Gene::new("x", GeneKind::Real { low: 0.0, high: 1.0, log: false })];
        GeneKind::Repeat { at_least: 1, at_most, shared, body }
    }

    fn dag(max_edges: u32) -> GeneKind {
        let labels = vec!["a".into(), "b".into()];
        GeneKind::Dag { least_nodes: 2, most_nodes: 8, max_edges, labels }
    }

    fn refused(kinds: &[GeneKind]) -> bool {
        let named = |(nth, kind): (usize, &GeneKind)| Gene::new(&*format!("g{nth}"), kind.clone());
        check(&kinds.iter().enumerate().map(named).collect::<Vec<_>>()).is_err()
    }

    #[test]
    fn repeats_are_bounded_by_what_their_sums_need() {
        assert!(!refused(&[repeat(2_000, false)]));
        assert!(refused(&[repeat(50_000, false)]));
        assert!(!refused(&[repeat(100_000, true)]));
        assert!(refused(&[repeat(4_000_000_000, true)]));
        assert!(refused(&vec![repeat(100_000, true); 1_000]));
        let one_length = |copies| GeneKind::Repeat {
            at_least: copies,
            at_most: copies,
            shared: false,
            body: vec![Gene::new("x", GeneKind::Boolean)],
        };
        assert!(!refused(&[one_length(12_000)]));
    }

    #[test]
    fn graphs_are_bounded_by_their_number() {
        assert_eq!([graphs(3, 9), graphs(6, 2), graphs(28, 28)], [8, 22, 1 << 28]);
        assert!(!refused(&[dag(28)]));
        assert!(!refused(&vec![dag(9); 10]));
        assert!(refused(&vec![dag(28); 10]));
    }
}
