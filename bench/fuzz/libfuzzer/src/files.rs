//! Files: data sets, and states of trainings.

use std::hint::black_box;
use std::io::{Cursor, Write};
use std::path::Path;

use archive::Archive;
use cambrian_fuzz::{Target, with_file};
use flate2::{Compression, Crc};
use flate2::write::GzEncoder;
use image::{DynamicImage, ImageFormat};
use own::OwnFormat;
use zip::write::{SimpleFileOptions, ZipWriter};

// By their files, since the package that they belong to needs libtorch, which they do not.
#[path = "../../../../worker/evaluator/src/data/archive.rs"]
mod archive;
#[path = "../../../../worker/evaluator/src/data/arrays.rs"]
mod arrays;
#[path = "../../../../worker/evaluator/src/data/cifar.rs"]
mod cifar;
#[path = "../../../../worker/evaluator/src/train/checkpoint/content.rs"]
mod content;
#[path = "../../../../worker/evaluator/src/data/folders.rs"]
mod folders;
#[expect(dead_code, reason = "the evaluator also checks and names whole data sets")]
#[path = "../../../../worker/evaluator/src/data/format.rs"]
mod format;
#[path = "../../../../worker/evaluator/src/data/idx.rs"]
mod idx;
#[path = "../../../../worker/evaluator/src/data/image_file.rs"]
mod image_file;
#[path = "../../../../worker/evaluator/src/data/npz.rs"]
mod npz;
#[expect(dead_code, reason = "the evaluator also finds out which form a folder has")]
#[path = "../../../../worker/evaluator/src/data/own.rs"]
mod own;
#[path = "../../../../worker/evaluator/src/data/packed.rs"]
mod packed;

/// Readers of files.
pub const TARGETS: [Target; 9] = [
    Target { name: "arrays", read: arrays, seeds: array_files },
    Target { name: "checkpoint", read: checkpoint, seeds: checkpoints },
    Target { name: "checkpoint_file", read: checkpoint_file, seeds: checkpoint_files },
    Target { name: "image", read: image, seeds: images },
    Target { name: "npz", read: npz, seeds: npy_arrays },
    Target { name: "npz_file", read: npz_file, seeds: npz_files },
    Target { name: "idx", read: idx, seeds: idx_contents },
    Target { name: "idx_file", read: idx_file, seeds: idx_files },
    Target { name: "cifar", read: cifar, seeds: cifar_files },
];

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(content).expect("memory takes it");
    encoder.finish().expect("memory takes it")
}

/// The content of a compressed file, in one stored block: deflating would take most of the time.
fn idx(bytes: &[u8]) {
    let Ok(length) = u16::try_from(bytes.len()) else { return };
    let mut check = Crc::new();
    check.update(bytes);
    let header = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255, 1];
    let lengths = [length.to_le_bytes(), (!length).to_le_bytes()].concat();
    let trailer = [check.sum().to_le_bytes(), u32::from(length).to_le_bytes()].concat();
    idx_file(&[&header, &*lengths, bytes, &trailer].concat());
}

