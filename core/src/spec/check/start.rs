//! The architectures that a campaign begins with: written in it, or those of files and earlier
//! campaigns, which are then written into its text.
//!
//! It must not know how either is read.

mod text;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::super::Section;
use super::super::document::Place;
use super::super::raw::RawStartSource;
use super::super::section::Item;
use super::super::start::{StartCampaign, StartCampaignRows, StartFile, StartReader, StartRow};
use crate::graph::CanonicalHash;
use crate::space::{Genotype, SearchSpace};

/// The column of the genotype in results.
const COLUMN: &str = "genotype";

/// What [`check`] finds.
#[derive(Default)]
pub(super) struct Start {
    /// The architectures, all different.
    pub(super) architectures: Vec<(Genotype, CanonicalHash)>,
    /// What that makes of the text.
    pub(super) rewriting: Rewriting,
}

/// What of the list is not as it stands in the text.
#[derive(Default)]
pub(super) struct Rewriting {
    /// Where the list begins and ends, if something was read for it.
    read: Option<(Place, Place)>,
    later: Vec<Later>,
}

/// An entry that stays in the text.
struct Later {
    /// How many architectures stand before it.
    behind: usize,
    entry: Value,
}

/// Reads `start`: genotypes in the space's notation, each of another network, and files and earlier
/// campaigns of them.
pub(super) fn check(
    root: &Section<'_>,
    space: &dyn SearchSpace,
    evaluations: Option<u32>,
    reader: &dyn StartReader,
) -> Start {
    let items = root.items("start");
    let mut list = List {
        space,
        reader,
        found: Vec::new(),
        places: BTreeMap::new(),
        later: Vec::new(),
        read: false,
    };
    let texts = items.iter().filter(|item| item.text().is_some()).count();
    if !list.fits(root, texts, evaluations) {
        return Start::default();
    }
    for (place, item) in (1..).zip(items) {
        if item.text().is_some() {
            list.add_text(place, &item);
        } else if item.is_mapping() {
            list.add_source(place, &item);
        } else {
            let found = item.description();
            item.fault(
                format!("expected an architecture, found {found}"),
                "put it in quotes; a file of architectures is `{from: FILE}`, an earlier campaign \
                 `{from_campaign: NAME}`",
            );
        }
    }
    if !list.fits(root, list.found.len(), evaluations) {
        return Start::default();
    }
    let extent = root.item("start").map(|list| list.extent());
    let List { found: architectures, later, read, .. } = list;
    Start { architectures, rewriting: Rewriting { read: extent.filter(|_| read), later } }
}

/// The list so far.
struct List<'c> {
    space: &'c dyn SearchSpace,
    reader: &'c dyn StartReader,
    found: Vec<(Genotype, CanonicalHash)>,
    /// Which entry of the list, from 1, a network comes from.
    places: BTreeMap<CanonicalHash, usize>,
    later: Vec<Later>,
    /// Whether rows of something were taken.
    read: bool,
}

