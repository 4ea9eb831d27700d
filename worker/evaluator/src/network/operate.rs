//! Operations of a graph that are several of libtorch's. It must not know nodes nor weights' origin.

use cambrian_core::graph::{FILTER_SIDE, FILTERS, Shape};
use tch::{Device, Kind, TchError, Tensor};

/// The fixed filters of each of so many channels, `[4 channels, 1, side, side]`.
pub(super) fn filters(channels: i64, kind: Kind) -> Result<Tensor, TchError> {
    let side = FILTER_SIDE as i64;
    let one = Tensor::f_from_slice(FILTERS.as_flattened())?.f_view([-1, 1, side, side])?;
    one.f_to_device(Device::Cpu)?.f_to_kind(kind)?.f_repeat([channels, 1, 1, 1])
}

/// Each channel of `maps` under the filters of [`filters`], the sides kept.
pub(super) fn filtered(maps: &Tensor, filters: &Tensor) -> Result<Tensor, TchError> {
    let padding = (FILTER_SIDE / 2) as i64;
    maps.f_conv2d(filters, None::<Tensor>, [1, 1], [padding; 2], [1, 1], maps.size()[1])
}

/// The part of `maps` that has the sides of `shape` and begins at these rows and columns.
pub(super) fn cropped(
    maps: &Tensor,
    shape: Shape,
    top: u32,
    left: u32,
) -> Result<Tensor, TchError> {
    let [height, width] = sides(shape);
    maps.f_narrow(2, top.into(), height)?.f_narrow(3, left.into(), width)
}

/// `maps` with each value repeated `factor` times along rows and columns. libtorch's nearest
/// interpolation finds its sources in single precision and repeats the wrong ones at some factors.
pub(super) fn upsampled(maps: &Tensor, factor: i64) -> Result<Tensor, TchError> {
    maps.f_repeat_interleave_self_int(factor, 2, None)?
        .f_repeat_interleave_self_int(factor, 3, None)
}

/// A factor of a product of this shape: a vector beside maps becomes maps of one pixel.
pub(super) fn factor(value: &Tensor, shape: Shape) -> Result<Tensor, TchError> {
    match shape {
        Shape::Map { .. } if value.dim() == 2 => value.f_unsqueeze(-1)?.f_unsqueeze(-1),
        _ => Ok(value.shallow_clone()),
    }
}

/// Scaled dot-product attention among places, each head on its share of the channels.
pub(super) fn attended(
    queries: &Tensor,
    keys: &Tensor,
    values: &Tensor,
    heads: i64,
) -> Result<Tensor, TchError> {
    let (samples, _, height, width) = values.size4()?;
    // [samples, heads, channels of a head, places]
    let split = |maps: &Tensor| {
        let channels = maps.size()[1] / heads;
        maps.f_reshape([samples, heads, channels, height * width])
    };
    let (queries, keys, values) = (split(queries)?, split(keys)?, split(values)?);
    let scale = 1.0 / (queries.size()[2] as f64).sqrt();
    let scores = queries.f_transpose(2, 3)?.f_matmul(&keys)?.f_mul_scalar(scale)?;
    let weights = scores.f_softmax(-1, None)?;
    let mixed = values.f_matmul(&weights.f_transpose(2, 3)?)?;
    mixed.f_reshape([samples, -1, height, width])
}

fn sides(shape: Shape) -> [i64; 2] {
    match shape {
        Shape::Map { height, width, .. } => [height.into(), width.into()],
        Shape::Vector { .. } => [1, 1],
    }
}

#[cfg(test)]
mod tests;
