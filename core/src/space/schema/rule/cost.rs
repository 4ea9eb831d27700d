//! How much work expressions are for one genotype, so that whoever evaluates them for many knows before. It
//! must not know values.

use super::Rules;
use super::check::{Leaf, Reach, Step};
use super::syntax::{Syntax, Term};

/// The most work that the expressions of a schema may be for one genotype, as by [`Rules::work`]: every
/// proposal of a search may evaluate them a thousand times.
pub(super) const MAX_WORK: u64 = 50_000;

impl Rules {
    /// The terms of all expressions, of which one that reads a list counts as often as the genotype has slots.
    pub(in crate::space::schema) fn work(&self, slots: usize) -> u64 {
        let rules = self.derived.iter().chain(&self.constraints);
        rules.map(|rule| work(&rule.term, slots as u64)).sum()
    }
}

fn work(term: &Term, slots: u64) -> u64 {
    let all = |terms: &[Term]| terms.iter().map(|term| work(term, slots)).sum::<u64>();
    1 + match &term.syntax {
        Syntax::Gene(reach) | Syntax::LocalGene(_, reach) if reads_a_list(reach) => slots,
        Syntax::Not(inner) | Syntax::Negate(inner) => work(inner, slots),
        Syntax::Index(terms) | Syntax::Binary(_, terms) => all(terms.as_ref()),
        Syntax::Choose(terms) => all(terms.as_ref()),
        Syntax::List(terms) | Syntax::Call(_, terms) => all(terms),
        Syntax::Integer(_)
        | Syntax::Real(_)
        | Syntax::Text(_)
        | Syntax::Boolean(_)
        | Syntax::Name(_)
        | Syntax::Gene(_)
        | Syntax::Derived(_)
        | Syntax::Local(_)
        | Syntax::LocalGene(..)
        | Syntax::Shape(_) => 0,
    }
}

fn reads_a_list(reach: &Reach) -> bool {
    let many = |step: &Step| matches!(step, Step::Copies { .. });
    let list = matches!(reach.leaf, Leaf::Subset(_) | Leaf::Edges { .. } | Leaf::DagLabels(_));
    list || reach.steps.iter().any(many)
}
