//! One mapping of a document: read into a type, with every fault kept together with its place.
//!
//! Whoever reads a section records what is wrong and goes on, so that a user sees all faults in one
//! go. It must not know what any key means.

use std::borrow::Cow;
use std::cell::RefCell;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::rc::Rc;

use serde::de::DeserializeOwned;
use serde_path_to_error::{Path, Segment};
use serde_yaml::Value;

use super::document::{Content, Document, Limits, MAX_FAULTS, Node, Place, join, shortened};
use super::fault::{Fault, Faults};
use super::spelling;

/// The message at a key that nobody reads.
const UNKNOWN_KEY: &str = "unknown key";

/// What all sections of a text share.
#[derive(Debug)]
struct Reading {
    /// What is wrong, so far.
    faults: RefCell<Vec<Fault>>,
    is_kept: bool,
}

/// A mapping of a campaign file with its place, and the faults found in it so far.
///
/// A reader of parameters does three things: [`Self::read`] into a struct with
/// `#[serde(deny_unknown_fields, default)]`, [`Self::fault`] for every value that makes no sense,
/// and `None` unless [`Self::is_clean`]. A key without a value (or `null`) counts as absent.
#[derive(Debug)]
pub struct Section<'d> {
    node: Cow<'d, Node>,
    path: String,
    /// A key that someone else has read.
    hidden: Option<&'static str>,
    reading: Rc<Reading>,
}

impl Section<'static> {
    /// A section from a YAML or JSON text of its own: parameters stored in a journal, say.
    ///
    /// # Errors
    /// The faults of a text that is no YAML or no mapping.
    pub fn from_text(text: &str) -> Result<Self, Faults> {
        Self::within(text, Limits::WRITTEN)
    }

    /// The mapping at the top of a program's settings, which may be longer than a campaign; a text of
    /// comments alone has no keys.
    ///
    /// # Errors
    /// As [`Self::from_text`].
    pub fn of_settings(text: &str) -> Result<Self, Faults> {
        let says_nothing = |line: &str| line.trim().is_empty() || line.trim().starts_with('#');
        if text.trim_start_matches('\u{feff}').lines().all(says_nothing) {
            return Self::within("{}", Limits::WRITTEN);
        }
        let Document { root, faults } = Document::parse(text, Limits::RESOLVED)?;
        let root = if root.is_null() { Node::empty_mapping(root.place) } else { root };
        Self::of_root(root, faults, false)
    }

    /// The mapping at the top of a text that is within `limits`.
    pub(super) fn within(text: &str, limits: Limits) -> Result<Self, Faults> {
        let Document { root, faults } = Document::parse(text, limits)?;
        Self::of_root(root, faults, limits == Limits::RESOLVED)
    }

    fn of_root(root: Node, faults: Vec<Fault>, is_kept: bool) -> Result<Self, Faults> {
        if !matches!(root.content, Content::Mapping(_)) {
            return Err(Faults::single(root.place.fault(
                "",
                format!("expected a mapping of keys to values, found {}", root.description()),
                Some("write `key: value`, one a line".to_owned()),
            )));
        }
        Ok(Section {
            node: Cow::Owned(root),
            path: String::new(),
            hidden: None,
            reading: Rc::new(Reading { faults: RefCell::new(faults), is_kept }),
        })
    }
}

impl<'d> Section<'d> {
    /// The section as a value of `T`. Whatever does not fit is recorded as a fault and left out, so
    /// `T` gets its default there; `T` should be a struct with
    /// `#[serde(deny_unknown_fields, default)]`.
    #[must_use]
    pub fn read<T: DeserializeOwned + Default>(&self) -> T {
        let mut value = self.node.to_value();
        if let (Value::Mapping(mapping), Some(hidden)) = (&mut value, self.hidden) {
            mapping.remove(hidden);
        }
        while self.reading.faults.borrow().len() < MAX_FAULTS {
            match serde_path_to_error::deserialize(&value) {
                Ok(read) => return read,
                Err(error) => {
                    let steps = steps(error.path());
                    let (message, help) = explain(&error.into_inner().to_string());
                    self.record(&steps, message == UNKNOWN_KEY, message, help);
                    if !remove(&mut value, &steps) {
                        break;
                    }
                }
            }
        }
        T::default()
    }

    /// Records that the value of `key` makes no sense: at the value, or at the section if the key
    /// is absent. `key` may lead into nested values: `input[2]`, `augment.cutout`.
    ///
    /// `message` is a phrase that starts in lower case, `help` says what to write instead.
    pub fn fault(&self, key: &str, message: impl Into<String>, help: impl Into<String>) {
        self.record(&parse_steps(key), false, message.into(), Some(help.into()));
    }

