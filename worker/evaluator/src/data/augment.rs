//! Random crop, horizontal flip, cutout and erasing, drawn from seeded streams; crop and flip are one
//! gather per batch.
//!
//! Crops read from images padded with zero bytes (black), as in the training of NAS-Bench-201;
//! cutout (DeVries & Taylor 2017) blanks a square to the training mean, erasing (Zhong et al. 2020) a
//! rectangle. It must not know labels.

use cambrian_core::rng::Stream;
use cambrian_core::spec::AugmentSettings;
use rand::RngExt;
use tch::{Kind, TchError, Tensor};

use super::samples::Normalization;

/// What is done to each training image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Augmentation {
    /// Black pixels added on each side before a random crop to the original size; 0: no crop.
    pub crop_padding: u32,
    /// Whether images are mirrored with probability 1/2.
    pub flip: bool,
    /// Side length of a blanked square with random centre, which may reach beyond the border; 0:
    /// none.
    pub cutout: u32,
    /// The probability that a rectangle is blanked, 0 to 1.
    pub erase: f64,
}

impl From<AugmentSettings> for Augmentation {
    fn from(settings: AugmentSettings) -> Self {
        let AugmentSettings { crop_padding, flip, cutout, erase } = settings;
        Self { crop_padding, flip, cutout, erase }
    }
}

/// Where the choices come from.
#[derive(Debug)]
pub struct Randoms {
    /// Crops, flips and cutouts.
    pub changes: Stream,
    /// Erased rectangles; on their own, so that without them nothing else is different.
    pub erasing: Stream,
}

/// The smallest and the largest share of an image that is erased.
const ERASED_AREA: (f64, f64) = (0.02, 0.33);
/// The smallest ratio of an erased rectangle's height and width; the largest is its inverse.
const ERASED_ASPECT: f64 = 0.3;
/// How often a rectangle is drawn that does not fit, before the image is left as it is.
const ERASE_TRIES: u32 = 10;

/// A rectangle: first row and column, height and width.
type Rectangle = [i64; 4];

/// Training images, padded once, from which augmented batches are gathered.
#[derive(Debug)]
pub struct Augmenter {
    settings: Augmentation,
    /// Bytes, `[samples, channels x padded height x padded width]`.
    padded: Tensor,
    channels: i64,
    height: i64,
    width: i64,
    /// Offsets of an image's pixels from its crop's first pixel: `[channels, height, width]`.
    offsets: [Tensor; 2],
}

/// The choices for one batch, one entry for each image.
#[derive(Debug, Default)]
struct Draw {
    top: Vec<i64>,
    left: Vec<i64>,
    mirrored: Vec<bool>,
    centre_row: Vec<i64>,
    centre_column: Vec<i64>,
}

impl Augmenter {
    /// An augmenter over `images`, bytes of `[samples, channels, height, width]`.
    ///
    /// # Errors
    /// Whatever libtorch reports, such as exhausted memory.
    pub fn new(images: &Tensor, settings: Augmentation) -> Result<Self, TchError> {
        let (samples, channels, height, width) = images.size4()?;
        let pad = i64::from(settings.crop_padding);
        let padded = images.f_constant_pad_nd([pad; 4])?.f_view([samples, -1])?;
        let options = (Kind::Int64, images.device());
        let (wide, high) = (width + 2 * pad, height + 2 * pad);
        let range = |end: i64| Tensor::f_arange(end, options);
        let plane = range(channels)?.f_mul_scalar(high * wide)?.f_view([channels, 1, 1])?;
        let row = range(height)?.f_mul_scalar(wide)?.f_view([1, height, 1])?;
        let column = range(width)?.f_view([1, 1, width])?;
        let straight = plane.f_add(&row)?.f_add(&column)?;
        let mirrored = straight.f_flip([2])?;
        Ok(Self { settings, padded, channels, height, width, offsets: [straight, mirrored] })
    }

    /// Augmented and normalised images at `positions`: `[positions, channels, height, width]`.
    ///
    /// # Errors
    /// Whatever libtorch reports.
    pub fn batch(
        &self,
        positions: &[i64],
        randoms: &mut Randoms,
        normalization: &Normalization,
        kind: Kind,
    ) -> Result<Tensor, TchError> {
        let draw = self.draw(positions.len(), &mut randoms.changes);
        let images = self.gather(positions, &draw)?;
        let mut images = normalization.apply(&images, kind)?;
        if self.settings.cutout > 0 {
            images = self.cut_out(&images, &draw)?;
        }
        if self.settings.erase > 0.0 {
            let drawn = (0..positions.len()).map(|_| self.rectangle(&mut randoms.erasing));
            images = blank(&images, &drawn.collect::<Vec<_>>())?;
        }
        Ok(images)
    }

