//! Expressions for those who build something of their values, such as the network of a declared
//! space: with local names, and with the genes that loops and cells run over. It must not know what
//! is built.

use super::check::{Leaf, Reach, Scope, Step, Type};
use super::evaluate::{Frame, Missing, Number, Reading, Value};
use super::syntax::{self, Fault, Syntax, Term};
use super::{RuleError, RulePlace};
use crate::graph::Shape;
use crate::space::schema::dag;
use crate::space::schema::gene::{Gene, GeneKind};
use crate::space::schema::node::Node;
use crate::space::{Genotype, Schema};

/// A name that is known where an expression stands.
#[derive(Debug, Clone)]
pub(crate) struct Local<'a> {
    pub(crate) name: Box<str>,
    pub(crate) kind: LocalKind<'a>,
}

/// What a local name stands for.
#[derive(Debug, Clone)]
pub(crate) enum LocalKind<'a> {
    /// A value of this type.
    Value(Type),
    /// A copy of a repeat: by itself its position from 0, with a point the genes inside.
    Copy(Copies<'a>),
    /// The shape that a layer reads, by its sides.
    Input,
}

/// The copies of a repeat gene.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Copies<'a> {
    pub(super) genes: &'a [Gene],
    pub(super) body: &'a Node,
    /// Whether the slots of one are those of all.
    pub(super) shared: bool,
}

impl Copies<'_> {
    /// The number of slots from one copy to the next.
    pub(crate) fn slots(self) -> usize {
        if self.shared { 0 } else { self.body.slots() }
    }
}

/// A checked expression.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Expression {
    term: Term,
    kind: Type,
}

impl Expression {
    /// The type of its value.
    pub(crate) fn kind(&self) -> Type {
        self.kind
    }

    /// Every value that it can have, where it is a gene with named choices.
    pub(crate) fn choices(&self) -> Option<Vec<Box<str>>> {
        match &self.term.syntax {
            Syntax::Gene(reach) | Syntax::LocalGene(_, reach) => match &reach.leaf {
                Leaf::Names(names) => Some(names.clone()),
                Leaf::Numbers(numbers) => {
                    Some(numbers.iter().map(|number| number.to_string().into()).collect())
                }
                Leaf::Boolean => Some(vec!["false".into(), "true".into()]),
                _ => None,
            },
            _ => None,
        }
    }

    fn reach(&self) -> Option<(Option<usize>, &Reach)> {
        match &self.term.syntax {
            Syntax::Gene(reach) => Some((None, reach)),
            Syntax::LocalGene(nth, reach) => Some((Some(*nth), reach)),
            _ => None,
        }
    }
}

/// A gene whose value is a graph with an operation on edges or on inner nodes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct GraphGene {
    expression: Expression,
    labels: Vec<Box<str>>,
    on_edges: bool,
}

impl GraphGene {
    /// The operations, by the numbers that a [`Wiring`] names them by.
    pub(crate) fn labels(&self) -> &[Box<str>] {
        &self.labels
    }

    /// Whether operations are on edges; else on inner nodes.
    pub(crate) fn is_on_edges(&self) -> bool {
        self.on_edges
    }
}

/// The graph of one genotype. Node 0 is the input, the last one the output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wiring {
    /// For each node but the first, in order, the operation of each earlier node's edge to it.
    Edges(Vec<Vec<usize>>),
    /// For each node but the first the nodes that it reads, and of inner ones the operation.
    Nodes(Vec<(Vec<usize>, Option<usize>)>),
}

