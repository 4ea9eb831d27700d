//! The two operators on real genes: simulated binary crossover and polynomial mutation, both bounded
//! and of one distribution index. It must not know genes, only points of the grid.
//!
//! Both are made of powers, which have to be computed in software, because processors' libraries
//! differ in the last bit. What counts is the point of the grid, so nearly all are found by quick
//! arithmetic of known error ([`Quick`]); where that error could move a value to the next point, the
//! powers of `libm` decide ([`Exact`]). The outcome is that of `libm` for every draw.

use rand::RngExt;

use crate::rng::Stream;

/// The largest value of a real slot.
pub(super) const REAL_MAX: f64 = u32::MAX as f64;
/// The distribution index of polynomial mutation and of simulated binary crossover, plus 1 (Deb,
/// Pratap, Agarwal and Meyarivan 2002, section V: 20).
const POWER: f64 = 21.0;
/// A quick value that is closer than this to the middle between two points of the grid, in units of
/// their distance, is computed anew. The error of a quick child is below 1e-13 of the range, which is
/// a quarter of this.
const MARGIN: f64 = 1.0 / 512.0;

/// Powers of numbers above 0.
trait Powers {
    /// x^21.
    fn power(x: f64) -> f64;
    /// x^-21.
    fn inverse_power(x: f64) -> f64;
    /// The 21st root; NaN where the arithmetic does not reach.
    fn root(x: f64) -> f64;
    /// 2 - x, of which a root is taken; NaN where too few digits are left of it.
    fn from_two(x: f64) -> f64;
}

/// As `libm` has them.
struct Exact;

impl Powers for Exact {
    fn power(x: f64) -> f64 {
        libm::pow(x, POWER)
    }

    fn inverse_power(x: f64) -> f64 {
        libm::pow(x, -POWER)
    }

    fn root(x: f64) -> f64 {
        libm::pow(x, 1.0 / POWER)
    }

    fn from_two(x: f64) -> f64 {
        2.0 - x
    }
}

/// By multiplication and tables, with a relative error below 3e-15 (powers) and 2e-14 (roots).
struct Quick;

impl Powers for Quick {
    fn power(x: f64) -> f64 {
        let square = x * x;
        let fourth = square * square;
        let fifth = fourth * x;
        let tenth = fifth * fifth;
        tenth * tenth * x
    }

    fn inverse_power(x: f64) -> f64 {
        1.0 / Self::power(x)
    }

    /// With x = 2^e (1 + d) / c, where 1 / c is the middle of one of 128 parts of [1, 2): the root of
    /// 2^e and that of 1 / c from tables, that of 1 + d by its binomial series up to d^4.
    fn root(x: f64) -> f64 {
        let bits = x.to_bits();
        let exponent = (bits >> 52) as usize;
        let Some(of_exponent) =
            exponent.checked_sub(LEAST_EXPONENT).and_then(|at| EXPONENT_ROOTS.get(at))
        else {
            return f64::NAN;
        };
        let mantissa = f64::from_bits(bits & MANTISSA | 1.0f64.to_bits());
        let (inverse, of_part) = PARTS[(bits >> (52 - PART_BITS)) as usize % PARTS.len()];
        let d = mantissa * inverse - 1.0;
        let [a, b, c, e] = SERIES;
        let square = d * d;
        of_exponent * of_part * (1.0 + d * a + square * (b + d * c + square * e))
    }

    /// The result of a subtraction close to 0 is rounding alone.
    fn from_two(x: f64) -> f64 {
        let rest = 2.0 - x;
        if rest < 1.0 / 1024.0 { f64::NAN } else { rest }
    }
}

const MANTISSA: u64 = (1 << 52) - 1;
const PART_BITS: u32 = 7;
/// The biased exponents whose roots are tabulated: of 2^-60 to 2^11.
const LEAST_EXPONENT: usize = 1023 - 60;
const EXPONENTS: usize = 72;

/// Binomial coefficients of 1/21 over 1 to 4.
const SERIES: [f64; 4] = {
    let one = 1.0 / POWER;
    let two = one * (one - 1.0) / 2.0;
    let three = two * (one - 2.0) / 3.0;
    [one, two, three, three * (one - 3.0) / 4.0]
};