    /// Records that `key` has to be there, unless it is (then its own fault says enough).
    pub fn missing(&self, key: &str, help: impl Into<String>) {
        if !self.contains(key) {
            self.fault(key, "is missing", help);
        }
    }

    /// Records a fault at `key` unless `value` lies in `range`; NaN never does.
    pub fn check_range<N: PartialOrd + Display>(
        &self,
        key: &str,
        value: N,
        range: RangeInclusive<N>,
    ) {
        if !range.contains(&value) {
            self.fault(
                key,
                format!("{value} is out of range"),
                format!("write a number from {} to {}", range.start(), range.end()),
            );
        }
    }

    /// Whether this is a campaign that a journal keeps: it was accepted once, and has to be read whatever is
    /// demanded of new ones since.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        self.reading.is_kept
    }

    /// Whether no fault lies in this section or below it.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        !self.reading.faults.borrow().iter().any(|fault| lies_within(&fault.path, &self.path))
    }

    /// Whether no fault lies at `key` or below it.
    pub(super) fn is_clean_at(&self, key: &str) -> bool {
        let path = join(&self.path, key);
        !self.reading.faults.borrow().iter().any(|fault| lies_within(&fault.path, &path))
    }

    /// Whether the key is written and has a value, right or wrong.
    #[must_use]
    pub fn contains(&self, key: &str) -> bool {
        self.node.entry(key).is_some_and(|entry| !entry.value.is_null())
    }

    /// Where the section stands in its file, such as `stages[0].settings`; empty at the top.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The nested mapping at `key`: `None` if it is absent, or no mapping, which is a fault.
    #[must_use]
    pub fn child(&self, key: &str) -> Option<Section<'_>> {
        self.item(key)?.section()
    }

    /// The nested mapping at `key`, without keys if it is absent; `None` if it is no mapping, which
    /// is a fault.
    pub(super) fn child_or_empty(&self, key: &str) -> Option<Section<'_>> {
        match self.item(key) {
            Some(item) => item.section(),
            None => Some(Section {
                node: Cow::Owned(Node::empty_mapping(self.node.place)),
                path: join(&self.path, key),
                hidden: None,
                reading: Rc::clone(&self.reading),
            }),
        }
    }

    /// The keys in the order of the file.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.node.entries().iter().map(|entry| entry.key.as_str())
    }

    /// The line and the column of the value that these keys lead to, both from 1; `None` if it is not
    /// written.
    #[must_use]
    pub fn place_of(&self, keys: &[&str]) -> Option<(usize, usize)> {
        let (last, outer) = keys.split_last()?;
        let mut node = self.node.as_ref();
        for key in outer {
            node = &node.entry(key)?.value;
        }
        let Place { line, column } = node.entry(last)?.value_place();
        Some((line, column))
    }

    /// Like [`Self::fault`] for a key that the user chose, which may hold any character.
    pub fn fault_at_entry(&self, key: &str, message: impl Into<String>, help: impl Into<String>) {
        self.record(&[Step::Key(key.to_owned())], false, message.into(), Some(help.into()));
    }

    /// Every fault of the file found so far, ordered by place; `Ok` if there is none.
    ///
    /// # Errors
    /// The faults.
    pub fn finish(&self) -> Result<(), Faults> {
        Faults::collect(self.reading.faults.borrow().clone()).map_or(Ok(()), Err)
    }

    /// The value at `key`, if there is one.
    pub(crate) fn item(&self, key: &str) -> Option<Item<'_>> {
        let entry = self.node.entry(key).filter(|entry| !entry.value.is_null())?;
        Some(Item {
            node: &entry.value,
            path: join(&self.path, key),
            reading: Rc::clone(&self.reading),
        })
    }

    /// The elements of the list at `key`: none if it is absent, or no list, which is a fault.
    pub(crate) fn items(&self, key: &str) -> Vec<Item<'_>> {
        self.item(key).and_then(|list| list.elements()).unwrap_or_default()
    }

    /// The same section without `key`, which someone else has read.
    pub(crate) fn without(mut self, key: &'static str) -> Self {
        self.hidden = Some(key);
        self
    }

    fn record(&self, steps: &[Step], at_key: bool, message: String, help: Option<String>) {
        let mut place = self.node.place;
        let mut node = self.node.as_ref();
        let mut path = self.path.clone();
        let mut found = true;
        for step in steps {
            match step {
                Step::Key(key) => path = join(&path, &shortened(key)),
                Step::Index(index) => path.push_str(&format!("[{index}]")),
            }
            found = found && step.enter(&mut node, &mut place, at_key);
        }
        push(&self.reading.faults, place.fault(&path, message, help));
    }
}

