//! The output directory of a run: results for people, and below `state` what a resumption needs.
//!
//! ```text
//! runs/NAME/  front.csv front.json candidates.csv front.svg front.png hypervolume.svg .png
//!   state/    run.json campaign.yaml journal.db endpoint coordinator.log worker-1/ worker-1.log
//!             journal.db.artifacts/, while stages continue each other
//! ```
//! One process at a time holds it. Must not know coordinators or workers.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

use cambrian_core::spec::CampaignSpec;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::campaign_file::CampaignFile;
use crate::error::CliError;
use crate::files;

/// The names of the result files, also of those that `--fresh` takes away.
pub(crate) const RESULTS: [&str; 7] = [
    "front.csv",
    "front.json",
    "candidates.csv",
    "front.svg",
    "front.png",
    "hypervolume.svg",
    "hypervolume.png",
];
const STATE: &str = "state";
/// Where coordinator and workers keep the state of trainings.
const ARTIFACTS: &str = "artifacts";
/// The version of `run.json`.
const FORMAT: u32 = 1;

/// The journal in an output directory.
pub(crate) fn journal(output: &Path) -> PathBuf {
    output.join(STATE).join("journal.db")
}

/// `run.json`: what ties the directory to its campaign.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    format: u32,
    /// Chosen once, so that submitting again finds the same campaign.
    submission: Uuid,
}

/// An output directory that this process holds.
#[derive(Debug)]
pub(crate) struct Directory {
    root: PathBuf,
    record: Record,
    /// Whether it held a run before.
    resumed: bool,
    /// Held as long as the value lives; the system lets go of it when the process dies.
    _lock: File,
}

impl Directory {
    /// Opens `root` for `campaign`, making it where it is missing. With `fresh`, what an earlier
    /// run left there is thrown away.
    ///
    /// # Errors
    /// [`CliError::Refused`] if another process holds it, it belongs to another campaign, or it
    /// holds results that no run of this program made; [`CliError::Io`] if it cannot be used.
    pub(crate) fn open(
        root: &Path,
        campaign: &CampaignFile,
        fresh: bool,
    ) -> Result<Self, CliError> {
        let state = root.join(STATE);
        if !state.join("run.json").exists() {
            refuse_foreign_state(root, &state)?;
            if !fresh {
                refuse_foreign_results(root)?;
            }
        }
        fs::create_dir_all(&state).map_err(CliError::io("create", &state))?;
        let lock = lock(root, &state.join("lock"))?;
        if fresh {
            clear(root, &state)?;
        }
        let record = match read_record(&state.join("run.json"))? {
            Some(record) => {
                refuse_changed_campaign(root, &state.join("campaign.yaml"), campaign)?;
                return Ok(Self { root: root.to_owned(), record, resumed: true, _lock: lock });
            }
            None => Record { format: FORMAT, submission: Uuid::new_v4() },
        };
        // The record last: it says that the rest is there.
        files::replace(&state.join("campaign.yaml"), campaign.text.as_bytes())?;
        let text = serde_json::to_string_pretty(&record)
            .map_err(|error| CliError::Internal(format!("cannot write run.json: {error}")))?;
        files::replace(&state.join("run.json"), format!("{text}\n").as_bytes())?;
        Ok(Self { root: root.to_owned(), record, resumed: false, _lock: lock })
    }

    /// The directory itself.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// A file or directory below `state`.
    pub(crate) fn state(&self, name: &str) -> PathBuf {
        self.root.join(STATE).join(name)
    }

    /// Takes away the state of trainings, which nothing needs once the campaign is finished.
    pub(crate) fn forget_checkpoints(&self) {
        let state = self.root.join(STATE);
        let mut folders = vec![journal(&self.root).with_added_extension(ARTIFACTS)];
        let entries = fs::read_dir(&state).into_iter().flatten().flatten();
        folders.extend(entries.map(|worker| worker.path().join(ARTIFACTS)));
        for folder in folders {
            // Where no stage continues another there is none; what cannot be removed is no loss.
            let _ = fs::remove_dir_all(folder);
        }
    }

    /// The id under which the campaign is submitted.
    pub(crate) fn submission(&self) -> [u8; 16] {
        *self.record.submission.as_bytes()
    }

    /// Whether an earlier run was found.
    pub(crate) fn is_resumed(&self) -> bool {
        self.resumed
    }
}

