//! Rules about files as wholes: their names, their length, how a module opens, and paths of one
//! machine inside them. Knows nothing of the language beyond the file's first line.

use crate::Violation;

/// Longest Rust file, in lines.
pub const LONGEST_FILE: usize = 700;

/// Words that say nothing about what is inside.
const EMPTY_NAMES: [&str; 10] =
    ["utils", "util", "common", "manager", "managers", "helper", "helpers", "imp", "misc", "stuff"];

/// Directories that exist on one machine only. Written in pieces, so that this file passes.
const MACHINE_PATHS: [&str; 6] = [
    concat!("/wo", "rk/"),
    concat!("/ro", "ot/"),
    concat!("/ho", "me/"),
    concat!("/Us", "ers/"),
    concat!("/tmp/", "target"),
    concat!("C:\\", "Users"),
];

/// Finds a Rust file that does not open with a `//!` comment.
pub fn module_opening(path: &str, text: &str) -> Option<Violation> {
    let opens = text.lines().next().is_some_and(|line| {
        line.strip_prefix("//!").is_some_and(|sentence| !sentence.trim().is_empty())
    });
    (!opens).then(|| Violation {
        file: path.to_owned(),
        line: Some(1),
        what: "the module does not open with a `//!` sentence".to_owned(),
        remedy: "a reader must learn from the first line what the module is for and what it must \
                 not know: write that there",
    })
}

/// Finds a path component named for nothing in particular (`utils`, `state_manager`).
pub fn empty_name(path: &str) -> Option<Violation> {
    let empty = path.split('/').find(|component| {
        let stem = component.split('.').next().unwrap_or(component);
        stem.split(['_', '-']).any(|word| EMPTY_NAMES.contains(&word))
    })?;
    Some(Violation {
        file: path.to_owned(),
        line: None,
        what: format!("`{empty}` says nothing about what is inside"),
        remedy: "such a file attracts everything: name it after the thing it holds, or move each \
                 part to the module it serves",
    })
}

/// Finds a file of more than [`LONGEST_FILE`] lines.
pub fn length(path: &str, text: &str) -> Option<Violation> {
    let lines = text.lines().count();
    (lines > LONGEST_FILE).then(|| Violation {
        file: path.to_owned(),
        line: None,
        what: format!("{lines} lines, more than {LONGEST_FILE}"),
        remedy: "a file this long holds more than one thing: split it by responsibility, long unit \
                 tests into `<module>/tests.rs`",
    })
}

/// Finds absolute paths that exist on one machine only.
pub fn machine_paths(path: &str, text: &str) -> Vec<Violation> {
    let mut found = Vec::new();
    for (index, line) in text.lines().enumerate() {
        for needle in MACHINE_PATHS {
            let absolute = line.match_indices(needle).any(|(at, _)| {
                // A relative path may contain the needle in its middle.
                !line[..at].ends_with(|before: char| {
                    before.is_alphanumeric() || matches!(before, '.' | '_' | '-' | '~' | '}' | '*')
                })
            });
            if absolute {
                found.push(Violation {
                    file: path.to_owned(),
                    line: Some(index + 1),
                    what: format!("`{needle}` is a path of one machine"),
                    remedy: "it does not exist elsewhere: use a path relative to the repository, an \
                             XDG directory or a variable",
                });
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_must_open_with_a_sentence() {
        assert_eq!(module_opening("a.rs", "//! Parses campaign files.\n\nuse x;\n"), None);
        for bad in
            ["", "use x;\n", "\n//! Too late.\n", "// Not a module comment.\n", "//!\n//! x\n"]
        {
            assert!(module_opening("a.rs", bad).is_some(), "{bad:?} passed");
        }
    }

    #[test]
    fn names_must_name_something() {
        for good in
            ["core/src/pareto.rs", "core/src/commonality.rs", "docs/import.md", "simple/x.rs"]
        {
            assert_eq!(empty_name(good), None);
        }
        for bad in
            ["core/src/utils.rs", "cli/tests/common/mod.rs", "a/lease_manager.rs", "x/imp.rs"]
        {
            assert!(empty_name(bad).is_some(), "{bad} passed");
        }
    }

    #[test]
    fn files_must_not_be_long() {
        assert_eq!(length("a.rs", &"x\n".repeat(LONGEST_FILE)), None);
        let found = length("a.rs", &"x\n".repeat(LONGEST_FILE + 1));
        assert_eq!(found.map(|v| v.what).as_deref(), Some("701 lines, more than 700"));
    }

    #[test]
    fn machine_paths_are_found_where_absolute() {
        let good = concat!("cd deploy/wo", "rk/x && ls ~/ro", "ot/ $HOME/x /usr/share /tmp/x\n");
        assert_eq!(machine_paths("README.md", good), []);
        for needle in MACHINE_PATHS {
            let bad = format!("fine\nls {needle}x\n");
            let found = machine_paths("README.md", &bad);
            assert_eq!(found.len(), 1, "{needle} passed");
            assert_eq!(found[0].line, Some(2));
        }
    }
}
