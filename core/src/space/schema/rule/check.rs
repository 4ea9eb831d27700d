//! Names resolved to genes, and types that have to fit, before anything is evaluated. It must not
//! know values.

use super::super::gene::{Gene, GeneKind};
use super::super::node::Node;
use super::expression::{Copies, Local, LocalKind};
use super::syntax::{Fault, Function, Operator, Side, Syntax, Term};

/// What a term is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Type {
    Number,
    Text,
    Boolean,
    Numbers,
    Texts,
    Booleans,
    /// A list without elements, of any type.
    Nothing,
}

impl Type {
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Number => "a number",
            Self::Text => "a text",
            Self::Boolean => "true or false",
            Self::Numbers => "a list of numbers",
            Self::Texts => "a list of texts",
            Self::Booleans => "a list of truth values",
            Self::Nothing => "an empty list",
        }
    }

    fn listed(self) -> Self {
        match self {
            Self::Number => Self::Numbers,
            Self::Text => Self::Texts,
            Self::Boolean => Self::Booleans,
            list => list,
        }
    }

    pub(super) fn element(self) -> Option<Self> {
        match self {
            Self::Numbers => Some(Self::Number),
            Self::Texts => Some(Self::Text),
            Self::Booleans => Some(Self::Boolean),
            _ => None,
        }
    }

    fn is_list(self) -> bool {
        self.element().is_some() || self == Self::Nothing
    }
}

/// How to come to a gene's slots.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Reach {
    pub(super) steps: Vec<Step>,
    /// The offset of its first slot behind the last step.
    pub(super) at: usize,
    pub(super) leaf: Leaf,
}

/// A condition or a repetition on the way to a gene.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Step {
    /// The slot `at` has to hold `arm`.
    Arm { at: usize, arm: u32 },
    /// The copy `nth` of the repeat at slot `at`, if there is one.
    Copy { at: usize, size: usize, nth: usize },
    /// Every copy of the repeat at slot `at`.
    Copies { at: usize, size: usize },
}

/// How slots are read.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Leaf {
    Integer {
        low: i64,
        step: u32,
    },
    Real {
        low: f64,
        high: f64,
        log: bool,
    },
    Boolean,
    /// Choices whose names are all numbers.
    Numbers(Vec<f64>),
    Names(Vec<Box<str>>),
    Copies,
    Subset(Vec<Box<str>>),
    Edges {
        labels: Vec<Box<str>>,
        slots: usize,
    },
    DagNodes,
    DagEdges,
    DagLabels(Vec<Box<str>>),
}

impl Leaf {
    pub(super) fn kind(&self) -> Type {
        match self {
            Self::Integer { .. } | Self::Real { .. } | Self::Numbers(_) => Type::Number,
            Self::Copies | Self::DagNodes | Self::DagEdges => Type::Number,
            Self::Boolean => Type::Boolean,
            Self::Names(_) => Type::Text,
            Self::Subset(_) | Self::Edges { .. } | Self::DagLabels(_) => Type::Texts,
        }
    }

    pub(super) fn names(&self) -> Option<&[Box<str>]> {
        match self {
            Self::Names(names) | Self::Subset(names) | Self::DagLabels(names) => Some(names),
            Self::Edges { labels, .. } => Some(labels),
            _ => None,
        }
    }
}

/// What names can stand for.
pub(super) struct Scope<'a> {
    pub(super) genes: &'a [Gene],
    pub(super) root: &'a Node,
    pub(super) derived: &'a [(Box<str>, Type)],
    pub(super) locals: &'a [Local<'a>],
}