fn lock(root: &Path, path: &Path) -> Result<File, CliError> {
    let file = OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(false)
        .open(path)
        .map_err(CliError::io("open", path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(CliError::Refused {
            message: format!("another `cambrian run` is at work on {}", root.display()),
            help: "wait for it, stop it, or choose another directory with --output".to_owned(),
        }),
        Err(TryLockError::Error(error)) => Err(CliError::io("lock", path)(error)),
    }
}

/// A folder of that name that no run has made is never cleared, nor filled.
fn refuse_foreign_state(root: &Path, state: &Path) -> Result<(), CliError> {
    // What an interrupted run can leave without its record.
    let own = |name: &std::ffi::OsStr| {
        let name = name.to_string_lossy();
        let name = name.trim_start_matches('.');
        ["lock", "campaign.yaml", "run.json", "journal", "worker-", "endpoint", "coordinator"]
            .iter()
            .any(|own| name.starts_with(own))
    };
    let mut entries = fs::read_dir(state).into_iter().flatten().flatten();
    match entries.find(|entry| !own(&entry.file_name())) {
        None => Ok(()),
        Some(entry) => Err(CliError::Refused {
            message: format!(
                "{} is not the state of a run: it holds {}, and no run.json",
                state.display(),
                entry.file_name().to_string_lossy()
            ),
            help: format!(
                "choose another directory with --output, or take that out of {} first",
                root.display()
            ),
        }),
    }
}

fn refuse_foreign_results(root: &Path) -> Result<(), CliError> {
    match RESULTS.iter().find(|name| root.join(name).exists()) {
        None => Ok(()),
        Some(name) => Err(CliError::Refused {
            message: format!(
                "{} holds a {name}, but no state of a run that could have written it",
                root.display()
            ),
            help: "choose another directory with --output, or --fresh to overwrite the results"
                .to_owned(),
        }),
    }
}

/// Takes away the results and everything in `state` but the lock.
fn clear(root: &Path, state: &Path) -> Result<(), CliError> {
    // The record first: without it nothing else counts, wherever this is interrupted.
    let mut doomed = vec![state.join("run.json")];
    doomed.extend(RESULTS.iter().map(|name| root.join(name)));
    let entries = fs::read_dir(state).map_err(CliError::io("list", state))?;
    for entry in entries {
        let path = entry.map_err(CliError::io("list", state))?.path();
        if path.file_name().is_some_and(|name| name != "lock") {
            doomed.push(path);
        }
    }
    for path in doomed {
        let removed =
            if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        match removed {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(CliError::io("remove", &path)(error));
            }
            _ => {}
        }
    }
    Ok(())
}

fn read_record(path: &Path) -> Result<Option<Record>, CliError> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(CliError::io("open", path)(error)),
    };
    match serde_json::from_str::<Record>(&text) {
        Ok(record) if record.format == FORMAT => Ok(Some(record)),
        found => {
            let reason = match found {
                Ok(record) => {
                    format!("its format is {}, this release knows {FORMAT}", record.format)
                }
                Err(error) => error.to_string(),
            };
            Err(CliError::Refused {
                message: format!("{} cannot be understood: {reason}", path.display()),
                help: "choose another directory with --output, or --fresh to start anew".to_owned(),
            })
        }
    }
}

