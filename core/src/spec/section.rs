//! One mapping of a document: read into a type, with every fault kept together with its place.
//!
//! Whoever reads a section records what is wrong and goes on, so that a user sees all faults in one
//! go. It must not know what any key means.

mod explained;
mod item;
mod step;

use std::borrow::Cow;
use std::cell::RefCell;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::rc::Rc;

use serde::de::DeserializeOwned;
use serde_yaml::Value;

use self::explained::explain;
pub(crate) use self::item::Item;
use self::step::{Step, parse_steps, remove, steps};
use super::document::{Content, Document, Limits, MAX_FAULTS, Node, Place, join, shortened};
use super::fault::{Fault, Faults};

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

#[cfg(test)]
mod tests;
