//! Finished reports on disk, from before they are first sent until they are acknowledged.
//!
//! One file per attempt: a header line, a checksum, the encoded report. A file is complete or not
//! there; one that is damaged is set aside and never stops the worker. A result whose state is still on
//! its way lies here as well, as it is to be reported if this process ends. Must not know the network.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use cambrian_core::id::AttemptId;
use cambrian_proto::v1::Report;
use prost::Message;
use thiserror::Error;
use tracing::warn;

use crate::attempt::NamesAttempt;
use crate::durable;

const HEADER: &[u8] = b"cambrian report 1\n";
const CHECKSUM_BYTES: usize = 32;
const ENDING: &str = "report";
const CORRUPT: &str = "corrupt";

/// An outbox that cannot be read or written.
#[derive(Debug, Error)]
#[error("cannot {action} {}: {source}", path.display())]
pub struct OutboxError {
    action: &'static str,
    path: PathBuf,
    source: io::Error,
}

impl OutboxError {
    fn new(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self { action, path: path.to_owned(), source }
    }
}

/// Reports that the disk did not take; all others that it was given are on it.
#[derive(Debug, Error)]
#[error("{first}")]
pub struct Refused {
    /// Whose reports they are.
    pub attempts: Vec<AttemptId>,
    /// What went wrong first.
    first: OutboxError,
}

/// Why a file is not taken for a report.
#[derive(Debug, Error)]
enum Damage {
    #[error("it does not begin with `cambrian report 1`")]
    Header,
    #[error("its checksum does not match")]
    Checksum,
    #[error("it cannot be decoded: {0}")]
    Decode(#[from] prost::DecodeError),
    #[error("it holds the report of {0}, which is not what its name says")]
    Name(AttemptId),
    #[error("it cannot be read: {0}")]
    Io(#[from] io::Error),
}

/// The directory of reports. All calls block on the disk.
#[derive(Debug, Clone)]
pub struct Outbox {
    directory: PathBuf,
}

impl Outbox {
    /// Opens or creates the outbox; returns it with the reports that are in it. Damaged files are
    /// renamed and left for a person, incomplete ones removed.
    ///
    /// # Errors
    /// When the directory cannot be made or listed.
    pub fn open(directory: &Path) -> Result<(Self, BTreeMap<AttemptId, Report>), OutboxError> {
        fs::create_dir_all(directory).map_err(OutboxError::new("create", directory))?;
        let mut reports = BTreeMap::new();
        for entry in fs::read_dir(directory).map_err(OutboxError::new("list", directory))? {
            let path = entry.map_err(OutboxError::new("list", directory))?.path();
            match path.extension().and_then(|ending| ending.to_str()) {
                Some(ENDING) => match load(&path) {
                    Ok(report) => {
                        reports.insert(report.attempt_id(), report);
                    }
                    Err(damage) => set_aside(&path, &damage),
                },
                Some(durable::TEMPORARY) => {
                    if let Err(error) = fs::remove_file(&path) {
                        warn!(file = %path.display(), %error, "cannot remove an incomplete file");
                    }
                }
                _ => {}
            }
        }
        Ok((Self { directory: directory.to_owned() }, reports))
    }

    /// Where the files lie.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Stores reports; when it returns they survive a power failure. An equal attempt is replaced. Each is
    /// tried, whatever becomes of the others.
    ///
    /// # Errors
    /// When the disk does not take all of them.
    pub fn put(&self, reports: &[Report]) -> Result<(), Refused> {
        let mut refused = Vec::new();
        let mut first = None;
        for report in reports {
            let id = report.attempt_id();
            let path = self.path(id);
            if let Err(source) = durable::replace(&path, &encode(report)) {
                refused.push(id);
                first.get_or_insert(OutboxError::new("write", &path)(source));
            }
        }
        if refused.len() < reports.len()
            && let Err(source) = durable::sync_directory(&self.directory)
        {
            // A power failure may take any of them away again.
            refused = reports.iter().map(NamesAttempt::attempt_id).collect();
            first.get_or_insert(OutboxError::new("sync", &self.directory)(source));
        }
        first.map_or(Ok(()), |first| Err(Refused { attempts: refused, first }))
    }

    /// Forgets a report; one that is not there is no error. A removal that a power failure undoes
    /// is harmless: the report is sent and acknowledged once more.
    ///
    /// # Errors
    /// When the file cannot be removed.
    pub fn remove(&self, id: AttemptId) -> Result<(), OutboxError> {
        let path = self.path(id);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(OutboxError::new("remove", &path)(error))
            }
            _ => Ok(()),
        }
    }

    fn path(&self, id: AttemptId) -> PathBuf {
        self.directory.join(file_name(id))
    }
}

fn file_name(id: AttemptId) -> String {
    format!("{}-{}.{ENDING}", id.task, id.attempt)
}

fn encode(report: &Report) -> Vec<u8> {
    let body = report.encode_to_vec();
    let mut bytes = HEADER.to_vec();
    bytes.extend_from_slice(blake3::hash(&body).as_bytes());
    bytes.extend_from_slice(&body);
    bytes
}

fn decode(bytes: &[u8]) -> Result<Report, Damage> {
    let rest = bytes.strip_prefix(HEADER).ok_or(Damage::Header)?;
    let (checksum, body) = rest.split_at_checked(CHECKSUM_BYTES).ok_or(Damage::Checksum)?;
    if blake3::hash(body).as_bytes() != checksum {
        return Err(Damage::Checksum);
    }
    Ok(Report::decode(body)?)
}

fn load(path: &Path) -> Result<Report, Damage> {
    let report = decode(&fs::read(path)?)?;
    let id = report.attempt_id();
    if path.file_name().is_some_and(|name| name == file_name(id).as_str()) {
        Ok(report)
    } else {
        Err(Damage::Name(id))
    }
}

