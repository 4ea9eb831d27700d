//! The value of a checked expression for one genotype. It must not know texts or names of genes.

use super::super::text::real_value;
use super::check::{Leaf, Reach, Step};
use super::syntax::{Function, Operator, Side, Syntax, Term};
use crate::graph::Shape;

/// A number: whole as long as arithmetic keeps it so.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Number {
    Whole(i64),
    Real(f64),
}

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value<'a> {
    Number(Number),
    Text(&'a str),
    Boolean(bool),
    List(Vec<Value<'a>>),
}

/// Why an expression has no value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Missing {
    /// It reads a gene that does not apply.
    DoesNotApply,
    /// A division by zero, a sum beyond the numbers, the least of no values.
    Undefined,
}

type Evaluated<'a> = Result<Value<'a>, Missing>;

/// What expressions read.
pub(super) struct Reading<'r, 'a> {
    /// The genotype.
    pub(super) slots: &'r [u32],
    /// The derived values before the expression.
    pub(super) derived: &'r [Evaluated<'a>],
    /// What local names stand for.
    pub(super) frames: &'r [Frame<'a>],
    /// What a layer of a network reads.
    pub(super) shape: Option<Shape>,
}

/// What a local name stands for.
#[derive(Debug, Clone)]
pub(super) enum Frame<'a> {
    /// A value.
    Value(Value<'a>),
    /// A copy of a repeat: its position, and its first slot.
    Copy { nth: i64, base: usize },
}

impl Number {
    fn of(number: f64) -> Self {
        const WHOLE: f64 = (1u64 << 53) as f64;
        let is_whole = number.abs() <= WHOLE && libm::trunc(number) == number;
        if is_whole { Self::Whole(number as i64) } else { Self::Real(number) }
    }

    pub(super) fn real(self) -> f64 {
        match self {
            Self::Whole(number) => number as f64,
            Self::Real(number) => number,
        }
    }

    fn compare(self, other: Self) -> Option<std::cmp::Ordering> {
        match (self, other) {
            (Self::Whole(a), Self::Whole(b)) => Some(a.cmp(&b)),
            (a, b) => a.real().partial_cmp(&b.real()),
        }
    }
}

