//! What is kept is used while the files are the same, and never else.

use std::fs::FileTimes;

use super::super::tests::write_tiny;
use super::super::{DATASETS, dataset};
use super::*;

struct Rig {
    base: tempfile::TempDir,
    directories: Vec<PathBuf>,
}

impl Rig {
    fn new() -> Self {
        let base = tempfile::tempdir().unwrap();
        let directories = vec![base.path().join("data")];
        write_tiny(&directories[0]);
        Self { base, directories }
    }

    fn entry(&self) -> DatasetEntry {
        dataset("fashion-mnist", &self.directories).unwrap()
    }

    fn fingerprints(&self, margin: Duration) -> Fingerprints {
        Fingerprints { folder: Some(self.base.path().join("cache/fingerprints")), margin }
    }

    /// By what is kept, or else by the files.
    fn found(&self) -> String {
        self.fingerprints(Duration::ZERO).of(&self.entry(), &self.directories).unwrap()
    }

    /// By the files alone.
    fn read(&self) -> String {
        self.entry().fingerprint(&self.directories).unwrap()
    }

    fn kept(&self) -> Vec<PathBuf> {
        let folder = fs::read_dir(self.base.path().join("cache/fingerprints"));
        folder.map_or_else(|_| Vec::new(), |files| files.map(|file| file.unwrap().path()).collect())
    }

    /// Replaces what is kept by what the files do not say.
    fn plant(&self) -> String {
        let [file] = &self.kept()[..] else { panic!("{:?}", self.kept()) };
        let text = fs::read_to_string(file).unwrap();
        let planted = "0".repeat(FINGERPRINT_DIGITS);
        fs::write(file, format!("{} {planted}\n", text.split_once(' ').unwrap().0)).unwrap();
        planted
    }
}

#[test]
fn files_that_have_not_changed_are_not_read_again() {
    let rig = Rig::new();
    assert_eq!(rig.found(), rig.read());
    let planted = rig.plant();
    assert_eq!(rig.found(), planted);
    // The same data elsewhere are other files.
    let other = Rig::new();
    fs::create_dir_all(other.base.path().join("cache")).unwrap();
    fs::rename(
        rig.base.path().join("cache/fingerprints"),
        other.base.path().join("cache/fingerprints"),
    )
    .unwrap();
    assert_eq!(other.found(), other.read());
}

#[test]
fn a_change_of_content_is_noticed_whatever_size_and_time_say() {
    let rig = Rig::new();
    rig.found();
    let planted = rig.plant();
    let path = rig.directories[0].join("fashion-mnist/t10k-labels-idx1-ubyte.gz");
    let modified = fs::metadata(&path).unwrap().modified().unwrap();
    let mut content = fs::read(&path).unwrap();
    *content.last_mut().unwrap() ^= 1;
    fs::write(&path, content).unwrap();
    let file = File::options().write(true).open(&path).unwrap();
    file.set_times(FileTimes::new().set_modified(modified)).unwrap();
    assert_ne!(rig.found(), planted);
    assert_eq!(rig.found(), rig.read());
}

#[test]
fn what_has_just_changed_is_not_kept() {
    let rig = Rig::new();
    let found = rig.fingerprints(MARGIN).of(&rig.entry(), &rig.directories).unwrap();
    assert_eq!((found, rig.kept()), (rig.read(), vec![]));
    let path = rig.directories[0].join("fashion-mnist/t10k-labels-idx1-ubyte.gz");
    let future = SystemTime::now() + Duration::from_secs(3600);
    let file = File::options().write(true).open(&path).unwrap();
    file.set_times(FileTimes::new().set_modified(future)).unwrap();
    assert_eq!((rig.found(), rig.kept()), (rig.read(), vec![]));
}

#[test]
fn what_is_kept_may_be_damaged_lost_or_impossible_to_write() {
    let rig = Rig::new();
    rig.found();
    for damage in ["", "0 1\n", "no newline", "\u{fffd}\n"] {
        fs::write(&rig.kept()[0], damage).unwrap();
        assert_eq!(rig.found(), rig.read());
    }
    fs::remove_dir_all(rig.base.path().join("cache")).unwrap();
    fs::write(rig.base.path().join("cache"), "a file").unwrap();
    assert_eq!(rig.found(), rig.read());
    let nowhere = Fingerprints { folder: None, margin: Duration::ZERO };
    assert_eq!(nowhere.of(&rig.entry(), &rig.directories).unwrap(), rig.read());
    let absent = [rig.base.path().join("absent")];
    assert!(nowhere.of(&DATASETS[0], &absent).is_err());
}