impl Scope<'_> {
    /// Resolves the names of a term and gives its type.
    pub(super) fn check(&self, term: &mut Term) -> Result<Type, Fault> {
        let at = term.at;
        Ok(match &mut term.syntax {
            Syntax::Integer(_) | Syntax::Real(_) => Type::Number,
            Syntax::Text(_) => Type::Text,
            Syntax::Boolean(_) => Type::Boolean,
            Syntax::Name(path) => {
                let (syntax, kind) = self.resolve(at, path)?;
                term.syntax = syntax;
                kind
            }
            Syntax::Gene(reach) => reach.leaf.kind(),
            Syntax::LocalGene(_, reach) => reach.leaf.kind(),
            Syntax::Derived(nth) => self.derived[*nth].1,
            // Resolved from names with their types, and never checked again.
            Syntax::Local(_) | Syntax::Shape(_) => Type::Number,
            Syntax::Index(terms) => {
                let [list, index] = terms.as_mut();
                let found = self.check(list)?;
                let Some(element) = found.element() else {
                    let reason = format!("a position in {} has no value", found.words());
                    let help = "write `[16, 24, 40][stage]`, with a list before the bracket";
                    return Err(Fault::new(at, reason, help));
                };
                self.expect(index, Type::Number, "a position")?;
                element
            }
            Syntax::List(terms) => self.list(terms)?,
            Syntax::Not(inner) => self.expect(inner, Type::Boolean, "`not`")?,
            Syntax::Negate(inner) => self.expect(inner, Type::Number, "`-`")?,
            Syntax::Choose(terms) => {
                let [condition, chosen, other] = terms.as_mut();
                self.expect(condition, Type::Boolean, "`if`")?;
                let kind = self.check(chosen)?;
                self.expect(other, kind, "`else`, as `then`,")?
            }
            Syntax::Binary(operator, terms) => {
                let [left, right] = terms.as_mut();
                self.binary(*operator, left, right)?
            }
            Syntax::Call(function, terms) => self.call(at, *function, terms)?,
        })
    }

    fn expect(&self, term: &mut Term, wanted: Type, who: &str) -> Result<Type, Fault> {
        let found = self.check(term)?;
        if found == wanted {
            return Ok(wanted);
        }
        let reason = format!("{who} takes {}, found {}", wanted.words(), found.words());
        let help = match (wanted, found) {
            (Type::Boolean, Type::Number) => "compare it, such as `depth > 3`",
            (Type::Boolean, _) => "compare it, such as `act == \"relu\"`",
            (Type::Text, _) => "put the name of a choice in quotes",
            (_, Type::Text) => "only choices whose names are all numbers are numbers",
            (Type::Number, Type::Numbers) => "take its sum, min, max or len",
            _ => "compare and combine values of one type",
        };
        Err(Fault::new(term.at, reason, help))
    }

    fn list(&self, terms: &mut [Term]) -> Result<Type, Fault> {
        let Some((first, others)) = terms.split_first_mut() else { return Ok(Type::Nothing) };
        let kind = self.check(first)?;
        if kind.is_list() {
            let reason = "a list cannot hold a list";
            return Err(Fault::new(first.at, reason, "write its values, such as `[3, 5]`"));
        }
        for term in others {
            self.expect(term, kind, "a list, as its first value,")?;
        }
        Ok(kind.listed())
    }

    fn binary(&self, operator: Operator, left: &mut Term, right: &mut Term) -> Result<Type, Fault> {
        match operator {
            Operator::Or | Operator::And => {
                self.expect(left, Type::Boolean, "`and` and `or`")?;
                self.expect(right, Type::Boolean, "`and` and `or`")
            }
            Operator::Equal | Operator::Unequal => {
                let kind = self.check(left)?;
                if kind.is_list() {
                    let help = "look into it by `in`, `count`, `len`, `sum`, `min` or `max`";
                    return Err(Fault::new(left.at, "a list is not compared", help));
                }
                self.expect(right, kind, "`==` with this left side")?;
                known_name(left, right)?;
                known_name(right, left)?;
                Ok(Type::Boolean)
            }
            Operator::In | Operator::NotIn => {
                let kind = self.check(left)?;
                self.expect_list_of(right, kind)?;
                known_name(right, left)?;
                if let Syntax::List(terms) = &right.syntax {
                    terms.iter().try_for_each(|term| known_name(left, term))?;
                }
                Ok(Type::Boolean)
            }
            Operator::Less | Operator::AtMost | Operator::Greater | Operator::AtLeast => {
                self.expect(left, Type::Number, "a comparison by size")?;
                self.expect(right, Type::Number, "a comparison by size")?;
                Ok(Type::Boolean)
            }
            _ => {
                self.expect(left, Type::Number, "arithmetic")?;
                self.expect(right, Type::Number, "arithmetic")
            }
        }
    }

    fn expect_list_of(&self, term: &mut Term, element: Type) -> Result<(), Fault> {
        let found = self.check(term)?;
        if found == Type::Nothing || (found == element.listed() && !element.is_list()) {
            return Ok(());
        }
        let reason = format!("a list is searched for {}, found {}", element.words(), found.words());
        Err(Fault::new(term.at, reason, "write `value in [a, b]`, with values of one type"))
    }

    fn call(&self, at: usize, function: Function, terms: &mut [Term]) -> Result<Type, Fault> {
        let wrong = |reason: &str, help: &str| Err(Fault::new(at, reason, help));
        match (function, terms) {
            (Function::Abs, [term]) => self.expect(term, Type::Number, "`abs`"),
            (Function::Abs, _) => wrong("`abs` takes one value", "write `abs(a - b)`"),
            (Function::Sum, [term]) => {
                self.expect_list_of(term, Type::Number)?;
                Ok(Type::Number)
            }
            (Function::Sum, _) => wrong("`sum` takes one list", "write `sum(layers.width)`"),
            (Function::Length, [term]) => {
                if self.check(term)?.is_list() {
                    return Ok(Type::Number);
                }
                wrong("`len` takes a list", "write `len(items)` of a subset or of copies")
            }
            (Function::Length, _) => wrong("`len` takes one list", "write `len(items)`"),
            (Function::Divisible, [value, by]) => {
                self.expect(value, Type::Number, "`divisible`")?;
                self.expect(by, Type::Number, "`divisible`")
            }
            (Function::Divisible, _) => wrong(
                "`divisible` takes a number and its divisor",
                "write `divisible(channels / 4, 8)`",
            ),
            (Function::Count, [list, value]) => {
                let kind = self.check(value)?;
                self.expect_list_of(list, kind)?;
                known_name(list, value)?;
                Ok(Type::Number)
            }
            (Function::Count, _) => {
                wrong("`count` takes a list and a value", "write `count(cell, \"conv\")`")
            }
            (Function::Min | Function::Max, []) => {
                wrong("`min` and `max` take values", "write `min(a, b)`")
            }
            (Function::Min | Function::Max, [term]) => {
                self.expect_list_of(term, Type::Number)?;
                Ok(Type::Number)
            }
            (Function::Min | Function::Max, terms) => {
                for term in terms {
                    self.expect(term, Type::Number, "`min` or `max`")?;
                }
                Ok(Type::Number)
            }
        }
    }

    /// The meaning of a path that starts with a local name, if it does.
    fn local(&self, at: usize, path: &[Box<str>]) -> Option<Result<(Syntax, Type), Fault>> {
        let (first, rest) = path.split_first()?;
        let nth = self.locals.iter().rposition(|local| local.name == *first)?;
        let wrong = |known: &str| {
            let reason = format!("there is no `{}`", path.join("."));
            Err(Fault::new(at, reason, format!("known here: {known}")))
        };
        Some(match (&self.locals[nth].kind, rest) {
            (LocalKind::Value(kind), []) => Ok((Syntax::Local(nth), *kind)),
            (LocalKind::Value(_), _) => wrong(first),
            (LocalKind::Copy(_), []) => Ok((Syntax::Local(nth), Type::Number)),
            (LocalKind::Copy(Copies { genes, body, .. }), _) => {
                let mut reach = Reach { steps: Vec::new(), at: 0, leaf: Leaf::Boolean };
                match enter(genes, body, path, 1, &mut reach) {
                    Err((_, known)) => wrong(&known.join(", ")),
                    Ok(leaf) => {
                        reach.leaf = leaf;
                        let kind = kind_of(&reach);
                        Ok((Syntax::LocalGene(nth, reach), kind))
                    }
                }
            }
            (LocalKind::Input, _) => match rest {
                [side] if **side == *"channels" => {
                    Ok((Syntax::Shape(Side::Channels), Type::Number))
                }
                [side] if **side == *"height" => Ok((Syntax::Shape(Side::Height), Type::Number)),
                [side] if **side == *"width" => Ok((Syntax::Shape(Side::Width), Type::Number)),
                [side] if **side == *"features" => {
                    Ok((Syntax::Shape(Side::Features), Type::Number))
                }
                _ => wrong("input.channels, input.height, input.width, input.features"),
            },
        })
    }

    fn resolve(&self, at: usize, path: &[Box<str>]) -> Result<(Syntax, Type), Fault> {
        if let Some(found) = self.local(at, path) {
            return found;
        }
        if let [name] = path
            && let Some(nth) = self.derived.iter().position(|(known, _)| known == name)
        {
            return Ok((Syntax::Derived(nth), self.derived[nth].1));
        }
        let mut reach = Reach { steps: Vec::new(), at: 0, leaf: Leaf::Boolean };
        reach.leaf =
            enter(self.genes, self.root, path, 0, &mut reach).map_err(|(wrong, known)| {
                let name = path[..=wrong.min(path.len() - 1)].join(".");
                let known: Vec<&str> = known.iter().map(AsRef::as_ref).take(20).collect();
                let help = if known.is_empty() {
                    "put texts in quotes, and names with `-` or `>` in backquotes".to_owned()
                } else {
                    format!("known here: {}; texts stand in quotes", known.join(", "))
                };
                if wrong < path.len() {
                    return Fault::new(at, format!("there is no gene `{name}`"), help);
                }
                Fault::new(at, format!("`{name}` has no value of its own"), help)
            })?;
        let kind = kind_of(&reach);
        Ok((Syntax::Gene(reach), kind))
    }
}