    /// What is erased of the next image; nothing if it is to stay.
    fn rectangle(&self, generator: &mut Stream) -> Rectangle {
        const NOTHING: Rectangle = [0; 4];
        if generator.random::<f64>() >= self.settings.erase {
            return NOTHING;
        }
        let (height, width) = (self.height as f64, self.width as f64);
        for _ in 0..ERASE_TRIES {
            let area = height * width * generator.random_range(ERASED_AREA.0..=ERASED_AREA.1);
            let bound = ERASED_ASPECT.ln();
            let aspect = generator.random_range(bound..=-bound).exp();
            let (rows, columns) = ((area * aspect).sqrt().round(), (area / aspect).sqrt().round());
            if rows >= 1.0 && columns >= 1.0 && rows < height && columns < width {
                let (rows, columns) = (rows as i64, columns as i64);
                let top = generator.random_range(0..=self.height - rows);
                let left = generator.random_range(0..=self.width - columns);
                return [top, left, rows, columns];
            }
        }
        NOTHING
    }

    /// Draws in a fixed order whatever is enabled, so that a setting changes only its own effect.
    fn draw(&self, count: usize, generator: &mut Stream) -> Draw {
        let mut draw = Draw::default();
        let span = 2 * i64::from(self.settings.crop_padding);
        for _ in 0..count {
            draw.top.push(generator.random_range(0..=span));
            draw.left.push(generator.random_range(0..=span));
            draw.mirrored.push(generator.random::<bool>() && self.settings.flip);
            draw.centre_row.push(generator.random_range(0..self.height));
            draw.centre_column.push(generator.random_range(0..self.width));
        }
        draw
    }

    fn gather(&self, positions: &[i64], draw: &Draw) -> Result<Tensor, TchError> {
        let device = self.padded.device();
        let wide = self.width + 2 * i64::from(self.settings.crop_padding);
        let size = self.padded.size()[1];
        let count = positions.len();
        let start: Vec<i64> =
            (0..count).map(|i| positions[i] * size + draw.top[i] * wide + draw.left[i]).collect();
        let start = column(&start, device)?;
        let [straight, mirrored] = &self.offsets;
        let offsets = if self.settings.flip {
            let flipped = Tensor::f_from_slice(&draw.mirrored)?.f_to_device(device)?;
            mirrored.f_where_self(&flipped.f_view([-1, 1, 1, 1])?, straight)?
        } else {
            straight.shallow_clone()
        };
        let index = start.f_add(&offsets)?;
        let pixels = self.padded.f_view([-1])?.f_index_select(0, &index.f_view([-1])?)?;
        pixels.f_view([count as i64, self.channels, self.height, self.width])
    }

    fn cut_out(&self, images: &Tensor, draw: &Draw) -> Result<Tensor, TchError> {
        let side = i64::from(self.settings.cutout);
        let centres = draw.centre_row.iter().zip(&draw.centre_column);
        let square = |(row, column): (&i64, &i64)| [row - side / 2, column - side / 2, side, side];
        blank(images, &centres.map(square).collect::<Vec<_>>())
    }
}

/// The images with one rectangle of each set to 0, as far as it lies within.
fn blank(images: &Tensor, rectangles: &[Rectangle]) -> Result<Tensor, TchError> {
    let (_, _, height, width) = images.size4()?;
    let device = images.device();
    let inside = |length: i64, first: usize| -> Result<Tensor, TchError> {
        let part = |at: usize| -> Result<Tensor, TchError> {
            let values: Vec<i64> = rectangles.iter().map(|rectangle| rectangle[at]).collect();
            column(&values, device)?.f_view([-1, 1])
        };
        let distance = Tensor::f_arange(length, (Kind::Int64, device))?.f_sub(&part(first)?)?;
        distance.f_ge(0)?.f_logical_and(&distance.f_lt_tensor(&part(first + 2)?)?)
    };
    let rows = inside(height, 0)?.f_view([-1, 1, height, 1])?;
    let columns = inside(width, 1)?.f_view([-1, 1, 1, width])?;
    images.f_masked_fill(&rows.f_logical_and(&columns)?, 0.0)
}

fn column(values: &[i64], device: tch::Device) -> Result<Tensor, TchError> {
    Tensor::f_from_slice(values)?.f_to_device(device)?.f_view([-1, 1, 1, 1])
}

#[cfg(test)]
mod tests {
    use super::*;
    use cambrian_core::rng::{Purpose, stream};

    fn images() -> Tensor {
        let bytes: Vec<u8> = (0..2 * 6 * 5).map(|i| i as u8 + 1).collect();
        Tensor::from_slice(&bytes).view([2, 1, 6, 5])
    }

    fn plain(images: &Tensor) -> (Normalization, Tensor) {
        let normalization = Normalization::of(images).unwrap();
        let plain = normalization.apply(images, Kind::Float).unwrap();
        (normalization, plain)
    }

