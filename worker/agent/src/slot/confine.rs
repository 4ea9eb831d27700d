//! What an evaluator gets of the agent's surroundings: few variables, a folder of its own, and no
//! more of the machine than it may have.
//!
//! The agent's environment may hold its token and other programs' secrets; an evaluator, which may
//! be anybody's program, needs none of them. Must not know what is evaluated.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::process::{Pid, Resource, Rlimit, prlimit};
use tracing::{debug, warn};

/// Variables that are passed on by name: where things are, and how people want to read.
const PASSED: [&str; 15] = [
    "CAMBRIAN_GATE",
    "HOME",
    "LANG",
    "LANGUAGE",
    "LD_LIBRARY_PATH",
    "LOGNAME",
    "PATH",
    "PYTHONPATH",
    "RUST_BACKTRACE",
    "TMPDIR",
    "TZ",
    "USER",
    "VIRTUAL_ENV",
    "XDG_CACHE_HOME",
    "XDG_DATA_HOME",
];

/// Beginnings of variables that are passed on: those that set up GPUs, threads and libtorch.
const PASSED_PREFIXES: [&str; 16] = [
    "ATEN_",
    "CUBLAS_",
    "CUDA_",
    "CUDNN_",
    "GOMP_",
    "HIP_",
    "HSA_",
    "KMP_",
    "LC_",
    "MKL_",
    "NVIDIA_",
    "OMP_",
    "OPENBLAS_",
    "PYTORCH_",
    "ROCR_",
    "TORCH_",
];

/// How much of the machine a process may have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// Open files.
    pub(crate) open_files: Option<u64>,
    /// Memory of its own, bytes: heap and private mappings that it can write. Not its address
    /// space, of which CUDA reserves more than any machine has.
    pub(crate) memory: Option<u64>,
}

/// How many folders that could not be removed may lie beside one.
const MOST_ASIDE: u32 = 16;

/// The variables of this process that an evaluator gets.
pub(super) fn environment() -> impl Iterator<Item = (OsString, OsString)> {
    std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(is_passed))
}

fn is_passed(name: &str) -> bool {
    PASSED.contains(&name) || PASSED_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// Makes the folder that a process starts in, empty and for this user alone.
///
/// What cannot be removed, such as files of another user, is moved aside, a few times: it must not end the slot,
/// nor fill the disk.
pub(super) fn empty_folder(folder: &Path) -> io::Result<()> {
    if let Err(error) = remove(folder) {
        let aside = match move_aside(folder) {
            Ok(Some(aside)) => aside,
            Ok(None) => {
                let what = format!(
                    "{error}; {MOST_ASIDE} earlier ones, {}.left-0 and so on, could not be removed either: \
                     remove them by hand",
                    folder.display()
                );
                return Err(io::Error::new(error.kind(), what));
            }
            // Why it could not be removed says more.
            Err(_) => return Err(error),
        };
        warn!(
            %error,
            "what an evaluator has left cannot be removed; it is now in {}, to be removed by hand",
            aside.display()
        );
    }
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// Removes a folder with all in it, also where an evaluator has left folders that nobody may write.
fn remove(folder: &Path) -> io::Result<()> {
    let removed = match fs::remove_dir_all(folder) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            open_up(folder)?;
            fs::remove_dir_all(folder)
        }
        other => other,
    };
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Lets this user read and write a folder and all folders in it. What links lead to stays as it is.
fn open_up(folder: &Path) -> io::Result<()> {
    if !fs::symlink_metadata(folder)?.is_dir() {
        return Ok(());
    }
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        fs::set_permissions(&folder, Permissions::from_mode(0o700))?;
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            }
        }
    }
    Ok(())
}

/// Gives a folder the first free name beside it. Those that an earlier one got are removed where that is
/// possible by now; `None` if none is free.
fn move_aside(folder: &Path) -> io::Result<Option<PathBuf>> {
    let names = (0..MOST_ASIDE).map(|number| folder.with_added_extension(format!("left-{number}")));
    let free: Vec<PathBuf> = names.filter(|aside| remove(aside).is_ok()).collect();
    let Some(aside) = free.into_iter().next() else { return Ok(None) };
    fs::rename(folder, &aside)?;
    Ok(Some(aside))
}

