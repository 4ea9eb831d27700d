//! Files of data sets.

use std::hint::black_box;
use std::io::Write;

use cambrian_fuzz::{Target, with_file};
use flate2::Compression;
use flate2::write::GzEncoder;

// By their files, since the package that they belong to needs libtorch, which they do not.
#[path = "../../../../worker/evaluator/src/data/cifar.rs"]
mod cifar;
#[expect(dead_code, reason = "the evaluator fills in the errors that a whole data set has")]
#[path = "../../../../worker/evaluator/src/data/idx.rs"]
mod idx;

/// Readers of files of data sets.
pub const TARGETS: [Target; 3] = [
    Target { name: "idx", read: idx, seeds: idx_contents },
    Target { name: "idx_file", read: idx_file, seeds: idx_files },
    Target { name: "cifar", read: cifar, seeds: cifar_files },
];

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(content).expect("memory takes it");
    encoder.finish().expect("memory takes it")
}

/// The content of a compressed file.
fn idx(bytes: &[u8]) {
    idx_file(&gzip(bytes));
}

fn idx_files() -> Vec<Vec<u8>> {
    idx_contents().iter().map(|content| gzip(content)).collect()
}

/// The compressed file itself.
fn idx_file(bytes: &[u8]) {
    with_file(bytes, |path| {
        for rank in [1, 3] {
            let header = idx::read_header(path, rank);
            let whole = idx::read(path, rank);
            assert!(header.is_ok() || whole.is_err(), "a file without a header was read");
        }
    });
}

fn idx_contents() -> Vec<Vec<u8>> {
    let labels = [&[0, 0, 8, 1, 0, 0, 0, 4][..], &[1, 2, 3, 4]].concat();
    let images = [&[0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 2][..], &[7; 8]].concat();
    vec![labels, images]
}

/// A small record, so that short inputs are files of several.
const RECORD: cifar::Record = cifar::Record { labels: 1, image: 12, classes: 10 };

fn cifar(bytes: &[u8]) {
    with_file(bytes, |path| {
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { return };
        let mut records = cifar::Records::default();
        let _ = black_box(cifar::read(folder, &name.to_string_lossy(), RECORD, &mut records));
    });
}

fn cifar_files() -> Vec<Vec<u8>> {
    vec![[&[3][..], &[9; 12], &[7], &[200; 12]].concat()]
}
