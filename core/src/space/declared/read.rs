//! Declared genes from a campaign, every fault at its place. It must not know what a gene of the
//! right form means: `Schema` refuses senseless ones, and this module says where they stand.

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{Declared, Same};
use crate::space::Schema;
use crate::space::schema::{
    Admission, Gene, GeneKind, Notation, RuleError, RulePlace, SchemaError,
};
use crate::spec::{Item, Section};

/// The keys of which each gene has exactly one; it says the gene's kind.
const KINDS: [&str; 11] = [
    "int", "cat", "real", "bool", "subset", "switch", "repeat", "same_as", "parents", "edges",
    "dag",
];
const KINDS_HELP: &str = "write one of `int: [1, 10]`, `cat: [a, b]`, `real: [0, 1]`, `bool: true`, \
                          `subset: [a, b]`, `switch: {..}`, `repeat: {..}`, `same_as: gene`, \
                          `parents: 4`, `edges: [a, b]`, `dag: [a, b]`";

/// The parameters as written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Raw {
    #[serde(rename = "genes")]
    _genes: Option<IgnoredAny>,
    notation: Option<String>,
    same: Option<String>,
    #[serde(rename = "derived")]
    _derived: Option<IgnoredAny>,
    #[serde(rename = "where")]
    _where: Option<IgnoredAny>,
    network: Option<serde_json::Value>,
}

fn admission(section: &Section<'_>) -> Admission {
    if section.is_kept() { Admission::Kept } else { Admission::New }
}

/// Reads the genes; faults go into the section, `None` if there were any.
pub(super) fn space(section: &Section<'_>) -> Option<Declared> {
    let raw: Raw = section.read();
    section.missing("genes", "declare what varies, such as `genes: {depth: {int: [1, 10]}}`");
    let genes = group(section, "genes")?;
    if !section.is_clean() {
        return None;
    }
    let notation = notation(section, raw.notation.as_deref())?;
    let schema = Schema::admitted(genes, admission(section))
        .and_then(|schema| schema.with_admitted_notation(notation, admission(section)))
        .map_err(|error| refuse(section, "genes", error))
        .ok()?;
    let same = match raw.same.as_deref() {
        None if raw.network.is_some() => Same::Network,
        None | Some("spelling") => Same::Spelling,
        Some("isomorphic") => Same::Isomorphic,
        Some("network") if raw.network.is_some() => Same::Network,
        Some(other) => {
            let help = "write `spelling`, `isomorphic` for graphs up to the numbering of nodes, or, \
                        where a network is declared, `network`";
            section.fault("same", format!("there is no rule `{other}`"), help);
            return None;
        }
    };
    let schema = with_rules(section, schema)?;
    let network = match (section.item("network"), raw.network) {
        (Some(item), Some(written)) => Some(super::network::read(&item, written, &schema)?),
        _ => None,
    };
    Some(Declared { schema, same, network })
}

