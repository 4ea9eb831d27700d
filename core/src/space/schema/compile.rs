//! From declared genes to compiled ones, refusing what makes no sense. It must not know files:
//! whoever reads genes from one places the faults.

use std::collections::BTreeSet;

use super::dag::DagTable;
use super::gene::{
    Gene, GeneKind, MAX_CHOICES, MAX_DAG_NODES, MAX_GRAPH_NODES, MAX_ITEMS, MAX_SLOTS, SchemaError,
};
use super::node::Node;
use super::ratios::Ratios;

/// The most nodes of a parent vector of which the canonical ones are enumerated.
const MAX_CANONICAL_NODES: u32 = 8;

/// Compiles a group of genes.
pub(super) fn group(genes: &[Gene], path: &str) -> Result<Node, SchemaError> {
    if genes.is_empty() {
        return Err(fault(path, "has no genes", "declare at least one"));
    }
    let mut names = BTreeSet::new();
    let mut members = Vec::with_capacity(genes.len());
    for (nth, gene) in genes.iter().enumerate() {
        let path = join(path, &gene.name);
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '>');
        if gene.name.is_empty() || !gene.name.chars().all(allowed) {
            let help = "use letters, digits, `_`, `-` and `>`";
            return Err(fault(&path, "cannot be the name of a gene", help));
        }
        if !names.insert(&gene.name) {
            return Err(fault(&path, "is declared twice", "give each gene a name of its own"));
        }
        if let GeneKind::Tied { to } = &gene.kind {
            check_tie(&genes[..nth], to, &path)?;
        }
        members.push(compile(&gene.kind, &path)?);
    }
    let node = Node::group(members);
    if node.slots() > MAX_SLOTS {
        let reason = format!("needs {} numbers a genotype", node.slots());
        return Err(fault(path, reason, format!("keep it to {MAX_SLOTS}")));
    }
    Ok(node)
}

/// Checks that `to` is among the genes before a tied one, and can be its value.
fn check_tie(before: &[Gene], to: &str, path: &str) -> Result<(), SchemaError> {
    let has_value = |kind: &GeneKind| {
        !matches!(
            kind,
            GeneKind::Tied { .. }
                | GeneKind::Switch { .. }
                | GeneKind::Repeat { .. }
                | GeneKind::Parents { .. }
                | GeneKind::Dag { .. }
        )
    };
    match before.iter().find(|gene| *gene.name == *to) {
        Some(gene) if has_value(&gene.kind) => Ok(()),
        Some(_) => {
            let reason = format!("is tied to `{to}`, which is not a single value");
            Err(fault(
                path,
                reason,
                "tie it to a number, a choice, a subset or operations of edges",
            ))
        }
        None => {
            let reason = format!("is tied to `{to}`, and no gene before it is called so");
            Err(fault(path, reason, "tie it to an earlier gene of the same group"))
        }
    }
}

fn compile(kind: &GeneKind, path: &str) -> Result<Node, SchemaError> {
    match kind {
        GeneKind::Integer { low, high, step, log } => integer([*low, *high], *step, *log, path),
        GeneKind::Categorical { choices, ordered } => {
            check_names(choices, path, "choices")?;
            Ok(Node::Choice { values: choices.len() as u32, ordered: *ordered })
        }
        GeneKind::Real { low, high, log } => real([*low, *high], *log, path),
        GeneKind::Boolean => Ok(Node::Choice { values: 2, ordered: false }),
        GeneKind::Subset { of, at_least, at_most } => subset(of, [*at_least, *at_most], path),
        GeneKind::Switch { arms } => switch(arms, path),
        GeneKind::Repeat { at_least, at_most, shared, body } => {
            repeat(body, [*at_least, *at_most], *shared, path)
        }
        GeneKind::Tied { .. } => Ok(Node::group(Vec::new())),
        GeneKind::Parents { nodes, canonical } => parents(*nodes, *canonical, path),
        GeneKind::Edges { nodes, labels } => edges(*nodes, labels, path),
        GeneKind::Dag { least_nodes, most_nodes, max_edges, labels } => {
            dag([*least_nodes, *most_nodes], *max_edges, labels, path)
        }
    }
}

