//! The specifications of campaigns, by which genotypes and the names of stages are written for the
//! tables. Reading one can take seconds, so each is kept, but for those of an append that failed.
//! Must not know where campaigns are stored.

use std::collections::BTreeMap;
use std::sync::Arc;

use cambrian_core::id::CampaignId;
use cambrian_core::spec::CampaignSpec;

use super::StoreError;

/// The specifications that a store knows.
#[derive(Debug, Default)]
pub(super) struct Specs {
    known: BTreeMap<CampaignId, Arc<CampaignSpec>>,
    /// Those that the append under way has brought.
    submitted: Vec<CampaignId>,
}

impl Specs {
    pub(super) fn get(&self, campaign: CampaignId) -> Option<&Arc<CampaignSpec>> {
        self.known.get(&campaign)
    }

    /// Knows a campaign that is stored.
    pub(super) fn know(&mut self, campaign: CampaignId, spec: &Arc<CampaignSpec>) {
        self.known.insert(campaign, spec.clone());
    }

    /// Reads a campaign that is stored, and knows it from now on.
    ///
    /// # Errors
    /// If the text is no specification.
    pub(super) fn read(
        &mut self,
        campaign: CampaignId,
        resolved_yaml: &str,
    ) -> Result<&Arc<CampaignSpec>, StoreError> {
        let spec = CampaignSpec::parse_resolved(resolved_yaml).map_err(|faults| {
            StoreError::Failed(format!("the stored campaign {campaign} is not valid: {faults}"))
        })?;
        Ok(self.known.entry(campaign).insert_entry(Arc::new(spec)).into_mut())
    }

    /// Knows a campaign of an append that may yet fail.
    pub(super) fn submit(&mut self, campaign: CampaignId, spec: &Arc<CampaignSpec>) {
        self.know(campaign, spec);
        self.submitted.push(campaign);
    }

    /// The append is stored.
    pub(super) fn keep(&mut self) {
        self.submitted.clear();
    }

    /// The append came to nothing.
    pub(super) fn undo(&mut self) {
        for campaign in self.submitted.drain(..) {
            self.known.remove(&campaign);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::CAMPAIGN;

    #[test]
    fn an_append_that_fails_takes_back_what_it_alone_has_brought() {
        let spec = Arc::new(CampaignSpec::parse(CAMPAIGN).unwrap());
        let [first, second, third] = [1, 2, 3].map(CampaignId);
        let mut specs = Specs::default();
        specs.submit(first, &spec);
        specs.keep();
        specs.submit(second, &spec);
        specs.read(third, &spec.to_yaml()).unwrap();
        specs.undo();
        assert_eq!(
            [first, second, third].map(|campaign| specs.get(campaign).is_some()),
            [true, false, true]
        );
    }
}
