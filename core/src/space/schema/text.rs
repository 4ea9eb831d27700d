//! Genotypes as text, and back. It must not know which space they belong to.
//!
//! The general notation is `gene=value` by path, joined by commas: `depth=3,act=exp,act.exp.base=2,
//! layers=2,layers.0.width=16,layers.1.width=8`. Spaces of published tables are often written
//! shorter: one digit a gene, or values in order.

use std::collections::BTreeMap;

use super::admission::Admission;
use super::compile::{canonical_parents, join};
use super::gene::{Gene, GeneKind, SchemaError};
use super::node::Node;
use super::{REAL_VALUES, Schema, dag};
use crate::space::Genotype;

/// No text of a genotype is longer than this many bytes.
const MAX_TEXT: usize = 1 << 20;
/// Between the items of a value that is a list.
const BAR: char = '|';

/// How genotypes are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notation {
    /// `gene=value` by path, joined by commas.
    Named,
    /// One digit a slot and nothing between them: the position of a choice, or a number from 0 to
    /// 9; a canonical parent vector as its digits.
    Digits,
    /// Values in order with this character between them.
    List(char),
}

/// A list without names.
pub(super) const EMPTY: &str = "-";

/// Whether genes can be written in a notation; of new ones also, so that every text can be read again.
pub(super) fn check(
    genes: &[Gene],
    notation: Notation,
    admission: Admission,
) -> Result<(), SchemaError> {
    let is_kept = admission == Admission::Kept;
    for gene in genes {
        let fits = match (notation, &gene.kind) {
            (Notation::Named, _) => true,
            (Notation::Digits, GeneKind::Integer { low, high, .. }) => *low >= 0 && *high <= 9,
            (Notation::Digits, GeneKind::Categorical { choices, .. }) => choices.len() <= 10,
            (Notation::Digits, GeneKind::Edges { labels, .. }) => labels.len() <= 10,
            (Notation::Digits, GeneKind::Parents { nodes, .. }) => *nodes <= 10,
            (_, GeneKind::Boolean | GeneKind::Tied { .. }) => true,
            (
                Notation::List(separator),
                GeneKind::Categorical { choices: names, .. }
                | GeneKind::Edges { labels: names, .. },
            ) => is_kept || !names.iter().any(|name| name.contains(separator)),
            // Of what numbers are written with, `+` cannot stand between them either, nor the point of reals.
            (Notation::List(separator), GeneKind::Real { .. }) => {
                is_kept || !".+-".contains(separator)
            }
            (Notation::List(_), GeneKind::Integer { .. } | GeneKind::Parents { .. }) => true,
            _ => false,
        };
        if !fits {
            return Err(SchemaError {
                path: gene.name.to_string(),
                reason: "cannot be written in this notation".to_owned(),
                help: match notation {
                    Notation::Digits => "digits write genes of at most ten values",
                    _ => {
                        "lists write plain values only, without the character between them; leave `notation` out, \
                         or take another character"
                    }
                }
                .to_owned(),
            });
        }
    }
    Ok(())
}

pub(super) fn format(schema: &Schema, values: &[u32]) -> String {
    let Node::Group { members, .. } = &schema.root else { return String::new() };
    match schema.notation {
        Notation::Named => {
            let mut parts = Vec::new();
            write_group(&schema.genes, members, "", values, &mut parts);
            parts.join(",")
        }
        Notation::Digits | Notation::List(_) => {
            let separator = match schema.notation {
                Notation::List(separator) => separator.to_string(),
                _ => String::new(),
            };
            let mut at = 0;
            let mut parts = Vec::new();
            for (gene, node) in schema.genes.iter().zip(members) {
                let slots = &values[at..at + node.slots()];
                at += node.slots();
                write_short(&gene.kind, schema.notation, slots, &mut parts);
            }
            parts.join(&separator)
        }
    }
}

fn write_group(
    genes: &[Gene],
    members: &[Node],
    path: &str,
    values: &[u32],
    parts: &mut Vec<String>,
) {
    let mut at = 0;
    for (gene, node) in genes.iter().zip(members) {
        let path = join(path, &gene.name);
        write_gene(&gene.kind, node, &path, &values[at..at + node.slots()], parts);
        at += node.slots();
    }
}

