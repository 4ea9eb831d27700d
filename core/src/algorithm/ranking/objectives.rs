//! The objectives of one candidate. It must not know what they are for.

use std::ops::Deref;

/// As many are kept in place.
const FEW: usize = 4;

/// A list of values; of few ones without memory of its own, since every candidate has one.
#[derive(Debug, Clone)]
pub(in crate::algorithm) enum Objectives {
    /// The values, and how many of them count.
    Few([f64; FEW], u8),
    Many(Box<[f64]>),
}

impl Objectives {
    /// A copy of these values.
    pub(in crate::algorithm) fn of(values: &[f64]) -> Self {
        if values.len() > FEW {
            return Self::Many(values.into());
        }
        let mut few = [0.0; FEW];
        few[..values.len()].copy_from_slice(values);
        Self::Few(few, values.len() as u8)
    }
}

impl Deref for Objectives {
    type Target = [f64];

    fn deref(&self) -> &[f64] {
        match self {
            Self::Few(values, count) => &values[..usize::from(*count)],
            Self::Many(values) => values,
        }
    }
}

impl PartialEq for Objectives {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_number_of_values_is_kept() {
        let values = [1.0, -2.0, 3.5, 0.0, 5.0, 6.0];
        for count in 0..=values.len() {
            let objectives = Objectives::of(&values[..count]);
            assert_eq!(*objectives, values[..count]);
            assert_eq!(objectives, objectives.clone());
            assert_eq!(objectives == Objectives::of(&values), count == values.len());
        }
    }
}