impl<'a> Reading<'_, 'a> {
    pub(super) fn value(&self, term: &'a Term) -> Evaluated<'a> {
        Ok(match &term.syntax {
            Syntax::Integer(number) => Value::Number(Number::Whole(*number)),
            Syntax::Real(number) => Value::Number(Number::Real(*number)),
            Syntax::Text(text) => Value::Text(text),
            Syntax::Boolean(value) => Value::Boolean(*value),
            // Names are resolved when the expression is declared.
            Syntax::Name(_) => return Err(Missing::Undefined),
            Syntax::Gene(reach) => self.gene(reach, 0)?,
            Syntax::LocalGene(nth, reach) => self.gene(reach, self.base(*nth))?,
            Syntax::Local(nth) => match &self.frames[*nth] {
                Frame::Value(value) => value.clone(),
                Frame::Copy { nth, .. } => Value::Number(Number::Whole(*nth)),
            },
            Syntax::Shape(side) => Value::Number(Number::Whole(self.side(*side)?.into())),
            Syntax::Index(terms) => {
                let [list, index] = terms.as_ref();
                let Number::Whole(index) = self.number(index)? else {
                    return Err(Missing::Undefined);
                };
                let index = usize::try_from(index).map_err(|_| Missing::Undefined)?;
                self.list(list)?.get(index).cloned().ok_or(Missing::Undefined)?
            }
            Syntax::Derived(nth) => self.derived[*nth].clone()?,
            Syntax::List(terms) => Value::List(self.values(terms)?),
            Syntax::Not(inner) => Value::Boolean(!self.truth(inner)?),
            Syntax::Negate(inner) => match self.number(inner)? {
                Number::Whole(number) => whole(number.checked_neg())?,
                Number::Real(number) => finite(-number)?,
            },
            Syntax::Choose(terms) => {
                let [condition, chosen, other] = terms.as_ref();
                self.value(if self.truth(condition)? { chosen } else { other })?
            }
            Syntax::Binary(operator, terms) => {
                let [left, right] = terms.as_ref();
                self.binary(*operator, left, right)?
            }
            Syntax::Call(function, terms) => self.call(*function, terms)?,
        })
    }

    pub(super) fn truth(&self, term: &'a Term) -> Result<bool, Missing> {
        match self.value(term)? {
            Value::Boolean(value) => Ok(value),
            _ => Err(Missing::Undefined),
        }
    }

    fn number(&self, term: &'a Term) -> Result<Number, Missing> {
        match self.value(term)? {
            Value::Number(number) => Ok(number),
            _ => Err(Missing::Undefined),
        }
    }

    fn values(&self, terms: &'a [Term]) -> Result<Vec<Value<'a>>, Missing> {
        terms.iter().map(|term| self.value(term)).collect()
    }

    fn list(&self, term: &'a Term) -> Result<Vec<Value<'a>>, Missing> {
        match self.value(term)? {
            Value::List(values) => Ok(values),
            _ => Err(Missing::Undefined),
        }
    }

    fn binary(&self, operator: Operator, left: &'a Term, right: &'a Term) -> Evaluated<'a> {
        use std::cmp::Ordering::{Greater, Less};
        Ok(Value::Boolean(match operator {
            Operator::Or => self.truth(left)? || self.truth(right)?,
            Operator::And => self.truth(left)? && self.truth(right)?,
            Operator::Equal => same(&self.value(left)?, &self.value(right)?),
            Operator::Unequal => !same(&self.value(left)?, &self.value(right)?),
            Operator::In | Operator::NotIn => {
                let value = self.value(left)?;
                let found = self.list(right)?.iter().any(|other| same(&value, other));
                found == (operator == Operator::In)
            }
            Operator::Less | Operator::AtMost | Operator::Greater | Operator::AtLeast => {
                let order = self.number(left)?.compare(self.number(right)?);
                let order = order.ok_or(Missing::Undefined)?;
                match operator {
                    Operator::Less => order == Less,
                    Operator::AtMost => order != Greater,
                    Operator::Greater => order == Greater,
                    _ => order != Less,
                }
            }
            _ => return arithmetic(operator, self.number(left)?, self.number(right)?),
        }))
    }

    fn call(&self, function: Function, terms: &'a [Term]) -> Evaluated<'a> {
        let values = match (function, terms) {
            (Function::Min | Function::Max, [_, _, ..]) => self.values(terms)?,
            (Function::Divisible, [value, by]) => {
                return divisible(self.number(value)?.real(), self.number(by)?.real());
            }
            (Function::Abs, [term]) => {
                return match self.number(term)? {
                    Number::Whole(number) => whole(number.checked_abs()),
                    Number::Real(number) => finite(number.abs()),
                };
            }
            (_, [list, ..]) => self.list(list)?,
            (_, []) => return Err(Missing::Undefined),
        };
        let numbers = || values.iter().filter_map(number_of);
        let sooner = |a: Number, b: Number, wanted| {
            if b.compare(a) == Some(wanted) { b } else { a }
        };
        let best = |wanted| numbers().reduce(|a, b| sooner(a, b, wanted));
        match function {
            Function::Min => best(std::cmp::Ordering::Less),
            Function::Max => best(std::cmp::Ordering::Greater),
            Function::Sum => {
                return numbers().try_fold(Value::Number(Number::Whole(0)), |sum, number| {
                    let sum = number_of(&sum).ok_or(Missing::Undefined)?;
                    arithmetic(Operator::Add, sum, number)
                });
            }
            Function::Count => {
                let wanted = self.value(&terms[1])?;
                let found = values.iter().filter(|value| same(value, &wanted)).count();
                Some(Number::Whole(found as i64))
            }
            _ => Some(Number::Whole(values.len() as i64)),
        }
        .map(Value::Number)
        .ok_or(Missing::Undefined)
    }

    fn side(&self, side: Side) -> Result<u32, Missing> {
        match (side, self.shape) {
            (Side::Channels, Some(Shape::Map { channels, .. })) => Ok(channels),
            (Side::Height, Some(Shape::Map { height, .. })) => Ok(height),
            (Side::Width, Some(Shape::Map { width, .. })) => Ok(width),
            (Side::Features, Some(Shape::Vector { features })) => Ok(features),
            _ => Err(Missing::Undefined),
        }
    }

    /// The first slot of the copy that a local name stands for.
    pub(super) fn base(&self, nth: usize) -> usize {
        match self.frames[nth] {
            Frame::Copy { base, .. } => base,
            Frame::Value(_) => 0,
        }
    }

    /// The slot at the end of the steps, which lead to one place.
    pub(super) fn slot(&self, reach: &Reach, base: usize) -> Result<usize, Missing> {
        let mut base = base;
        for step in &reach.steps {
            match step {
                Step::Arm { at, arm } if self.slots[base + at] == *arm => {}
                Step::Copy { at, size, nth } if *nth < self.slots[base + at] as usize => {
                    base += at + 1 + nth * size;
                }
                _ => return Err(Missing::DoesNotApply),
            }
        }
        Ok(base + reach.at)
    }

    fn gene(&self, reach: &'a Reach, base: usize) -> Evaluated<'a> {
        // Most genes are in one place; whoever evaluates a million genotypes need not allocate for these.
        if !reach.steps.iter().any(|step| matches!(step, Step::Copies { .. })) {
            return self.slot(reach, base).map(|at| leaf(&reach.leaf, &self.slots[at..]));
        }
        let mut found = Vec::new();
        let many = self.follow(&reach.steps, base, reach, &mut found)?;
        if many {
            return Ok(Value::List(found));
        }
        found.pop().ok_or(Missing::DoesNotApply)
    }

    /// Collects the values at the end of the steps; whether there may be several.
    fn follow(
        &self,
        steps: &'a [Step],
        base: usize,
        reach: &'a Reach,
        found: &mut Vec<Value<'a>>,
    ) -> Result<bool, Missing> {
        let Some((step, rest)) = steps.split_first() else {
            found.push(leaf(&reach.leaf, &self.slots[base + reach.at..]));
            return Ok(false);
        };
        match step {
            Step::Arm { at, arm } if self.slots[base + at] == *arm => {
                self.follow(rest, base, reach, found)
            }
            Step::Copy { at, size, nth } if *nth < self.slots[base + at] as usize => {
                self.follow(rest, base + at + 1 + nth * size, reach, found)
            }
            Step::Arm { .. } | Step::Copy { .. } => Err(Missing::DoesNotApply),
            Step::Copies { at, size } => {
                for nth in 0..self.slots[base + at] as usize {
                    let mut inner = Vec::new();
                    // A copy in which the gene does not apply adds nothing to the list.
                    if self.follow(rest, base + at + 1 + nth * size, reach, &mut inner).is_ok() {
                        found.extend(inner.into_iter().flat_map(|value| match value {
                            Value::List(values) => values,
                            value => vec![value],
                        }));
                    }
                }
                Ok(true)
            }
        }
    }
}

fn leaf<'a>(leaf: &'a Leaf, slots: &[u32]) -> Value<'a> {
    let whole = |number: i64| Value::Number(Number::Whole(number));
    let texts = |texts: &mut dyn Iterator<Item = &'a Box<str>>| {
        Value::List(texts.map(|text| Value::Text(text)).collect())
    };
    match leaf {
        Leaf::Integer { low, step } => whole(low + i64::from(slots[0]) * i64::from(*step)),
        Leaf::Real { low, high, log } => {
            Value::Number(Number::Real(real_value(*low, *high, *log, slots[0])))
        }
        Leaf::Boolean => Value::Boolean(slots[0] == 1),
        Leaf::Numbers(numbers) => Value::Number(Number::of(numbers[slots[0] as usize])),
        Leaf::Names(names) => Value::Text(&names[slots[0] as usize]),
        Leaf::Copies | Leaf::DagNodes => whole(i64::from(slots[0])),
        Leaf::Subset(names) => {
            let taken = names.iter().zip(0..).filter(|(_, bit)| slots[0] >> bit & 1 == 1);
            texts(&mut taken.map(|(name, _)| name))
        }
        Leaf::Edges { labels, slots: count } => {
            texts(&mut slots[..*count].iter().map(|label| &labels[*label as usize]))
        }
        Leaf::DagEdges => whole(i64::from(slots[1].count_ones())),
        Leaf::DagLabels(labels) => {
            texts(&mut slots[2..slots[0] as usize].iter().map(|label| &labels[*label as usize]))
        }
    }
}

