//! The architectures that a campaign begins with: written in it, or the rows of files, which are
//! then written into its text.
//!
//! It must not know how a file is read.

use std::collections::BTreeMap;

use super::super::document::Place;
use super::super::raw::RawStartFile;
use super::super::section::Item;
use super::super::start::{ReadStartFile, StartFile};
use super::super::{CampaignSpec, Faults, Section};
use crate::graph::CanonicalHash;
use crate::space::{Genotype, SearchSpace};

/// The column of the genotype in results.
const COLUMN: &str = "genotype";

/// What [`check`] finds.
#[derive(Default)]
pub(super) struct Start {
    /// The architectures, all different.
    pub(super) architectures: Vec<(Genotype, CanonicalHash)>,
    /// Where the list begins and ends, if an entry of it names a file.
    pub(super) with_files: Option<(Place, Place)>,
}

/// Reads `start`: genotypes in the space's notation, each of another network, and files of them.
pub(super) fn check(
    root: &Section<'_>,
    space: &dyn SearchSpace,
    evaluations: Option<u32>,
    files: &ReadStartFile<'_>,
) -> Start {
    let items = root.items("start");
    let mut list = List { space, files, found: Vec::new(), places: BTreeMap::new() };
    let texts = items.iter().filter(|item| item.text().is_some()).count();
    if !list.fits(root, texts, evaluations) {
        return Start::default();
    }
    let mut any_file = false;
    for (place, item) in (1..).zip(items) {
        if item.text().is_some() {
            list.add_text(place, &item);
        } else if item.is_mapping() {
            any_file = true;
            list.add_file(place, &item);
        } else {
            let found = item.description();
            item.fault(
                format!("expected an architecture, found {found}"),
                "put it in quotes; a file of architectures is `{from: FILE}`",
            );
        }
    }
    if !list.fits(root, list.found.len(), evaluations) {
        return Start::default();
    }
    let extent = root.item("start").map(|list| list.extent());
    Start { architectures: list.found, with_files: extent.filter(|_| any_file) }
}

/// The list so far.
struct List<'c> {
    space: &'c dyn SearchSpace,
    files: &'c ReadStartFile<'c>,
    found: Vec<(Genotype, CanonicalHash)>,
    /// Which entry of the list, from 1, a network comes from.
    places: BTreeMap<CanonicalHash, usize>,
}

impl List<'_> {
    fn fits(&self, root: &Section<'_>, count: usize, evaluations: Option<u32>) -> bool {
        let fits = evaluations.is_none_or(|evaluations| count as u64 <= u64::from(evaluations));
        if !fits {
            root.fault(
                "start",
                format!("there are {count} architectures, more than evaluations"),
                "raise `budget.evaluations`, or name fewer; `at_most` takes fewer of a file",
            );
        }
        fits
    }

    fn read(&self, text: &str) -> Result<(Genotype, CanonicalHash), String> {
        let keyed = self.space.parse(text).and_then(|genotype| {
            let key = self.space.canonical_hash(&genotype)?;
            Ok((genotype, key))
        });
        keyed.map_err(|error| error.to_string())
    }

    fn add_text(&mut self, place: usize, item: &Item<'_>) {
        match self.read(item.text().unwrap_or_default()) {
            Err(reason) => item.fault(
                reason,
                "write it as results show it, such as the column `genotype` of a front.csv",
            ),
            Ok((genotype, key)) => match self.places.get(&key) {
                Some(earlier) => item.fault(
                    format!("is the same network as number {earlier} of the list"),
                    "remove one of the two",
                ),
                None => self.push(place, genotype, key),
            },
        }
    }

    fn push(&mut self, place: usize, genotype: Genotype, key: CanonicalHash) {
        self.places.insert(key, place);
        self.found.push((genotype, key));
    }

    /// Adds the networks of a file that are not in the list already.
    fn add_file(&mut self, place: usize, item: &Item<'_>) {
        let Some((file, at_most)) = named_file(item) else { return };
        let rows = match (self.files)(&file) {
            Ok(rows) => rows,
            Err(error) => return item.fault(error.message, error.help),
        };
        let mut taken = 0;
        let mut refused: Vec<String> = Vec::new();
        for row in rows {
            if taken == at_most {
                break;
            }
            match self.read(&row.genotype) {
                Err(reason) => refused.push(format!("row {} of {}: {reason}", row.row, file.from)),
                Ok((_, key)) if self.places.contains_key(&key) => {}
                Ok((genotype, key)) => {
                    self.push(place, genotype, key);
                    taken += 1;
                }
            }
        }
        let Some(first) = refused.first() else { return };
        let more = match refused.len() - 1 {
            0 => String::new(),
            1 => "; another row is refused, too".to_owned(),
            more => format!("; {more} further rows are refused, too"),
        };
        item.fault(
            format!("{first}{more}"),
            "name the results of a campaign in the same space, or another `column`",
        );
    }
}

