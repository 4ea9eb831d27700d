//! Datasets: a tiny one in the right format, and everything that can be wrong with it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use tch::Device;

use super::idx::tests::{encode, gzip};
use super::*;
use crate::failure::EvaluationError;

/// The sizes of the tiny dataset's splits.
pub(crate) const TINY: Sizes = Sizes { train: Some(160), validation: Some(40), test: Some(20) };

/// Writes a dataset in Fashion-MNIST's format whose classes are bright blocks in different places,
/// with noise: 200 training and 20 test images.
pub(crate) fn write_tiny(base: &Path) {
    let directory = base.join("fashion-mnist");
    fs::create_dir_all(&directory).unwrap();
    for (part, count) in [("train", 200), ("t10k", 20)] {
        let labels: Vec<u8> = (0..count).map(|i| (i * 7 % 10) as u8).collect();
        let mut pixels = Vec::new();
        for (i, &label) in labels.iter().enumerate() {
            for row in 0..28usize {
                for column in 0..28usize {
                    let (y, x) = (usize::from(label) / 4 * 8 + 2, usize::from(label) % 4 * 6 + 2);
                    let inside = (y..y + 5).contains(&row) && (x..x + 5).contains(&column);
                    let noise = (i * 131 + row * 57 + column * 23) % 61;
                    pixels.push(noise as u8 + if inside { 180 } else { 0 });
                }
            }
        }
        write(&directory, &format!("{part}-images-idx3-ubyte.gz"), &[count, 28, 28], &pixels);
        write(&directory, &format!("{part}-labels-idx1-ubyte.gz"), &[count], &labels);
    }
}

pub(crate) fn write(directory: &Path, name: &str, dimensions: &[u32], bytes: &[u8]) {
    fs::write(directory.join(name), gzip(&encode(dimensions, bytes))).unwrap();
}

pub(crate) fn tiny_library(base: &Path) -> Library {
    write_tiny(base);
    Library::new(vec![base.to_path_buf()], Device::Cpu)
}

#[test]
fn splits_are_disjoint_nested_and_kept() {
    let base = tempfile::tempdir().unwrap();
    let mut library = tiny_library(base.path());
    let rows = |samples: &samples::Samples| -> BTreeSet<Vec<u8>> {
        let images = samples.images.view([samples.count() as i64, -1]);
        images.unbind(0).iter().map(|image| Vec::try_from(image).unwrap()).collect()
    };
    let splits = library.splits("fashion-mnist", TINY).unwrap();
    let (train, validation) = (rows(&splits.train), rows(&splits.validation));
    assert_eq!((train.len(), validation.len(), splits.test.count()), (160, 40, 20));
    assert!(train.is_disjoint(&validation));
    let small = Sizes { train: Some(50), validation: Some(10), test: None };
    let small = library.splits("fashion-mnist", small).unwrap();
    assert!(rows(&small.train).is_subset(&train));
    assert!(rows(&small.validation).is_subset(&validation));
    let rest = Sizes { train: None, validation: None, test: None };
    let rest = library.splits("fashion-mnist", rest).unwrap();
    assert_eq!((rest.train.count(), rest.validation.count()), (167, 33));
    // Combinations that take turns are not split anew.
    assert!(std::rc::Rc::ptr_eq(&splits, &library.splits("fashion-mnist", TINY).unwrap()));
}

#[test]
fn training_images_are_normalised_by_their_own_statistics() {
    let base = tempfile::tempdir().unwrap();
    let splits = tiny_library(base.path()).splits("fashion-mnist", TINY).unwrap();
    let (images, labels) =
        splits.train.batch(0..160, &splits.normalization, tch::Kind::Double).unwrap();
    assert!(images.mean(tch::Kind::Double).double_value(&[]).abs() < 1e-9);
    assert!((images.std(false).double_value(&[]) - 1.0).abs() < 1e-9);
    assert_eq!(labels.size(), [160]);
}

#[test]
fn impossible_sizes_are_invalid() {
    let base = tempfile::tempdir().unwrap();
    let mut library = tiny_library(base.path());
    for (train, validation, test) in [
        (Some(161), 40, 20),
        (Some(1), 200, 20),
        (None, 200, 20),
        (Some(1), 1, 21),
        (Some(0), 1, 1),
    ] {
        let sizes = Sizes { train, validation: Some(validation), test: Some(test) };
        let error = library.splits("fashion-mnist", sizes).unwrap_err();
        assert!(matches!(error, EvaluationError::Invalid(_)), "{sizes:?}: {error}");
    }
    let unknown = library.splits("imagenet", TINY).unwrap_err().to_string();
    assert!(unknown.contains("no dataset `imagenet`") && unknown.contains("fashion-mnist"));
}

