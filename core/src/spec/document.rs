//! YAML text as a tree in which every key and value knows its place.
//!
//! Built from the events of a marked parser within fixed bounds (depth, nodes, expanded text), so
//! that nested input and alias bombs cost no more than any other file. It must not know what the
//! keys mean.

use std::collections::BTreeMap;
use std::str::FromStr;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Span, StrInput};
use serde_yaml::{Number, Value};

use super::fault::{Fault, Faults};
use super::{MAX_RESOLVED_BYTES, MAX_SPEC_BYTES};

/// The deepest nesting that is read; a campaign needs 5.
const MAX_DEPTH: usize = 32;

/// How much is read of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limits {
    /// The most bytes, of the text and of all values after aliases are expanded.
    bytes: usize,
    /// The most keys and values, after aliases are expanded.
    nodes: usize,
}

impl Limits {
    /// Of what somebody writes.
    pub(super) const WRITTEN: Self = Self { bytes: MAX_SPEC_BYTES, nodes: 20_000 };
    /// Of the same with everything written out.
    pub(super) const RESOLVED: Self =
        Self { bytes: MAX_RESOLVED_BYTES, nodes: 8 * Self::WRITTEN.nodes };
}

/// The most faults that are collected; a file with more is not a campaign.
pub(super) const MAX_FAULTS: usize = 100;

/// A line and a column, both from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    /// The line.
    pub(super) line: usize,
    /// The column in characters.
    pub(super) column: usize,
}

impl From<Marker> for Place {
    fn from(marker: Marker) -> Self {
        Self { line: marker.line().max(1), column: marker.col() + 1 }
    }
}

impl Place {
    /// A fault here.
    pub(super) fn fault(self, path: &str, message: String, help: Option<String>) -> Fault {
        Fault { path: path.to_owned(), line: self.line, column: self.column, message, help }
    }
}

/// A value and its place.
#[derive(Debug, Clone)]
pub(super) struct Node {
    /// Where it starts.
    pub(super) place: Place,
    /// Where it ends: one column behind its last character.
    pub(super) end: Place,
    /// What it is.
    pub(super) content: Content,
}

/// What a [`Node`] is.
#[derive(Debug, Clone)]
pub(super) enum Content {
    /// A single value as written; `plain` if without quotes, so that it may be a number.
    Scalar {
        /// The text without quotes.
        text: String,
        /// Whether it was written without quotes.
        plain: bool,
        /// How far behind the place the text starts, if its characters stand side by side there:
        /// on one line and without escapes.
        inside: Option<usize>,
    },
    /// A list.
    Sequence(Vec<Node>),
    /// Keys with their values, each key once.
    Mapping(Vec<Entry>),
}

impl Content {
    /// Where the last value of a collection ends.
    fn last_end(&self) -> Option<Place> {
        match self {
            Self::Scalar { .. } => None,
            Self::Sequence(nodes) => nodes.last().map(|node| node.end),
            Self::Mapping(entries) => entries.last().map(|entry| entry.value.end),
        }
    }
}

/// One key of a mapping with its value.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// The key as text.
    pub(super) key: String,
    /// Where the key stands.
    pub(super) place: Place,
    /// The value.
    pub(super) value: Node,
}

impl Entry {
    /// Where to point at the value: at the key if there is no value.
    pub(super) fn value_place(&self) -> Place {
        if self.value.is_null() { self.place } else { self.value.place }
    }
}

impl Node {
    /// A mapping without keys.
    pub(super) fn empty_mapping(place: Place) -> Self {
        Self { place, end: place, content: Content::Mapping(Vec::new()) }
    }

    /// The keys, none if this is no mapping.
    pub(super) fn entries(&self) -> &[Entry] {
        match &self.content {
            Content::Mapping(entries) => entries,
            _ => &[],
        }
    }

