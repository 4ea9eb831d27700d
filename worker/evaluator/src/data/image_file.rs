//! One image of a data set of one's own, PNG or JPEG, decoded.
//!
//! Its header is read first, so that an image that does not belong to its data set costs no memory. It must
//! not know where images lie, what class they are of, or libtorch.

use std::io::{self, BufRead, Seek};
use std::panic::{AssertUnwindSafe, catch_unwind};

use image::{
    ColorType, DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, ImageResult,
    Limits,
};
use thiserror::Error;

use super::own::MAX_SIDE;

/// The most memory that a decoder takes, bytes.
const MAX_DECODED: u64 = 1 << 28;

/// What cannot be an image of a data set.
#[derive(Debug, Error)]
pub(super) enum ImageFileError {
    /// It cannot be read.
    #[error("it cannot be read: {0}")]
    Unreadable(#[from] io::Error),
    /// It is neither PNG nor JPEG.
    #[error("its content is no PNG or JPEG")]
    OtherFormat,
    /// Its sides are 0, or more than is read.
    #[error("it has {height} x {width} pixels, at most {MAX_SIDE} a side are read")]
    Size {
        /// Its height in pixels.
        height: u32,
        /// Its width in pixels.
        width: u32,
    },
    /// It has an alpha channel.
    #[error("it has an alpha channel; write it without")]
    Alpha,
    /// Its pixels have more than 8 bits a channel.
    #[error("it has more than 8 bits a channel; write it with 8")]
    Depth,
    /// Its content is not what the format asks for.
    #[error("it cannot be decoded ({0})")]
    Undecodable(#[from] ImageError),
    /// The decoder panicked.
    #[error("it is damaged: the decoder failed at it")]
    DecoderFailed,
    /// Its header announced other pixels.
    #[error("its pixels are not what its header says")]
    OtherPixels,
}

/// An image whose header has been read.
pub(super) struct ImageFile<'r> {
    decoder: Box<dyn ImageDecoder + 'r>,
}

impl<'r> ImageFile<'r> {
    pub(super) fn open(content: impl BufRead + Seek + 'r) -> Result<Self, ImageFileError> {
        let mut reader = ImageReader::new(content).with_guessed_format()?;
        if !matches!(reader.format(), Some(ImageFormat::Png | ImageFormat::Jpeg)) {
            return Err(ImageFileError::OtherFormat);
        }
        let mut limits = Limits::default();
        limits.max_image_width = Some(MAX_SIDE as u32);
        limits.max_image_height = Some(MAX_SIDE as u32);
        limits.max_alloc = Some(MAX_DECODED);
        reader.limits(limits);
        let decoder = decoded(|| reader.into_decoder())?;
        Ok(Self { decoder: Box::new(decoder) })
    }

    /// Channels (1 or 3), height and width.
    pub(super) fn input(&self) -> Result<[u32; 3], ImageFileError> {
        let (width, height) = self.decoder.dimensions();
        let sides = 1..=MAX_SIDE as u32;
        if !sides.contains(&width) || !sides.contains(&height) {
            return Err(ImageFileError::Size { height, width });
        }
        let channels = match self.decoder.color_type() {
            ColorType::L8 => 1,
            ColorType::Rgb8 => 3,
            ColorType::La8 | ColorType::Rgba8 | ColorType::La16 | ColorType::Rgba16 => {
                return Err(ImageFileError::Alpha);
            }
            _ => return Err(ImageFileError::Depth),
        };
        Ok([channels, height, width])
    }

    /// Adds its pixels, channel by channel.
    pub(super) fn append(self, pixels: &mut Vec<u8>) -> Result<(), ImageFileError> {
        match decoded(|| DynamicImage::from_decoder(self.decoder))? {
            DynamicImage::ImageLuma8(grey) => pixels.extend_from_slice(&grey),
            DynamicImage::ImageRgb8(coloured) => {
                for channel in 0..3 {
                    pixels.extend(coloured.iter().skip(channel).step_by(3));
                }
            }
            _ => return Err(ImageFileError::OtherPixels),
        }
        Ok(())
    }
}

/// What a decoder makes of an image. Decoders panic at some damaged ones (`zune-jpeg` 0.5.15 where a scan runs past
/// the end of its row), which must not cost the evaluations in the same process.
pub(super) fn decoded<T>(decode: impl FnOnce() -> ImageResult<T>) -> Result<T, ImageFileError> {
    catch_unwind(AssertUnwindSafe(decode))
        .map_err(|_panic| ImageFileError::DecoderFailed)?
        .map_err(ImageFileError::Undecodable)
}