fn kind_of(reach: &Reach) -> Type {
    let kind = reach.leaf.kind();
    let many = reach.steps.iter().any(|step| matches!(step, Step::Copies { .. }));
    if many { kind.listed() } else { kind }
}

/// Faults the text `value` if `gene` can never be it.
fn known_name(gene: &Term, value: &Term) -> Result<(), Fault> {
    if let (Syntax::Gene(reach), Syntax::Text(text)) = (&gene.syntax, &value.syntax)
        && let Some(names) = reach.leaf.names()
        && !names.contains(text)
    {
        let names: Vec<&str> = names.iter().map(AsRef::as_ref).take(20).collect();
        let reason = format!("the gene is never `{text}`");
        return Err(Fault::new(value.at, reason, format!("it is one of {}", names.join(", "))));
    }
    Ok(())
}

/// The names that could stand where a path goes wrong, and which of its names that is.
type Lost = (usize, Vec<Box<str>>);

fn enter(
    genes: &[Gene],
    group: &Node,
    path: &[Box<str>],
    nth: usize,
    reach: &mut Reach,
) -> Result<Leaf, Lost> {
    let known = || genes.iter().map(|gene| gene.name.clone()).collect();
    let Node::Group { members, .. } = group else { return Err((nth, Vec::new())) };
    let name = path.get(nth).ok_or_else(|| (path.len(), known()))?;
    let tied = genes.iter().find(|gene| gene.name == *name).and_then(|gene| match &gene.kind {
        GeneKind::Tied { to } => Some(to),
        _ => None,
    });
    let name = tied.unwrap_or(name);
    let mut parts = genes.iter().zip(members);
    for (gene, node) in parts.by_ref() {
        if gene.name == *name {
            return inside(&gene.kind, node, path, nth + 1, reach);
        }
        reach.at += node.slots();
    }
    Err((nth, known()))
}

