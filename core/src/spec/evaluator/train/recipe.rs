//! What has to be the same for one training to continue another. It must not know what a checkpoint holds.

use super::super::{Objection, to_json};
use super::TrainSettings;

/// Settings in which a stage may differ from the one that it continues: how long it trains, the
/// learning rate on the way, and what is measured afterwards.
const FREE: [&str; 12] = [
    "epochs",
    "learning_rate",
    "schedule",
    "schedule_epochs",
    "step_epochs",
    "step_factor",
    "warmup_epochs",
    "test_samples",
    "introspectability",
    "flatness",
    "latency",
    "energy",
];

impl TrainSettings {
    /// What has to be the same for one training to continue another, as a JSON object.
    #[must_use]
    pub fn recipe(&self) -> serde_json::Value {
        recipe(to_json(self))
    }
}

fn recipe(mut settings: serde_json::Value) -> serde_json::Value {
    if let Some(settings) = settings.as_object_mut() {
        settings.retain(|key, _| !FREE.contains(&key.as_str()));
    }
    settings
}

/// What keeps a training with the settings `after` from continuing one with the settings `before`.
pub(super) fn discontinuity(
    before: &serde_json::Value,
    after: &serde_json::Value,
) -> Option<Objection> {
    let [one, other] = [before, after].map(|settings| recipe(settings.clone()));
    let keys = one.as_object().into_iter().flat_map(serde_json::Map::keys);
    let different = keys.filter(|key| one.get(key) != other.get(key));
    let different: Vec<_> = different.map(|key| format!("`{key}`")).collect();
    if !different.is_empty() {
        return Some(Objection {
            message: format!("trains by another recipe: it differs in {}", different.join(", ")),
            help: format!("only {} may differ", FREE.map(|key| format!("`{key}`")).join(", ")),
        });
    }
    let epochs = |settings: &serde_json::Value| settings.get("epochs").and_then(|at| at.as_u64());
    let (reached, wanted) = (epochs(before)?, epochs(after)?);
    (wanted <= reached).then(|| Objection {
        message: format!("trains for {reached} epochs already, and this one for {wanted} in all"),
        help: "write more `epochs`; those of the earlier stage are among them".to_owned(),
    })
}
