//! Archives as NumPy writes them, and everything that can be wrong with one.

use std::io::{Cursor, Write};
use std::path::Path;

use proptest::prelude::*;
use zip::write::{SimpleFileOptions, ZipWriter};

use super::*;
use crate::data::archive as archives;
use crate::data::format::RawSplit;
use crate::data::own::Form;

const FILES: [&str; 2] = Npz::FILES;

fn form(directory: &Path) -> Result<Form, NpzError> {
    archives::form::<Npz>(directory)
}

fn read(directory: &Path, form: Form) -> Result<[RawSplit; 2], NpzError> {
    archives::read::<Npz>(directory, form)
}

fn npy(descr: &str, shape: &str, numbers: &[u8]) -> Vec<u8> {
    let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({shape}), }}");
    npy_of(&header, numbers)
}

fn npy_of(header: &str, numbers: &[u8]) -> Vec<u8> {
    let padded = format!("{header:<117}\n");
    let length = (padded.len() as u16).to_le_bytes();
    [b"\x93NUMPY\x01\x00", length.as_slice(), padded.as_bytes(), numbers].concat()
}

fn archive(entries: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (at, (name, content)) in entries.iter().enumerate() {
        let method =
            if at == 0 { zip::CompressionMethod::Deflated } else { zip::CompressionMethod::Stored };
        let options = SimpleFileOptions::default().compression_method(method);
        zip.start_file(format!("{name}.npy"), options).unwrap();
        zip.write_all(content).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// `count` images of 1x4x5 with `classes` classes in turn.
fn images(count: usize, classes: usize) -> Vec<u8> {
    let pixels: Vec<u8> = (0..count * 20).map(|at| (at % 251) as u8).collect();
    let labels: Vec<u8> = (0..count).flat_map(|at| ((at % classes) as i64).to_le_bytes()).collect();
    let (x, y) = (format!("{count}, 4, 5"), format!("{count},"));
    archive(&[("x", npy("|u1", &x, &pixels)), ("y", npy("<i8", &y, &labels))])
}

fn folder(train: &[u8], test: &[u8]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(FILES[0]), train).unwrap();
    std::fs::write(folder.path().join(FILES[1]), test).unwrap();
    folder
}

#[test]
fn images_and_classes_are_read() {
    let folder = folder(&images(6, 3), &images(2, 3));
    let form = form(folder.path()).unwrap();
    assert_eq!(form, Form { input: [1, 4, 5], classes: 3 });
    let [train, test] = read(folder.path(), form).unwrap();
    assert_eq!(train.labels, [0, 1, 2, 0, 1, 2]);
    assert_eq!((train.images.len(), test.labels.as_slice()), (120, [0, 1].as_slice()));
    assert_eq!(train.images[117..], [117, 118, 119]);
}

#[test]
fn headers_are_read_as_numpy_writes_them_in_any_order() {
    let header = |shape: &[u64]| {
        Some(Header { descr: "<i4".into(), fortran_order: true, shape: shape.into() })
    };
    let cases = [
        ("{'descr': '<i4', 'fortran_order': True, 'shape': (3, 4), }  \n", header(&[3, 4])),
        ("{'shape': (), 'descr': '<i4', 'fortran_order': True}", header(&[])),
        ("{'shape': (7,), 'fortran_order': True, 'descr': '<i4'}\n", header(&[7])),
        ("{'descr': '<i4', 'fortran_order': True}", None),
        ("{'descr': [('a', '<i4')], 'fortran_order': True, 'shape': (3,)}", None),
        ("{'descr': '<i4', 'fortran_order': maybe, 'shape': (3,)}", None),
        ("{'descr': '<i4', 'fortran_order': True, 'shape': (-3,)}", None),
        ("{'descr': '<i4', 'fortran_order': True, 'shape': (3,), 'more': 1}", None),
        ("{'descr': '<i4', 'fortran_order': True, 'shape': (3", None),
        ("", None),
    ];
    for (text, expected) in cases {
        assert_eq!(parse(text), expected, "{text}");
    }
}

#[test]
fn whatever_is_wrong_is_named_with_its_file() {
    let whole = images(6, 3);
    let x = || ("x", npy("|u1", "6, 4, 5", &[7; 120]));
    let y = || ("y", npy("|u1", "6,", &[0, 1, 2, 0, 1, 2]));
    let of_x = |descr: &str, shape: &str, bytes: usize| {
        archive(&[("x", npy(descr, shape, &vec![7; bytes])), y()])
    };
    let of_y = |descr: &str, shape: &str, numbers: &[u8]| {
        archive(&[x(), ("y", npy(descr, shape, numbers))])
    };
    let column = "{'descr': '|u1', 'fortran_order': True, 'shape': (6, 4, 5), }";
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (Vec::new(), "no archive"),
        (vec![0xff; 300], "no archive"),
        (whole[..whole.len() / 2].to_vec(), "no archive"),
        (archive(&[x()]), "no array `y`"),
        (archive(&[("x", b"\x93NUMPY".to_vec()), y()]), "`x` is no array"),
        (archive(&[("x", vec![0; 200]), y()]), "`x` is no array"),
        (of_x("<f4", "6, 4, 5", 480), "scale them"),
        (of_x("|u1", "6, 20", 120), "[6, 20]"),
        (of_x("|u1", "6, 0, 5", 0), "[6, 0, 5]"),
        (of_x("|u1", "6, 4, 5", 119), "`x` are not all there"),
        (of_x("|u1", "6, 4, 5", 121), "`x` are not all there"),
        (of_x("|u1", "6, 1024, 4096, 4096", 120), "`x` are not all there"),
        (of_x("|u1", "18446744073709551615, 4, 5", 120), "`y` has the shape"),
        (of_x("|u1", "18446744073709551616, 4, 5", 120), "`x` is no array"),
        (archive(&[("x", npy_of(column, &[7; 120])), y()]), "ascontiguousarray"),
        (of_y("<f8", "6,", &[0; 48]), "classes are int64"),
        (of_y("|u1", "5,", &[0; 5]), "there are 6 images"),
        (of_y("|u1", "6,", &[0; 6]), "one class"),
        (of_y("<i4", "6,", &[0xff; 24]), "y[0] is -1"),
    ];
    for (train, reason) in cases {
        let folder = folder(&train, &whole);
        let error = form(folder.path()).unwrap_err().to_string();
        assert!(error.contains(reason) && error.contains(FILES[0]), "{reason}: {error}");
    }
    let absent = tempfile::tempdir().unwrap();
    assert!(form(absent.path()).unwrap_err().to_string().contains("cannot be read"));
    let other_size = of_x("|u1", "6, 5, 4", 120);
    let error = form(folder(&whole, &other_size).path()).unwrap_err().to_string();
    assert!(error.contains(FILES[1]) && error.contains("[1, 5, 4]"), "{error}");
    // A class that no training image has.
    let strange = folder(&whole, &images(5, 4));
    let form = form(strange.path()).unwrap();
    let error = read(strange.path(), form).unwrap_err().to_string();
    assert!(error.contains("y[3] is 3") && error.contains(FILES[1]), "{error}");
}

