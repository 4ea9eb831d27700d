//! CSV files as rows of text under named columns, plain or gzip; several are joined by the column that
//! they share.
//!
//! Must not know what is in them.

use std::collections::{HashMap, HashSet};
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use crate::error::{CliError, count};
use packed::Packed;

// By its file, since the package that it belongs to needs libtorch, which it does not.
#[path = "../../worker/evaluator/src/data/packed.rs"]
mod packed;

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
            true => Box::new(Packed::new(BufReader::new(file))),
            false => Box::new(file),
        };
        Self::parse(path, unpacked, MAX_BYTES)
    }

    /// Reads CSV of at most `most` bytes.
    fn parse(path: &Path, text: impl Read, most: u64) -> Result<Self, CliError> {
        let mut reader = csv::Reader::from_reader(text.take(most + 1));
        let refuse = |error: csv::Error| CliError::Usage {
            message: format!("{}: {error}", path.display()),
            help: "a table is CSV with a header row, every row as long as it, `.gz` or plain"
                .to_owned(),
        };
        let columns = reader.headers().map_err(refuse)?.iter().map(str::to_owned).collect();
        let rows = reader.records().collect::<Result<Vec<_>, _>>().map_err(refuse)?;
        if reader.into_inner().limit() == 0 {
            return Err(CliError::Usage {
                message: format!("{} has more than {most} bytes, unpacked", path.display()),
                help: "leave out columns that are not needed".to_owned(),
            });
        }
        let sheet = Self { path: path.to_owned(), columns, rows };
        sheet.refuse_repeated_columns()?;
        Ok(sheet)
    }

    /// Columns without a name may be several, since nobody can ask for them.
    fn refuse_repeated_columns(&self) -> Result<(), CliError> {
        let mut places = HashMap::new();
        for (place, name) in (1..).zip(&self.columns).filter(|(_, name)| !name.is_empty()) {
            if let Some(first) = places.insert(name, place) {
                return Err(CliError::Usage {
                    message: format!(
                        "{}, columns {first} and {place}: both are called `{name}`",
                        self.path.display()
                    ),
                    help: "rename one of them, or leave it out".to_owned(),
                });
            }
        }
        Ok(())
    }

    /// The row of each text in a column, without the spaces around it; empty places have none.
    ///
    /// # Errors
    /// A text that two rows have, with both.
    pub(crate) fn rows_by(&self, column: usize) -> Result<HashMap<&str, usize>, CliError> {
        let mut found = HashMap::with_capacity(self.rows.len());
        for (at, row) in self.rows.iter().enumerate() {
            let text = row[column].trim();
            if text.is_empty() {
                continue;
            }
            if let Some(first) = found.insert(text, at) {
                return Err(CliError::Usage {
                    message: format!(
                        "{}, rows {} and {}: both have `{text}` in column `{}`, by which tables are joined",
                        self.path.display(),
                        first + 1,
                        at + 1,
                        self.columns[column]
                    ),
                    help: "leave one row for each value of that column".to_owned(),
                });
            }
        }
        Ok(found)
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

    /// What to say of this many rows that are left out, since `nobody_has` what they have in `column`.
    pub(crate) fn left_out(&self, rows: usize, nobody_has: &str, column: &str) -> String {
        let total = count(self.rows.len(), "row");
        format!("{rows} of its {total} are left out, since {nobody_has} their `{column}`")
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

/// Several sheets as one.
#[derive(Debug)]
pub(crate) struct Joined {
    pub(crate) sheet: Sheet,
    /// Which rows had no partner, a line a sheet.
    pub(crate) notes: Vec<String>,
}

/// All sheets side by side, matched by the one column that each shares with those before it. The rows are those of the
/// first one; where a later one has none for it, its places are empty.
///
/// # Errors
/// None at all, or one that shares no column or several, has two rows for one value of it, or none that is wanted.
pub(crate) fn join(sheets: Vec<Sheet>) -> Result<Joined, CliError> {
    let mut sheets = sheets.into_iter();
    let Some(mut joined) = sheets.next() else {
        return Err(CliError::Usage {
            message: "no table is named".to_owned(),
            help: "give --table FILE, once or several times".to_owned(),
        });
    };
    let mut notes = Vec::new();
    for other in sheets {
        notes.extend(add(&mut joined, other)?);
    }
    Ok(Joined { sheet: joined, notes })
}

/// Adds the columns of another sheet, and says which rows had no partner.
fn add(joined: &mut Sheet, other: Sheet) -> Result<Option<String>, CliError> {
    let shared: Vec<String> =
        other.columns.iter().filter(|name| joined.columns.contains(name)).cloned().collect();
    let [shared] = &shared[..] else {
        return Err(CliError::Usage {
            message: format!(
                "{} shares {} columns with the tables before it",
                other.path.display(),
                shared.len()
            ),
            help: "tables are joined by the one column that they share, such as `idx`".to_owned(),
        });
    };
    let (left, right) = (joined.column(shared, "a join")?, other.column(shared, "a join")?);
    let rows = other.rows_by(right)?;
    let (mut wanted, mut without) = (HashSet::new(), 0);
    for row in &mut joined.rows {
        let found = rows.get(row[left].trim()).copied();
        match found {
            Some(at) => _ = wanted.insert(at),
            None => without += 1,
        }
        for at in (0..other.columns.len()).filter(|at| *at != right) {
            row.push_field(found.map_or("", |found| &other.rows[found][at]));
        }
    }
    if wanted.is_empty() {
        return Err(CliError::Usage {
            message: format!(
                "no `{shared}` in {} is in the tables before it",
                other.path.display()
            ),
            help: "tables are joined by the one column that they share, text by text".to_owned(),
        });
    }
    let unmatched = unmatched(&other, shared, other.rows.len() - wanted.len(), without);
    joined.columns.extend(other.columns.into_iter().filter(|name| name != shared));
    Ok(unmatched)
}

/// What to say of `left_out` rows of a sheet, and of `without` rows before it that have none in it.
fn unmatched(other: &Sheet, shared: &str, left_out: usize, without: usize) -> Option<String> {
    let path = other.path.display();
    let out = || other.left_out(left_out, "no row before has", shared);
    let lacking = || {
        let (rows, have) = (count(without, "row"), if without == 1 { "has" } else { "have" });
        format!("{rows} of the tables before it {have} no `{shared}` in it and no values of it")
    };
    match (left_out, without) {
        (0, 0) => None,
        (_, 0) => Some(format!("{path}: {}", out())),
        (0, _) => Some(format!("{path}: {}", lacking())),
        _ => Some(format!("{path}: {}; {}", out(), lacking())),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn sheet(text: &str) -> Sheet {
        Sheet::parse(Path::new("table.csv"), text.as_bytes(), MAX_BYTES).unwrap()
    }

    fn rows(sheet: &Sheet) -> Vec<Vec<&str>> {
        sheet.rows.iter().map(|row| row.iter().collect()).collect()
    }

    #[test]
    fn tables_are_joined_by_the_column_that_they_share() {
        let Joined { sheet: joined, notes } =
            join(vec![sheet("id,key\n2,b\n1,a\n"), sheet("x,id\n10,1\n30,3\n40,4\n")]).unwrap();
        assert_eq!(joined.columns, ["id", "key", "x"]);
        assert_eq!(rows(&joined), [["2", "b", ""], ["1", "a", "10"]]);
        let note = "table.csv: 2 of its 3 rows are left out, since no row before has their `id`; \
                    1 row of the tables before it has no `id` in it and no values of it";
        assert_eq!(notes, [note]);
        assert!(join(vec![sheet("a\n1\n"), sheet("b\n1\n")]).is_err());
        assert!(join(vec![]).is_err());
    }

    #[test]
    fn tables_that_match_are_joined_without_a_word() {
        // A value that several rows of the first table have, and places without one, are no fault.
        let left = sheet("id,family\n1,a\n2,a\n3,b\n");
        let whole = join(vec![left, sheet("family,x\na,10\nb,20\n")]).unwrap();
        assert_eq!(rows(&whole.sheet), [["1", "a", "10"], ["2", "a", "10"], ["3", "b", "20"]]);
        assert_eq!(whole.notes, Vec::<String>::new());
        let empty = join(vec![sheet("id,k\n1,a\n,b\n"), sheet("id,x\n,7\n,8\n1,9\n")]).unwrap();
        assert_eq!(rows(&empty.sheet), [["1", "a", "9"], ["", "b", ""]]);
    }

    #[test]
    fn joins_that_would_hide_rows_are_refused() {
        let refused = |left: &str, right: &str| {
            join(vec![sheet(left), sheet(right)]).unwrap_err().to_string()
        };
        assert_eq!(
            refused("id,key\n1,a\n", "id,x\n1,10\n2,20\n1,30\n"),
            "table.csv, rows 1 and 3: both have `1` in column `id`, by which tables are joined"
        );
        assert_eq!(
            refused("id,key\n1,a\n", "id,x\n01,10\n"),
            "no `id` in table.csv is in the tables before it"
        );
    }

    #[test]
    fn a_column_has_a_name_of_its_own_and_no_text_is_cut_off() {
        let parse = |text: &str, most| Sheet::parse(Path::new("t.csv"), text.as_bytes(), most);
        let repeated = parse("id,x,y,x\n1,2,3,4\n", MAX_BYTES).unwrap_err().to_string();
        assert_eq!(repeated, "t.csv, columns 2 and 4: both are called `x`");
        assert!(parse("id,,\n1,,\n", MAX_BYTES).is_ok());
        assert!(parse("a\n1\n", 4).is_ok());
        let long = parse("a\n12\n", 4).unwrap_err().to_string();
        assert_eq!(long, "t.csv has more than 4 bytes, unpacked");
    }

    #[test]
    fn packed_files_one_after_another_are_one_table() {
        use std::io::Write;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("table.csv.gz");
        let pack = |text: &str| {
            let mut encoder =
                flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(text.as_bytes()).unwrap();
            encoder.finish().unwrap()
        };
        std::fs::write(&path, [pack("id,x\n1,2\n"), pack("3,4\n")].concat()).unwrap();
        assert_eq!(rows(&Sheet::read(&path).unwrap()), [["1", "2"], ["3", "4"]]);
        std::fs::write(&path, [pack("id,x\n1,2\n"), vec![0; 300]].concat()).unwrap();
        assert_eq!(rows(&Sheet::read(&path).unwrap()), [["1", "2"]]);
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