    fn randoms(seed: u64) -> Randoms {
        let [changes, erasing] =
            [0, 1].map(|stream_of| stream(seed, Purpose::Evaluation, stream_of));
        Randoms { changes, erasing }
    }

    #[test]
    fn nothing_enabled_changes_nothing() {
        let (normalization, plain) = plain(&images());
        let off = Augmentation { crop_padding: 0, flip: false, cutout: 0, erase: 0.0 };
        let augmenter = Augmenter::new(&images(), off).unwrap();
        let mut randoms = randoms(1);
        let batch = augmenter.batch(&[1, 0], &mut randoms, &normalization, Kind::Float).unwrap();
        assert_eq!(batch, plain.flip([0]));
    }

    #[test]
    fn each_image_is_a_crop_of_the_padded_or_mirrored_original() {
        let (normalization, _) = plain(&images());
        let settings = Augmentation { crop_padding: 2, flip: true, cutout: 0, erase: 0.0 };
        let augmenter = Augmenter::new(&images(), settings).unwrap();
        let mut randoms = randoms(3);
        let positions = vec![1; 64];
        let batch =
            augmenter.batch(&positions, &mut randoms, &normalization, Kind::Double).unwrap();
        let padded = images().narrow(0, 1, 1).constant_pad_nd([2; 4]);
        let mut crops = Vec::new();
        for top in 0..5 {
            for left in 0..5 {
                let crop = padded.narrow(2, top, 6).narrow(3, left, 5);
                crops.push(normalization.apply(&crop, Kind::Double).unwrap().squeeze());
                crops.push(normalization.apply(&crop.flip([3]), Kind::Double).unwrap().squeeze());
            }
        }
        let mut seen = std::collections::BTreeSet::new();
        for image in batch.unbind(0) {
            let image = image.squeeze();
            seen.insert(crops.iter().position(|crop| *crop == image).expect("not a crop"));
        }
        assert!(seen.len() > 20, "crops hardly vary: {seen:?}");
    }

    #[test]
    fn cutout_blanks_one_square() {
        let bytes = vec![9u8; 28 * 28];
        let image = Tensor::from_slice(&bytes).view([1, 1, 28, 28]);
        let contrast = Tensor::cat(&[image.shallow_clone(), image.zeros_like()], 0);
        let normalization = Normalization::of(&contrast).unwrap();
        let settings = Augmentation { crop_padding: 0, flip: false, cutout: 8, erase: 0.0 };
        let augmenter = Augmenter::new(&image, settings).unwrap();
        let mut randoms = randoms(5);
        let batch =
            augmenter.batch(&vec![0; 200], &mut randoms, &normalization, Kind::Float).unwrap();
        let blanked = batch.eq(0.0).to_kind(Kind::Int64).sum_dim_intlist(
            [1i64, 2, 3].as_slice(),
            false,
            None,
        );
        assert_eq!(blanked.max().int64_value(&[]), 64);
        assert!(blanked.min().int64_value(&[]) >= 16);
    }

    #[test]
    fn erasing_blanks_a_rectangle_of_its_share_and_changes_nothing_else() {
        let bytes = vec![9u8; 28 * 28];
        let image = Tensor::from_slice(&bytes).view([1, 1, 28, 28]);
        let contrast = Tensor::cat(&[image.shallow_clone(), image.zeros_like()], 0);
        let normalization = Normalization::of(&contrast).unwrap();
        let batch = |erase: f64| {
            let settings = Augmentation { crop_padding: 2, flip: true, cutout: 0, erase };
            let augmenter = Augmenter::new(&image, settings).unwrap();
            let positions = vec![0; 400];
            augmenter.batch(&positions, &mut randoms(7), &normalization, Kind::Float).unwrap()
        };
        let (plain, erased) = (batch(0.0), batch(0.5));
        let blanked = erased.eq(0.0);
        let kept = erased.masked_select(&blanked.logical_not());
        assert_eq!(kept, plain.masked_select(&blanked.logical_not()), "the rest stays as it was");
        let mut touched = 0;
        for image in blanked.squeeze_dim(1).unbind(0) {
            let rows = image.any_dim(1, false).to_kind(Kind::Int64).sum(Kind::Int64);
            let columns = image.any_dim(0, false).to_kind(Kind::Int64).sum(Kind::Int64);
            let area = image.to_kind(Kind::Int64).sum(Kind::Int64).int64_value(&[]);
            if area == 0 {
                continue;
            }
            touched += 1;
            let (rows, columns) = (rows.int64_value(&[]), columns.int64_value(&[]));
            assert_eq!(area, rows * columns, "it is a rectangle");
            let share = area as f64 / 784.0;
            assert!((0.015..=0.36).contains(&share), "{share}");
        }
        assert!((150..250).contains(&touched), "{touched} of 400 at a probability of a half");
    }
}