/// Bounds a process that has just been started. It cannot raise the bounds again.
pub(super) fn bound(process: u32, bounds: Bounds) {
    let process = i32::try_from(process).ok().and_then(Pid::from_raw);
    // A memory image would hold data sets and be as large as them.
    let limits = [
        (Resource::Core, Some(0)),
        (Resource::Nofile, bounds.open_files),
        (Resource::Data, bounds.memory),
    ];
    for (resource, most) in limits {
        let Some(most) = most else { continue };
        let present = rustix::process::getrlimit(resource).maximum.unwrap_or(u64::MAX);
        let most = Some(most.min(present));
        // A process that is gone already is noticed by its pipes.
        if let Err(error) = prlimit(process, resource, Rlimit { current: most, maximum: most }) {
            debug!(%error, ?resource, "an evaluator's resources could not be bounded");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_passed_on() {
        for name in ["CAMBRIAN_TOKEN", "CAMBRIAN_TOKEN_FILE", "AWS_SECRET_ACCESS_KEY", "LD_PRELOAD"]
        {
            assert!(!is_passed(name), "{name}");
        }
        for name in
            ["PATH", "LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "PYTHONPATH"]
        {
            assert!(is_passed(name), "{name}");
        }
    }

    #[test]
    fn a_folder_is_emptied_and_private() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("slots/0");
        empty_folder(&folder).unwrap();
        fs::write(folder.join("left"), "over").unwrap();
        empty_folder(&folder).unwrap();
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
        assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    /// Permissions bind other users than root, who may run this: hence the walk itself is looked at.
    #[test]
    fn folders_that_nobody_may_write_are_opened_up_and_links_are_not_followed() {
        let root = tempfile::tempdir().unwrap();
        let (folder, outside) = (root.path().join("0"), root.path().join("outside"));
        let deep = folder.join("cache/module/source");
        fs::create_dir_all(&deep).unwrap();
        fs::write(deep.join("file"), "").unwrap();
        fs::create_dir(&outside).unwrap();
        std::os::unix::fs::symlink(&outside, folder.join("link")).unwrap();
        set_mode(&outside, 0o555);
        set_mode(&deep, 0o555);
        set_mode(&folder.join("cache"), 0o000);
        set_mode(&folder, 0o500);
        open_up(&folder).unwrap();
        for opened in [&folder, &folder.join("cache"), &deep] {
            assert_eq!(mode(opened), 0o700, "{}", opened.display());
        }
        open_up(&folder.join("link")).unwrap();
        assert_eq!(mode(&outside), 0o555);
        set_mode(&deep, 0o555);
        empty_folder(&folder).unwrap();
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
        assert!(outside.is_dir());
    }

    /// What is no folder is not removed as one.
    fn leave_what_cannot_be_removed(folder: &Path, left: &str) {
        let _ = fs::remove_dir(folder);
        fs::write(folder, left).unwrap();
    }

    #[test]
    fn what_cannot_be_removed_is_moved_aside() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("0");
        for left in ["first", "second"] {
            leave_what_cannot_be_removed(&folder, left);
            empty_folder(&folder).unwrap();
            assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
        }
        let aside = |name: &str| fs::read_to_string(root.path().join(name)).unwrap();
        assert_eq!((aside("0.left-0"), aside("0.left-1")), ("first".into(), "second".into()));
    }

    #[test]
    fn what_was_moved_aside_is_removed_once_it_can_be_and_does_not_pile_up() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("0");
        let aside = |number: u32| root.path().join(format!("0.left-{number}"));
        for _ in 0..MOST_ASIDE {
            leave_what_cannot_be_removed(&folder, "");
            empty_folder(&folder).unwrap();
        }
        leave_what_cannot_be_removed(&folder, "one more");
        let error = empty_folder(&folder).unwrap_err().to_string();
        assert!(error.contains("0.left-0") && error.contains("by hand"), "{error}");
        assert_eq!(fs::read_to_string(&folder).unwrap(), "one more");
        for number in [3, 5] {
            fs::remove_file(aside(number)).unwrap();
            fs::create_dir(aside(number)).unwrap();
        }
        empty_folder(&folder).unwrap();
        assert_eq!(fs::read_to_string(aside(3)).unwrap(), "one more");
        assert!(!aside(5).exists() && !aside(MOST_ASIDE).exists());
    }
}
