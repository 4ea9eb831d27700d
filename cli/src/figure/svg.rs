//! A small writer of SVG: elements become text in the order they are drawn.
//!
//! Coordinates are rounded to hundredths of a pixel, so that equal figures are equal texts. Must
//! not know what is drawn.

use std::fmt::Write;

/// The family of the embedded font, and what viewers without it may take.
const FONTS: &str = "DejaVu Sans, Verdana, sans-serif";

/// Where a text is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

impl Anchor {
    fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Middle => "middle",
            Self::End => "end",
        }
    }
}

/// Size and colour of a text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Font {
    pub(super) size: f64,
    pub(super) color: &'static str,
}

/// A rectangle in pixels, y downwards.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Area {
    pub(super) left: f64,
    pub(super) top: f64,
    pub(super) width: f64,
    pub(super) height: f64,
}

impl Area {
    pub(super) fn right(self) -> f64 {
        self.left + self.width
    }

    pub(super) fn bottom(self) -> f64 {
        self.top + self.height
    }
}

/// An SVG document in the making.
#[derive(Debug)]
pub(super) struct Document {
    width: f64,
    height: f64,
    body: String,
}

/// A coordinate with at most two decimals and without trailing zeros.
pub(super) fn coordinate(value: f64) -> String {
    let rounded = (value * 100.0).round() / 100.0;
    // Adding zero turns a negative zero into zero.
    format!("{}", rounded + 0.0)
}

/// Text with the characters replaced that mean something to XML. Control characters, which XML
/// cannot carry at all, become spaces.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

impl Document {
    /// A document of this size in pixels, on white.
    pub(super) fn new(width: f64, height: f64) -> Self {
        let mut document = Self { width, height, body: String::new() };
        let all = Area { left: 0.0, top: 0.0, width, height };
        document.rectangle(all, "fill=\"#ffffff\"");
        document
    }

    fn element(&mut self, element: std::fmt::Arguments<'_>) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.body, "{element}");
    }

    /// A rectangle with the given presentation attributes.
    pub(super) fn rectangle(&mut self, area: Area, attributes: &str) {
        let [x, y, width, height] = [area.left, area.top, area.width, area.height].map(coordinate);
        self.element(format_args!(
            "<rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" {attributes}/>"
        ));
    }

    /// A straight line.
    pub(super) fn line(&mut self, from: (f64, f64), to: (f64, f64), attributes: &str) {
        let [x1, y1, x2, y2] = [from.0, from.1, to.0, to.1].map(coordinate);
        self.element(format_args!(
            "<line x1=\"{x1}\" y1=\"{y1}\" x2=\"{x2}\" y2=\"{y2}\" {attributes}/>"
        ));
    }

    /// A line through points; nothing for fewer than two.
    pub(super) fn polyline(&mut self, points: &[(f64, f64)], attributes: &str) {
        if points.len() < 2 {
            return;
        }
        let points: Vec<_> =
            points.iter().map(|(x, y)| format!("{},{}", coordinate(*x), coordinate(*y))).collect();
        self.element(format_args!("<polyline points=\"{}\" {attributes}/>", points.join(" ")));
    }

    /// A disc.
    pub(super) fn disc(&mut self, center: (f64, f64), radius: f64, attributes: &str) {
        let [x, y, radius] = [center.0, center.1, radius].map(coordinate);
        self.element(format_args!("<circle cx=\"{x}\" cy=\"{y}\" r=\"{radius}\" {attributes}/>"));
    }

    /// A cross of two diagonal strokes.
    pub(super) fn cross(&mut self, center: (f64, f64), radius: f64, attributes: &str) {
        let (x, y) = center;
        let [left, right, top, bottom] =
            [x - radius, x + radius, y - radius, y + radius].map(coordinate);
        self.element(format_args!(
            "<path d=\"M{left},{top}L{right},{bottom}M{left},{bottom}L{right},{top}\" {attributes}/>"
        ));
    }

    /// A line of text on the baseline `at`.
    pub(super) fn text(&mut self, at: (f64, f64), anchor: Anchor, font: Font, text: &str) {
        self.write_text(at, anchor, font, "", text);
    }

    /// A line of text that reads upwards.
    pub(super) fn upward_text(&mut self, at: (f64, f64), anchor: Anchor, font: Font, text: &str) {
        let turn = format!(" transform=\"rotate(-90 {} {})\"", coordinate(at.0), coordinate(at.1));
        self.write_text(at, anchor, font, &turn, text);
    }

    fn write_text(&mut self, at: (f64, f64), anchor: Anchor, font: Font, turn: &str, text: &str) {
        let [x, y, size] = [at.0, at.1, font.size].map(coordinate);
        self.element(format_args!(
            "<text x=\"{x}\" y=\"{y}\" font-size=\"{size}\" fill=\"{}\" text-anchor=\"{}\"{turn}>{}\
             </text>",
            font.color,
            anchor.name(),
            escape(text)
        ));
    }

    /// Opens a group whose elements share presentation attributes.
    pub(super) fn open(&mut self, attributes: &str) {
        self.element(format_args!("<g {attributes}>"));
    }

    /// Closes the latest open group.
    pub(super) fn close(&mut self) {
        self.element(format_args!("</g>"));
    }

    /// The document as text.
    pub(super) fn finish(self) -> String {
        let [width, height] = [self.width, self.height].map(coordinate);
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
             viewBox=\"0 0 {width} {height}\" font-family=\"{FONTS}\">\n{}</svg>\n",
            self.body
        )
    }
}

/// The width of a text in the embedded font, estimated from above: figures leave this much room.
pub(super) fn text_width(text: &str, size: f64) -> f64 {
    let width = |c: char| match c {
        'i' | 'j' | 'l' | '|' | '.' | ',' | ':' | ';' | '\'' | '!' | ' ' | '(' | ')' | '['
        | ']' => 0.4,
        'm' | 'w' | 'M' | 'W' | '%' | '@' => 1.0,
        c if c.is_ascii_uppercase() => 0.75,
        c if c.is_ascii() => 0.64,
        _ => 0.84,
    };
    text.chars().map(width).sum::<f64>() * size
}

/// The text broken between words into lines of at most `width` pixels.
pub(super) fn wrap(text: &str, size: f64, width: f64) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if text_width(&format!("{line} {word}"), size) <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coordinates_are_short_and_have_no_negative_zero() {
        assert_eq!(coordinate(1.0), "1");
        assert_eq!(coordinate(1.23456), "1.23");
        assert_eq!(coordinate(-0.0001), "0");
    }

    #[test]
    fn text_is_escaped() {
        let mut document = Document::new(10.0, 10.0);
        let font = Font { size: 10.0, color: "#000" };
        document.text((0.0, 0.0), Anchor::Start, font, "a<b>&\"c\"\u{7}");
        let text = document.finish();
        assert!(text.contains("a&lt;b&gt;&amp;&quot;c&quot; </text>"), "{text}");
    }

    #[test]
    fn long_lines_break_between_words() {
        let lines = wrap("one two three four five", 10.0, 60.0);
        assert!(lines.len() > 1);
        assert_eq!(lines.join(" "), "one two three four five");
        assert!(lines.iter().all(|line| text_width(line, 10.0) <= 60.0), "{lines:?}");
        assert_eq!(wrap("unbreakablyLong", 10.0, 5.0), ["unbreakablyLong"]);
    }
}
