//! A fault of a campaign file shown in place: the line, a caret below the column, the way out.
//!
//! Must not know what a campaign is.

use std::path::Path;

use serde::Serialize;

use crate::foreign::{commands, legible};
use crate::terminal::Style;

/// The longest part of a line that is shown, characters.
const WINDOW: usize = 100;

/// One thing that is wrong with a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Fault {
    /// The key it concerns; empty for the file as a whole.
    pub(crate) path: String,
    /// From 1.
    pub(crate) line: usize,
    /// In characters, from 1.
    pub(crate) column: usize,
    /// What is wrong.
    pub(crate) message: String,
    /// What to do about it.
    pub(crate) help: Option<String>,
}

impl From<&cambrian_core::spec::Fault> for Fault {
    fn from(fault: &cambrian_core::spec::Fault) -> Self {
        Self {
            path: fault.path.clone(),
            line: fault.line,
            column: fault.column,
            message: fault.message.clone(),
            help: fault.help.clone(),
        }
    }
}

impl From<cambrian_proto::v1::Fault> for Fault {
    fn from(fault: cambrian_proto::v1::Fault) -> Self {
        Self {
            path: fault.path,
            line: fault.line as usize,
            column: fault.column as usize,
            message: fault.message,
            help: (!fault.help.is_empty()).then_some(fault.help),
        }
    }
}

/// The fault as a block of lines, each ended by a newline.
pub(crate) fn render(file: &Path, source: &str, fault: &Fault, style: Style) -> String {
    block(file, source, fault, style, &style.error("fault:"))
}

/// What is doubtful but no fault, in the same form.
pub(crate) fn render_warning(file: &Path, source: &str, warning: &Fault, style: Style) -> String {
    block(file, source, warning, style, &style.warning("warning:"))
}

fn block(file: &Path, source: &str, fault: &Fault, style: Style, heading: &str) -> String {
    let about = legible(&match fault.path.as_str() {
        "" => fault.message.clone(),
        path => format!("{path}: {}", fault.message),
    });
    let number = fault.line.to_string();
    let margin = " ".repeat(number.len());
    let bar = style.dim("|");
    let mut text = format!("{heading} {about}\n");
    let place = format!("{}:{}:{}", file.display(), fault.line, fault.column);
    text += &format!("{margin}{} {place}\n", style.dim("-->"));
    if let Some(line) = fault.line.checked_sub(1).and_then(|at| source.lines().nth(at)) {
        let (shown, before) = window(line, fault.column);
        text += &format!("{} {bar} {shown}\n", style.dim(&number));
        text += &format!("{margin} {bar} {}{}\n", " ".repeat(before), style.error("^"));
    }
    if let Some(help) = &fault.help {
        for line in legible(help).lines() {
            text += &format!("{margin} {} {line}\n", style.help("= help:"));
        }
    }
    text
}

/// The part of a line around `column`, with the number of characters shown before it. Control
/// characters and tabs become single spaces, so that the caret stands where it should.
fn window(line: &str, column: usize) -> (String, usize) {
    let clean = |c: char| if commands(c) || c == '\t' { ' ' } else { c };
    let characters: Vec<char> = line.chars().map(clean).collect();
    let at = column.saturating_sub(1).min(characters.len());
    let start = if characters.len() <= WINDOW { 0 } else { at.saturating_sub(WINDOW / 2) };
    let end = characters.len().min(start + WINDOW);
    let (head, tail) =
        (if start > 0 { "…" } else { "" }, if end < characters.len() { "…" } else { "" });
    let shown: String = characters[start..end].iter().collect();
    (format!("{head}{shown}{tail}"), at - start + head.chars().count())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(line: usize, column: usize) -> Fault {
        Fault {
            path: "algorithm.population".into(),
            line,
            column,
            message: "0 is out of range".into(),
            help: Some("write a number from 2 to 100000".into()),
        }
    }

    fn shown(source: &str, fault: &Fault) -> String {
        render(Path::new("a.yaml"), source, fault, Style::plain())
    }

    #[test]
    fn a_caret_stands_below_the_column() {
        let text = shown("algorithm:\n  population: 0\n", &fault(2, 15));
        assert_eq!(
            text,
            "fault: algorithm.population: 0 is out of range\n\
             \x20--> a.yaml:2:15\n\
             2 |   population: 0\n\
             \x20 |               ^\n\
             \x20 = help: write a number from 2 to 100000\n"
        );
    }

    #[test]
    fn places_outside_the_file_show_no_line() {
        for place in [(0, 0), (9, 1)] {
            let text = shown("a: 1\n", &fault(place.0, place.1));
            assert!(!text.contains('^'), "{text}");
            assert!(text.contains("a.yaml:"), "{text}");
        }
    }

    #[test]
    fn long_lines_and_columns_beyond_the_end_are_cut() {
        let long = format!("a: {}", "ü".repeat(500));
        for column in [1, 250, 503, 9_999] {
            let text = shown(&long, &fault(1, column));
            let line = text.lines().nth(2).unwrap();
            assert!(line.chars().count() < 120, "{line}");
            let caret = text.lines().nth(3).unwrap();
            assert!(caret.chars().count() <= line.chars().count() + 1, "{text}");
        }
    }

    #[test]
    fn tabs_do_not_move_the_caret() {
        let text = shown("\tkey: x\n", &fault(1, 7));
        assert!(text.contains("1 |  key: x\n  |       ^\n"), "{text}");
    }
}