#[test]
fn an_absent_dataset_says_where_and_what_to_do() {
    let base = tempfile::tempdir().unwrap();
    let directories = [base.path().join("a"), base.path().join("b")];
    let error = DATASETS[0].check(&directories).unwrap_err().to_string();
    for part in
        ["a/fashion-mnist", "b/fashion-mnist", "deploy/fetch-fashion-mnist", "CAMBRIAN_DATA"]
    {
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn records_of_several_files_are_one_training_set() {
    let base = tempfile::tempdir().unwrap();
    let directory = base.path().join("cifar-10");
    fs::create_dir_all(&directory).unwrap();
    let entry = dataset("cifar-10", &[]).unwrap();
    assert!(entry.check(&[base.path().to_path_buf()]).is_err());
    let record = |label: u8, shade: u8| [vec![label], vec![shade; 3 * 32 * 32]].concat();
    for number in 1..=5u8 {
        let name = format!("data_batch_{number}.bin");
        let content = [record(number, 10 * number), record(number + 1, 11 * number)].concat();
        fs::write(directory.join(name), content).unwrap();
    }
    fs::write(directory.join("test_batch.bin.gz"), gzip(&record(9, 90))).unwrap();
    entry.check(&[base.path().to_path_buf()]).unwrap();
    let mut library = Library::new(vec![base.path().to_path_buf()], Device::Cpu);
    let sizes = Sizes { train: Some(9), validation: Some(1), test: None };
    let splits = library.splits("cifar-10", sizes).unwrap();
    let labels = |samples: &samples::Samples| Vec::<i64>::try_from(&samples.labels).unwrap();
    let mut seen = [labels(&splits.train), labels(&splits.validation)].concat();
    seen.sort_unstable();
    assert_eq!(seen, [1, 2, 2, 3, 3, 4, 4, 5, 5, 6]);
    assert_eq!(labels(&splits.test), [9]);
    assert_eq!(splits.train.images.size(), [9, 3, 32, 32]);

    fs::write(directory.join("data_batch_3.bin"), [3; 100]).unwrap();
    let mut library = Library::new(vec![base.path().to_path_buf()], Device::Cpu);
    let error = library.splits("cifar-10", sizes).unwrap_err();
    assert!(matches!(error, EvaluationError::BadNode(_)), "{error}");
    let text = error.to_string();
    assert!(text.contains("data_batch_3.bin") && text.contains("kriz"), "{text}");
}

#[test]
fn malformed_files_are_named() {
    let images = "train-images-idx3-ubyte.gz";
    let labels = "t10k-labels-idx1-ubyte.gz";
    type Damage = fn(&Path);
    // What is done, the file that is named, and whether the headers alone show it.
    let cases: [(&str, Damage, &str, bool); 7] = [
        (
            "absent",
            |d| fs::remove_file(d.join("train-images-idx3-ubyte.gz")).unwrap(),
            images,
            true,
        ),
        (
            "wrong size of images",
            |d| write(d, "train-images-idx3-ubyte.gz", &[200, 27, 28], &[0; 200 * 27 * 28]),
            images,
            true,
        ),
        (
            "images as labels",
            |d| write(d, "t10k-labels-idx1-ubyte.gz", &[20, 1, 1], &[0; 20]),
            labels,
            true,
        ),
        ("fewer labels", |d| write(d, "t10k-labels-idx1-ubyte.gz", &[19], &[0; 19]), labels, true),
        ("no image", |d| write(d, "train-images-idx3-ubyte.gz", &[0, 28, 28], &[]), images, true),
        ("no class", |d| write(d, "t10k-labels-idx1-ubyte.gz", &[20], &[10; 20]), labels, false),
        (
            "truncated",
            |d| {
                let path = d.join("train-images-idx3-ubyte.gz");
                let content = fs::read(&path).unwrap();
                fs::write(&path, &content[..content.len() / 2]).unwrap();
            },
            images,
            false,
        ),
    ];
    for (name, damage, file, in_header) in cases {
        let base = tempfile::tempdir().unwrap();
        let mut library = tiny_library(base.path());
        damage(&base.path().join("fashion-mnist"));
        let check = DATASETS[0].check(&[base.path().to_path_buf()]);
        assert_eq!(check.is_err(), in_header, "{name}");
        let error = library.splits("fashion-mnist", TINY).unwrap_err();
        assert!(matches!(error, EvaluationError::BadNode(_)), "{name}: {error}");
        let text = error.to_string();
        assert!(text.contains(file) && text.contains("deploy/fetch"), "{name}: {text}");
    }
}

#[test]
fn a_folder_of_arrays_is_a_dataset() {
    let base = tempfile::tempdir().unwrap();
    let directories = [base.path().to_path_buf()];
    let folder = base.path().join("my-images");
    fs::create_dir_all(&folder).unwrap();
    // Neither a known name nor one that no campaign could write is taken for a dataset of one's own.
    for name in ["fashion-mnist", "My Images"] {
        fs::create_dir_all(base.path().join(name)).unwrap();
        fs::write(base.path().join(name).join("train.safetensors"), "x").unwrap();
    }
    assert!(!names(&directories).contains("my-images"));
    fs::write(folder.join("train.safetensors"), arrays::tests::images(12, 3)).unwrap();
    assert!(
        names(&directories).contains("my-images") && !names(&directories).contains("My Images")
    );
    let library = || Library::new(directories.to_vec(), Device::Cpu);
    let error = library().entry("my-images").unwrap_err();
    assert!(matches!(error, EvaluationError::BadNode(_)), "{error}");
    fs::write(folder.join("test.safetensors"), arrays::tests::images(4, 3)).unwrap();
    let mut library = library();
    let entry = library.entry("my-images").unwrap();
    assert_eq!((entry.input, entry.classes), ([1, 4, 5], 3));
    let sizes = Sizes { train: None, validation: Some(3), test: None };
    let splits = library.splits("my-images", sizes).unwrap();
    assert_eq!(splits.train.images.size(), [9, 1, 4, 5]);
    assert_eq!((splits.validation.count(), splits.test.count()), (3, 4));
}

#[test]
fn a_dataset_that_is_gone_is_the_nodes_fault_if_it_was_announced_and_not_in_memory() {
    let base = tempfile::tempdir().unwrap();
    let folder = base.path().join("my-images");
    let write = || {
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("train.safetensors"), arrays::tests::images(12, 3)).unwrap();
        fs::write(folder.join("test.safetensors"), arrays::tests::images(4, 3)).unwrap();
    };
    let sizes = Sizes { train: None, validation: Some(3), test: None };
    let mut library = Library::new(vec![base.path().to_path_buf()], Device::Cpu);
    // Nobody has said that it is here: whoever names it has written a wrong name.
    let error = library.splits("my-images", sizes).unwrap_err();
    assert!(matches!(error, EvaluationError::Invalid(_)), "{error}");

    library.announce(["my-images".to_owned()]);
    let error = library.splits("my-images", sizes).unwrap_err();
    assert!(matches!(error, EvaluationError::BadNode(_)), "{error}");
    let text = error.to_string();
    assert!(text.contains("is gone") && text.contains("restart the worker"), "{text}");

    write();
    library.splits("my-images", sizes).unwrap();
    fs::remove_dir_all(&folder).unwrap();
    assert_eq!(library.entry("my-images").unwrap().classes, 3);
    assert_eq!(library.splits("my-images", sizes).unwrap().train.count(), 9);
}

#[test]
fn folders_of_users_in_every_form_are_datasets_and_named_by_their_content() {
    let base = tempfile::tempdir().unwrap();
    let directories = [base.path().to_path_buf()];
    let folder = base.path().join("pictures");
    for (part, shade) in [("train/a", 1), ("train/b", 9), ("test/b", 5)] {
        fs::create_dir_all(folder.join(part)).unwrap();
        let image = image::GrayImage::from_pixel(5, 4, image::Luma([shade]));
        image.save(folder.join(part).join("image.png")).unwrap();
    }
    assert!(names(&directories).contains("pictures"));
    let fingerprint = || {
        let entry = dataset("pictures", &directories).unwrap();
        assert_eq!((entry.input, entry.classes), ([1, 4, 5], 2));
        entry.fingerprint(&directories).unwrap()
    };
    let first = fingerprint();
    assert_eq!((first.len(), fingerprint()), (32, first.clone()));
    let mut library = Library::new(directories.to_vec(), Device::Cpu);
    let sizes = Sizes { train: Some(1), validation: Some(1), test: None };
    assert_eq!(library.splits("pictures", sizes).unwrap().train.images.size(), [1, 1, 4, 5]);
    // The same files, of which one has another class.
    fs::rename(folder.join("test/b"), folder.join("test/a")).unwrap();
    assert_ne!(fingerprint(), first);
    fs::write(folder.join("train.safetensors"), arrays::tests::images(12, 3)).unwrap();
    let error = dataset("pictures", &directories).unwrap_err().to_string();
    assert!(error.contains("both train.safetensors and train; keep one"), "{error}");
}