fn write_gene(kind: &GeneKind, node: &Node, path: &str, values: &[u32], parts: &mut Vec<String>) {
    if matches!(kind, GeneKind::Tied { .. }) {
        return;
    }
    parts.push(format!("{path}={}", value_text(kind, values)));
    match (kind, node) {
        (GeneKind::Switch { arms }, Node::Switch { arms: nodes, .. }) => {
            let chosen = values[0] as usize;
            let at = 1 + nodes[..chosen].iter().map(Node::slots).sum::<usize>();
            if let Node::Group { members, .. } = &nodes[chosen] {
                let (name, genes) = &arms[chosen];
                write_group(genes, members, &join(path, name), &values[at..], parts);
            }
        }
        (GeneKind::Repeat { shared: true, body: genes, .. }, Node::Repeat { body, .. }) => {
            if let (Node::Group { members, .. }, 1..) = (body.as_ref(), values[0]) {
                write_group(genes, members, path, &values[1..], parts);
            }
        }
        (GeneKind::Repeat { body: genes, .. }, Node::Repeat { body, .. }) => {
            if let Node::Group { members, slots, .. } = body.as_ref() {
                for copy in 0..values[0] as usize {
                    let path = join(path, &copy.to_string());
                    write_group(genes, members, &path, &values[1 + copy * slots..], parts);
                }
            }
        }
        _ => {}
    }
}

/// The value of a gene itself, without the genes below it.
fn value_text(kind: &GeneKind, values: &[u32]) -> String {
    let listed = |names: Vec<&str>| {
        if names.is_empty() { EMPTY.to_owned() } else { names.join(&BAR.to_string()) }
    };
    match kind {
        GeneKind::Integer { low, step, .. } => {
            (low + i64::from(values[0]) * i64::from(*step)).to_string()
        }
        GeneKind::Categorical { choices, .. } => choices[values[0] as usize].to_string(),
        GeneKind::Real { low, high, log } => real_value(*low, *high, *log, values[0]).to_string(),
        GeneKind::Boolean => (values[0] == 1).to_string(),
        GeneKind::Subset { of, .. } => {
            let taken = of.iter().zip(0..).filter(|(_, bit)| values[0] >> bit & 1 == 1);
            listed(taken.map(|(name, _)| name.as_ref()).collect())
        }
        GeneKind::Switch { arms } => arms[values[0] as usize].0.to_string(),
        GeneKind::Repeat { .. } => values[0].to_string(),
        GeneKind::Tied { .. } => String::new(),
        GeneKind::Parents { nodes, canonical } => {
            let parents: Vec<String> = if *canonical {
                let vector = &canonical_parents(*nodes)[values[0] as usize];
                vector.iter().map(u8::to_string).collect()
            } else {
                values.iter().map(u32::to_string).collect()
            };
            parents.join(&BAR.to_string())
        }
        GeneKind::Edges { labels, .. } => {
            listed(values.iter().map(|label| labels[*label as usize].as_ref()).collect())
        }
        GeneKind::Dag { labels, .. } => {
            let nodes = values[0];
            let pairs = (1..nodes).flat_map(|j| (0..j).map(move |i| (i, j)));
            let edges = pairs.filter(|(i, j)| values[1] & dag::edge(*i, *j) != 0);
            let edges: Vec<String> = edges.map(|(i, j)| format!("{i}>{j}")).collect();
            let edges = edges.join(&BAR.to_string());
            if nodes == 2 {
                return edges;
            }
            let inner = values[2..nodes as usize].iter();
            let inner = inner.map(|label| labels[*label as usize].as_ref()).collect();
            format!("{edges}:{}", listed(inner))
        }
    }
}

