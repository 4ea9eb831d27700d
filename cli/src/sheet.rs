//! CSV files as rows of text under named columns, plain or gzip; several are joined by the column that
//! they share.
//!
//! Must not know what is in them.

use std::collections::HashMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;

use crate::error::CliError;

/// The largest table that is read, unpacked, in bytes.
const MAX_BYTES: u64 = 4 << 30;

/// Rows of text under named columns.
#[derive(Debug, Clone)]
pub(crate) struct Sheet {
    pub(crate) path: PathBuf,
    pub(crate) columns: Vec<String>,
    pub(crate) rows: Vec<csv::StringRecord>,
}

impl Sheet {
    /// Reads a CSV file with a header row, unpacked if its name ends in `.gz`.
    ///
    /// # Errors
    /// With the path, and the row where there is one.
    pub(crate) fn read(path: &Path) -> Result<Self, CliError> {
        let file = std::fs::File::open(path).map_err(CliError::io("read", path))?;
        let unpacked: Box<dyn Read> = match path.extension().is_some_and(|end| end == "gz") {
            true => Box::new(GzDecoder::new(file)),
            false => Box::new(file),
        };
        let mut reader = csv::Reader::from_reader(unpacked.take(MAX_BYTES));
        let refuse = |error: csv::Error| CliError::Usage {
            message: format!("{}: {error}", path.display()),
            help: "a table is CSV with a header row, every row as long as it, `.gz` or plain"
                .to_owned(),
        };
        let columns = reader.headers().map_err(refuse)?.iter().map(str::to_owned).collect();
        let rows = reader.records().collect::<Result<Vec<_>, _>>().map_err(refuse)?;
        Ok(Self { path: path.to_owned(), columns, rows })
    }

    /// Where the column called `column` is.
    pub(crate) fn position(&self, column: &str) -> Option<usize> {
        self.columns.iter().position(|known| known == column)
    }

    /// Where the column called `name` is, which `asked_by` names.
    ///
    /// # Errors
    /// With all columns that there are.
    pub(crate) fn column(&self, name: &str, asked_by: &str) -> Result<usize, CliError> {
        self.position(name).ok_or_else(|| CliError::Usage {
            message: format!(
                "{} has no column `{name}`, which {asked_by} names",
                self.path.display()
            ),
            help: format!("its columns are: {}", self.columns.join(", ")),
        })
    }

    /// The number at a place; `None` where it is empty.
    ///
    /// # Errors
    /// What is no finite number, with its place.
    pub(crate) fn number(&self, row: usize, column: usize) -> Result<Option<f64>, CliError> {
        let text = self.rows[row][column].trim();
        if text.is_empty() {
            return Ok(None);
        }
        let number = text.parse().ok().filter(|number: &f64| number.is_finite());
        number.map(Some).ok_or_else(|| CliError::Usage {
            message: format!(
                "{}, row {}, column `{}`: `{text}` is no finite number",
                self.path.display(),
                row + 1,
                self.columns[column]
            ),
            help: "leave the place empty where there is no value".to_owned(),
        })
    }
}

/// All sheets side by side, matched by the one column that each shares with those before it.
///
/// # Errors
/// None at all, or one that shares no column or several.
pub(crate) fn join(sheets: Vec<Sheet>) -> Result<Sheet, CliError> {
    let mut sheets = sheets.into_iter();
    let Some(mut joined) = sheets.next() else {
        return Err(CliError::Usage {
            message: "no table is named".to_owned(),
            help: "give --table FILE, once or several times".to_owned(),
        });
    };
    for other in sheets {
        let shared: Vec<String> =
            other.columns.iter().filter(|name| joined.columns.contains(name)).cloned().collect();
        let [shared] = &shared[..] else {
            return Err(CliError::Usage {
                message: format!(
                    "{} shares {} columns with the tables before it",
                    other.path.display(),
                    shared.len()
                ),
                help: "tables are joined by the one column that they share, such as `idx`"
                    .to_owned(),
            });
        };
        let (left, right) = (joined.column(shared, "a join")?, other.column(shared, "a join")?);
        let rows: HashMap<&str, &csv::StringRecord> =
            other.rows.iter().map(|row| (&row[right], row)).collect();
        for row in &mut joined.rows {
            let found = rows.get(&row[left]).copied();
            for at in (0..other.columns.len()).filter(|at| *at != right) {
                row.push_field(found.map_or("", |found| &found[at]));
            }
        }
        let more = other.columns.into_iter().filter(|name| name != shared);
        joined.columns.extend(more);
    }
    Ok(joined)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn sheet(text: &str) -> Sheet {
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let columns = reader.headers().unwrap().iter().map(str::to_owned).collect();
        let rows = reader.records().map(Result::unwrap).collect();
        Sheet { path: "table.csv".into(), columns, rows }
    }

    #[test]
    fn tables_are_joined_by_the_column_that_they_share() {
        let joined = join(vec![sheet("id,key\n2,b\n1,a\n"), sheet("x,id\n10,1\n30,3\n")]).unwrap();
        assert_eq!(joined.columns, ["id", "key", "x"]);
        let rows: Vec<Vec<&str>> = joined.rows.iter().map(|row| row.iter().collect()).collect();
        assert_eq!(rows, [["2", "b", ""], ["1", "a", "10"]]);
        assert!(join(vec![sheet("a\n1\n"), sheet("b\n1\n")]).is_err());
        assert!(join(vec![]).is_err());
    }

    #[test]
    fn numbers_are_finite_or_absent() {
        let sheet = sheet("a,b\n1.5,\nnan,x\n");
        assert_eq!(sheet.number(0, 0).unwrap(), Some(1.5));
        assert_eq!(sheet.number(0, 1).unwrap(), None);
        let error = sheet.number(1, 1).unwrap_err().to_string();
        assert_eq!(error, "table.csv, row 2, column `b`: `x` is no finite number");
        assert!(sheet.number(1, 0).is_err());
    }
}