impl Schema {
    /// The expression that a text is, where these local names are known.
    ///
    /// # Errors
    /// [`RuleError`] with the character that makes no sense.
    pub(crate) fn expression(
        &self,
        text: &str,
        locals: &[Local<'_>],
    ) -> Result<Expression, RuleError> {
        self.checked(text, locals).map_err(rule_error)
    }

    fn checked(&self, text: &str, locals: &[Local<'_>]) -> Result<Expression, Fault> {
        let mut term = syntax::parse(text)?;
        let derived = self.rules.derived_types();
        let scope = Scope { genes: &self.genes, root: &self.root, derived: &derived, locals };
        let kind = scope.check(&mut term)?;
        Ok(Expression { term, kind })
    }

    /// The copies of the repeat gene that a text names, if it does.
    pub(crate) fn copies<'a>(&'a self, text: &str, locals: &[Local<'a>]) -> Option<Copies<'a>> {
        let Syntax::Name(path) = syntax::parse(text).ok()?.syntax else { return None };
        let first = path.first()?;
        match locals.iter().rfind(|local| local.name == *first).map(|local| &local.kind) {
            Some(LocalKind::Copy(Copies { genes, body, .. })) => copies_in(genes, body, &path[1..]),
            Some(_) => None,
            None => copies_in(&self.genes, &self.root, &path),
        }
    }

    /// The graph gene that a text names.
    ///
    /// # Errors
    /// [`RuleError`] if it names none.
    pub(crate) fn graph_gene(
        &self,
        text: &str,
        locals: &[Local<'_>],
    ) -> Result<GraphGene, RuleError> {
        let expression = self.checked(text, locals);
        let expression = match expression {
            // A `dag` gene has no value of its own, but its operations have.
            Err(fault) => self.checked(&format!("{text}.ops"), locals).map_err(|_| fault),
            found => found,
        };
        let expression = expression.map_err(rule_error)?;
        let one = |reach: &Reach| !reach.steps.iter().any(|s| matches!(s, Step::Copies { .. }));
        let found = expression.reach().filter(|(_, reach)| one(reach));
        let (labels, on_edges) = match found.map(|(_, reach)| &reach.leaf) {
            Some(Leaf::Edges { labels, .. }) => (labels.clone(), true),
            Some(Leaf::DagLabels(labels)) => (labels.clone(), false),
            _ => {
                let help = "name an `edges` or a `dag` gene; of one inside copies use `for`";
                let fault = Fault::new(0, format!("`{text}` is no gene with a graph"), help);
                return Err(rule_error(fault));
            }
        };
        Ok(GraphGene { expression, labels, on_edges })
    }

    /// What expressions read of a genotype of this schema.
    pub(crate) fn environment<'a>(&'a self, genotype: &'a Genotype) -> Environment<'a> {
        let slots = &genotype.0;
        Environment { slots, derived: self.rules.derived_values(slots) }
    }
}

fn rule_error(Fault { at, reason, help }: Fault) -> RuleError {
    RuleError { rule: RulePlace::Constraints, at, reason, help }
}

fn copies_in<'a>(genes: &'a [Gene], group: &'a Node, path: &[Box<str>]) -> Option<Copies<'a>> {
    let Node::Group { members, .. } = group else { return None };
    let (name, rest) = path.split_first()?;
    let (gene, node) = genes.iter().zip(members).find(|(gene, _)| gene.name == *name)?;
    match (&gene.kind, node, rest) {
        (GeneKind::Repeat { body, shared, .. }, Node::Repeat { body: node, .. }, []) => {
            Some(Copies { genes: body, body: node, shared: *shared })
        }
        (
            GeneKind::Repeat { body, shared, .. },
            Node::Repeat { body: node, .. },
            [copy, inner @ ..],
        ) => match copy.parse::<usize>() {
            Ok(_) => copies_in(body, node, inner),
            Err(_) if *shared => copies_in(body, node, rest),
            Err(_) => None,
        },
        (GeneKind::Switch { arms }, Node::Switch { arms: nodes, .. }, [arm, rest @ ..]) => {
            let nth = arms.iter().position(|(name, _)| name == arm)?;
            copies_in(&arms[nth].1, &nodes[nth], rest)
        }
        _ => None,
    }
}

/// The values of local names while something is built.
#[derive(Debug, Clone, Default)]
pub(crate) struct Locals<'a> {
    frames: Vec<Frame<'a>>,
}

impl<'a> Locals<'a> {
    /// Adds a name for a number.
    pub(crate) fn push_number(&mut self, number: i64) {
        self.frames.push(Frame::Value(Value::Number(Number::Whole(number))));
    }

    /// Forgets the name added last.
    pub(crate) fn pop(&mut self) {
        self.frames.pop();
    }

    /// Adds a name for the copy at this position, whose first slot is `base`.
    pub(crate) fn push_copy(&mut self, nth: usize, base: usize) {
        self.frames.push(Frame::Copy { nth: nth as i64, base });
    }
}

/// What expressions read of one genotype.
pub(crate) struct Environment<'a> {
    slots: &'a [u32],
    derived: Vec<Result<Value<'a>, Missing>>,
}

impl<'a> Environment<'a> {
    fn read<T>(
        &self,
        locals: &Locals<'a>,
        shape: Option<Shape>,
        read: impl FnOnce(&Reading<'_, 'a>) -> Result<T, Missing>,
    ) -> Result<T, String> {
        let (slots, derived) = (self.slots, &self.derived);
        let reading = Reading { slots, derived, frames: &locals.frames, shape };
        read(&reading).map_err(|missing| match missing {
            Missing::DoesNotApply => "it reads a gene that does not apply".to_owned(),
            Missing::Undefined => "it has no value here".to_owned(),
        })
    }

    /// The value of a number, which has to be whole and not negative.
    ///
    /// # Errors
    /// Why there is none, as a phrase.
    pub(crate) fn count(
        &self,
        expression: &'a Expression,
        locals: &Locals<'a>,
        shape: Option<Shape>,
    ) -> Result<u32, String> {
        match self.read(locals, shape, |reading| reading.value(&expression.term))? {
            Value::Number(Number::Whole(number)) => {
                u32::try_from(number).map_err(|_| format!("{number} is out of range"))
            }
            Value::Number(Number::Real(number)) => Err(format!("{number} is no whole number")),
            _ => Err("it is no number".to_owned()),
        }
    }

    /// The value of a truth.
    ///
    /// # Errors
    /// Why there is none, as a phrase.
    pub(crate) fn truth(
        &self,
        expression: &'a Expression,
        locals: &Locals<'a>,
        shape: Option<Shape>,
    ) -> Result<bool, String> {
        self.read(locals, shape, |reading| reading.truth(&expression.term))
    }

    /// The value as a text.
    ///
    /// # Errors
    /// Why there is none, as a phrase.
    pub(crate) fn text(
        &self,
        expression: &'a Expression,
        locals: &Locals<'a>,
        shape: Option<Shape>,
    ) -> Result<String, String> {
        self.read(locals, shape, |reading| Ok(super::shown(&reading.value(&expression.term)?)))
    }

    /// The local names of a block: `known` ones and then its arguments, evaluated among `locals`.
    ///
    /// # Errors
    /// Why one has no value, as a phrase.
    pub(crate) fn arguments(
        &self,
        mut known: Locals<'a>,
        expressions: &'a [Expression],
        locals: &Locals<'a>,
        shape: Option<Shape>,
    ) -> Result<Locals<'a>, String> {
        for expression in expressions {
            let value = self.read(locals, shape, |reading| reading.value(&expression.term))?;
            known.frames.push(Frame::Value(value));
        }
        Ok(known)
    }

    /// The first slot of each copy of the repeat gene that an expression names.
    ///
    /// # Errors
    /// Why there are none, as a phrase.
    pub(crate) fn copies(
        &self,
        expression: &'a Expression,
        size: usize,
        locals: &Locals<'a>,
    ) -> Result<Vec<usize>, String> {
        let slot = self.slot(expression, locals)?;
        Ok((0..self.slots[slot] as usize).map(|nth| slot + 1 + nth * size).collect())
    }

    /// The graph of a gene.
    ///
    /// # Errors
    /// Why there is none, as a phrase.
    pub(crate) fn wiring(
        &self,
        gene: &'a GraphGene,
        locals: &Locals<'a>,
    ) -> Result<Wiring, String> {
        let slots = &self.slots[self.slot(&gene.expression, locals)?..];
        if gene.on_edges {
            let Some((_, Reach { leaf: Leaf::Edges { slots: count, .. }, .. })) =
                gene.expression.reach()
            else {
                return Err("it is no graph of edges".to_owned());
            };
            let mut labels = slots[..*count].iter().map(|label| *label as usize);
            let mut nodes = Vec::new();
            loop {
                let incoming: Vec<usize> = labels.by_ref().take(nodes.len() + 1).collect();
                if incoming.is_empty() {
                    return Ok(Wiring::Edges(nodes));
                }
                nodes.push(incoming);
            }
        }
        let (count, adjacency) = (slots[0], slots[1]);
        let node = |j: u32| {
            let sources = (0..j).filter(|i| adjacency & dag::edge(*i, j) != 0);
            let label = (j + 1 < count).then(|| slots[j as usize + 1] as usize);
            (sources.map(|i| i as usize).collect(), label)
        };
        Ok(Wiring::Nodes((1..count).map(node).collect()))
    }

    fn slot(&self, expression: &'a Expression, locals: &Locals<'a>) -> Result<usize, String> {
        let (local, reach) = expression.reach().ok_or("it is no gene")?;
        self.read(locals, None, |reading| {
            reading.slot(reach, local.map_or(0, |nth| reading.base(nth)))
        })
    }
}
