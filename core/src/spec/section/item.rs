//! A value whose reader decides what it may be. Must not know what it means.

use std::borrow::Cow;
use std::rc::Rc;

use serde_yaml::Value;

use super::super::document::{Content, Node, Place, join};
use super::super::fault::Fault;
use super::{Reading, Section, push};

/// A value whose kind is open: a name, or a mapping.
#[derive(Debug, Clone)]
pub(crate) struct Item<'d> {
    pub(super) node: &'d Node,
    pub(super) path: String,
    pub(super) reading: Rc<Reading>,
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
    pub(in crate::spec) fn scalar(&self) -> Value {
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
    pub(in crate::spec) fn empty_section(&self) -> Section<'d> {
        self.as_section(Cow::Owned(Node::empty_mapping(self.node.place)))
    }

    /// Records a fault at this value.
    pub(crate) fn fault(&self, message: impl Into<String>, help: impl Into<String>) {
        let fault = self.node.place.fault(&self.path, message.into(), Some(help.into()));
        push(&self.reading.faults, fault);
    }

    /// What could be said of this value without its being a fault: a warning.
    pub(in crate::spec) fn remark(&self, message: String, help: String) -> Fault {
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
    pub(in crate::spec) fn is_mapping(&self) -> bool {
        matches!(&self.node.content, Content::Mapping(_))
    }

    /// Where the value begins, and one column behind where it ends.
    pub(in crate::spec) fn extent(&self) -> (Place, Place) {
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
