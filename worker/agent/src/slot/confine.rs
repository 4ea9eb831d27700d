//! What an evaluator gets of the agent's surroundings: few variables, a folder of its own, and no
//! more of the machine than it may have.
//!
//! The agent's environment may hold its token and other programs' secrets; an evaluator, which may
//! be anybody's program, needs none of them. Must not know what is evaluated.

use std::ffi::OsString;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use rustix::process::{Pid, Resource, Rlimit, prlimit};
use tracing::debug;

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

/// The variables of this process that an evaluator gets.
pub(super) fn environment() -> impl Iterator<Item = (OsString, OsString)> {
    std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(is_passed))
}

fn is_passed(name: &str) -> bool {
    PASSED.contains(&name) || PASSED_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// Makes the folder that a process starts in, empty and for this user alone.
pub(super) fn empty_folder(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
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
    use std::os::unix::fs::PermissionsExt;

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
}
