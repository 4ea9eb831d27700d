//! Expressions over the genes of a schema: constraints that every genotype has to meet, and derived
//! values. They must not know how genotypes are drawn or varied.
//!
//! `syntax` reads a text, `check` resolves names and types, `cost` says how much work an expression is,
//! `evaluate` gives the value; `expression` is for those who build something of the values.
//!
//! An expression that reads a gene that does not apply (one of an arm that is not chosen, or of a
//! copy that is not there) does not apply itself: as a constraint it is met. One that has no value
//! for another reason (a division by zero, a whole number beyond 64 bits) is not met.

mod check;
mod cost;
mod evaluate;
mod expression;
mod syntax;

#[cfg(test)]
mod tests;

use super::gene::Gene;
use super::node::Node;
use check::Scope;
use cost::MAX_WORK;
use evaluate::{Missing, Number, Reading, Value};
use syntax::{Fault, Term};

pub(crate) use check::Type;
pub(crate) use expression::{Environment, Expression, GraphGene, Local, LocalKind, Locals, Wiring};

/// The most constraints, and the most derived values, of a schema.
pub const MAX_RULES: usize = 64;

/// An expression that makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct RuleError {
    /// Which expression.
    pub rule: RulePlace,
    /// The character of its text, from 0.
    pub at: usize,
    /// What is wrong, as a phrase.
    pub reason: String,
    /// What to write instead.
    pub help: String,
}

/// Which of a schema's expressions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RulePlace {
    /// The derived value at this position.
    Derived(usize),
    /// The constraint at this position.
    Constraint(usize),
    /// The constraints together: too few genotypes meet them.
    Constraints,
}

#[derive(Debug, Clone, PartialEq)]
struct Rule {
    name: Box<str>,
    text: Box<str>,
    term: Term,
    kind: Type,
}

/// The expressions of a schema.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Rules {
    derived: Vec<Rule>,
    constraints: Vec<Rule>,
}

impl Rules {
    pub(super) fn new(
        genes: &[Gene],
        root: &Node,
        derived: &[(Box<str>, Box<str>)],
        constraints: &[Box<str>],
    ) -> Result<Self, RuleError> {
        let at = |rule: RulePlace| {
            move |Fault { at, reason, help }: Fault| RuleError { rule, at, reason, help }
        };
        let mut rules = Self::default();
        let mut known = Vec::new();
        for (nth, (name, text)) in derived.iter().enumerate() {
            let at = at(RulePlace::Derived(nth));
            checked_name(genes, &known, name).map_err(at)?;
            let mut term = syntax::parse(text).map_err(at)?;
            let kind =
                Scope { genes, root, derived: &known, locals: &[] }.check(&mut term).map_err(at)?;
            if !matches!(kind, Type::Number | Type::Text | Type::Boolean) {
                let help = "take its sum, min, max or len";
                return Err(at(Fault::new(term.at, "a derived value is no list", help)));
            }
            known.push((name.clone(), kind));
            rules.derived.push(Rule { name: name.clone(), text: text.clone(), term, kind });
        }
        for (nth, text) in constraints.iter().enumerate() {
            let at = at(RulePlace::Constraint(nth));
            let mut term = syntax::parse(text).map_err(at)?;
            let kind =
                Scope { genes, root, derived: &known, locals: &[] }.check(&mut term).map_err(at)?;
            if kind != Type::Boolean {
                let help = "end in a comparison, such as `depth * width <= 4096`";
                return Err(at(Fault::new(term.at, "a constraint is true or false", help)));
            }
            rules.constraints.push(Rule { name: "".into(), text: text.clone(), term, kind });
        }
        let numbers = [derived.len(), constraints.len()];
        if numbers.into_iter().any(|number| number > MAX_RULES) {
            let reason = format!("there are more than {MAX_RULES} expressions");
            let fault = Fault::new(0, reason, "join constraints by `and`");
            return Err(at(RulePlace::Constraints)(fault));
        }
        Ok(rules)
    }

    /// Refuses expressions that are too much work for a genotype of so many slots.
    pub(super) fn check_work(&self, slots: usize) -> Result<(), RuleError> {
        let work = self.work(slots);
        if work <= MAX_WORK {
            return Ok(());
        }
        let reason = format!(
            "the expressions have {work} terms, lists counted by the slots of an architecture; {MAX_WORK} at most"
        );
        let help = "say the same in fewer, or read fewer lists".to_owned();
        Err(RuleError { rule: RulePlace::Constraints, at: 0, reason, help })
    }

    pub(super) fn has_constraints(&self) -> bool {
        !self.constraints.is_empty()
    }

    /// The texts of the constraints.
    pub(super) fn constraints(&self) -> impl Iterator<Item = &str> {
        self.constraints.iter().map(|rule| rule.text.as_ref())
    }

    /// Names and texts of the derived values.
    pub(super) fn derived(&self) -> impl Iterator<Item = (&str, &str)> {
        self.derived.iter().map(|rule| (rule.name.as_ref(), rule.text.as_ref()))
    }

    /// The first constraint that the genotype does not meet.
    pub(super) fn broken(&self, slots: &[u32]) -> Option<&str> {
        // Derived values are not asked for then.
        if self.constraints.is_empty() {
            return None;
        }
        let derived = self.derived_values(slots);
        let reading = Reading { slots, derived: &derived, frames: &[], shape: None };
        let meets = |rule: &Rule| match reading.truth(&rule.term) {
            Ok(met) => met,
            Err(missing) => missing == Missing::DoesNotApply,
        };
        self.constraints.iter().find(|rule| !meets(rule)).map(|rule| rule.text.as_ref())
    }

    /// The derived values that a genotype has, as texts.
    pub(super) fn shown(&self, slots: &[u32]) -> Vec<(&str, String)> {
        let values = self.derived_values(slots);
        let named = self.derived.iter().zip(values);
        named.filter_map(|(rule, value)| Some((rule.name.as_ref(), shown(&value.ok()?)))).collect()
    }

    /// Names and types of the derived values.
    fn derived_types(&self) -> Vec<(Box<str>, Type)> {
        let typed = |rule: &Rule| (rule.name.clone(), rule.kind);
        self.derived.iter().map(typed).collect()
    }

    fn derived_values<'a>(&'a self, slots: &[u32]) -> Vec<Result<Value<'a>, Missing>> {
        let mut values = Vec::with_capacity(self.derived.len());
        for rule in &self.derived {
            let value =
                Reading { slots, derived: &values, frames: &[], shape: None }.value(&rule.term);
            values.push(value);
        }
        values
    }
}

fn checked_name(genes: &[Gene], known: &[(Box<str>, Type)], name: &str) -> Result<(), Fault> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if name.is_empty() || !name.chars().all(plain) {
        let help = "use letters, digits and `_`";
        return Err(Fault::new(0, format!("`{name}` cannot name a derived value"), help));
    }
    let taken = genes.iter().any(|gene| *gene.name == *name);
    if taken || known.iter().any(|(known, _)| **known == *name) {
        let help = "give it a name of its own";
        return Err(Fault::new(0, format!("`{name}` is the name of something else"), help));
    }
    Ok(())
}

fn shown(value: &Value<'_>) -> String {
    match value {
        Value::Number(Number::Whole(number)) => number.to_string(),
        Value::Number(Number::Real(number)) => number.to_string(),
        Value::Text(text) => (*text).to_owned(),
        Value::Boolean(value) => value.to_string(),
        Value::List(values) => values.iter().map(shown).collect::<Vec<_>>().join("|"),
    }
}