fn set_aside(path: &Path, damage: &Damage) {
    let aside = path.with_added_extension(CORRUPT);
    match fs::rename(path, &aside) {
        Ok(()) => warn!(
            file = %aside.display(), reason = %damage,
            "a stored report is damaged: set aside, its task will be evaluated again"
        ),
        Err(error) => warn!(
            file = %path.display(), reason = %damage, %error,
            "a stored report is damaged and cannot be set aside: ignored"
        ),
    }
}

#[cfg(test)]
mod tests {
    use cambrian_proto::v1::{Failure, FailureKind, Outcome, outcome};

    use super::*;
    use crate::attempt::attempt_id;

    fn report(task: u64, attempt: u32) -> Report {
        let failure =
            Failure { kind: FailureKind::Crash.into(), message: format!("because of {task}") };
        let outcome = Outcome {
            outcome: Some(outcome::Outcome::Failed(failure)),
            elapsed_micros: 5,
            ..Outcome::default()
        };
        Report { task, attempt, outcome: Some(outcome), energy_joules: Some(2.5) }
    }

    fn reopened(directory: &Path) -> Vec<Report> {
        Outbox::open(directory).unwrap().1.into_values().collect()
    }

    fn names(directory: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn reports_come_back_until_they_are_removed() {
        let root = tempfile::tempdir().unwrap();
        let (outbox, found) = Outbox::open(root.path()).unwrap();
        assert!(found.is_empty());
        outbox.put(&[report(2, 1), report(1, 3)]).unwrap();
        outbox.put(&[report(1, 4)]).unwrap();
        assert_eq!(reopened(root.path()), [report(1, 3), report(1, 4), report(2, 1)]);
        outbox.remove(attempt_id(1, 3)).unwrap();
        outbox.remove(attempt_id(1, 3)).unwrap();
        assert_eq!(reopened(root.path()), [report(1, 4), report(2, 1)]);
    }

    #[test]
    fn storing_an_attempt_again_replaces_it() {
        let root = tempfile::tempdir().unwrap();
        let (outbox, _) = Outbox::open(root.path()).unwrap();
        outbox.put(&[report(1, 1)]).unwrap();
        let mut other = report(1, 1);
        other.outcome = None;
        outbox.put(std::slice::from_ref(&other)).unwrap();
        assert_eq!(reopened(root.path()), [other]);
    }

    #[test]
    fn a_crash_before_the_rename_leaves_nothing_and_one_after_it_everything() {
        let root = tempfile::tempdir().unwrap();
        let (outbox, _) = Outbox::open(root.path()).unwrap();
        let complete = encode(&report(7, 1));
        for cut in [0, 1, complete.len() / 2, complete.len()] {
            fs::write(root.path().join("7-1.report.tmp"), &complete[..cut]).unwrap();
            assert_eq!(reopened(root.path()), []);
            assert_eq!(names(root.path()), Vec::<String>::new());
        }
        fs::write(root.path().join("7-1.report.tmp"), &complete[..9]).unwrap();
        outbox.put(&[report(7, 1)]).unwrap();
        assert_eq!(reopened(root.path()), [report(7, 1)]);
        assert_eq!(names(root.path()), ["7-1.report"]);
    }

    #[test]
    fn every_damage_is_set_aside_and_hides_no_other_report() {
        let complete = encode(&report(7, 1));
        let mut damaged: Vec<Vec<u8>> =
            (0..complete.len()).map(|cut| complete[..cut].into()).collect();
        for position in 0..complete.len() {
            let mut bytes = complete.clone();
            bytes[position] ^= 0x10;
            damaged.push(bytes);
        }
        let mut longer = complete.clone();
        longer.push(0);
        damaged.push(longer);
        for bytes in damaged {
            assert!(decode(&bytes).is_err(), "{bytes:?} passed");
        }
        let root = tempfile::tempdir().unwrap();
        let (outbox, _) = Outbox::open(root.path()).unwrap();
        outbox.put(&[report(8, 1)]).unwrap();
        fs::write(root.path().join("7-1.report"), &complete[..complete.len() - 1]).unwrap();
        fs::write(root.path().join("9-1.report"), &complete).unwrap();
        assert_eq!(reopened(root.path()), [report(8, 1)]);
        assert_eq!(names(root.path()), ["7-1.report.corrupt", "8-1.report", "9-1.report.corrupt"]);
    }

    #[test]
    fn a_directory_in_place_of_a_report_does_not_stop_the_worker() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("1-1.report")).unwrap();
        assert_eq!(reopened(root.path()), []);
    }

    #[test]
    fn a_disk_that_does_not_take_a_report_is_an_error_that_names_the_file() {
        let root = tempfile::tempdir().unwrap();
        let directory = root.path().join("outbox");
        let (outbox, _) = Outbox::open(&directory).unwrap();
        fs::remove_dir(&directory).unwrap();
        let error = outbox.put(&[report(3, 2)]).unwrap_err();
        assert!(error.to_string().contains("3-2.report"), "{error}");
    }

    #[test]
    fn a_report_that_the_disk_refuses_does_not_keep_the_others_out() {
        let root = tempfile::tempdir().unwrap();
        let (outbox, _) = Outbox::open(root.path()).unwrap();
        fs::create_dir(root.path().join("1-1.report.tmp")).unwrap();
        let refused = outbox.put(&[report(1, 1), report(2, 1), report(3, 1)]).unwrap_err();
        assert_eq!(refused.attempts, [attempt_id(1, 1)]);
        assert_eq!(reopened(root.path()), [report(2, 1), report(3, 1)]);
    }
}