/// The schema with the derived values and constraints that are written beside its genes.
fn with_rules(section: &Section<'_>, schema: Schema) -> Option<Schema> {
    let derived = derived(section);
    let constraints: Vec<(Item<'_>, Box<str>)> =
        section.items("where").into_iter().filter_map(with_text).collect();
    if !section.is_clean() {
        return None;
    }
    let named: Vec<(Box<str>, Box<str>)> =
        derived.iter().map(|(name, _, text)| (name.clone(), text.clone())).collect();
    let texts: Vec<Box<str>> = constraints.iter().map(|(_, text)| text.clone()).collect();
    // Each constraint is tried alone first, so that all faults come in one go.
    for (nth, text) in texts.iter().enumerate() {
        if let Err(error) = schema.check_constraint(&named, text)
            && let RulePlace::Constraint(_) = error.rule
        {
            constraints[nth].0.fault_at_character(error.at, error.reason, error.help);
        }
    }
    if !section.is_clean() {
        return None;
    }
    let refuse = |RuleError { rule, at, reason, help }| match rule {
        RulePlace::Derived(nth) => derived[nth].1.fault_at_character(at, reason, help),
        RulePlace::Constraint(nth) => constraints[nth].0.fault_at_character(at, reason, help),
        RulePlace::Constraints => section.fault("where", reason, help),
    };
    schema.with_admitted_rules(&named, &texts, admission(section)).map_err(refuse).ok()
}

/// The derived values: a mapping of names to expressions, or a list of them with `name` and `value`,
/// since the order of a mapping does not survive every format.
fn derived<'s>(section: &'s Section<'_>) -> Vec<(Box<str>, Item<'s>, Box<str>)> {
    let mut derived = Vec::new();
    let mapping = match section.item("derived") {
        Some(item) if item.is_list() => {
            for item in section.items("derived") {
                let (Some(name), Some(value)) = (item.inner("name"), item.inner("value")) else {
                    item.fault(
                        "a derived value has a `name` and a `value`",
                        "write `{name: params, value: \"width * depth\"}`",
                    );
                    continue;
                };
                let name = with_text(name).map(|(_, name)| name);
                derived.extend(name.zip(with_text(value)).map(|(n, (item, text))| (n, item, text)));
            }
            return derived;
        }
        Some(item) => item.section(),
        None => None,
    };
    let names: Vec<String> = mapping.iter().flat_map(Section::keys).map(str::to_owned).collect();
    for name in names {
        let value = section.item("derived").and_then(|item| item.inner(&name));
        let value = value.and_then(with_text);
        derived.extend(value.map(|(item, text)| (name.into(), item, text)));
    }
    derived
}

/// A value with the text of an expression; anything else is a fault.
fn with_text(item: Item<'_>) -> Option<(Item<'_>, Box<str>)> {
    let Some(text) = item.text().filter(|text| !text.trim().is_empty()) else {
        item.fault(
            "an expression is a text",
            "write it in quotes, such as `\"depth * width <= 4096\"`",
        );
        return None;
    };
    let text = text.into();
    Some((item, text))
}

fn notation(section: &Section<'_>, text: Option<&str>) -> Option<Notation> {
    let text = text.unwrap_or("named");
    let mut separator = text.strip_prefix("list").unwrap_or_default().trim().chars();
    match (text, separator.next(), separator.next()) {
        ("named", ..) => Some(Notation::Named),
        ("digits", ..) => Some(Notation::Digits),
        ("list", ..) => Some(Notation::List(',')),
        (_, Some(separator), None) if !separator.is_alphanumeric() && separator != '-' => {
            Some(Notation::List(separator))
        }
        _ => {
            section.fault(
                "notation",
                format!("there is no notation `{text}`"),
                "write `named`, `digits`, `list`, or `list :` for another character between values",
            );
            None
        }
    }
}

fn refuse(section: &Section<'_>, key: &str, error: SchemaError) {
    let SchemaError { path, reason, help } = error;
    section.fault(key, format!("`{path}` {reason}"), help);
}

