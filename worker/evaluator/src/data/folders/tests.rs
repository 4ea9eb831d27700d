//! Folders of small images, and everything that can be wrong with them.

use image::{GrayImage, ImageBuffer, ImageResult, Luma, Rgb, RgbImage, RgbaImage};
use proptest::prelude::*;

use super::super::image_file::decoded;
use super::*;

fn grey(shade: u8) -> GrayImage {
    GrayImage::from_fn(3, 2, |x, y| Luma([shade + 10 * (y * 3 + x) as u8]))
}

/// Two classes, `b` before `cat`, with grey images of 2x3.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (part, class, name, shade) in [
        ("train", "cat", "2.PNG", 2),
        ("train", "cat", "1.png", 1),
        ("train", "b", "x.png", 100),
        ("test", "cat", "y.png", 7),
    ] {
        let class = folder.path().join(part).join(class);
        fs::create_dir_all(&class).unwrap();
        grey(shade).save(class.join(name)).unwrap();
    }
    folder
}

#[test]
fn classes_and_images_come_in_the_order_of_their_names() {
    let folder = folder();
    fs::write(folder.path().join("train/.DS_Store"), "hidden").unwrap();
    let form = form(folder.path()).unwrap();
    assert_eq!(form, Form { input: [1, 2, 3], classes: 2 });
    let [train, test] = read(folder.path(), form).unwrap();
    assert_eq!(train.labels, [0, 1, 1]);
    assert_eq!(train.images[..12], [100, 110, 120, 130, 140, 150, 1, 11, 21, 31, 41, 51]);
    assert_eq!((test.labels.as_slice(), test.images[0]), ([1].as_slice(), 7));
    let names = files(folder.path()).unwrap();
    let names: Vec<_> = names.iter().map(|path| path.file_name().unwrap()).collect();
    assert_eq!(names, ["x.png", "1.png", "2.PNG", "y.png"]);
}

#[test]
fn coloured_images_are_read_channel_by_channel() {
    let folder = tempfile::tempdir().unwrap();
    let image = RgbImage::from_fn(2, 1, |x, _| Rgb([1, 2, 3].map(|value| value + 10 * x as u8)));
    for class in ["train/a", "train/b", "test/a"] {
        let class = folder.path().join(class);
        fs::create_dir_all(&class).unwrap();
        image.save(class.join("i.png")).unwrap();
    }
    // A JPEG of one shade decodes to that shade, or nearly.
    let flat = RgbImage::from_pixel(2, 1, Rgb([90, 90, 90]));
    flat.save(folder.path().join("test/a/j.jpg")).unwrap();
    let form = form(folder.path()).unwrap();
    assert_eq!(form.input, [3, 1, 2]);
    let [train, test] = read(folder.path(), form).unwrap();
    assert_eq!(train.images[..6], [1, 11, 2, 12, 3, 13]);
    assert!(test.images[6..].iter().all(|value| (88..=92).contains(value)), "{:?}", test.images);
}