fn write_short(kind: &GeneKind, notation: Notation, values: &[u32], parts: &mut Vec<String>) {
    let digits = notation == Notation::Digits;
    match kind {
        GeneKind::Categorical { .. } | GeneKind::Edges { .. } | GeneKind::Boolean if digits => {
            parts.extend(values.iter().map(u32::to_string));
        }
        GeneKind::Edges { labels, .. } => {
            parts.extend(values.iter().map(|label| labels[*label as usize].to_string()));
        }
        GeneKind::Parents { .. } => {
            parts.extend(value_text(kind, values).split(BAR).map(str::to_owned));
        }
        GeneKind::Tied { .. } => {}
        _ => parts.push(value_text(kind, values)),
    }
}

pub(super) fn parse(schema: &Schema, text: &str) -> Result<Genotype, String> {
    if text.len() > MAX_TEXT {
        return Err(format!("the text has {} bytes, at most {MAX_TEXT} are read", text.len()));
    }
    let mut values = vec![0; schema.slots()];
    let Node::Group { members, .. } = &schema.root else { return Err(String::new()) };
    match schema.notation {
        Notation::Named => {
            let mut written = BTreeMap::new();
            for part in text.split(',') {
                let (path, value) =
                    part.split_once('=').ok_or_else(|| format!("`{part}` is not `gene=value`"))?;
                if written.insert(path.trim(), value.trim()).is_some() {
                    return Err(format!("`{}` is given twice", path.trim()));
                }
            }
            read_group(&schema.genes, members, "", &mut written, &mut values)?;
            if let Some(path) = written.keys().next() {
                return Err(format!("there is no gene `{path}` here"));
            }
        }
        Notation::Digits => {
            let parts: Vec<String> = text.chars().map(String::from).collect();
            read_short(schema, members, &parts, &mut values)?;
        }
        Notation::List(separator) => {
            let parts: Vec<String> =
                text.split(separator).map(|part| part.trim().to_owned()).collect();
            read_short(schema, members, &parts, &mut values)?;
        }
    }
    let genotype = Genotype(values.into());
    schema.check(&genotype)?;
    Ok(genotype)
}

type Written<'t> = BTreeMap<&'t str, &'t str>;

fn read_group(
    genes: &[Gene],
    members: &[Node],
    path: &str,
    written: &mut Written<'_>,
    values: &mut [u32],
) -> Result<(), String> {
    let mut at = 0;
    for (gene, node) in genes.iter().zip(members) {
        let path = join(path, &gene.name);
        let end = at + node.slots();
        read_gene(&gene.kind, node, &path, written, &mut values[at..end])?;
        at = end;
    }
    Ok(())
}

fn read_gene(
    kind: &GeneKind,
    node: &Node,
    path: &str,
    written: &mut Written<'_>,
    values: &mut [u32],
) -> Result<(), String> {
    if matches!(kind, GeneKind::Tied { .. }) {
        return Ok(());
    }
    let text = written.remove(path).ok_or_else(|| format!("the gene `{path}` is missing"))?;
    read_value(kind, text, values).map_err(|reason| format!("`{path}`: {reason}"))?;
    match (kind, node) {
        (GeneKind::Switch { arms }, Node::Switch { arms: nodes, .. }) => {
            let chosen = values[0] as usize;
            let at = 1 + nodes[..chosen].iter().map(Node::slots).sum::<usize>();
            if let Node::Group { members, .. } = &nodes[chosen] {
                let (name, genes) = &arms[chosen];
                read_group(genes, members, &join(path, name), written, &mut values[at..])?;
            }
        }
        (GeneKind::Repeat { body: genes, at_most, shared, .. }, Node::Repeat { body, .. }) => {
            if values[0] > *at_most {
                return Err(format!("`{path}`: {} copies, at most {at_most}", values[0]));
            }
            if let (Node::Group { members, .. }, true) = (body.as_ref(), *shared) {
                if values[0] > 0 {
                    read_group(genes, members, path, written, &mut values[1..])?;
                }
            } else if let Node::Group { members, slots, .. } = body.as_ref() {
                for copy in 0..values[0] as usize {
                    let path = join(path, &copy.to_string());
                    let slots = &mut values[1 + copy * slots..];
                    read_group(genes, members, &path, written, slots)?;
                }
            }
        }
        _ => {}
    }
    Ok(())
}