/// The multiple of `by` nearest to `value`, at least `by`, and one more where that is less than nine
/// tenths of `value` (the rule for channels of MobileNet, Sandler et al. 2018).
fn divisible<'a>(value: f64, by: f64) -> Evaluated<'a> {
    if by < 1.0 {
        return Err(Missing::Undefined);
    }
    let nearest = (libm::floor((value + by / 2.0) / by) * by).max(by);
    let chosen = if nearest < 0.9 * value { nearest + by } else { nearest };
    if !chosen.is_finite() {
        return Err(Missing::Undefined);
    }
    Ok(Value::Number(Number::of(chosen)))
}

fn number_of(value: &Value<'_>) -> Option<Number> {
    match value {
        Value::Number(number) => Some(*number),
        _ => None,
    }
}

fn same(a: &Value<'_>, b: &Value<'_>) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a.compare(*b) == Some(std::cmp::Ordering::Equal),
        (a, b) => a == b,
    }
}

fn whole<'a>(number: Option<i64>) -> Evaluated<'a> {
    number.map(|number| Value::Number(Number::Whole(number))).ok_or(Missing::Undefined)
}

fn finite<'a>(number: f64) -> Evaluated<'a> {
    if number.is_finite() {
        Ok(Value::Number(Number::Real(number)))
    } else {
        Err(Missing::Undefined)
    }
}

fn arithmetic<'a>(operator: Operator, a: Number, b: Number) -> Evaluated<'a> {
    if let (Number::Whole(a), Number::Whole(b)) = (a, b) {
        match operator {
            Operator::Add => return whole(a.checked_add(b)),
            Operator::Subtract => return whole(a.checked_sub(b)),
            Operator::Multiply => return whole(a.checked_mul(b)),
            Operator::FloorDivide => {
                // The quotient towards zero, one less where it was rounded up.
                let rounded =
                    a.checked_rem(b).is_some_and(|rest| rest != 0 && (rest < 0) != (b < 0));
                return whole(a.checked_div(b).map(|quotient| quotient - i64::from(rounded)));
            }
            Operator::Remainder => {
                let rest = a.checked_rem(b);
                return whole(
                    rest.map(
                        |rest| {
                            if rest != 0 && (rest < 0) != (b < 0) { rest + b } else { rest }
                        },
                    ),
                );
            }
            _ => {}
        }
    }
    let (a, b) = (a.real(), b.real());
    finite(match operator {
        Operator::Add => a + b,
        Operator::Subtract => a - b,
        Operator::Multiply => a * b,
        Operator::Divide => a / b,
        Operator::FloorDivide => libm::floor(a / b),
        _ => a - b * libm::floor(a / b),
    })
}
