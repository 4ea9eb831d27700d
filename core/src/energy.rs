//! Amounts of energy as plain numbers of microjoules, so that sums do not depend on their order.
//!
//! Whoever measures energy says what belongs to it; nothing here does.

use std::fmt;
use std::iter::Sum;
use std::ops::Add;

use serde::{Deserialize, Serialize};

const MICROJOULES_PER_JOULE: f64 = 1e6;

/// An amount of energy in microjoules.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Energy(pub u64);

impl Energy {
    /// The amount nearest to `joules`; `None` if that is negative, not finite or too large.
    #[must_use]
    pub fn from_joules(joules: f64) -> Option<Self> {
        let microjoules = (joules * MICROJOULES_PER_JOULE).round();
        let fits = (0.0..=u64::MAX as f64 / 2.0).contains(&microjoules);
        fits.then_some(Self(microjoules as u64))
    }

    /// The energy in joules.
    #[must_use]
    pub fn as_joules(self) -> f64 {
        self.0 as f64 / MICROJOULES_PER_JOULE
    }
}

impl Add for Energy {
    type Output = Energy;

    fn add(self, other: Energy) -> Energy {
        Energy(self.0.saturating_add(other.0))
    }
}

impl Sum for Energy {
    /// The largest amount there is where the sum exceeds it, in whatever order.
    fn sum<I: Iterator<Item = Energy>>(amounts: I) -> Energy {
        amounts.fold(Energy(0), Add::add)
    }
}

impl fmt::Display for Energy {
    /// Three digits or more in the largest fitting unit: `812.0 J`, `3.4 kJ`, `12.0 MJ`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let joules = self.as_joules();
        match joules {
            ..1e3 => write!(f, "{joules:.1} J"),
            ..1e6 => write!(f, "{:.1} kJ", joules / 1e3),
            ..1e9 => write!(f, "{:.1} MJ", joules / 1e6),
            _ => write!(f, "{:.1} GJ", joules / 1e9),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_amounts_are_amounts() {
        assert_eq!(Energy::from_joules(1.5), Some(Energy(1_500_000)));
        for bad in [-1.0, f64::NAN, f64::INFINITY, 1e300] {
            assert_eq!(Energy::from_joules(bad), None, "{bad}");
        }
    }

    #[test]
    fn sums_end_at_the_largest_amount() {
        let amounts = [Energy(u64::MAX - 1), Energy(1), Energy(7)];
        assert_eq!(amounts.into_iter().sum::<Energy>(), Energy(u64::MAX));
        assert_eq!(amounts.into_iter().rev().sum::<Energy>(), Energy(u64::MAX));
    }

    #[test]
    fn amounts_read_well() {
        let read = |joules| Energy::from_joules(joules).map(|energy| energy.to_string());
        assert_eq!(read(812.0).as_deref(), Some("812.0 J"));
        assert_eq!(read(3_420.0).as_deref(), Some("3.4 kJ"));
        assert_eq!(read(12e6).as_deref(), Some("12.0 MJ"));
        assert_eq!(read(2.5e9).as_deref(), Some("2.5 GJ"));
    }
}