/// The inverse of the middle of each part of [1, 2), and the root of the middle.
const PARTS: [(f64, f64); 1 << PART_BITS] = {
    let mut parts = [(0.0, 0.0); 1 << PART_BITS];
    let mut at = 0;
    while at < parts.len() {
        let middle = 1.0 + (at as f64 + 0.5) / parts.len() as f64;
        let inverse = 1.0 / middle;
        parts[at] = (inverse, newton_root(1.0 / inverse));
        at += 1;
    }
    parts
};

/// The roots of the powers of two.
const EXPONENT_ROOTS: [f64; EXPONENTS] = {
    let mut roots = [0.0; EXPONENTS];
    let mut at = 0;
    while at < EXPONENTS {
        // 63 is three times 21: a power that is never negative, and its root three halvings too large.
        let power = at as i32 - 60 + 63;
        let (mut whole, mut number, mut rest) = (1.0 / 8.0, 1.0, power % 21);
        while rest > 0 {
            number *= 2.0;
            rest -= 1;
        }
        rest = power / 21;
        while rest > 0 {
            whole *= 2.0;
            rest -= 1;
        }
        roots[at] = whole * newton_root(number);
        at += 1;
    }
    roots
};

/// The 21st root of a number from 1 to 2^20, by Newton's method from above.
const fn newton_root(x: f64) -> f64 {
    let mut root = 2.0;
    let mut step = 0;
    while step < 32 {
        let mut power = 1.0;
        let mut factor = 0;
        while factor < 20 {
            power *= root;
            factor += 1;
        }
        root += (x / power - root) / POWER;
        step += 1;
    }
    root
}

/// Polynomial mutation, bounded (Deb and Goyal 1996; the form of Deb's NSGA-II code). Another point
/// than `value`.
pub(super) fn polynomial(value: u32, rng: &mut Stream) -> u32 {
    let u = rng.random::<f64>();
    let child =
        on_grid(|exact| if exact { moved::<Exact>(value, u) } else { moved::<Quick>(value, u) });
    if child == value { if value == u32::MAX { value - 1 } else { value + 1 } } else { child }
}

fn moved<P: Powers>(value: u32, u: f64) -> f64 {
    let x = f64::from(value) / REAL_MAX;
    let delta = if u < 0.5 {
        let reach = P::power(1.0 - x);
        P::root(2.0 * u + (1.0 - 2.0 * u) * reach) - 1.0
    } else {
        let reach = P::power(x);
        1.0 - P::root(2.0 * (1.0 - u) + 2.0 * (u - 0.5) * reach)
    };
    x + delta
}

/// One child of simulated binary crossover, bounded (Deb and Agrawal 1995; the form of Deb's
/// NSGA-II code, in which each variable is crossed with probability 1/2 and the two children
/// exchange it with probability 1/2).
pub(super) fn binary_crossover(first: u32, second: u32, rng: &mut Stream) -> u32 {
    match draw_crossing(first, second, rng) {
        Ok(crossing) => crossing.child(),
        Err(value) => value,
    }
}

/// What was drawn for a variable that is crossed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Crossing {
    one: u32,
    other: u32,
    u: f64,
}

/// The draws of [`binary_crossover`]: a crossing, of which the child may be computed later, or the value of a
/// variable that is not crossed. The branch is unpredictable but cheap; computing the children in a row
/// afterwards lets the processor overlap them.
pub(super) fn draw_crossing(first: u32, second: u32, rng: &mut Stream) -> Result<Crossing, u32> {
    let swap = rng.random::<bool>();
    let (one, other) = if swap { (second, first) } else { (first, second) };
    if rng.random::<bool>() || first == second {
        return Err(one);
    }
    Ok(Crossing { one, other, u: rng.random::<f64>() })
}

impl Crossing {
    /// The child.
    #[inline]
    pub(super) fn child(self) -> u32 {
        let Self { one, other, u } = self;
        on_grid(|exact| {
            if exact { crossed::<Exact>(one, other, u) } else { crossed::<Quick>(one, other, u) }
        })
    }
}