    /// The entry of `key`.
    pub(super) fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| entry.key == key)
    }

    /// Whether this is nothing: `null`, `~` or an empty place.
    pub(super) fn is_null(&self) -> bool {
        matches!(&self.content, Content::Scalar { text, plain: true, .. }
            if matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL"))
    }

    /// What this is, for messages.
    pub(super) fn description(&self) -> String {
        match &self.content {
            _ if self.is_null() => "nothing".to_owned(),
            Content::Scalar { text, .. } => format!("`{}`", shortened(text)),
            Content::Sequence(_) => "a list".to_owned(),
            Content::Mapping(_) => "a mapping".to_owned(),
        }
    }

    /// The value without places. Keys without a value are left out: they mean the default.
    pub(super) fn to_value(&self) -> Value {
        match &self.content {
            Content::Scalar { text, plain: false, .. } => Value::String(text.clone()),
            Content::Scalar { text, plain: true, .. } => plain_scalar(text),
            Content::Sequence(nodes) => Value::Sequence(nodes.iter().map(Node::to_value).collect()),
            Content::Mapping(entries) => Value::Mapping(
                entries
                    .iter()
                    .filter(|entry| !entry.value.is_null())
                    .map(|entry| (Value::String(entry.key.clone()), entry.value.to_value()))
                    .collect(),
            ),
        }
    }

    fn text_bytes(&self) -> usize {
        match &self.content {
            Content::Scalar { text, .. } => text.len(),
            Content::Sequence(nodes) => nodes.iter().map(Node::text_bytes).sum(),
            Content::Mapping(entries) => {
                entries.iter().map(|entry| entry.key.len() + entry.value.text_bytes()).sum()
            }
        }
    }

    fn nodes(&self) -> usize {
        1 + match &self.content {
            Content::Scalar { .. } => 0,
            Content::Sequence(nodes) => nodes.iter().map(Node::nodes).sum(),
            Content::Mapping(entries) => entries.iter().map(|entry| 1 + entry.value.nodes()).sum(),
        }
    }

    fn depth(&self) -> usize {
        1 + match &self.content {
            Content::Scalar { .. } => 0,
            Content::Sequence(nodes) => nodes.iter().map(Node::depth).max().unwrap_or(0),
            Content::Mapping(entries) => {
                entries.iter().map(|entry| entry.value.depth()).max().unwrap_or(0)
            }
        }
    }
}

/// The value of a scalar without quotes by YAML's core schema.
fn plain_scalar(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        _ => Number::from_str(text).map_or_else(|_| Value::String(text.to_owned()), Value::Number),
    }
}

/// At most 40 characters of `text`, for messages.
pub(super) fn shortened(text: &str) -> String {
    if text.chars().count() <= 40 {
        text.to_owned()
    } else {
        text.chars().take(39).chain(['…']).collect()
    }
}

/// A text as a tree, with the faults that leave the tree usable.
#[derive(Debug)]
pub(super) struct Document {
    /// The one value of the document.
    pub(super) root: Node,
    /// Repeated keys, tags and the like; what they concern is left out of the tree.
    pub(super) faults: Vec<Fault>,
}

impl Document {
    /// Reads YAML, if it is within `limits`.
    ///
    /// # Errors
    /// The fault that ends the reading and those before it: syntax, size, depth, number of nodes,
    /// no document or more than one.
    pub(super) fn parse(text: &str, limits: Limits) -> Result<Self, Faults> {
        let start = Place { line: 1, column: 1 };
        if text.len() > limits.bytes {
            return Err(Faults::single(start.fault(
                "",
                format!("the file has {} bytes; at most {} are read", text.len(), limits.bytes),
                Some("a campaign is a page of text; is this the right file?".to_owned()),
            )));
        }
        let mut builder = Builder::new(limits);
        let read = builder.build(text.strip_prefix('\u{feff}').unwrap_or(text));
        let Builder { root, mut faults, .. } = builder;
        let last = match (read, root) {
            (Ok(()), Some(root)) => return Ok(Self { root, faults }),
            (Err(fault), _) => fault,
            (Ok(()), None) => start.fault(
                "",
                "the file is empty".to_owned(),
                Some("start from configs/campaigns/reference.yaml".to_owned()),
            ),
        };
        faults.push(last.clone());
        Err(Faults::collect(faults).unwrap_or_else(|| Faults::single(last)))
    }
}

/// A collection that is not complete.
enum Open {
    Sequence(Vec<Node>),
    Mapping { entries: Vec<Entry>, key: Option<(Option<String>, Place)> },
}

/// A collection that is not complete, its place and its anchor (0 for none).
struct Frame {
    open: Open,
    place: Place,
    anchor: usize,
}

/// Turns events into a tree.
struct Builder {
    limits: Limits,
    stack: Vec<Frame>,
    anchors: BTreeMap<usize, Node>,
    root: Option<Node>,
    documents: usize,
    nodes: usize,
    text_bytes: usize,
    faults: Vec<Fault>,
}

impl Builder {
    fn new(limits: Limits) -> Self {
        Self {
            limits,
            stack: Vec::new(),
            anchors: BTreeMap::new(),
            root: None,
            documents: 0,
            nodes: 0,
            text_bytes: 0,
            faults: Vec::new(),
        }
    }