#[test]
fn a_changed_pixel_is_found_by_the_archives_checksum() {
    let pixels: Vec<u8> = (0..120).map(|at| (at * 37 % 251) as u8).collect();
    let labels = npy("|u1", "6,", &[0, 1, 2, 0, 1, 2]);
    // The second entry is stored as it is.
    let mut bytes = archive(&[("y", labels), ("x", npy("|u1", "6, 4, 5", &pixels))]);
    let at = bytes.windows(120).position(|window| window == pixels).unwrap();
    bytes[at + 60] ^= 1;
    let folder = folder(&bytes, &bytes);
    let form = form(folder.path()).unwrap();
    let error = read(folder.path(), form).unwrap_err().to_string();
    assert!(error.contains("`x` cannot be decompressed"), "{error}");
}

proptest! {
    #[test]
    fn a_damaged_file_is_read_whole_or_refused(
        edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        length in 0usize..700,
    ) {
        let mut bytes = images(6, 3);
        for (at, byte) in edits {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes.truncate(length.max(bytes.len() / 2));
        let folder = folder(&bytes, &bytes);
        if let Ok(form) = form(folder.path())
            && let Ok([train, _]) = read(folder.path(), form)
        {
            let image: u32 = form.input.iter().product();
            prop_assert_eq!(train.images.len(), train.labels.len() * image as usize);
        }
    }
}