/// Reads what [`value_text`] wrote.
fn read_value(kind: &GeneKind, text: &str, values: &mut [u32]) -> Result<(), String> {
    match kind {
        GeneKind::Integer { low, high, step, .. } => {
            values[0] = read_integer([*low, *high], *step, text)?;
        }
        GeneKind::Categorical { choices, .. } => values[0] = position(choices, text)?,
        GeneKind::Real { low, high, log } => {
            let number: f64 = text.parse().map_err(|_| format!("`{text}` is no number"))?;
            if !(*low..=*high).contains(&number) {
                return Err(format!("{number} is not from {low} to {high}"));
            }
            values[0] = real_slot(*low, *high, *log, number);
        }
        GeneKind::Boolean => {
            values[0] = match text {
                "true" => 1,
                "false" => 0,
                _ => return Err(format!("`{text}` is neither true nor false")),
            };
        }
        GeneKind::Subset { of, .. } => {
            for item in text.split(BAR).filter(|item| !matches!(*item, EMPTY | "")) {
                values[0] |= 1 << position(of, item)?;
            }
        }
        GeneKind::Switch { arms } => {
            let names: Vec<Box<str>> = arms.iter().map(|(name, _)| name.clone()).collect();
            values[0] = position(&names, text)?;
        }
        GeneKind::Tied { .. } => {}
        GeneKind::Repeat { .. } => {
            values[0] = text.parse().map_err(|_| format!("`{text}` is no number of copies"))?;
        }
        GeneKind::Parents { .. } | GeneKind::Edges { .. } => {
            let items: Vec<String> = text.split(BAR).map(str::to_owned).collect();
            let used = read_items(kind, Notation::List(BAR), &items, values)?;
            if used != items.len() {
                return Err(format!("`{text}` has {} values too many", items.len() - used));
            }
        }
        GeneKind::Dag { labels, most_nodes, .. } => read_dag(labels, *most_nodes, text, values)?,
    }
    Ok(())
}

/// Which of `names` it is.
fn position(names: &[Box<str>], name: &str) -> Result<u32, String> {
    let found = names.iter().position(|known| known.as_ref() == name);
    found.map(|at| at as u32).ok_or_else(|| {
        let known: Vec<&str> = names.iter().take(20).map(AsRef::as_ref).collect();
        format!("`{name}` is not one of {}", known.join(", "))
    })
}

/// Which of the values from `low` to `high` it is.
fn read_integer([low, high]: [i64; 2], step: u32, text: &str) -> Result<u32, String> {
    let number: i64 = text.parse().map_err(|_| format!("`{text}` is no whole number"))?;
    let step = i64::from(step);
    if !(low..=high).contains(&number) || (number - low) % step != 0 {
        return Err(format!("{number} is not from {low} to {high} in steps of {step}"));
    }
    Ok(((number - low) / step) as u32)
}

/// Reads the edges of a graph, and after a colon the labels of its inner nodes.
fn read_dag(
    labels: &[Box<str>],
    most_nodes: u32,
    text: &str,
    values: &mut [u32],
) -> Result<(), String> {
    let (edges, inner) = text.split_once(':').unwrap_or((text, ""));
    let inner: Vec<&str> = inner.split(BAR).filter(|label| !label.is_empty()).collect();
    let nodes = inner.len() as u32 + 2;
    if nodes > most_nodes {
        return Err(format!("it has {nodes} nodes, at most {most_nodes}"));
    }
    values[0] = nodes;
    for (slot, label) in values[2..].iter_mut().zip(inner) {
        *slot = position(labels, label)?;
    }
    for edge in edges.split(BAR) {
        let ends = edge
            .split_once('>')
            .and_then(|(i, j)| Some((i.parse::<u32>().ok()?, j.parse::<u32>().ok()?)));
        let (i, j) = ends
            .filter(|(i, j)| i < j && *j < nodes)
            .ok_or_else(|| format!("`{edge}` is no edge `i>j` of {nodes} nodes"))?;
        values[1] |= dag::edge(i, j);
    }
    Ok(())
}