fn integer([low, high]: [i64; 2], step: u32, log: bool, path: &str) -> Result<Node, SchemaError> {
    let values = integer_values(low, high, step)
        .filter(|values| (1..=u64::from(u32::MAX)).contains(values))
        .ok_or_else(|| {
            let reason = format!("has no values from {low} to {high} in steps of {step}");
            fault(path, reason, "write `[lowest, highest]` with a step of at least 1")
        })?;
    if log && low <= 0 {
        return Err(begins_too_low(low, path));
    }
    let (values, step) = (values as u32, f64::from(step));
    Ok(if log {
        Node::Logarithmic(Ratios { values, low: low as f64, step })
    } else {
        Node::Choice { values, ordered: true }
    })
}

fn real([low, high]: [f64; 2], log: bool, path: &str) -> Result<Node, SchemaError> {
    if !(low.is_finite() && high.is_finite() && low < high && (high - low).is_finite()) {
        let reason = format!("has no range from {low} to {high}");
        return Err(fault(path, reason, "write `[lowest, highest]`, both finite"));
    }
    if log && low <= 0.0 {
        return Err(begins_too_low(low, path));
    }
    Ok(Node::Real)
}

fn begins_too_low(low: impl std::fmt::Display, path: &str) -> SchemaError {
    let reason = format!("is logarithmic, but begins at {low}");
    fault(path, reason, "begin above 0, or leave `log` out")
}

fn subset(of: &[Box<str>], [at_least, at_most]: [u32; 2], path: &str) -> Result<Node, SchemaError> {
    check_names(of, path, "items")?;
    if of.len() > MAX_ITEMS {
        let reason = format!("is taken from {} items", of.len());
        return Err(fault(path, reason, format!("keep it to {MAX_ITEMS}")));
    }
    let items = of.len() as u32;
    if at_least > at_most || at_most > items {
        let reason = format!("takes {at_least} to {at_most} of {items} items");
        return Err(fault(path, reason, "take no more than there are"));
    }
    Ok(Node::Mask { items, at_least, at_most })
}

fn switch(arms: &[(Box<str>, Vec<Gene>)], path: &str) -> Result<Node, SchemaError> {
    let names: Vec<Box<str>> = arms.iter().map(|(name, _)| name.clone()).collect();
    check_names(&names, path, "arms")?;
    let arm = |(name, genes): &(Box<str>, Vec<Gene>)| {
        if genes.is_empty() {
            return Ok(Node::group(Vec::new()));
        }
        group(genes, &join(path, name))
    };
    Ok(Node::switch(arms.iter().map(arm).collect::<Result<_, _>>()?))
}

fn repeat(
    body: &[Gene],
    [at_least, at_most]: [u32; 2],
    shared: bool,
    path: &str,
) -> Result<Node, SchemaError> {
    let body = group(body, path)?;
    if at_least > at_most || at_most == 0 {
        let reason = format!("has {at_least} to {at_most} copies");
        return Err(fault(path, reason, "write `[least, most]`, the most at least 1"));
    }
    let bodies = if shared { 1 } else { at_most as usize };
    if bodies.saturating_mul(body.slots()) > MAX_SLOTS {
        let reason = format!("needs {at_most} x {} numbers", body.slots());
        return Err(fault(path, reason, format!("keep it to {MAX_SLOTS}")));
    }
    Ok(Node::repeat(at_least, at_most, shared, body))
}

fn edges(nodes: u32, labels: &[Box<str>], path: &str) -> Result<Node, SchemaError> {
    check_names(labels, path, "operations")?;
    if !(2..=MAX_GRAPH_NODES).contains(&nodes) {
        let help = format!("write a number from 2 to {MAX_GRAPH_NODES}");
        return Err(fault(path, format!("has {nodes} nodes"), help));
    }
    let edges = (nodes * (nodes - 1) / 2) as usize;
    let edge = Node::Choice { values: labels.len() as u32, ordered: false };
    Ok(Node::group(vec![edge; edges]))
}

