//! Rules about the repository itself, each a function over text that returns what it found.
//!
//! `tests/repository.rs` applies every rule to the files of this checkout; each rule's own unit
//! tests apply it to a planted violation, so that no rule is one that cannot fail. The rules read
//! text and know nothing of what the packages do.

pub mod document;
pub mod layout;
pub mod manifest;
pub mod repository;
pub mod source;

use std::fmt;

/// One place where the repository breaks one of its rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Path of the file relative to the repository's root.
    pub file: String,
    /// Line in that file, counted from 1; `None` where the whole file is meant.
    pub line: Option<usize>,
    /// What is there that should not be, or is missing.
    pub what: String,
    /// Why the rule exists and what to do about it.
    pub remedy: &'static str,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}: {}\n    {}", self.file, self.what, self.remedy),
            None => write!(f, "{}: {}\n    {}", self.file, self.what, self.remedy),
        }
    }
}