fn idx_files() -> Vec<Vec<u8>> {
    let parts = |content: &Vec<u8>| [gzip(&content[..5]), gzip(&content[5..]), vec![0; 8]].concat();
    let contents = idx_contents();
    contents.iter().map(|content| gzip(content)).chain(contents.iter().map(parts)).collect()
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

/// A folder in which each of `names` is the file that holds `bytes`; made once for each form.
fn in_folder(form: &str, names: &[String], bytes: &[u8], read: impl FnOnce(&Path)) {
    with_file(bytes, |path| {
        let folder = path.with_extension(form);
        for name in names {
            let link = folder.join(name);
            if !link.exists() {
                let parent = link.parent().expect("a folder");
                std::fs::create_dir_all(parent).expect("a folder");
                std::os::unix::fs::symlink(path, link).expect("a link");
            }
        }
        read(&folder);
    });
}

/// What was read of a data set must be what was announced.
fn check(own: OwnFormat, folder: &Path) {
    let Ok(form) = own.form(folder) else { return };
    if let Ok([train, test]) = own.read(folder, form) {
        let pixels: u32 = form.input.iter().product();
        assert_eq!(train.images.len(), train.labels.len() * pixels as usize);
        assert_eq!(test.images.len(), test.labels.len() * pixels as usize);
        assert!(train.labels.iter().all(|label| u32::from(*label) < form.classes));
    }
}

/// The same file of arrays for training and test.
fn arrays(bytes: &[u8]) {
    let names = arrays::Arrays::FILES.map(str::to_owned);
    in_folder("arrays", &names, bytes, |folder| check(OwnFormat::Safetensors, folder));
}

fn array_files() -> Vec<Vec<u8>> {
    let file = |header: &str, numbers: &[u8]| {
        [(header.len() as u64).to_le_bytes().as_slice(), header.as_bytes(), numbers].concat()
    };
    let bytes = file(
        r#"{"x":{"dtype":"U8","shape":[2,2,2],"data_offsets":[0,8]},"y":{"dtype":"U8","shape":[2],"data_offsets":[8,10]}}"#,
        &[9, 9, 9, 9, 9, 9, 9, 9, 0, 1],
    );
    let numbers = file(
        r#"{"__metadata__":{"a":"b"},"x":{"dtype":"U8","shape":[2,3,1,1],"data_offsets":[0,6]},"y":{"dtype":"I64","shape":[2],"data_offsets":[6,22]}}"#,
        &[9, 9, 9, 9, 9, 9, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0],
    );
    vec![bytes, numbers]
}

/// Whether a file is read as the state of a training from seed 7.
fn is_checkpoint(file: &[u8]) -> bool {
    let (version, network, recipe) = ("1".to_owned(), "n".to_owned(), "r".to_owned());
    let identity = content::Identity { version, network, recipe, seed: 7 };
    let expected = [("a.bias".to_owned(), vec![2]), ("a.steps".to_owned(), vec![])].into();
    black_box(content::parse(file, &identity, &expected)).is_ok()
}

/// A description and numbers with the header and the checksum that belong to them.
fn sealed(body: &[u8]) -> Vec<u8> {
    let checked = [content::HEADER, body].concat();
    let checksum = blake3::hash(&checked);
    [checked.as_slice(), checksum.as_bytes()].concat()
}

/// What a checksum covers.
fn checkpoint(bytes: &[u8]) {
    is_checkpoint(&sealed(bytes));
}

/// The file itself.
fn checkpoint_file(bytes: &[u8]) {
    is_checkpoint(bytes);
}

fn checkpoints() -> Vec<Vec<u8>> {
    let text = r#"{"identity":{"version":"1","network":"n","recipe":"r","seed":7},"position":{"epoch":1,"step":9,"words":["4"],"scale":null},"tensors":[{"name":"a.bias","integers":false,"size":[2]},{"name":"a.steps","integers":true,"size":[]}]}"#;
    let body = [(text.len() as u64).to_le_bytes().as_slice(), text.as_bytes(), &[3; 16]].concat();
    assert!(is_checkpoint(&sealed(&body)), "a valid input");
    vec![body]
}

fn checkpoint_files() -> Vec<Vec<u8>> {
    checkpoints().iter().map(|body| sealed(body)).collect()
}

/// Larger images take a hundred times as long and reach no other code of a decoder.
const MOST_PIXELS: u32 = 1 << 14;

/// One image of those in folders.
fn image(bytes: &[u8]) {
    let Ok(image) = image_file::ImageFile::open(Cursor::new(bytes)) else { return };
    let Ok(input) = image.input() else { return };
    if input.iter().product::<u32>() > MOST_PIXELS {
        return;
    }
    let mut pixels = Vec::new();
    if image.append(&mut pixels).is_ok() {
        assert_eq!(pixels.len(), input.iter().product::<u32>() as usize);
    }
}

fn images() -> Vec<Vec<u8>> {
    let encode = |image: DynamicImage, format| {
        let mut file = Cursor::new(Vec::new());
        image.write_to(&mut file, format).expect("memory takes it");
        file.into_inner()
    };
    let formats = [ImageFormat::Png, ImageFormat::Jpeg];
    let both = |format| {
        [
            encode(DynamicImage::new_luma8(9, 5), format),
            encode(DynamicImage::new_rgb8(6, 7), format),
        ]
    };
    formats.into_iter().flat_map(both).collect()
}

/// An archive of the classes and of images in an array.
fn archive(images: &[u8], method: zip::CompressionMethod) -> Vec<u8> {
    let labels = npy("|u1", "2,", &[0, 1]);
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in [("x.npy", images), ("y.npy", &labels)] {
        let options = SimpleFileOptions::default().compression_method(method);
        zip.start_file(name, options).expect("memory takes it");
        zip.write_all(content).expect("memory takes it");
    }
    zip.finish().expect("memory takes it").into_inner()
}

fn npy(descr: &str, shape: &str, numbers: &[u8]) -> Vec<u8> {
    let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({shape}), }}");
    let padded = format!("{header:<117}\n");
    let length = (padded.len() as u16).to_le_bytes();
    [b"\x93NUMPY\x01\x00", length.as_slice(), padded.as_bytes(), numbers].concat()
}

/// An array within an archive.
fn npz(bytes: &[u8]) {
    npz_file(&archive(bytes, zip::CompressionMethod::Stored));
}

/// The archive itself.
fn npz_file(bytes: &[u8]) {
    let names = npz::Npz::FILES.map(str::to_owned);
    in_folder("npz", &names, bytes, |folder| check(OwnFormat::Npz, folder));
}

fn npy_arrays() -> Vec<Vec<u8>> {
    vec![npy("|u1", "2, 2, 3", &[9; 12]), npy("|u1", "2, 3, 1, 2", &[7; 12])]
}

fn npz_files() -> Vec<Vec<u8>> {
    let array = npy("|u1", "2, 2, 3", &[9; 12]);
    let methods = [zip::CompressionMethod::Stored, zip::CompressionMethod::Deflated];
    methods.map(|method| archive(&array, method)).to_vec()
}
