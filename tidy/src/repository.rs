//! The files of this checkout: where the root is, which files count as the repository's own.
//! Knows no rule.

use std::{
    io,
    path::{Path, PathBuf},
    process::Command,
};

/// One text file of the repository.
#[derive(Debug, Clone)]
pub struct TextFile {
    /// Path relative to the root, with `/` between the components.
    pub path: String,
    /// The whole content.
    pub text: String,
}

/// The repository's root directory: the parent of this package.
pub fn root() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package).to_path_buf()
}

/// Every text file of the checkout at `root` that git tracks or would track, sorted by path. Files
/// that are not UTF-8 (pictures) are left out, as are tracked files deleted from the work tree.
///
/// # Errors
/// When git is missing, `root` is no git checkout, or a file cannot be read.
pub fn text_files(root: &Path) -> io::Result<Vec<TextFile>> {
    let listing = Command::new("git")
        // A checkout owned by another user (a container mount) is listed all the same.
        .args(["-c", "safe.directory=*"])
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .output()?;
    if !listing.status.success() {
        return Err(io::Error::other(format!(
            "git cannot list the files of {}: {}",
            root.display(),
            String::from_utf8_lossy(&listing.stderr).trim()
        )));
    }
    let names = String::from_utf8_lossy(&listing.stdout);
    let mut files = Vec::new();
    for path in names.split('\0').filter(|name| !name.is_empty()) {
        match std::fs::read_to_string(root.join(path)) {
            Ok(text) => files.push(TextFile { path: path.to_owned(), text }),
            Err(fault)
                if matches!(
                    fault.kind(),
                    io::ErrorKind::InvalidData
                        | io::ErrorKind::NotFound
                        | io::ErrorKind::IsADirectory
                ) => {}
            Err(fault) => return Err(fault),
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files.dedup_by(|a, b| a.path == b.path);
    Ok(files)
}
