//! Declared genes as the JSON that `read` takes. Genes are a list here, since the order of a
//! mapping's keys does not survive every format, and slots follow the order of the genes. It must not know what
//! a network is built of: it is given back as it was read.

use serde_json::{Value, json};

use super::{Declared, Same};
use crate::space::schema::{Gene, GeneKind, Notation};

/// Every parameter of the space.
pub(super) fn parameters(space: &Declared) -> Value {
    let schema = &space.schema;
    let notation = match schema.notation() {
        Notation::Named => "named".to_owned(),
        Notation::Digits => "digits".to_owned(),
        Notation::List(separator) => format!("list {separator}"),
    };
    let mut parameters = json!({"genes": genes(schema.genes()), "notation": notation});
    let derived = |(name, value)| json!({"name": name, "value": value});
    let derived: Vec<Value> = schema.derived().map(derived).collect();
    let constraints: Vec<&str> = schema.constraints().collect();
    // Spaces without them keep the form that they have always been stored in.
    match (space.same, &space.network) {
        (Same::Spelling, None) => {}
        (Same::Spelling, Some(_)) => parameters["same"] = "spelling".into(),
        (Same::Isomorphic, _) => parameters["same"] = "isomorphic".into(),
        (Same::Network, _) => parameters["same"] = "network".into(),
    }
    if let Some(network) = &space.network {
        parameters["network"] = network.written().clone();
    }
    if !derived.is_empty() {
        parameters["derived"] = derived.into();
    }
    if !constraints.is_empty() {
        parameters["where"] = constraints.into();
    }
    parameters
}

fn genes(genes: &[Gene]) -> Value {
    genes.iter().map(|gene| named(&gene.name, &gene.kind)).collect()
}

fn named(name: &str, kind: &GeneKind) -> Value {
    let mut gene = match kind {
        GeneKind::Integer { low, high, step, log: false } => {
            json!({"int": [low, high], "step": step})
        }
        GeneKind::Integer { low, high, step, log: true } => {
            json!({"int": [low, high], "step": step, "log": true})
        }
        GeneKind::Categorical { choices, ordered } => json!({"cat": choices, "ordered": ordered}),
        GeneKind::Real { low, high, log } => json!({"real": [low, high], "log": log}),
        GeneKind::Boolean => json!({"bool": true}),
        GeneKind::Subset { of, at_least, at_most } => {
            json!({"subset": of, "size": [at_least, at_most]})
        }
        GeneKind::Switch { arms } => {
            let arm =
                |(name, body): &(Box<str>, Vec<Gene>)| json!({"name": name, "genes": genes(body)});
            json!({"switch": arms.iter().map(arm).collect::<Vec<_>>()})
        }
        GeneKind::Repeat { at_least, at_most, shared, body } => {
            let mut repeat = json!({"repeat": genes(body), "count": [at_least, at_most]});
            if *shared {
                repeat["shared"] = true.into();
            }
            repeat
        }
        GeneKind::Tied { to } => json!({"same_as": to}),
        GeneKind::Parents { nodes, canonical } => json!({"parents": nodes, "canonical": canonical}),
        GeneKind::Edges { nodes, labels } => json!({"edges": labels, "nodes": nodes}),
        GeneKind::Dag { least_nodes, most_nodes, max_edges, labels } => {
            json!({"dag": labels, "nodes": [least_nodes, most_nodes], "max_edges": max_edges})
        }
    };
    gene["name"] = name.into();
    gene
}