impl List<'_> {
    fn fits(&self, root: &Section<'_>, count: usize, evaluations: Option<u32>) -> bool {
        let Some(evaluations) = evaluations.filter(|most| count as u64 > u64::from(*most)) else {
            return true;
        };
        root.fault(
            "start",
            format!(
                "there are {count} architectures, and the budget has {evaluations} evaluations"
            ),
            "raise `budget.evaluations`, or name fewer; `at_most` takes fewer of a file or a \
             campaign",
        );
        false
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

    /// Adds the networks of a file or a campaign that are not in the list already.
    fn add_source(&mut self, place: usize, item: &Item<'_>) {
        let Some((source, at_most)) = source(item) else { return };
        match source {
            Source::File(file) => match self.reader.file(&file) {
                Ok(rows) => {
                    let name = |row: u64| format!("row {row} of {}", file.from);
                    self.add_rows(place, item, rows, at_most, name);
                }
                Err(error) => item.fault(error.message, error.help),
            },
            Source::Campaign { campaign, front_only } => {
                self.add_campaign(place, item, campaign, front_only, at_most);
            }
        }
    }

    fn add_campaign(
        &mut self,
        place: usize,
        item: &Item<'_>,
        campaign: String,
        front_only: bool,
        at_most: Option<u32>,
    ) {
        // Its networks all differ: so many suffice if the whole list so far is among them.
        let most = at_most.map_or(usize::MAX, |most| self.found.len() + most as usize);
        let asked = StartCampaign { campaign, front_only, most, space: self.space.name() };
        let StartCampaign { campaign, .. } = &asked;
        match self.reader.campaign(&asked) {
            Ok(StartCampaignRows::Known(rows)) => {
                let name = |row: u64| format!("candidate {row} of campaign {campaign}");
                self.add_rows(place, item, rows, at_most, name);
            }
            Ok(StartCampaignRows::Later) => {
                let mut entry = json!({ "from_campaign": campaign });
                if front_only {
                    entry["front_only"] = true.into();
                }
                if let Some(most) = at_most {
                    entry["at_most"] = most.into();
                }
                self.later.push(Later { behind: self.found.len(), entry });
            }
            Err(error) => item.fault(error.message, error.help),
        }
    }

    fn add_rows(
        &mut self,
        place: usize,
        item: &Item<'_>,
        rows: Vec<StartRow>,
        at_most: Option<u32>,
        name: impl Fn(u64) -> String,
    ) {
        self.read = true;
        let at_most = at_most.unwrap_or(u32::MAX);
        let mut taken = 0;
        let mut refused: Vec<String> = Vec::new();
        for row in rows {
            if taken == at_most {
                break;
            }
            match self.read(&row.genotype) {
                Err(reason) => refused.push(format!("{}: {reason}", name(row.row))),
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
            1 => "; another one is refused, too".to_owned(),
            more => format!("; {more} further ones are refused, too"),
        };
        item.fault(
            format!("{first}{more}"),
            "name the results of a campaign in the same space, or another `column` of a file",
        );
    }
}

/// What an entry names.
enum Source {
    File(StartFile),
    Campaign { campaign: String, front_only: bool },
}

/// What an entry names, and how many of its networks are taken if not all.
fn source(item: &Item<'_>) -> Option<(Source, Option<u32>)> {
    let section = item.section()?;
    let raw: RawStartSource = section.read();
    let of_campaign = section.contains("from_campaign");
    if raw.at_most == Some(0) {
        section.fault(
            "at_most",
            "0 is out of range",
            "write a number of at least 1, or leave the key out for all",
        );
    }
    let (foreign, owner) = match of_campaign {
        true => (["from", "column"].as_slice(), "of a file, not of a campaign"),
        false => (["front_only"].as_slice(), "of a campaign, not of a file"),
    };
    for key in foreign.iter().filter(|key| section.contains(key)) {
        section.fault(key, format!("is a key {owner}"), "remove it, or make it two entries");
    }
    let source = if of_campaign {
        let campaign = section.item("from_campaign").and_then(|name| name.text().map(str::trim));
        let Some(campaign) = campaign.filter(|campaign| !campaign.is_empty()) else {
            section.fault(
                "from_campaign",
                "expected the number or the name of a campaign",
                "`cambrian list` shows both",
            );
            return None;
        };
        let front_only = raw.front_only.unwrap_or_default();
        Source::Campaign { campaign: campaign.to_owned(), front_only }
    } else {
        section.missing(
            "from",
            "name a file, such as `from: runs/first/front.csv`, or an earlier campaign by \
             `from_campaign`",
        );
        let column = raw.column.unwrap_or_else(|| COLUMN.to_owned());
        Source::File(StartFile { from: raw.from?, column })
    };
    section.is_clean().then_some((source, raw.at_most))
}

#[cfg(test)]
mod tests;