/// A value whose kind is open: a name, or a mapping.
#[derive(Debug, Clone)]
pub(crate) struct Item<'d> {
    node: &'d Node,
    path: String,
    reading: Rc<Reading>,
}

impl<'d> Item<'d> {
    /// As [`Section::is_kept`].
    pub(crate) fn is_kept(&self) -> bool {
        self.reading.is_kept
    }

    /// The text of a value that is no list or mapping.
    pub(crate) fn text(&self) -> Option<&'d str> {
        match &self.node.content {
            Content::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }

    /// The value by YAML's core schema, without places; for values that are no list or mapping.
    pub(super) fn scalar(&self) -> Value {
        self.node.to_value()
    }

    /// The mapping; anything else is a fault.
    pub(crate) fn section(&self) -> Option<Section<'d>> {
        if matches!(self.node.content, Content::Mapping(_)) {
            return Some(self.as_section(Cow::Borrowed(self.node)));
        }
        self.fault(
            format!("expected a mapping of keys to values, found {}", self.node.description()),
            "write `key: value`, one a line and indented, or `{key: value}`",
        );
        None
    }

    /// A section without keys that stands where this value stands.
    pub(super) fn empty_section(&self) -> Section<'d> {
        self.as_section(Cow::Owned(Node::empty_mapping(self.node.place)))
    }

    /// Records a fault at this value.
    pub(crate) fn fault(&self, message: impl Into<String>, help: impl Into<String>) {
        let fault = self.node.place.fault(&self.path, message.into(), Some(help.into()));
        push(&self.reading.faults, fault);
    }

    /// What could be said of this value without its being a fault: a warning.
    pub(super) fn remark(&self, message: String, help: String) -> Fault {
        self.node.place.fault(&self.path, message, Some(help))
    }

    /// Records a fault at a character of the text of this value, from 0; at the start of the value if
    /// the text is written over several lines or with escapes.
    pub(crate) fn fault_at_character(
        &self,
        at: usize,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        let mut place = self.node.place;
        if let Content::Scalar { inside: Some(inside), .. } = self.node.content {
            place.column += inside + at;
        }
        push(&self.reading.faults, place.fault(&self.path, message.into(), Some(help.into())));
    }

    /// Records a fault at `key` inside this value, or at the value if there is no such key.
    pub(crate) fn fault_at(&self, key: &str, message: impl Into<String>, help: impl Into<String>) {
        self.as_section(Cow::Borrowed(self.node)).fault(key, message, help);
    }

    /// The value at `key` inside this value, if this is a mapping that has one.
    pub(crate) fn inner(&self, key: &str) -> Option<Item<'d>> {
        let entry = self.node.entry(key).filter(|entry| !entry.value.is_null())?;
        let reading = Rc::clone(&self.reading);
        Some(Item { node: &entry.value, path: join(&self.path, key), reading })
    }

    /// Whether this is a list without elements.
    pub(crate) fn is_empty_list(&self) -> bool {
        matches!(&self.node.content, Content::Sequence(nodes) if nodes.is_empty())
    }

    /// Whether this is a mapping.
    pub(super) fn is_mapping(&self) -> bool {
        matches!(&self.node.content, Content::Mapping(_))
    }

    /// Where the value begins, and one column behind where it ends.
    pub(super) fn extent(&self) -> (Place, Place) {
        (self.node.place, self.node.end)
    }

    /// Whether this is a list.
    pub(crate) fn is_list(&self) -> bool {
        matches!(&self.node.content, Content::Sequence(_))
    }

    /// Whether this is a list or a mapping without content.
    pub(crate) fn is_empty(&self) -> bool {
        match &self.node.content {
            Content::Sequence(nodes) => nodes.is_empty(),
            Content::Mapping(entries) => entries.is_empty(),
            Content::Scalar { .. } => false,
        }
    }

    /// The elements of a list; anything else is a fault.
    pub(crate) fn elements(&self) -> Option<Vec<Item<'d>>> {
        let Content::Sequence(nodes) = &self.node.content else {
            self.fault(
                format!("expected a list, found {}", self.description()),
                "start each element with `- ` on a line of its own, or write `[a, b]`",
            );
            return None;
        };
        let element = |(index, node)| Item {
            node,
            path: format!("{}[{index}]", self.path),
            reading: Rc::clone(&self.reading),
        };
        Some(nodes.iter().enumerate().map(element).collect())
    }

    /// The keys and values of a mapping; anything else is a fault.
    pub(crate) fn entries(&self) -> Option<Vec<(String, Item<'d>)>> {
        let keys: Vec<String> = self.section()?.keys().map(str::to_owned).collect();
        let entry = |key: String| {
            let value = self.inner(&key);
            value.map(|value| (key, value))
        };
        Some(keys.into_iter().filter_map(entry).collect())
    }

    /// Where the value stands in its file, such as `stages[0].settings`.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// What the value is, for messages.
    pub(crate) fn description(&self) -> String {
        self.node.description()
    }

    fn as_section(&self, node: Cow<'d, Node>) -> Section<'d> {
        Section { node, path: self.path.clone(), hidden: None, reading: Rc::clone(&self.reading) }
    }
}