fn dag(
    [least_nodes, most_nodes]: [u32; 2],
    max_edges: u32,
    labels: &[Box<str>],
    path: &str,
) -> Result<Node, SchemaError> {
    check_names(labels, path, "operations")?;
    if !(2..=most_nodes).contains(&least_nodes) || most_nodes > MAX_DAG_NODES {
        let reason = format!("has {least_nodes} to {most_nodes} nodes");
        let help = format!("write `[least, most]` between 2 and {MAX_DAG_NODES}");
        return Err(fault(path, reason, help));
    }
    let table = DagTable::new(least_nodes, most_nodes, max_edges, labels.len() as u32);
    if max_edges + 1 < most_nodes || table.count() == num_bigint::BigUint::ZERO {
        let reason = format!("of {most_nodes} nodes cannot have only {max_edges} edges");
        return Err(fault(path, reason, "allow at least one edge less than nodes"));
    }
    Ok(Node::Dag(table))
}

/// The number of values of an integer gene; `None` if there are none.
fn integer_values(low: i64, high: i64, step: u32) -> Option<u64> {
    let distance = high.checked_sub(low).filter(|distance| *distance >= 0)?;
    (step > 0).then(|| distance as u64 / u64::from(step) + 1)
}

fn parents(nodes: u32, canonical: bool, path: &str) -> Result<Node, SchemaError> {
    let most = if canonical { MAX_CANONICAL_NODES } else { MAX_ITEMS as u32 };
    if !(1..=most).contains(&nodes) {
        let help = format!("write a number from 1 to {most}");
        return Err(fault(path, format!("has {nodes} nodes"), help));
    }
    if canonical {
        let values = canonical_parents(nodes).len() as u32;
        return Ok(Node::Choice { values, ordered: false });
    }
    let node = |earlier| Node::Choice { values: earlier, ordered: false };
    Ok(Node::group((1..=nodes).map(node).collect()))
}

/// One parent vector of each unlabelled rooted tree with `nodes` nodes besides the root, in
/// lexicographic order: of equal trees the one whose vector comes first and does not descend.
pub(super) fn canonical_parents(nodes: u32) -> Vec<Box<[u8]>> {
    fn shape(parents: &[u8], node: usize) -> String {
        let below = parents.iter().zip(1..).filter(|(parent, _)| usize::from(**parent) == node);
        let mut children: Vec<String> = below.map(|(_, child)| shape(parents, child)).collect();
        children.sort_unstable();
        format!("({})", children.concat())
    }
    fn extend(nodes: u32, parents: &mut Vec<u8>, all: &mut Vec<Box<[u8]>>) {
        if parents.len() == nodes as usize {
            all.push(parents.as_slice().into());
            return;
        }
        for parent in parents.last().copied().unwrap_or(0)..=parents.len() as u8 {
            parents.push(parent);
            extend(nodes, parents, all);
            parents.pop();
        }
    }
    let mut all = Vec::new();
    extend(nodes, &mut Vec::new(), &mut all);
    let mut seen = BTreeSet::new();
    all.retain(|parents| seen.insert(shape(parents, 0)));
    all
}

fn check_names(names: &[Box<str>], path: &str, what: &str) -> Result<(), SchemaError> {
    if names.is_empty() || names.len() > MAX_CHOICES {
        let reason = format!("has {} {what}", names.len());
        return Err(fault(path, reason, format!("name 1 to {MAX_CHOICES} of them")));
    }
    let mut seen = BTreeSet::new();
    for name in names {
        let hidden = |c: char| c.is_control() || c.is_whitespace() || ",:;=|{}[]()".contains(c);
        if name.is_empty() || name.chars().any(hidden) {
            let help = "leave out spaces, brackets and the characters , : ; = |";
            return Err(fault(path, format!("has the unusable name `{name}`"), help));
        }
        if !seen.insert(name) {
            let reason = format!("names `{name}` twice");
            return Err(fault(path, reason, "give each a name of its own"));
        }
    }
    Ok(())
}

pub(super) fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

pub(super) fn fault(path: &str, reason: impl Into<String>, help: impl Into<String>) -> SchemaError {
    SchemaError { path: path.to_owned(), reason: reason.into(), help: help.into() }
}