#[test]
fn whatever_is_wrong_is_named_with_its_file() {
    type Damage = fn(&Path);
    // What is done, what is named, and what is said.
    let cases: [(Damage, &str, &str); 12] = [
        (|d| fs::remove_dir_all(d.join("test")).unwrap(), "test", "cannot be read"),
        (|d| fs::remove_dir_all(d.join("train/b")).unwrap(), "train", "fewer than two classes"),
        (|d| fs::remove_file(d.join("test/cat/y.png")).unwrap(), "test", "no images"),
        (|d| fs::create_dir_all(d.join("test/dog")).unwrap(), "test/dog", "no training image"),
        (|d| fs::write(d.join("train/readme"), "").unwrap(), "train/readme", "no folder"),
        (|d| fs::write(d.join("train/b/note.txt"), "").unwrap(), "note.txt", "no PNG or JPEG"),
        (|d| fs::write(d.join("train/cat/1.png"), "text").unwrap(), "1.png", "no PNG or JPEG"),
        (
            |d| {
                let whole = fs::read(d.join("train/cat/1.png")).unwrap();
                fs::write(d.join("train/cat/1.png"), &whole[..whole.len() / 2]).unwrap();
            },
            "train/cat/1.png",
            "cannot be decoded",
        ),
        (
            |d| GrayImage::new(3, 3).save(d.join("train/cat/2.PNG")).unwrap(),
            "train/cat/2.PNG",
            "it is 3 high, 3 wide and grey, and",
        ),
        (
            |d| RgbImage::new(3, 2).save(d.join("test/cat/y.png")).unwrap(),
            "test/cat/y.png",
            "2 high, 3 wide and coloured",
        ),
        (
            |d| RgbaImage::new(3, 2).save(d.join("train/b/x.png")).unwrap(),
            "train/b/x.png",
            "alpha channel",
        ),
        (
            |d| {
                let deep: ImageBuffer<Luma<u16>, Vec<u16>> = ImageBuffer::new(3, 2);
                deep.save(d.join("train/b/x.png")).unwrap();
            },
            "train/b/x.png",
            "more than 8 bits",
        ),
    ];
    for (damage, named, said) in cases {
        let folder = folder();
        damage(folder.path());
        let read = form(folder.path()).and_then(|form| read(folder.path(), form));
        let error = read.unwrap_err().to_string();
        assert!(error.contains(named) && error.contains(said), "{named}: {error}");
    }
}

#[test]
fn an_image_that_claims_to_be_huge_costs_no_memory() {
    let folder = folder();
    let path = folder.path().join("train/b/x.png");
    let mut bytes = fs::read(&path).unwrap();
    // Width and height stand at the beginning of the first chunk, whose checksum follows.
    bytes[16..24].copy_from_slice(&[0x7f, 0xff, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff]);
    let mut crc = flate2::Crc::new();
    crc.update(&bytes[12..29]);
    bytes[29..33].copy_from_slice(&crc.sum().to_be_bytes());
    fs::write(&path, bytes).unwrap();
    let error = form(folder.path()).unwrap_err().to_string();
    assert!(error.contains("x.png"), "{error}");
}

proptest! {
    #[test]
    fn a_damaged_image_is_read_whole_or_refused(
        edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        jpeg in any::<bool>(),
        length in any::<prop::sample::Index>(),
    ) {
        let folder = folder();
        let class = folder.path().join("train/b");
        let path = class.join(if jpeg { "x.jpg" } else { "x.png" });
        fs::remove_file(class.join("x.png")).unwrap();
        grey(9).save(&path).unwrap();
        let mut bytes = fs::read(&path).unwrap();
        for (at, byte) in edits {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes.truncate(bytes.len() / 2 + length.index(bytes.len()));
        fs::write(&path, bytes).unwrap();
        if let Ok(form) = form(folder.path())
            && let Ok([train, _]) = read(folder.path(), form)
        {
            prop_assert_eq!(train.images.len(), 3 * form.input.iter().product::<u32>() as usize);
        }
    }
}

/// `zune-jpeg` 0.5.15 panics at it.
const PAST_ITS_ROW: &[u8] = include_bytes!("past-its-row.jpg");

#[test]
fn a_decoder_that_fails_at_a_damaged_image_is_a_fault_of_the_image() {
    let folder = tempfile::tempdir().unwrap();
    for class in ["train/a", "train/b", "test/a"] {
        let class = folder.path().join(class);
        fs::create_dir_all(&class).unwrap();
        fs::write(class.join("i.jpg"), PAST_ITS_ROW).unwrap();
    }
    let form = form(folder.path()).unwrap();
    assert_eq!(form.input, [3, 7, 518]);
    let error = read(folder.path(), form).unwrap_err().to_string();
    assert!(error.contains("train/a/i.jpg: it is damaged"), "{error}");

    let failing = decoded(|| -> ImageResult<()> { panic!("beyond the row") });
    assert!(matches!(failing, Err(ImageFileError::DecoderFailed)));
}