fn push(faults: &RefCell<Vec<Fault>>, fault: Fault) {
    let mut faults = faults.borrow_mut();
    if faults.len() < MAX_FAULTS {
        faults.push(fault);
    }
}

fn lies_within(path: &str, section: &str) -> bool {
    path.strip_prefix(section)
        .is_some_and(|rest| section.is_empty() || rest.is_empty() || rest.starts_with(['.', '[']))
}

/// One step from a value to a value inside it.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    Key(String),
    Index(usize),
}

impl Step {
    /// Moves `node` and `place` one step inwards, if there is such a value.
    fn enter(&self, node: &mut &Node, place: &mut Place, at_key: bool) -> bool {
        match (self, &node.content) {
            (Step::Key(key), Content::Mapping(entries)) => {
                let Some(entry) = entries.iter().find(|entry| entry.key == *key) else {
                    return false;
                };
                *place = if at_key { entry.place } else { entry.value_place() };
                *node = &entry.value;
                true
            }
            (Step::Index(index), Content::Sequence(nodes)) => {
                let Some(element) = nodes.get(*index) else { return false };
                *place = element.place;
                *node = element;
                true
            }
            _ => false,
        }
    }
}

/// The steps of a deserialiser's path, as far as they are keys and positions.
fn steps(path: &Path) -> Vec<Step> {
    path.iter()
        .map_while(|segment| match segment {
            Segment::Map { key } => Some(Step::Key(key.clone())),
            Segment::Seq { index } => Some(Step::Index(*index)),
            Segment::Enum { .. } | Segment::Unknown => None,
        })
        .collect()
}

/// Reads `a.b[2].c`.
fn parse_steps(path: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    for part in path.split('.').filter(|part| !part.is_empty()) {
        let mut pieces = part.split('[');
        if let Some(key) = pieces.next().filter(|key| !key.is_empty()) {
            steps.push(Step::Key(key.to_owned()));
        }
        steps.extend(
            pieces.filter_map(|piece| piece.trim_end_matches(']').parse().ok()).map(Step::Index),
        );
    }
    steps
}

/// Takes the innermost key of `steps` out of `value`; elements of lists stay, since the places of
/// those behind them would change. `false` if there is nothing to take.
fn remove(value: &mut Value, steps: &[Step]) -> bool {
    let Some(last) = steps.iter().rposition(|step| matches!(step, Step::Key(_))) else {
        return false;
    };
    let mut inner = value;
    for step in &steps[..last] {
        let next = match step {
            Step::Key(key) => inner.get_mut(key.as_str()),
            Step::Index(index) => inner.get_mut(*index),
        };
        match next {
            Some(next) => inner = next,
            None => return false,
        }
    }
    match (inner, &steps[last]) {
        (Value::Mapping(mapping), Step::Key(key)) => mapping.remove(key.as_str()).is_some(),
        _ => false,
    }
}

/// A deserialiser's message in the words of a user, and the way out. Types with a message of their
/// own put the way out on a second line.
fn explain(message: &str) -> (String, Option<String>) {
    if let Some((message, help)) = message.split_once('\n') {
        return (message.to_owned(), Some(help.to_owned()));
    }
    if let Some((word, known)) = unknown_name(message, "unknown field ") {
        let help = spelling::advice(word, known);
        return (UNKNOWN_KEY.to_owned(), Some(help));
    }
    if let Some((word, known)) = unknown_name(message, "unknown variant ") {
        let help = spelling::advice(word, known);
        return (format!("unknown value `{}`", shortened(word)), Some(help));
    }
    if let Some((found, expected)) = mismatch(message) {
        return (
            format!("expected {}, found {}", wanted(expected), given(found)),
            way_out(found, expected),
        );
    }
    (message.to_owned(), None)
}

