//! What a run leaves: files with all results, and the same in short on standard output.
//!
//! Must not know how the results came about.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::client::Client;
use crate::error::CliError;
use crate::figure::{self, hypervolume::Step};
use crate::files;
use crate::output::Output;
use crate::present::confidence::Confidence;
use crate::present::summary::{self, Totals};
use crate::present::{csv, table};
use crate::results::{Campaign, Candidate, Front, Metric};

/// Everything about a campaign, read at one time.
#[derive(Debug)]
pub(super) struct Results {
    pub(super) campaign: Campaign,
    pub(super) front: Front,
    pub(super) metrics: Vec<Metric>,
    pub(super) candidates: Vec<Candidate>,
    totals: Totals,
}

impl Results {
    /// Reads all of it.
    ///
    /// # Errors
    /// When the coordinator does not answer.
    pub(super) async fn read(client: &mut Client, number: &str) -> Result<Self, CliError> {
        let campaign = client.campaign(number).await?;
        let front = client.front(number).await?;
        let (metrics, candidates) = client.candidates(number, &[], None).await?;
        let totals = Totals::of(&campaign, &candidates);
        Ok(Self { campaign, front, metrics, candidates, totals })
    }

    /// Writes every result file into `root`, each whole or not at all; their names with paths.
    ///
    /// # Errors
    /// [`CliError::Io`] with the path that cannot be written.
    pub(super) fn write(&self, root: &Path) -> Result<BTreeMap<&'static str, PathBuf>, CliError> {
        let front_svg = figure::front::svg(&self.campaign, &self.candidates);
        let history = figure::hypervolume::steps(&self.campaign, &self.candidates);
        let curve_svg = figure::hypervolume::svg(&self.campaign, &history);
        let json = serde_json::to_vec_pretty(&self.front_json(&history))
            .map_err(|error| CliError::Internal(format!("cannot write JSON: {error}")))?;
        let contents: [(&str, Vec<u8>); 7] = [
            ("front.csv", csv::candidates(&self.front.metrics, self.front.best_first())?.into()),
            ("front.json", [json, b"\n".to_vec()].concat()),
            ("candidates.csv", csv::candidates(&self.metrics, &self.candidates)?.into()),
            ("front.png", figure::png::render(&front_svg)?),
            ("front.svg", front_svg.into()),
            ("hypervolume.png", figure::png::render(&curve_svg)?),
            ("hypervolume.svg", curve_svg.into()),
        ];
        let mut paths = BTreeMap::new();
        for (name, content) in contents {
            let path = root.join(name);
            files::replace(&path, &content)?;
            paths.insert(name, path);
        }
        Ok(paths)
    }

    fn confidence(&self) -> Option<Confidence> {
        Confidence::of_best(&self.front, self.campaign.scored)
    }

    /// The content of `front.json`.
    fn front_json(&self, history: &[Step]) -> serde_json::Value {
        json!({
            "format": "cambrian.front/1",
            "campaign": self.campaign,
            "totals": self.totals,
            "front": self.front,
            "confidence": self.confidence(),
            "hypervolume_history": history,
        })
    }

    /// Prints the front, the hypervolume, the totals and where the files are.
    ///
    /// # Errors
    /// When standard output cannot be written.
    pub(super) fn print(
        &self,
        output: Output,
        files: &BTreeMap<&'static str, PathBuf>,
    ) -> Result<(), CliError> {
        if output.json {
            return output.object(&json!({
                "campaign": self.campaign,
                "totals": self.totals,
                "front": self.front,
                "confidence": self.confidence(),
                "files": files,
            }));
        }
        let mut text = format!("{}\n", output.style.strong(&summary::headline(&self.campaign)));
        text += &table::front(&self.front, table::Columns::default(), output.look());
        text += &format!("{}\n", summary::hypervolume(&self.campaign));
        text += &self.confidence().map_or_else(String::new, |found| found.line());
        text += &self.totals.lines();
        text += &summary::stages(&self.campaign, output.look());
        if let Some(root) = files.values().next().and_then(|path| path.parent()) {
            let names: Vec<_> = files.keys().copied().collect();
            text += &format!("results in {}: {}\n", root.display(), names.join(", "));
        }
        output.text(&text)
    }

    /// # Errors
    /// [`CliError::NoResult`] if the campaign is over without a scored candidate.
    pub(super) fn demand_a_score(&self) -> Result<(), CliError> {
        if !summary::is_fruitless(&self.campaign) {
            return Ok(());
        }
        let reasons = summary::frequent_reasons(&self.candidates);
        let help = match reasons.as_slice() {
            [] => "no candidate was proposed that meets the constraints: loosen them".to_owned(),
            reasons => format!("most frequent reasons:\n{}", reasons.join("\n")),
        };
        let message = summary::without_score(&self.campaign);
        Err(CliError::NoResult { message, help })
    }
}
