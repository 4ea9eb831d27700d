//! Labelled images as tensors: bytes at rest, normalised floats by the batch.
//!
//! Must not know files or which split this is.

use std::ops::Range;

use tch::{Device, Kind, TchError, Tensor};

/// Mean and standard deviation of each channel over the training samples, in units of bytes.
#[derive(Debug)]
pub struct Normalization {
    /// `[channels, 1, 1]`, 64-bit.
    mean: Tensor,
    /// `[channels, 1, 1]`, 64-bit; at least half a grey level.
    deviation: Tensor,
}

impl Normalization {
    /// The statistics of `images`, bytes of `[samples, channels, height, width]`.
    ///
    /// # Errors
    /// Whatever libtorch reports.
    pub fn of(images: &Tensor) -> Result<Self, TchError> {
        // In parts, so that the floats of a whole dataset never exist at once.
        let channels = images.size()[1];
        let options = (Kind::Double, images.device());
        let mut sum = Tensor::f_zeros([channels], options)?;
        let mut squares = Tensor::f_zeros([channels], options)?;
        let mut pixels = 0;
        for part in images.split(4096, 0) {
            let values = part.f_to_kind(Kind::Double)?;
            let axes = [0i64, 2, 3];
            sum += values.f_sum_dim_intlist(axes.as_slice(), false, None)?;
            squares += values.f_square()?.f_sum_dim_intlist(axes.as_slice(), false, None)?;
            pixels += part.size()[0] * part.size()[2] * part.size()[3];
        }
        let mean = sum.f_div_scalar(pixels as f64)?;
        let variance = squares.f_div_scalar(pixels as f64)?.f_sub(&mean.f_square()?)?;
        let deviation = variance.f_clamp_min(0.25)?.f_sqrt()?;
        let shape = [channels, 1, 1];
        Ok(Self { mean: mean.f_view(shape)?, deviation: deviation.f_view(shape)? })
    }

    /// `images` as floats of `kind` with mean 0 and deviation 1 over the training samples.
    ///
    /// # Errors
    /// Whatever libtorch reports.
    pub fn apply(&self, images: &Tensor, kind: Kind) -> Result<Tensor, TchError> {
        let mean = self.mean.f_to_kind(kind)?;
        let deviation = self.deviation.f_to_kind(kind)?;
        images.f_to_kind(kind)?.f_sub(&mean)?.f_div(&deviation)
    }
}

/// Labelled images of one split.
#[derive(Debug)]
pub struct Samples {
    /// Bytes, `[samples, channels, height, width]`.
    pub images: Tensor,
    /// Classes, 64-bit integers, `[samples]`.
    pub labels: Tensor,
}

impl Samples {
    /// The samples of a dataset at `positions`, moved to `device`.
    pub(super) fn select(&self, positions: &[i64], device: Device) -> Result<Self, TchError> {
        let positions = Tensor::f_from_slice(positions)?;
        Ok(Self {
            images: self.images.f_index_select(0, &positions)?.f_to_device(device)?,
            labels: self.labels.f_index_select(0, &positions)?.f_to_device(device)?,
        })
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.labels.size()[0] as usize
    }

    /// Normalised images and labels of `range`.
    ///
    /// # Errors
    /// Whatever libtorch reports.
    pub fn batch(
        &self,
        range: Range<usize>,
        normalization: &Normalization,
        kind: Kind,
    ) -> Result<(Tensor, Tensor), TchError> {
        let (start, length) = (range.start as i64, range.len() as i64);
        let images = normalization.apply(&self.images.f_narrow(0, start, length)?, kind)?;
        Ok((images, self.labels.f_narrow(0, start, length)?))
    }
}

/// `0..count` in consecutive ranges of at most `size`.
pub fn batches(count: usize, size: usize) -> impl Iterator<Item = Range<usize>> {
    let size = size.max(1);
    (0..count).step_by(size).map(move |start| start..count.min(start + size))
}