/// The wrong name and the known ones of `unknown field `x`, expected one of `a`, `b``.
fn unknown_name<'m>(message: &'m str, start: &str) -> Option<(&'m str, Vec<&'m str>)> {
    let quoted = message.strip_prefix(start)?.strip_prefix('`')?;
    let split = quoted.rfind("`, expected ").or_else(|| quoted.rfind("`, there are no "))?;
    let known = quoted[split + 1..].split('`').skip(1).step_by(2).collect();
    Some((&quoted[..split], known))
}

fn mismatch(message: &str) -> Option<(&str, &str)> {
    let rest = ["invalid type: ", "invalid value: ", "invalid length "]
        .iter()
        .find_map(|start| message.strip_prefix(start))?;
    let split = rest.rfind(", expected ")?;
    Some((&rest[..split], &rest[split + ", expected ".len()..]))
}

fn wanted(expected: &str) -> String {
    match expected {
        "u8" => format!("a whole number from 0 to {}", u8::MAX),
        "u16" => format!("a whole number from 0 to {}", u16::MAX),
        "u32" => format!("a whole number from 0 to {}", u32::MAX),
        "u64" | "usize" => "a whole number, not negative".to_owned(),
        "i8" | "i16" | "i32" | "i64" => "a whole number".to_owned(),
        "f32" | "f64" => "a number".to_owned(),
        "a boolean" => "`true` or `false`".to_owned(),
        "a string" | "str" => "a text".to_owned(),
        "a sequence" => "a list".to_owned(),
        "a map" => "a mapping of keys to values".to_owned(),
        other if other.starts_with("struct ") => "a mapping of keys to values".to_owned(),
        other => match other.strip_prefix("an array of length ") {
            Some(length) => format!("a list of {length} values"),
            None => other.to_owned(),
        },
    }
}

fn given(found: &str) -> String {
    if let Some(text) = found.strip_prefix("string ") {
        return format!("the text {}", shortened(text));
    }
    let value = ["integer ", "floating point ", "boolean "]
        .iter()
        .find_map(|start| found.strip_prefix(start))
        .unwrap_or(found);
    match value {
        "sequence" => "a list".to_owned(),
        "map" => "a mapping".to_owned(),
        other => other.to_owned(),
    }
}

/// Whether digits without quotes are a text all the same, by YAML's rules: too many, or after a zero.
fn is_beyond_integers(text: &str) -> bool {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits && (text.parse::<i64>().is_err() || (text.len() > 1 && text.starts_with('0')))
}

fn way_out(found: &str, expected: &str) -> Option<String> {
    let number = ["u8", "u16", "u32", "u64", "usize", "i8", "i16", "i32", "i64", "f32", "f64"]
        .contains(&expected)
        || expected.starts_with("a whole number from ");
    let text = found.strip_prefix("string ").map(|text| text.trim_matches('"'));
    match (expected, text) {
        (_, Some(text)) if number && is_beyond_integers(text) => {
            Some("write a whole number below 2^63, without a leading zero".to_owned())
        }
        (_, Some(text)) if number && text.trim().parse::<f64>().is_ok() => {
            Some(format!("write {} without quotes", text.trim()))
        }
        (_, Some(text)) if number && text.replace(['_', ',', ' '], "").parse::<f64>().is_ok() => {
            Some(format!("write {} without separators", text.replace(['_', ',', ' '], "")))
        }
        ("f32" | "f64", _) => Some("write a plain number, such as 0.5".to_owned()),
        _ if number && found.starts_with("integer `-") => {
            Some("write a number that is not negative".to_owned())
        }
        _ if number => Some("write a plain whole number, such as 5".to_owned()),
        ("a sequence", _) => Some("write `[a, b]`, or one `- a` a line".to_owned()),
        ("a string", None) => Some("put the value in quotes".to_owned()),
        ("a boolean", _) => Some("YAML's words are `true` and `false`, without quotes".to_owned()),
        (other, _) if other.starts_with("struct ") => {
            Some("write `{key: value}`, or one `key: value` a line and indented".to_owned())
        }
        (other, None) if other.starts_with("the name of a column") => {
            Some("write `column`, or `[first, second]`; a name of digits goes in quotes".to_owned())
        }
        (other, _) if other.starts_with("an array") => Some("write `[a, b, ...]`".to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