    fn build(&mut self, text: &str) -> Result<(), Fault> {
        let mut parser = Parser::new(StrInput::new(text));
        while let Some(event) = parser.next_event() {
            let (event, span) = event.map_err(|error| syntax_fault(&error, text))?;
            self.accept(event, span)?;
        }
        Ok(())
    }

    fn accept(&mut self, event: Event<'_>, span: Span) -> Result<(), Fault> {
        let place = Place::from(span.start);
        match event {
            Event::DocumentStart(_) => self.start_document(place)?,
            Event::Scalar(text, style, anchor, tag) => {
                self.refuse_tag(tag.is_some(), place);
                self.count(1, text.len(), place)?;
                let content = scalar(text.into_owned(), style, span);
                self.complete(Node { place, end: Place::from(span.end), content }, anchor);
            }
            Event::Alias(anchor) => self.repeat(anchor, span)?,
            Event::SequenceStart(anchor, tag) => {
                self.refuse_tag(tag.is_some(), place);
                self.open(Open::Sequence(Vec::new()), place, anchor)?;
            }
            Event::MappingStart(anchor, tag) => {
                self.refuse_tag(tag.is_some(), place);
                self.open(Open::Mapping { entries: Vec::new(), key: None }, place, anchor)?;
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(span),
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
        }
        Ok(())
    }

    fn start_document(&mut self, place: Place) -> Result<(), Fault> {
        self.documents += 1;
        if self.documents == 1 {
            return Ok(());
        }
        Err(place.fault(
            "",
            "a second document starts here".to_owned(),
            Some("write one campaign a file, without a further `---`".to_owned()),
        ))
    }

    /// Takes the value that an alias stands for.
    fn repeat(&mut self, anchor: usize, span: Span) -> Result<(), Fault> {
        let place = Place::from(span.start);
        let node = self.anchors.get(&anchor).cloned().ok_or_else(|| {
            place.fault(
                "",
                "this alias stands inside the value that it repeats".to_owned(),
                Some("write the value out".to_owned()),
            )
        })?;
        self.check_depth(node.depth(), place)?;
        self.count(node.nodes(), node.text_bytes(), place)?;
        self.complete(Node { end: Place::from(span.end), ..node }, 0);
        Ok(())
    }

    /// Completes the innermost collection.
    fn close(&mut self, span: Span) {
        let Some(frame) = self.stack.pop() else { return };
        let content = match frame.open {
            Open::Sequence(nodes) => Content::Sequence(nodes),
            Open::Mapping { entries, .. } => Content::Mapping(entries),
        };
        // Only brackets end a collection by characters of their own.
        let last = content.last_end().filter(|_| span.is_empty());
        let end = last.unwrap_or(Place::from(span.end));
        self.complete(Node { place: frame.place, end, content }, frame.anchor);
    }

    fn open(&mut self, open: Open, place: Place, anchor: usize) -> Result<(), Fault> {
        self.check_depth(1, place)?;
        self.count(1, 0, place)?;
        self.stack.push(Frame { open, place, anchor });
        Ok(())
    }

    fn check_depth(&self, further: usize, place: Place) -> Result<(), Fault> {
        if self.stack.len() + further <= MAX_DEPTH {
            return Ok(());
        }
        Err(too_deep(place))
    }

    fn count(&mut self, nodes: usize, bytes: usize, place: Place) -> Result<(), Fault> {
        self.nodes += nodes;
        self.text_bytes += bytes;
        let Limits { bytes, nodes } = self.limits;
        if self.nodes <= nodes && self.text_bytes <= bytes {
            return Ok(());
        }
        Err(place.fault(
            "",
            format!(
                "with its aliases written out the file has more than {nodes} values or {bytes} bytes"
            ),
            Some("shorten lists and use fewer aliases".to_owned()),
        ))
    }

    fn refuse_tag(&mut self, tagged: bool, place: Place) {
        if tagged {
            self.record(place.fault(
                "",
                "a YAML tag (`!...`) stands here".to_owned(),
                Some("remove the tag; put a text that looks like a number in quotes".to_owned()),
            ));
        }
    }

    fn record(&mut self, fault: Fault) {
        if self.faults.len() < MAX_FAULTS {
            self.faults.push(fault);
        }
    }

    /// Puts a complete node where it belongs.
    fn complete(&mut self, node: Node, anchor: usize) {
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        let mut fault = None;
        match self.stack.last_mut().map(|frame| &mut frame.open) {
            None => self.root = Some(node),
            Some(Open::Sequence(nodes)) => nodes.push(node),
            Some(Open::Mapping { entries, key }) => match key.take() {
                None => {
                    let (name, odd) = key_of(node, entries);
                    *key = Some(name);
                    fault = odd;
                }
                Some((Some(name), place)) => entries.push(Entry { key: name, place, value: node }),
                Some((None, _)) => {}
            },
        }
        if let Some(fault) = fault {
            let path = self.path();
            self.record(Fault { path: join(&path, &fault.path), ..fault });
        }
    }

    /// The path of the innermost open collection.
    fn path(&self) -> String {
        let mut path = String::new();
        // The innermost frame's own key is the one that is at fault, so it is left to the caller.
        for frame in self.stack.iter().take(self.stack.len().saturating_sub(1)) {
            match &frame.open {
                Open::Sequence(nodes) => path.push_str(&format!("[{}]", nodes.len())),
                Open::Mapping { key: Some((Some(name), _)), .. } => path = join(&path, name),
                Open::Mapping { .. } => {}
            }
        }
        path
    }
}

/// `path.key`, or `key` alone at the top.
pub(super) fn join(path: &str, key: &str) -> String {
    match (path.is_empty(), key.is_empty()) {
        (true, _) => key.to_owned(),
        (_, true) => path.to_owned(),
        (false, false) => format!("{path}.{key}"),
    }
}

/// The text of a key, `None` if its entry is to be left out, and what is wrong with it.
fn key_of(node: Node, entries: &[Entry]) -> ((Option<String>, Place), Option<Fault>) {
    let place = node.place;
    let Content::Scalar { text, plain, .. } = node.content else {
        let message = "a list or mapping stands where a key is expected".to_owned();
        let help = Some("write a plain key, such as `name:`".to_owned());
        return ((None, place), Some(place.fault("", message, help)));
    };
    if plain && text == "<<" {
        let message = "merge keys (`<<`) are not read".to_owned();
        let help = Some("write the keys out, or repeat whole values by `*alias`".to_owned());
        return ((None, place), Some(place.fault("", message, help)));
    }
    if let Some(first) = entries.iter().find(|entry| entry.key == text) {
        let message = format!("duplicate key; it stands on line {} already", first.place.line);
        let help = Some("remove one of the two".to_owned());
        return ((None, place), Some(place.fault(&shortened(&text), message, help)));
    }
    ((Some(text), place), None)
}

/// The first tab before the first other character of a line, at or behind `from`.
fn tab_in_indentation(text: &str, from: Place) -> Option<Place> {
    let in_line = |(line, content): (usize, &str)| {
        let indentation = content.len() - content.trim_start_matches([' ', '\t']).len();
        let column = content[..indentation].find('\t')? + 1;
        Some(Place { line, column })
    };
    let lines = (1..).zip(text.lines()).skip(from.line.saturating_sub(1));
    lines.filter_map(in_line).find(|place| *place >= from)
}

/// A text, and how many quotes it begins with where its characters stand in the file as they are.
fn scalar(text: String, style: ScalarStyle, span: Span) -> Content {
    let quotes = match style {
        ScalarStyle::Plain => Some(0),
        ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted => Some(1),
        ScalarStyle::Literal | ScalarStyle::Folded => None,
    };
    let characters = text.chars().count();
    let inside = quotes.filter(|quotes| {
        span.start.line() == span.end.line() && span.len() == characters + 2 * quotes
    });
    Content::Scalar { text, plain: style == ScalarStyle::Plain, inside }
}

fn too_deep(place: Place) -> Fault {
    place.fault(
        "",
        format!("the nesting is deeper than {MAX_DEPTH} levels"),
        Some("no part of a campaign needs that; check brackets and indentation".to_owned()),
    )
}

fn syntax_fault(error: &ScanError, text: &str) -> Fault {
    let place = Place::from(*error.marker());
    // The scanner runs ahead of the events, so its own limit may come before that of the tree.
    if error.info().contains("recursion limit") {
        return too_deep(place);
    }
    // It names the beginning of what the tab interrupts, which may be lines above.
    if let Some(tab) = tab_in_indentation(text, place).filter(|_| error.info().contains("tab")) {
        return tab.fault(
            "",
            "this is not YAML: a tab stands in the indentation".to_owned(),
            Some("indent by spaces; YAML allows no tabs there".to_owned()),
        );
    }
    place.fault(
        "",
        format!("this is not YAML: {}", error.info()),
        Some("check indentation, quotes, brackets and colons here and just above".to_owned()),
    )
}
