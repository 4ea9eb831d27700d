//! Files of data sets with bytes changed, missing and added: read or refused, never a panic.

use std::io::Write;
use std::path::Path;

use cambrian_evaluator::data::{cifar, idx};
use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;

/// A small record, so that short files hold several.
const RECORD: cifar::Record = cifar::Record { labels: 1, image: 12, classes: 10 };

fn idx_file() -> Vec<u8> {
    [&[0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 2][..], &[7; 8]].concat()
}

fn changed(valid: Vec<u8>) -> impl Strategy<Value = Vec<u8>> {
    let edits = proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4);
    (edits, 0..valid.len() * 2, any::<u8>()).prop_map(move |(edits, length, filler)| {
        let mut bytes = valid.clone();
        for (at, byte) in edits {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes.resize(length, filler);
        bytes
    })
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(content).expect("memory takes it");
    encoder.finish().expect("memory takes it")
}

fn with_file(bytes: &[u8], read: impl FnOnce(&Path, &str)) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(folder.path().join("data"), bytes).expect("a file");
    read(folder.path(), "data");
}

proptest! {
    #[test]
    fn an_idx_file_is_read_whole_or_refused(
        content in changed(idx_file()),
        file in changed(gzip(&idx_file())),
        damage_the_file in any::<bool>(),
    ) {
        let bytes = if damage_the_file { file } else { gzip(&content) };
        with_file(&bytes, |folder, name| {
            for rank in [1, 3] {
                if let Ok(read) = idx::read(&folder.join(name), rank) {
                    let product: usize = read.dimensions.iter().map(|size| *size as usize).product();
                    assert_eq!(read.bytes.len(), product);
                }
            }
        });
    }

    #[test]
    fn a_cifar_file_is_read_in_whole_records_or_refused(
        bytes in changed([&[3][..], &[9; 12], &[7], &[200; 12]].concat())
    ) {
        with_file(&bytes, |folder, name| {
            let mut records = cifar::Records::default();
            if cifar::read(folder, name, RECORD, &mut records).is_ok() {
                assert_eq!(records.images.len(), records.labels.len() * RECORD.image);
                assert!(records.labels.iter().all(|label| u32::from(*label) < RECORD.classes));
            }
        });
    }
}
