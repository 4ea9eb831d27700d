//! Lengths of time as people write them: `30s`, `8m`, `1h 30m`.
//!
//! Knows spans and text only.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, Visitor};

use crate::time::Span;

/// The units with their length in microseconds, longest first.
const UNITS: [(&str, u64); 6] = [
    ("d", 86_400_000_000),
    ("h", 3_600_000_000),
    ("m", 60_000_000),
    ("s", 1_000_000),
    ("ms", 1_000),
    ("us", 1),
];

/// The longest time that can be written, in microseconds: 10 years.
const LONGEST: u64 = 3_650 * 86_400_000_000;

/// What to write instead of what cannot be read.
const HELP: &str = "write numbers with units, such as `30s`, `8m`, `1h 30m` or `2d`";

/// A length of time that is read from text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Duration(pub(super) Span);

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(DurationVisitor)
    }
}

struct DurationVisitor;

impl Visitor<'_> for DurationVisitor {
    type Value = Duration;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a length of time such as `8m`")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Duration, E> {
        parse(text).map(Duration).map_err(|message| E::custom(format!("{message}\n{HELP}")))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Duration, E> {
        Err(without_unit(&number.to_string()))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Duration, E> {
        Err(without_unit(&number.to_string()))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Duration, E> {
        Err(without_unit(&number.to_string()))
    }
}

fn without_unit<E: Error>(number: &str) -> E {
    E::custom(format!(
        "the length of time {number} has no unit\nwrite `{number}s` for seconds, `{number}m` for \
         minutes or `{number}h` for hours"
    ))
}

/// Reads `1h 30m`: numbers with units, longest unit first, each at most once; the spaces are
/// optional and a number may have decimals.
fn parse(text: &str) -> Result<Span, String> {
    let unread = || format!("`{}` is not a length of time", super::document::shortened(text));
    let mut rest = text.trim();
    let mut units = UNITS.as_slice();
    let mut total = 0_u64;
    if rest.is_empty() {
        return Err(unread());
    }
    while !rest.is_empty() {
        let number = split_at_end(rest, |c| c.is_ascii_digit() || c == '.');
        let unit = split_at_end(number.1.trim_start(), |c| c.is_ascii_alphabetic());
        let index = units.iter().position(|(name, _)| *name == unit.0).ok_or_else(unread)?;
        let part = microseconds(number.0, units[index].1).ok_or_else(unread)?;
        total = total.saturating_add(part);
        units = &units[index + 1..];
        rest = unit.1.trim_start();
    }
    if total > LONGEST {
        return Err(format!("{text} is longer than 10 years"));
    }
    Ok(Span(total))
}

fn split_at_end(text: &str, belongs: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(|character| !belongs(character)).unwrap_or(text.len()))
}

/// `number` times `unit`, exactly for whole numbers, rounded to microseconds for others.
fn microseconds(number: &str, unit: u64) -> Option<u64> {
    if let Ok(whole) = number.parse::<u64>() {
        return Some(whole.saturating_mul(unit));
    }
    let value: f64 = number.parse().ok()?;
    value.is_finite().then(|| (value * unit as f64).round() as u64)
}

/// The text that reads back to exactly this span.
pub(super) fn format(span: Span) -> String {
    let mut rest = span.0;
    let mut parts = Vec::new();
    for (name, length) in UNITS {
        if rest >= length {
            parts.push(format!("{}{name}", rest / length));
            rest %= length;
        }
    }
    if parts.is_empty() { "0s".to_owned() } else { parts.join(" ") }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lengths_of_time_are_read() {
        for (text, expected) in [
            ("30s", Span::from_secs(30)),
            ("8m", Span::from_secs(480)),
            ("1h 30m", Span::from_secs(5_400)),
            ("1h30m", Span::from_secs(5_400)),
            (" 2 d ", Span::from_secs(172_800)),
            ("1.5h", Span::from_secs(5_400)),
            ("250ms", Span::from_millis(250)),
            ("0s", Span(0)),
        ] {
            assert_eq!(parse(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_length_of_time_is_refused() {
        for text in ["", "8", "m", "8 x", "30m 1h", "1m 1m", "-5s", "1..5s", "8m!", "99999999d"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn the_text_reads_back_to_the_same_span(span in 0..LONGEST) {
            prop_assert_eq!(parse(&format(Span(span))), Ok(Span(span)));
        }
    }
}
