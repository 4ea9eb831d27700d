//! Amounts of energy as people write them: `500 J`, `2.5 MJ`, `3 kWh`.
//!
//! Knows amounts and text only.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, Visitor};

use super::document::shortened;
use crate::energy::Energy;

/// The units with their size in microjoules.
const UNITS: [(&str, u64); 7] = [
    ("J", 1_000_000),
    ("kJ", 1_000_000_000),
    ("MJ", 1_000_000_000_000),
    ("GJ", 1_000_000_000_000_000),
    ("Wh", 3_600_000_000),
    ("kWh", 3_600_000_000_000),
    ("MWh", 3_600_000_000_000_000),
];

/// The largest amount that can be written, in microjoules: 1 TWh is more than any fleet uses.
const LARGEST: u64 = 3_600_000_000_000_000_000;

/// What to write instead of what cannot be read.
const HELP: &str = "write a number with its unit, such as `500 J`, `2.5 MJ` or `3 kWh`";

/// An amount of energy that is read from text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Amount(pub(super) Energy);

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AmountVisitor)
    }
}

struct AmountVisitor;

impl Visitor<'_> for AmountVisitor {
    type Value = Amount;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an amount of energy such as `2.5 MJ`")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Amount, E> {
        parse(text).map(Amount).map_err(|message| E::custom(format!("{message}\n{HELP}")))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Amount, E> {
        Err(without_unit(&number.to_string()))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Amount, E> {
        Err(without_unit(&number.to_string()))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Amount, E> {
        Err(without_unit(&number.to_string()))
    }
}

fn without_unit<E: Error>(number: &str) -> E {
    E::custom(format!("the amount of energy {number} has no unit\n{HELP}"))
}

/// Reads a decimal number with a unit, exactly as far as a microjoule.
fn parse(text: &str) -> Result<Energy, String> {
    let unread = || format!("`{}` is not an amount of energy", shortened(text));
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = (&text[..end], text[end..].trim());
    let (_, size) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(unread)?;
    let (whole, decimals) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && decimals.is_empty()) || decimals.len() > 18 {
        return Err(unread());
    }
    let digits = |digits: &str| match digits {
        "" => Ok(0),
        digits => digits.parse::<u128>().map_err(|_| unread()),
    };
    let scale = 10_u128.pow(decimals.len() as u32);
    let value = digits(whole)?.checked_mul(scale).ok_or_else(unread)? + digits(decimals)?;
    let microjoules = value.checked_mul(u128::from(*size)).ok_or_else(unread)? / scale;
    match u64::try_from(microjoules) {
        Ok(microjoules) if microjoules <= LARGEST => Ok(Energy(microjoules)),
        _ => Err(format!("{} is more than 1 TWh", shortened(text))),
    }
}

/// The text that reads back to exactly this amount.
pub(super) fn format(energy: Energy) -> String {
    let exact = UNITS[..4].iter().rev().find(|(_, size)| energy.0.is_multiple_of(*size));
    match exact {
        Some((name, size)) if energy.0 > 0 => format!("{} {name}", energy.0 / size),
        _ => {
            let decimals = format!("{:06}", energy.0 % 1_000_000);
            let decimals = decimals.trim_end_matches('0');
            let point = if decimals.is_empty() { "" } else { "." };
            format!("{}{point}{decimals} J", energy.0 / 1_000_000)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn amounts_are_read() {
        for (text, expected) in [
            ("500 J", 500_000_000),
            ("2.5MJ", 2_500_000_000_000),
            (" 3 kWh ", 10_800_000_000_000),
            (".5 J", 500_000),
            ("1. J", 1_000_000),
        ] {
            assert_eq!(parse(text), Ok(Energy(expected)), "{text}");
        }
    }

    #[test]
    fn what_is_no_amount_is_refused() {
        for text in
            ["", "8", "J", ". J", "8 j", "8 kj", "-5 J", "1..5 J", "1e3 J", "2 TJ", "9999999 GJ"]
        {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn the_text_reads_back_to_the_same_amount(amount in 0..LARGEST) {
            prop_assert_eq!(parse(&format(Energy(amount))), Ok(Energy(amount)));
            let whole = Energy(amount / 1_000_000_000 * 1_000_000_000);
            prop_assert_eq!(parse(&format(whole)), Ok(whole));
        }
    }
}