/// The leaf that the rest of the path, from `nth`, names within a gene.
fn inside(
    kind: &GeneKind,
    node: &Node,
    path: &[Box<str>],
    nth: usize,
    reach: &mut Reach,
) -> Result<Leaf, Lost> {
    let rest = path.get(nth..).unwrap_or_default();
    match (kind, node) {
        (GeneKind::Switch { arms }, Node::Switch { arms: nodes, .. }) => {
            let names = || arms.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
            let Some(name) = rest.first() else { return Ok(Leaf::Names(names())) };
            let found = arms.iter().position(|(arm, _)| arm == name);
            let arm = found.ok_or_else(|| (nth, names()))?;
            reach.steps.push(Step::Arm { at: reach.at, arm: arm as u32 });
            reach.at += 1 + nodes[..arm].iter().map(Node::slots).sum::<usize>();
            enter(&arms[arm].1, &nodes[arm], path, nth + 1, reach)
        }
        (GeneKind::Repeat { body, at_most, shared, .. }, Node::Repeat { body: node, .. }) => {
            let Some(name) = rest.first() else { return Ok(Leaf::Copies) };
            let (at, size) =
                (std::mem::take(&mut reach.at), if *shared { 0 } else { node.slots() });
            let Ok(copy) = name.parse::<usize>() else {
                if *shared {
                    // What all copies have in common is no list.
                    reach.steps.push(Step::Copy { at, size, nth: 0 });
                    return enter(body, node, path, nth, reach);
                }
                reach.steps.push(Step::Copies { at, size });
                return enter(body, node, path, nth, reach);
            };
            if copy >= *at_most as usize {
                return Err((nth, vec![format!("copies 0 to {}", at_most - 1).into()]));
            }
            reach.steps.push(Step::Copy { at, size, nth: copy });
            enter(body, node, path, nth + 1, reach)
        }
        (GeneKind::Dag { labels, .. }, _) => match rest {
            [name] if **name == *"nodes" => Ok(Leaf::DagNodes),
            [name] if **name == *"edges" => Ok(Leaf::DagEdges),
            [name] if **name == *"ops" => Ok(Leaf::DagLabels(labels.clone())),
            _ => {
                let wrong = if rest.is_empty() { path.len() } else { nth };
                Err((wrong, vec!["nodes".into(), "edges".into(), "ops".into()]))
            }
        },
        _ if !rest.is_empty() => Err((nth, Vec::new())),
        _ => leaf(kind, node).ok_or((path.len(), Vec::new())),
    }
}

fn leaf(kind: &GeneKind, node: &Node) -> Option<Leaf> {
    Some(match kind {
        GeneKind::Integer { low, step, .. } => Leaf::Integer { low: *low, step: *step },
        GeneKind::Real { low, high, log } => Leaf::Real { low: *low, high: *high, log: *log },
        GeneKind::Boolean => Leaf::Boolean,
        GeneKind::Categorical { choices, .. } => {
            let number = |name: &str| name.parse().ok().filter(|number: &f64| number.is_finite());
            let numbers: Option<Vec<f64>> = choices.iter().map(|name| number(name)).collect();
            numbers.map_or_else(|| Leaf::Names(choices.clone()), Leaf::Numbers)
        }
        GeneKind::Subset { of, .. } => Leaf::Subset(of.clone()),
        GeneKind::Edges { labels, .. } => {
            Leaf::Edges { labels: labels.clone(), slots: node.slots() }
        }
        _ => return None,
    })
}
