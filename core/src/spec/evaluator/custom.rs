//! Settings of an evaluator of the user's own: whatever mapping the campaign holds, passed on as it
//! is.
//!
//! Must not know what the program makes of them; it is told nothing else.

use serde_json::{Map, Number, Value};
use serde_yaml::Value as Yaml;

use super::{CheckedSettings, Curves, EvaluatorEntry, Needs, always_differ};
use crate::spec::{Item, Section};

/// How the names of such evaluators begin, in campaigns and in the offers of workers. No other name
/// holds a `/`, so that an evaluator of a later release can never take one's own place.
pub(super) const PREFIX: &str = "custom/";

/// The table's line; it stands for every name that begins with [`PREFIX`].
pub(super) const ENTRY: EvaluatorEntry = EvaluatorEntry {
    name: "custom/NAME",
    summary: "runs an evaluator of your own, which a worker offers by that name",
    metrics: &[],
    delivers_any: true,
    needs: Needs::Text,
    continues: Some(|_, _| None),
    repeats: always_differ,
    curves: Curves::Any,
    check,
};

/// The longest settings as JSON, in bytes.
const MAX_BYTES: usize = 64 << 10;
/// The deepest nesting of lists and mappings in a setting.
const MAX_DEPTH: usize = 16;

fn check(section: &Section<'_>) -> Option<CheckedSettings> {
    let keys: Vec<&str> = section.keys().collect();
    let mut settings = Map::new();
    for key in keys {
        // A key without a value is absent, as everywhere in a campaign.
        let Some(item) = section.item(key) else { continue };
        if let Some(value) = json(&item, MAX_DEPTH) {
            settings.insert(key.to_owned(), value);
        }
    }
    let settings = Value::Object(settings);
    let bytes = settings.to_string().len();
    if bytes > MAX_BYTES {
        section.fault(
            "",
            format!("the settings take {bytes} bytes as JSON; at most {MAX_BYTES} are passed on"),
            "put what is long into a file that the evaluator reads, and name the file here",
        );
    }
    section.is_clean().then_some(CheckedSettings { settings, dataset: None, delivers: None })
}

/// The value as JSON, `None` if it has none, which is a fault.
fn json(item: &Item<'_>, depth: usize) -> Option<Value> {
    let nested = item.is_list() || item.is_mapping();
    if nested && depth == 0 {
        item.fault(
            format!("the nesting is deeper than {MAX_DEPTH} levels"),
            "flatten the settings, or put them into a file that the evaluator reads",
        );
        return None;
    }
    if item.is_list() {
        let values = item.elements()?.into_iter();
        return values.map(|element| json(&element, depth - 1)).collect();
    }
    if item.is_mapping() {
        let entries = item.entries()?.into_iter();
        let entry = |(key, value): (String, Item<'_>)| Some((key, json(&value, depth - 1)?));
        return entries.map(entry).collect::<Option<Map<_, _>>>().map(Value::Object);
    }
    match item.scalar() {
        Yaml::Null => Some(Value::Null),
        Yaml::Bool(truth) => Some(truth.into()),
        Yaml::Number(number) => finite(&number).or_else(|| {
            item.fault(
                format!("`{number}` is not a finite number, which settings cannot carry"),
                "write a number, or a text in quotes",
            );
            None
        }),
        Yaml::String(text) => Some(text.into()),
        // Collections are read above and tags are refused before.
        Yaml::Sequence(_) | Yaml::Mapping(_) | Yaml::Tagged(_) => None,
    }
}

fn finite(number: &serde_yaml::Number) -> Option<Value> {
    let whole = number.as_u64().map(Number::from).or_else(|| number.as_i64().map(Number::from));
    whole.or_else(|| number.as_f64().and_then(Number::from_f64)).map(Value::Number)
}
