//! Numbers as people read them: enough significant digits, no more, and aligned in a column.
//!
//! Must not know what a number means.

/// The significant digits of the largest value of a column.
const DIGITS: i32 = 4;
/// The most decimals of a column.
const MOST_DECIMALS: i32 = 6;

/// How the numbers of one column are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NumberFormat {
    /// Whole numbers with `,` between groups of three digits.
    Whole,
    /// So many decimals.
    Decimals(usize),
    /// Scientific, where one number of decimals cannot serve all values.
    Scientific,
}

impl NumberFormat {
    /// The format that shows all `values` well: four significant digits of the largest, at least
    /// two of the smallest that is not zero.
    pub(crate) fn of_column(values: impl IntoIterator<Item = f64>) -> Self {
        let magnitudes: Vec<f64> =
            values.into_iter().filter(|value| value.is_finite()).map(f64::abs).collect();
        let whole = |value: &f64| value.fract() == 0.0 && *value < 1e15;
        if magnitudes.iter().all(whole) {
            return Self::Whole;
        }
        let largest = magnitudes.iter().copied().fold(0.0, f64::max);
        let smallest =
            magnitudes.iter().copied().filter(|value| *value > 0.0).fold(largest, f64::min);
        let for_largest = DIGITS - 1 - exponent(largest);
        let for_smallest = 1 - exponent(smallest);
        let decimals = for_largest.max(for_smallest);
        if decimals > MOST_DECIMALS || largest >= 1e15 {
            return Self::Scientific;
        }
        Self::Decimals(decimals.max(0) as usize)
    }

    /// The fewest decimals that tell round ticks of an axis apart.
    pub(crate) fn of_ticks(ticks: &[f64]) -> Self {
        let step = match ticks {
            [first, second, ..] => second - first,
            [only] => only.abs(),
            [] => 1.0,
        };
        let largest = ticks.iter().copied().map(f64::abs).fold(0.0, f64::max);
        let decimals = -exponent(step * 1.001);
        if decimals > MOST_DECIMALS || largest >= 1e9 {
            return Self::Scientific;
        }
        Self::Decimals(decimals.max(0) as usize)
    }

    /// `value` as text.
    pub(crate) fn write(self, value: f64) -> String {
        match self {
            _ if !value.is_finite() => value.to_string(),
            Self::Whole => grouped(value, 0),
            Self::Decimals(decimals) => grouped(value, decimals),
            Self::Scientific => format!("{value:.3e}"),
        }
    }

    /// ` ± spread` with the decimals of the values, or more where it needs them to be seen; empty
    /// without a spread, or with one below zero, which says nothing.
    pub(crate) fn write_spread(self, spread: Option<f64>) -> String {
        let Some(spread) = spread.filter(|spread| *spread >= 0.0) else { return String::new() };
        let format = match self {
            Self::Whole if spread.fract() != 0.0 => Self::Decimals(1),
            Self::Decimals(decimals) if spread > 0.0 => {
                let needed = (-exponent(spread)).clamp(0, MOST_DECIMALS + 2) as usize;
                Self::Decimals(decimals.max(needed))
            }
            other => other,
        };
        format!(" ± {}", format.write(spread))
    }
}

/// The decimal exponent: 3 for 1234, -2 for 0.05; 0 for 0.
fn exponent(value: f64) -> i32 {
    if value > 0.0 { value.log10().floor() as i32 } else { 0 }
}

/// Fixed decimals with `,` between groups of three digits.
fn grouped(value: f64, decimals: usize) -> String {
    let text = format!("{:.decimals$}", value.abs());
    let (whole, fraction) = match text.split_once('.') {
        Some((whole, fraction)) => (whole.to_owned(), format!(".{fraction}")),
        None => (text, String::new()),
    };
    let mut out = String::new();
    // No sign before what is shown as zero.
    if value < 0.0
        && (whole != "0" || fraction.bytes().any(|digit| digit.is_ascii_digit() && digit != b'0'))
    {
        out.push('-');
    }
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    out + &fraction
}

/// One number on its own: four significant digits, whole numbers whole.
pub(crate) fn alone(value: f64) -> String {
    NumberFormat::of_column([value]).write(value)
}

/// A count with `,` between groups of three digits.
pub(crate) fn count(value: u64) -> String {
    grouped(value as f64, 0)
}

/// A number of bytes in the largest fitting binary unit: `512 B`, `1.5 GiB`.
pub(crate) fn bytes(value: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut scaled = value as f64;
    let mut unit = 0;
    while scaled >= 1024.0 && unit + 1 < UNITS.len() {
        scaled /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{value} B") } else { format!("{scaled:.1} {}", UNITS[unit]) }
}

/// A duration in its two most significant units: `3.2s`, `4m 05s`, `2h 10m`.
pub(crate) fn duration(seconds: f64) -> String {
    cambrian_core::time::Span((seconds.max(0.0) * 1e6) as u64).to_string()
}

/// An amount of energy in the largest fitting unit: `812.0 J`, `3.4 kJ`; 0 for what is none.
pub(crate) fn energy(joules: f64) -> String {
    cambrian_core::energy::Energy::from_joules(joules).unwrap_or_default().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(values: &[f64]) -> Vec<String> {
        let format = NumberFormat::of_column(values.iter().copied());
        values.iter().map(|value| format.write(*value)).collect()
    }

    #[test]
    fn columns_share_their_decimals() {
        assert_eq!(column(&[61.24, 9.5, 70.0]), ["61.24", "9.50", "70.00"]);
        assert_eq!(column(&[0.123456, 0.9]), ["0.1235", "0.9000"]);
        assert_eq!(column(&[1_531_546.0, 20.0]), ["1,531,546", "20"]);
        assert_eq!(column(&[-1_234.5, 0.0]), ["-1,234", "0"]);
        assert_eq!(column(&[]), Vec::<String>::new());
    }

    #[test]
    fn small_values_keep_two_digits() {
        assert_eq!(column(&[12.0, 0.0123]), ["12.000", "0.012"]);
        assert_eq!(column(&[1e-9, 5.0]), ["1.000e-9", "5.000e0"]);
    }

    #[test]
    fn spreads_are_visible() {
        let format = NumberFormat::Decimals(2);
        assert_eq!(format.write_spread(Some(0.691)), " ± 0.69");
        assert_eq!(format.write_spread(Some(0.0004)), " ± 0.0004");
        assert_eq!(format.write_spread(Some(0.0)), " ± 0.00");
        assert_eq!(format.write_spread(None), "");
        assert_eq!(format.write_spread(Some(-5.0)), "");
        assert_eq!(NumberFormat::Whole.write_spread(Some(0.5)), " ± 0.5");
    }

    #[test]
    fn zero_has_no_sign() {
        assert_eq!(NumberFormat::Decimals(2).write(-0.0001), "0.00");
        assert_eq!(NumberFormat::Decimals(2).write(-1234.5), "-1,234.50");
        assert_eq!(NumberFormat::Decimals(2).write(f64::NAN), "NaN");
    }

    #[test]
    fn other_quantities() {
        assert_eq!(count(1_000_000), "1,000,000");
        assert_eq!(bytes(512), "512 B");
        assert_eq!(bytes(1_610_612_736), "1.5 GiB");
        assert_eq!(duration(245.0), "4m 05s");
        assert_eq!(alone(1234.56), "1,235");
    }
}
