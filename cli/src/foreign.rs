//! Text that others have written: workers, evaluators, whoever submits campaigns, coordinators. People see it with
//! its control characters spelled out, so that it cannot give orders to their terminal.
//!
//! Must not know where the text is shown.

use std::borrow::Borrow;
use std::fmt::{Display, Formatter};

use serde::Serialize;

/// A text of somebody else in one line. Formatted it is for people; JSON, CSV and comparisons have it as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub(crate) struct Foreign(String);

impl Foreign {
    /// As it is: for comparisons and for files of data, never for a terminal.
    pub(crate) fn raw(&self) -> &str {
        &self.0
    }

    /// Whether there is no text.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// For people, with its line ends: what an evaluator reports may be a trace of several lines.
    pub(crate) fn prose(&self) -> String {
        legible(&self.0)
    }
}

impl Display for Foreign {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.pad(&spelled_out(&self.0, |c| commands(c) || matches!(c, '\n' | '\t')))
    }
}

impl From<String> for Foreign {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl From<&str> for Foreign {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

/// Maps with such keys are asked by plain text.
impl Borrow<str> for Foreign {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl PartialEq<str> for Foreign {
    fn eq(&self, other: &str) -> bool {
        self.0 == other
    }
}

impl PartialEq<String> for Foreign {
    fn eq(&self, other: &String) -> bool {
        self.0 == *other
    }
}

impl PartialEq<&str> for Foreign {
    fn eq(&self, other: &&str) -> bool {
        self.0 == *other
    }
}

/// Texts that a message holds.
pub(crate) fn all(texts: Vec<String>) -> Vec<Foreign> {
    texts.into_iter().map(Foreign).collect()
}

/// The texts for people, with a space between them.
pub(crate) fn words<'t>(texts: impl IntoIterator<Item = &'t Foreign>) -> String {
    texts.into_iter().map(Foreign::to_string).collect::<Vec<_>>().join(" ")
}

/// A text of several lines with its control characters spelled out, such as `\u{1b}`; ends of lines and tabs stay.
pub(crate) fn legible(text: &str) -> String {
    spelled_out(text, commands)
}

/// JSON whose texts hold no character that a terminal obeys. JSON itself escapes those below the space only; the
/// others stand in texts alone, so that the value stays the same.
pub(crate) fn legible_json(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        match commands(c) {
            // All of them have at most four digits.
            true => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            false => out.push(c),
        }
    }
    out
}

/// Whether a terminal takes the character for an order, or shows what follows in another order.
pub(crate) fn commands(c: char) -> bool {
    let turns = matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    turns || (c.is_control() && !matches!(c, '\n' | '\t'))
}

fn spelled_out(text: &str, which: impl Fn(char) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' if which(c) => out.push_str("\\n"),
            '\t' if which(c) => out.push_str("\\t"),
            c if which(c) => out.extend(c.escape_unicode()),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
pub(crate) mod tests;