/// The child near `one`, which differs from `other`.
fn crossed<P: Powers>(one: u32, other: u32, u: f64) -> f64 {
    let low = f64::from(one.min(other)) / REAL_MAX;
    let high = f64::from(one.max(other)) / REAL_MAX;
    // Values are chosen, not ways to go: a processor would guess the way wrong half of the time.
    let is_lower = u64::from(one < other).wrapping_neg();
    let room = f64::from_bits(low.to_bits() & is_lower | (1.0 - high).to_bits() & !is_lower);
    let sign = f64::from_bits(1.0f64.to_bits() | is_lower << 63);
    let alpha = 2.0 - P::inverse_power(1.0 + 2.0 * room / (high - low));
    let (inner, outer) = (u * alpha, 1.0 / P::from_two(u * alpha));
    let spread = P::root(if u <= 1.0 / alpha { inner } else { outer });
    0.5 * (low + high + sign * spread * (high - low))
}

/// The point of the grid next to a place in [0, 1], which is asked for quickly first and then, where
/// that does not decide, exactly.
fn on_grid(place: impl Fn(bool) -> f64) -> u32 {
    let scaled = place(false).clamp(0.0, 1.0) * REAL_MAX;
    let part = scaled - (scaled as u32) as f64;
    // A comparison with NaN is false.
    if (part - 0.5).abs() > MARGIN {
        return (scaled + 0.5) as u32;
    }
    (place(true).clamp(0.0, 1.0) * REAL_MAX).round() as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn exactly(place: f64) -> u32 {
        (place.clamp(0.0, 1.0) * REAL_MAX).round() as u32
    }

    /// Fails if the quick value is wrong by a quarter of what [`on_grid`] allows for.
    fn check(exact: f64, quick: f64) {
        let error = (exact.clamp(0.0, 1.0) - quick.clamp(0.0, 1.0)).abs() * REAL_MAX;
        assert!(quick.is_nan() || error < MARGIN / 4.0, "{quick} for {exact}");
    }

    fn check_all(one: u32, other: u32, u: f64) {
        check(moved::<Exact>(one, u), moved::<Quick>(one, u));
        let child =
            on_grid(|exact| if exact { moved::<Exact>(one, u) } else { moved::<Quick>(one, u) });
        assert_eq!(child, exactly(moved::<Exact>(one, u)));
        if one != other {
            check(crossed::<Exact>(one, other, u), crossed::<Quick>(one, other, u));
            let child = on_grid(|exact| {
                if exact {
                    crossed::<Exact>(one, other, u)
                } else {
                    crossed::<Quick>(one, other, u)
                }
            });
            assert_eq!(child, exactly(crossed::<Exact>(one, other, u)));
        }
    }

    #[test]
    fn quick_roots_are_as_good_as_promised() {
        let mut x = 1e-18;
        while x < 2_000.0 {
            let (quick, exact) = (Quick::root(x), Exact::root(x));
            assert!((quick / exact - 1.0).abs() < 2e-14, "{x}: {quick} for {exact}");
            x *= 1.000_37;
        }
        assert!(Quick::root(0.0).is_nan() && Quick::root(1e9).is_nan());
    }

    #[test]
    fn ends_of_the_range_and_of_the_draw_come_out_as_exact_powers_have_them() {
        let points = [0, 1, 2, 1 << 16, 1 << 31, u32::MAX - 2, u32::MAX - 1, u32::MAX];
        let tiny = f64::EPSILON / 2.0;
        let draws =
            [0.0, tiny, 1e-9, 0.25, 0.5 - tiny, 0.5, 0.5 + tiny, 0.75, 1.0 - 1e-9, 1.0 - tiny];
        for one in points {
            for other in points {
                draws.iter().for_each(|u| check_all(one, other, *u));
            }
        }
    }

    #[test]
    fn the_exact_powers_are_asked_for_seldom() {
        let asked = std::cell::Cell::new(0);
        for at in 0..20_000u32 {
            let (one, other) = (at.wrapping_mul(2_654_435_761), at.wrapping_mul(40_503) << 8);
            let u = f64::from(at) / 20_000.0;
            let _ = on_grid(|exact| {
                asked.set(asked.get() + u32::from(exact));
                if exact {
                    crossed::<Exact>(one, other, u)
                } else {
                    crossed::<Quick>(one, other, u)
                }
            });
        }
        assert!((1..300).contains(&asked.get()), "{} times", asked.get());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        #[test]
        fn children_are_those_of_exact_powers(one: u32, other: u32, distance in 0u32..1_000, u in 0.0..1.0f64) {
            check_all(one, other, u);
            check_all(one, one.saturating_add(distance), u);
        }
    }
}
