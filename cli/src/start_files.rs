//! Files of architectures that a campaign begins with: one column of a CSV file.
//!
//! Must not know campaigns nor search spaces.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

use cambrian_core::spec::{StartError, StartFile, StartRow};

/// The longest file that is read: the results of a million candidates.
const MAX_BYTES: u64 = 1 << 30;

/// Reads the column that `file` names; its path is relative to `directory`.
///
/// # Errors
/// What is wrong with the file, without its rows' architectures.
pub(crate) fn read(directory: &Path, file: &StartFile) -> Result<Vec<StartRow>, StartError> {
    let path = directory.join(&file.from);
    let refuse = |message: String, help: &str| StartError { message, help: help.to_owned() };
    let opened = File::open(&path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => refuse(
            format!("there is no file {}", path.display()),
            "name a file of results, relative to the campaign file",
        ),
        _ => unreadable(&path, &error.to_string()),
    })?;
    let mut reader = csv::Reader::from_reader(opened.take(MAX_BYTES + 1));
    let broken = |error: csv::Error| unreadable(&path, &error.to_string());
    let headers = reader.headers().map_err(broken)?.clone();
    if headers.is_empty() {
        return Err(refuse(
            format!("{} is empty", path.display()),
            "name a CSV file with a header",
        ));
    }
    let Some(column) = headers.iter().position(|name| name == file.column) else {
        let columns: Vec<_> = headers.iter().collect();
        return Err(refuse(
            format!("{} has no column `{}`", path.display(), file.column),
            &format!("name the genotypes' `column`, one of: {}", columns.join(", ")),
        ));
    };
    let mut rows = Vec::new();
    for (row, record) in (1..).zip(reader.records()) {
        let genotype = record.map_err(broken)?[column].trim().to_owned();
        rows.push(StartRow { row, genotype });
    }
    if reader.into_inner().limit() == 0 {
        let message = format!("{} has more than {MAX_BYTES} bytes", path.display());
        return Err(refuse(message, "name a front.csv, or a file with fewer rows"));
    }
    if rows.is_empty() {
        let message = format!("{} has no rows below its header", path.display());
        return Err(refuse(message, "name results with at least one candidate, or no file"));
    }
    Ok(rows)
}

fn unreadable(path: &Path, reason: &str) -> StartError {
    StartError {
        message: format!("{} cannot be read: {reason}", path.display()),
        help: "name a CSV file with a header, such as a front.csv or candidates.csv".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(contents: &[u8], column: &str) -> Result<Vec<(u64, String)>, String> {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("results")).unwrap();
        std::fs::write(root.path().join("results/front.csv"), contents).unwrap();
        let file = StartFile { from: "results/front.csv".to_owned(), column: column.to_owned() };
        let name = root.path().join("results/front.csv").display().to_string();
        read(root.path(), &file)
            .map(|rows| rows.into_iter().map(|row| (row.row, row.genotype)).collect())
            .map_err(|error| format!("{error} ({})", error.help).replace(&name, "FILE"))
    }

    #[test]
    fn a_column_is_read_row_by_row() {
        let rows = found(b"candidate,genotype\n1/1,\"a,b\"\n1/2, c \n", "genotype").unwrap();
        assert_eq!(rows, [(1, "a,b".to_owned()), (2, "c".to_owned())]);
        let rows = found(b"\xef\xbb\xbfcell,x\r\nd,1\r\n", "cell").unwrap();
        assert_eq!(rows, [(1, "d".to_owned())]);
    }

    #[test]
    fn files_without_architectures_say_why() {
        let cases: [(&[u8], &str); 5] = [
            (b"", "FILE is empty"),
            (b"candidate,genotype\n", "FILE has no rows below its header"),
            (
                b"a,b\n1,2\n",
                "FILE has no column `genotype` (name the genotypes' `column`, one of: a, b)",
            ),
            (b"genotype,b\n1,2\n3\n", "FILE cannot be read: CSV error: record 2"),
            (b"genotype\n\xff\n", "FILE cannot be read: CSV parse error"),
        ];
        for (contents, expected) in cases {
            let error = found(contents, "genotype").unwrap_err();
            assert!(error.starts_with(expected), "{error}");
        }
    }

    #[test]
    fn missing_files_and_directories_say_where_they_were_sought() {
        let root = tempfile::tempdir().unwrap();
        let refused = |from: &str| {
            let file = StartFile { from: from.to_owned(), column: "genotype".to_owned() };
            read(root.path(), &file).unwrap_err().to_string()
        };
        let missing = root.path().join("no.csv").display().to_string();
        assert_eq!(refused("no.csv"), format!("there is no file {missing}"));
        assert!(refused(".").contains(" cannot be read: "), "{}", refused("."));
    }
}