/// The file that an entry names and how many of its networks are taken.
fn named_file(item: &Item<'_>) -> Option<(StartFile, u32)> {
    let section = item.section()?;
    let raw: RawStartFile = section.read();
    section.missing("from", "name the file, such as `from: runs/first/front.csv`");
    let at_most = raw.at_most.unwrap_or(u32::MAX);
    if at_most == 0 {
        section.fault(
            "at_most",
            "0 is out of range",
            "write a number of at least 1, or leave the key out for all",
        );
    }
    let column = raw.column.unwrap_or_else(|| COLUMN.to_owned());
    let file = StartFile { from: raw.from?, column };
    section.is_clean().then_some((file, at_most))
}

/// The text of a campaign whose files are written out, every line behind them in its place if the
/// layout of the list allows it.
///
/// # Errors
/// If the campaign is too long with the architectures of the files.
pub(super) fn written_out(
    text: &str,
    spec: &CampaignSpec,
    (begin, end): (Place, Place),
) -> Result<String, Faults> {
    let resolved = spec.to_yaml();
    let same = |text: &String| {
        CampaignSpec::parse(text).is_ok_and(|written| written.to_yaml() == resolved)
    };
    let in_place = replaced(text, spec, begin, end).filter(same);
    in_place.or_else(|| Some(resolved.clone()).filter(same)).ok_or_else(|| {
        Faults::single(begin.fault(
            "start",
            format!("with the {} architectures the campaign is too long", spec.start.len()),
            Some("take fewer of a file by `at_most`".to_owned()),
        ))
    })
}

/// `text` with the architectures of `spec` in one line from `begin` and as many lines as before up
/// to `end`.
fn replaced(text: &str, spec: &CampaignSpec, begin: Place, end: Place) -> Option<String> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let (mut from, to) = (offset(text, begin)?, offset(text, end)?);
    if !text.get(from..)?.starts_with(['[', '-']) {
        // A list that is not indented is said to begin at its first element.
        from = text.get(..from)?.trim_end().strip_suffix('-')?.len();
    }
    let (before, after) = (text.get(..from)?, text.get(to..)?);
    let lines = text.get(from..to)?.matches('\n').count();
    let names: Vec<_> = spec.start.iter().map(|(given, _)| spec.space.format(given)).collect();
    let list = serde_json::to_string(&names).ok()?;
    // A list at the margin is no value of a key there unless it begins further right.
    Some(format!("{before} {list}{}{after}", "\n".repeat(lines)))
}

/// Where a place of `text` is, in bytes.
fn offset(text: &str, place: Place) -> Option<usize> {
    let before: usize = text.split_inclusive('\n').take(place.line - 1).map(str::len).sum();
    let line = text.get(before..)?;
    let column = line.char_indices().map(|(at, _)| at).chain([line.len()]).nth(place.column - 1)?;
    Some(before + column)
}

#[cfg(test)]
mod tests;
