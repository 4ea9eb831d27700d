//! Random changes of training images: a named policy, or each change by itself. It must not know how an image
//! is changed.

use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::spec::Section;

/// Random changes of training images, in the order in which they are applied. Read from a mapping,
/// where what is left out is that of `flip-crop-cutout`, or from the name of a policy.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct AugmentSettings {
    /// Pixels of zero padding on each side before a random crop to the original size; 0 for none,
    /// at most 64.
    pub crop_padding: u32,
    /// Whether half of the images are mirrored left to right.
    pub flip: bool,
    /// The side in pixels of a square at a random place that is set to 0; 0 for none, at most 1,024.
    pub cutout: u32,
    /// The probability that a rectangle of an image is erased, set to the mean (Zhong et al., AAAI
    /// 2020): of 2 to 33 % of the area and an aspect of 0.3 to 1/0.3. 0 to 1.
    pub erase: f64,
}

/// The policies that have a name.
const POLICIES: [(&str, AugmentSettings); 4] = [
    ("none", AugmentSettings { crop_padding: 0, flip: false, cutout: 0, erase: 0.0 }),
    ("flip-crop", AugmentSettings { crop_padding: 4, flip: true, cutout: 0, erase: 0.0 }),
    ("flip-crop-cutout", AugmentSettings { crop_padding: 4, flip: true, cutout: 8, erase: 0.0 }),
    ("flip-crop-erase", AugmentSettings { crop_padding: 4, flip: true, cutout: 0, erase: 0.25 }),
];

impl Default for AugmentSettings {
    fn default() -> Self {
        Self { crop_padding: 4, flip: true, cutout: 8, erase: 0.0 }
    }
}

/// The mapping.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Written {
    crop_padding: u32,
    flip: bool,
    cutout: u32,
    erase: f64,
}

impl Default for Written {
    fn default() -> Self {
        let AugmentSettings { crop_padding, flip, cutout, erase } = AugmentSettings::default();
        Self { crop_padding, flip, cutout, erase }
    }
}

impl<'de> Deserialize<'de> for AugmentSettings {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = AugmentSettings;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a mapping or the name of a policy")
            }

            fn visit_str<E: Error>(self, name: &str) -> Result<AugmentSettings, E> {
                let found = POLICIES.iter().find(|(policy, _)| *policy == name);
                let names = POLICIES.map(|(policy, _)| policy);
                const NAMES: &[&str] =
                    &["none", "flip-crop", "flip-crop-cutout", "flip-crop-erase"];
                debug_assert_eq!(NAMES, names);
                found.map(|(_, settings)| *settings).ok_or_else(|| E::unknown_variant(name, NAMES))
            }

            fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<AugmentSettings, M::Error> {
                let written = Written::deserialize(MapAccessDeserializer::new(map))?;
                let Written { crop_padding, flip, cutout, erase } = written;
                Ok(AugmentSettings { crop_padding, flip, cutout, erase })
            }
        }
        deserializer.deserialize_any(Either)
    }
}

pub(super) fn check(section: &Section<'_>, augment: &AugmentSettings) {
    section.check_range("augment.crop_padding", augment.crop_padding, 0..=64);
    section.check_range("augment.cutout", augment.cutout, 0..=1_024);
    section.check_range("augment.erase", augment.erase, 0.0..=1.0);
}
