//! Whole numbers of which ratios count: their shares when drawn, and their places on a logarithmic
//! scale. It must not know how far a mutation moves.

use rand::RngExt;

use crate::rng::Stream;

/// The numbers `low`, `low + step`, ... The position k owns the interval from its number to the
/// next one.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Ratios {
    /// How many there are.
    pub(super) values: u32,
    /// The first, above 0.
    pub(super) low: f64,
    /// The distance of two neighbours.
    pub(super) step: f64,
}

impl Ratios {
    fn number(&self, position: u32) -> f64 {
        self.low + f64::from(position) * self.step
    }

    /// The logarithm of the ratio between the end of the last interval and the start of the first.
    fn width(&self) -> f64 {
        libm::log(self.number(self.values) / self.low)
    }

    /// The position whose interval holds this share of the logarithmic width.
    fn at(&self, share: f64) -> u32 {
        let number = self.low * libm::exp(share * self.width());
        let position = ((number - self.low) / self.step).max(0.0) as u32;
        position.min(self.values - 1)
    }

    /// A position, drawn with the share of the logarithmic width that its interval has.
    pub(super) fn sample(&self, rng: &mut Stream) -> u32 {
        self.at(rng.random::<f64>())
    }

    /// The middle of a position's interval on the grid of real genes.
    pub(super) fn on_grid(&self, position: u32) -> u32 {
        let middle = self.number(position) + self.step / 2.0;
        let share = libm::log(middle / self.low) / self.width();
        (share.clamp(0.0, 1.0) * f64::from(u32::MAX)) as u32
    }

    /// The position whose interval holds this point of the grid.
    pub(super) fn of_point(&self, point: u32) -> u32 {
        self.at(f64::from(point) / f64::from(u32::MAX))
    }

    /// The place of a position's number between the first and the last, 0 to 1.
    pub(super) fn position(&self, position: u32) -> f64 {
        if self.values == 1 {
            return 0.0;
        }
        let last = self.number(self.values - 1);
        libm::log(self.number(position) / self.low) / libm::log(last / self.low)
    }
}