/// Comments and layout may differ; what the campaign means may not.
fn refuse_changed_campaign(
    root: &Path,
    stored: &Path,
    campaign: &CampaignFile,
) -> Result<(), CliError> {
    let before = fs::read_to_string(stored).map_err(CliError::io("open", stored))?;
    let same = before == campaign.text
        || CampaignSpec::parse(&before).is_ok_and(|spec| spec.to_yaml() == campaign.spec.to_yaml());
    if same {
        return Ok(());
    }
    Err(CliError::Refused {
        message: format!("the campaign has changed since {} was begun", root.display()),
        help: format!(
            "choose another directory with --output, or --fresh to throw the earlier results away; \
             {} is the campaign it was begun with",
            stored.display()
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::Exit;

    fn campaign(text: &str) -> CampaignFile {
        let spec = CampaignSpec::parse(text).unwrap();
        CampaignFile {
            text: text.to_owned(),
            source: text.to_owned(),
            spec,
            names_campaigns: false,
        }
    }

    fn example() -> String {
        include_str!("../../../configs/campaigns/fashion-mnist.yaml").to_owned()
    }

    #[test]
    fn the_same_campaign_is_resumed_under_the_same_submission() {
        let root = tempfile::tempdir().unwrap();
        let file = campaign(&example());
        let first = Directory::open(root.path(), &file, false).unwrap();
        assert!(!first.is_resumed());
        let submission = first.submission();
        drop(first);
        let reworded = campaign(&format!("# Another comment.\n{}", example()));
        let second = Directory::open(root.path(), &reworded, false).unwrap();
        assert!(second.is_resumed());
        assert_eq!(second.submission(), submission);
    }

    #[test]
    fn a_changed_campaign_is_refused_with_the_way_out() {
        let root = tempfile::tempdir().unwrap();
        drop(Directory::open(root.path(), &campaign(&example()), false).unwrap());
        let changed = campaign(&example().replace("seed: 7", "seed: 8"));
        let error = Directory::open(root.path(), &changed, false).unwrap_err();
        assert_eq!(error.exit(), Exit::Refused);
        assert!(error.to_string().contains("has changed since"), "{error}");
        assert!(error.help().contains("--output") && error.help().contains("--fresh"));
    }

    #[test]
    fn fresh_starts_anew_and_leaves_other_files_alone() {
        let root = tempfile::tempdir().unwrap();
        let file = campaign(&example());
        let submission = Directory::open(root.path(), &file, false).unwrap().submission();
        let mine = root.path().join("notes.txt");
        fs::write(&mine, "mine").unwrap();
        fs::write(root.path().join("front.csv"), "old").unwrap();
        fs::create_dir(root.path().join("state/worker-1")).unwrap();
        let fresh = Directory::open(root.path(), &file, true).unwrap();
        assert!(!fresh.is_resumed());
        assert_ne!(fresh.submission(), submission);
        assert!(mine.exists());
        assert!(!root.path().join("front.csv").exists());
        assert!(!fresh.state("worker-1").exists());
    }

    #[test]
    fn a_folder_that_no_run_has_made_is_not_cleared() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("state")).unwrap();
        let mine = root.path().join("state/mine.txt");
        fs::write(&mine, "mine").unwrap();
        for fresh in [true, false] {
            let error = Directory::open(root.path(), &campaign(&example()), fresh).unwrap_err();
            assert_eq!(error.exit(), Exit::Refused);
            assert!(error.to_string().contains("mine.txt"), "{error}");
            assert!(mine.exists());
        }
        fs::remove_file(&mine).unwrap();
        fs::write(root.path().join("state/journal.db"), "of a run that was cut short").unwrap();
        Directory::open(root.path(), &campaign(&example()), true).unwrap();
    }

    #[test]
    fn the_state_of_trainings_goes_and_nothing_else() {
        let root = tempfile::tempdir().unwrap();
        let directory = Directory::open(root.path(), &campaign(&example()), false).unwrap();
        for folder in ["journal.db.artifacts", "worker-1/artifacts", "worker-2/outbox"] {
            fs::create_dir_all(directory.state(folder)).unwrap();
            fs::write(directory.state(folder).join("file"), "content").unwrap();
        }
        directory.forget_checkpoints();
        assert!(!directory.state("journal.db.artifacts").exists());
        assert!(!directory.state("worker-1/artifacts").exists());
        assert!(directory.state("worker-2/outbox/file").exists());
        assert!(directory.state("run.json").exists());
    }

    #[test]
    fn a_second_process_is_kept_out() {
        let root = tempfile::tempdir().unwrap();
        let file = campaign(&example());
        let held = Directory::open(root.path(), &file, false).unwrap();
        let error = Directory::open(root.path(), &file, false).unwrap_err();
        assert_eq!(error.exit(), Exit::Refused);
        assert!(error.to_string().contains("another `cambrian run`"), "{error}");
        drop(held);
        Directory::open(root.path(), &file, false).unwrap();
    }

    #[test]
    fn results_of_somebody_else_are_not_overwritten() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("front.csv"), "precious").unwrap();
        let error = Directory::open(root.path(), &campaign(&example()), false).unwrap_err();
        assert_eq!(error.exit(), Exit::Refused);
        assert_eq!(fs::read_to_string(root.path().join("front.csv")).unwrap(), "precious");
    }

    #[test]
    fn a_broken_record_is_an_error_with_a_way_out() {
        let root = tempfile::tempdir().unwrap();
        let file = campaign(&example());
        drop(Directory::open(root.path(), &file, false).unwrap());
        for broken in ["", "{}", "{\"format\": 99, \"submission\": \"x\"}"] {
            fs::write(root.path().join("state/run.json"), broken).unwrap();
            let error = Directory::open(root.path(), &file, false).unwrap_err();
            assert_eq!(error.exit(), Exit::Refused, "{broken}");
        }
        Directory::open(root.path(), &file, true).unwrap();
    }
}