/// The genes at `key`: a mapping of names to genes, or a list of genes with a `name` each.
fn group(section: &Section<'_>, key: &str) -> Option<Vec<Gene>> {
    let item = section.item(key)?;
    let mut genes = Vec::new();
    let mut faulty = false;
    let mut add = |name: &str, read: Option<GeneKind>, section: &Section<'_>, key: &str| {
        let Some(kind) = read else {
            faulty = true;
            return;
        };
        let gene = Gene::new(name, kind);
        // Each gene is tried alone, or with those that it can be tied to, so that its fault is placed
        // at the gene.
        let mut tried = match &gene.kind {
            GeneKind::Tied { .. } => genes.clone(),
            _ => Vec::new(),
        };
        tried.push(gene.clone());
        match Schema::admitted(tried, admission(section)) {
            Ok(_) => genes.push(gene),
            Err(error) => {
                refuse(section, key, error);
                faulty = true;
            }
        }
    };
    if item.is_list() {
        for entry in section.items(key) {
            let Some(gene) = entry.section() else { continue };
            gene.missing("name", "give each gene of the list a `name`");
            let name = gene.item("name");
            let name = name.as_ref().and_then(Item::text).unwrap_or_default().to_owned();
            let gene = gene.without("name");
            let kind = kind(&gene);
            add(&name, kind, &gene, "");
        }
    } else {
        let mapping = item.section()?;
        for name in mapping.keys() {
            let read = mapping.item(name).and_then(|item| match item.text() {
                Some("bool") => Some(GeneKind::Boolean),
                _ => kind(&item.section()?),
            });
            add(name, read, &mapping, name);
        }
    }
    if genes.is_empty() && section.is_clean() {
        section.fault(key, "has no genes", "declare at least one");
        return None;
    }
    (!faulty).then_some(genes)
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawInteger {
    int: Option<(i64, i64)>,
    step: Option<u32>,
    log: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawCategorical {
    cat: Option<Vec<Name>>,
    ordered: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawReal {
    real: Option<(f64, f64)>,
    log: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawSubset {
    subset: Option<Vec<Name>>,
    size: Option<Range>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawSwitch {
    #[serde(rename = "switch")]
    _switch: Option<IgnoredAny>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawRepeat {
    #[serde(rename = "repeat")]
    _repeat: Option<IgnoredAny>,
    count: Option<Range>,
    shared: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawTied {
    same_as: Option<Box<str>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawParents {
    parents: Option<u32>,
    canonical: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawEdges {
    edges: Option<Vec<Name>>,
    nodes: Option<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawDag {
    dag: Option<Vec<Name>>,
    nodes: Option<Range>,
    max_edges: Option<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawBoolean {
    #[serde(rename = "bool")]
    _bool: Option<IgnoredAny>,
}

/// The name of a choice; numbers are names as well.
#[derive(Debug, Clone)]
struct Name(Box<str>);

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Name;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("the name of a choice")
            }

            fn visit_str<E>(self, text: &str) -> Result<Name, E> {
                Ok(Name(text.into()))
            }

            fn visit_bool<E>(self, value: bool) -> Result<Name, E> {
                Ok(Name(value.to_string().into()))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Name, E> {
                Ok(Name(value.to_string().into()))
            }

            fn visit_u64<E>(self, value: u64) -> Result<Name, E> {
                Ok(Name(value.to_string().into()))
            }

            fn visit_f64<E>(self, value: f64) -> Result<Name, E> {
                Ok(Name(value.to_string().into()))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

fn names(names: Vec<Name>) -> Vec<Box<str>> {
    names.into_iter().map(|Name(name)| name).collect()
}

/// A number, or the least and the largest one.
#[derive(Debug, Clone, Copy)]
struct Range {
    least: u32,
    most: u32,
}

impl<'de> Deserialize<'de> for Range {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Range;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a whole number, or the least and the largest as `[1, 4]`")
            }

            fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Range, E> {
                let number = u32::try_from(value).map_err(E::custom)?;
                Ok(Range { least: number, most: number })
            }

            fn visit_seq<A: serde::de::SeqAccess<'de>>(
                self,
                mut numbers: A,
            ) -> Result<Range, A::Error> {
                let missing = || serde::de::Error::invalid_length(0, &"two numbers");
                let least = numbers.next_element()?.ok_or_else(missing)?;
                let most = numbers.next_element()?.ok_or_else(missing)?;
                match numbers.next_element::<u32>()? {
                    None => Ok(Range { least, most }),
                    Some(_) => Err(serde::de::Error::invalid_length(3, &"two numbers")),
                }
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// The gene that a section declares; `None` if it has faults.
fn kind(section: &Section<'_>) -> Option<GeneKind> {
    let mut found = KINDS.into_iter().filter(|kind| section.contains(kind));
    let (Some(kind), None) = (found.next(), found.next()) else {
        let message = "a gene says its kind by one key".to_owned();
        section.fault("", message, KINDS_HELP);
        return None;
    };
    of_kind(kind, section)
}

/// The gene of this kind.
fn of_kind(kind: &str, section: &Section<'_>) -> Option<GeneKind> {
    match kind {
        "int" => {
            let raw: RawInteger = section.read();
            let (low, high) = raw.int?;
            let (step, log) = (raw.step.unwrap_or(1), raw.log.unwrap_or(false));
            Some(GeneKind::Integer { low, high, step, log })
        }
        "cat" => {
            let raw: RawCategorical = section.read();
            let ordered = raw.ordered.unwrap_or(false);
            Some(GeneKind::Categorical { choices: names(raw.cat?), ordered })
        }
        "real" => {
            let raw: RawReal = section.read();
            let (low, high) = raw.real?;
            Some(GeneKind::Real { low, high, log: raw.log.unwrap_or(false) })
        }
        "bool" => {
            let _: RawBoolean = section.read();
            Some(GeneKind::Boolean)
        }
        "subset" => {
            let raw: RawSubset = section.read();
            let of = names(raw.subset?);
            let size = raw.size.unwrap_or(Range { least: 0, most: of.len() as u32 });
            Some(GeneKind::Subset { of, at_least: size.least, at_most: size.most })
        }
        "switch" => {
            let _: RawSwitch = section.read();
            switch(section)
        }
        "repeat" => repeat(section),
        "same_as" => {
            let raw: RawTied = section.read();
            Some(GeneKind::Tied { to: raw.same_as? })
        }
        "parents" => {
            let raw: RawParents = section.read();
            let canonical = raw.canonical.unwrap_or(false);
            Some(GeneKind::Parents { nodes: raw.parents?, canonical })
        }
        "edges" => {
            let raw: RawEdges = section.read();
            section.missing("nodes", "say between how many nodes, such as `nodes: 4`");
            Some(GeneKind::Edges { nodes: raw.nodes?, labels: names(raw.edges?) })
        }
        _ => dag(section),
    }
}

fn repeat(section: &Section<'_>) -> Option<GeneKind> {
    let raw: RawRepeat = section.read();
    section.missing("count", "say how often, such as `count: [1, 4]`");
    let body = group(section, "repeat")?;
    let Range { least, most } = raw.count?;
    let shared = raw.shared.unwrap_or(false);
    Some(GeneKind::Repeat { at_least: least, at_most: most, shared, body })
}

/// With every edge there can be, unless it says how many.
fn dag(section: &Section<'_>) -> Option<GeneKind> {
    let raw: RawDag = section.read();
    section.missing("nodes", "say how many nodes, such as `nodes: [2, 7]`");
    let Range { least, most } = raw.nodes?;
    let all = most.saturating_mul(most.saturating_sub(1)) / 2;
    let max_edges = raw.max_edges.unwrap_or(all);
    let labels = names(raw.dag?);
    Some(GeneKind::Dag { least_nodes: least, most_nodes: most, max_edges, labels })
}

/// The arms of a switch: a mapping of names to genes, or a list of arms with `name` and `genes`.
fn switch(section: &Section<'_>) -> Option<GeneKind> {
    let item = section.item("switch")?;
    let mut arms = Vec::new();
    let mut complete = true;
    if item.is_list() {
        for arm in section.items("switch") {
            let arm = arm.section()?;
            let name = arm.item("name");
            let name = name.as_ref().and_then(Item::text).unwrap_or_default().to_owned();
            match arm_genes(&arm, "genes") {
                Some(genes) => arms.push((name.into(), genes)),
                None => complete = false,
            }
        }
    } else {
        let mapping = item.section()?;
        for name in mapping.keys() {
            match arm_genes(&mapping, name) {
                Some(genes) => arms.push((name.into(), genes)),
                None => complete = false,
            }
        }
    }
    complete.then_some(GeneKind::Switch { arms })
}

/// The genes of an arm, which may have none.
fn arm_genes(section: &Section<'_>, key: &str) -> Option<Vec<Gene>> {
    match section.item(key) {
        Some(item) if !item.is_empty() => group(section, key),
        _ => Some(Vec::new()),
    }
}
