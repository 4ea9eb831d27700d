//! The sizes that spaces of image classifiers take: those of an image, and the number of classes. It must
//! not know what a space builds.

use crate::spec::Section;

/// The most channels of an image.
pub(super) const MAX_CHANNELS: u32 = 1024;
/// The longest side of an image.
pub(super) const MAX_SIDE: u32 = 4096;
/// The most classes.
pub(super) const MAX_CLASSES: u32 = 100_000;

/// Checks `input`, the channels (1 to 1,024), height and width (`least_side` to 4,096) of an image, and
/// `classes` (2 to 100,000); faults go to these keys.
pub(super) fn check(section: &Section<'_>, input: [u32; 3], classes: u32, least_side: u32) {
    section.check_range("classes", classes, 2..=MAX_CLASSES);
    let [channels, height, width] = input;
    let side = |side: u32| (least_side..=MAX_SIDE).contains(&side);
    if !((1..=MAX_CHANNELS).contains(&channels) && side(height) && side(width)) {
        section.fault(
            "input",
            format!("no image has {channels} channels and sides of {height} and {width} here"),
            format!(
                "write 1 to {MAX_CHANNELS} channels and sides of {least_side} to {MAX_SIDE}, such as \
                 `[3, 32, 32]`"
            ),
        );
    }
}

/// Checks that both sides of `input` are even after each but the last of so many halvings.
pub(super) fn check_halvings(section: &Section<'_>, [_, height, width]: [u32; 3], halvings: u32) {
    let step = 1 << halvings;
    for (nth, side) in [(1, height), (2, width)] {
        if !side.is_multiple_of(step) {
            section.fault(
                &format!("input[{nth}]"),
                format!("a side of {side} cannot be halved {halvings} times"),
                format!("write a multiple of {step}, such as 28 or 32"),
            );
        }
    }
}
