//! The text of a campaign whose list is written out.
//!
//! It must not know where its architectures come from.

use serde_json::Value;

use super::super::super::document::Place;
use super::super::super::start::{
    StartCampaign, StartCampaignRows, StartFile, StartReader, StartRow,
};
use super::super::super::{CampaignSpec, Faults, NoStartReader, StartError};
use super::{Later, Rewriting};

/// Leaves campaigns in the text.
struct LeavesCampaigns;

impl StartReader for LeavesCampaigns {
    fn file(&self, file: &StartFile) -> Result<Vec<StartRow>, StartError> {
        NoStartReader.file(file)
    }

    fn campaign(&self, _: &StartCampaign) -> Result<StartCampaignRows, StartError> {
        Ok(StartCampaignRows::Later)
    }
}

impl Rewriting {
    /// The text of a campaign with what was read for it in its list, every line behind the list in its
    /// place if the list's layout allows it. `None` if nothing was read.
    ///
    /// # Errors
    /// If the campaign is too long with all architectures, or what is left for later cannot be
    /// kept in this layout.
    pub(in super::super) fn written_out(
        &self,
        text: &str,
        spec: &CampaignSpec,
    ) -> Result<Option<String>, Faults> {
        let Some(extent) = self.read else { return Ok(None) };
        let resolved = spec.to_yaml();
        let same = |text: &String| {
            let written = CampaignSpec::parse_with(text, &LeavesCampaigns);
            written.is_ok_and(|(written, _)| written.to_yaml() == resolved)
        };
        let list = with_later(spec, &self.later);
        let in_place = replaced(text, &list, extent).filter(same);
        let whole = || Some(resolved.clone()).filter(|text| self.later.is_empty() && same(text));
        let fault = || {
            let count = spec.start.len();
            let (message, help) = match self.later.is_empty() {
                true => (
                    format!("with the {count} architectures the campaign is too long"),
                    "take fewer of a file or a campaign by `at_most`",
                ),
                false => (
                    format!("the {count} architectures cannot be written into this list"),
                    "take fewer of a file by `at_most`, and use no anchors in a list that names \
                     both files and campaigns",
                ),
            };
            Faults::single(extent.0.fault("start", message, Some(help.to_owned())))
        };
        in_place.or_else(whole).map(Some).ok_or_else(fault)
    }
}

/// The elements of the list.
fn with_later(spec: &CampaignSpec, later: &[Later]) -> Vec<Value> {
    let names = spec.start.iter().map(|(given, _)| spec.space.format(given).into());
    let mut list: Vec<Value> = names.collect();
    for (added, Later { behind, entry }) in later.iter().enumerate() {
        list.insert(behind + added, entry.clone());
    }
    list
}

/// `text` with the `list` in one line from `begin` and as many lines as before up
/// to `end`.
fn replaced(text: &str, list: &[Value], (begin, end): (Place, Place)) -> Option<String> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let (mut from, to) = (offset(text, begin)?, offset(text, end)?);
    if !text.get(from..)?.starts_with(['[', '-']) {
        // A list that is not indented is said to begin at its first element.
        from = text.get(..from)?.trim_end().strip_suffix('-')?.len();
    }
    let (before, after) = (text.get(..from)?, text.get(to..)?);
    let lines = text.get(from..to)?.matches('\n').count();
    let list = serde_json::to_string(list).ok()?;
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