fn read_short(
    schema: &Schema,
    members: &[Node],
    parts: &[String],
    values: &mut [u32],
) -> Result<(), String> {
    let (mut at, mut used) = (0, 0);
    for (gene, node) in schema.genes.iter().zip(members) {
        let end = at + node.slots();
        used += read_items(&gene.kind, schema.notation, &parts[used..], &mut values[at..end])
            .map_err(|reason| format!("`{}`: {reason}", gene.name))?;
        at = end;
    }
    if used != parts.len() {
        return Err(format!("there are {} values, expected {used}", parts.len()));
    }
    Ok(())
}

/// Reads the leading `items` that belong to a gene and returns their number.
fn read_items(
    kind: &GeneKind,
    notation: Notation,
    items: &[String],
    values: &mut [u32],
) -> Result<usize, String> {
    let digits = notation == Notation::Digits;
    let wanted = match kind {
        GeneKind::Parents { nodes, .. } => *nodes as usize,
        _ => values.len(),
    };
    let Some(items) = items.get(..wanted) else {
        return Err(format!("{wanted} values are expected, found {}", items.len()));
    };
    let number = |item: &str| item.parse::<u32>().map_err(|_| format!("`{item}` is no number"));
    match kind {
        GeneKind::Parents { nodes, canonical: true } => {
            let vector: Vec<u32> =
                items.iter().map(|item| number(item)).collect::<Result<_, _>>()?;
            let known = canonical_parents(*nodes);
            let same = |known: &[u8]| {
                known.iter().map(|parent| u32::from(*parent)).eq(vector.iter().copied())
            };
            let found = known.iter().position(|known| same(known));
            values[0] = found
                .ok_or_else(|| format!("{} is no canonical parent vector", items.join(" ")))?
                as u32;
        }
        GeneKind::Categorical { .. } | GeneKind::Boolean | GeneKind::Edges { .. } if digits => {
            for (slot, item) in values.iter_mut().zip(items) {
                *slot = number(item)?;
            }
        }
        GeneKind::Parents { .. } => {
            for (slot, item) in values.iter_mut().zip(items) {
                *slot = number(item)?;
            }
        }
        GeneKind::Edges { labels, .. } => {
            let edge = GeneKind::Categorical { choices: labels.clone(), ordered: false };
            for (slot, item) in values.iter_mut().zip(items) {
                read_value(&edge, item, std::slice::from_mut(slot))?;
            }
        }
        GeneKind::Tied { .. } => {}
        _ => read_value(kind, &items[0], values)?,
    }
    Ok(wanted)
}

/// The number that a real slot stands for.
pub(super) fn real_value(low: f64, high: f64, log: bool, slot: u32) -> f64 {
    let last = (REAL_VALUES - 1) as f64;
    // The ends are exact whatever the rounding in between.
    match slot {
        0 => low,
        u32::MAX => high,
        _ if log => {
            let (low, high) = (libm::log(low), libm::log(high));
            libm::exp(low + (high - low) * (f64::from(slot) / last))
        }
        _ => low + (high - low) * (f64::from(slot) / last),
    }
}

/// The slot whose number is nearest.
fn real_slot(low: f64, high: f64, log: bool, number: f64) -> u32 {
    let share = if log {
        (libm::log(number) - libm::log(low)) / (libm::log(high) - libm::log(low))
    } else {
        (number - low) / (high - low)
    };
    (share.clamp(0.0, 1.0) * (REAL_VALUES - 1) as f64).round() as u32
}

/// The path of the gene that a slot belongs to, for messages.
pub(super) fn name_of_slot(genes: &[Gene], root: &Node, slot: usize) -> String {
    let Node::Group { members, .. } = root else { return String::new() };
    let mut at = 0;
    for (gene, node) in genes.iter().zip(members) {
        let end = at + node.slots();
        if slot < end {
            return gene.name.to_string();
        }
        at = end;
    }
    String::new()
}
