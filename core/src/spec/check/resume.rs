//! `resume`: a stage that continues the training of an earlier one. It must not know which trainings can be
//! continued: each evaluator's entry does.

use super::Placed;
use crate::spec::document::shortened;
use crate::spec::evaluator::{EVALUATORS, EvaluatorEntry};
use crate::spec::section::Item;
use crate::spec::{Stage, spelling};

/// The stage that is named is an earlier one of the same evaluator, which can continue it.
pub(super) fn check(item: &Item<'_>, stage: &Stage, earlier: &[Placed<'_, Stage>]) {
    let (Some(section), Some(name)) = (item.section(), &stage.resume) else { return };
    let Some(before) = earlier.iter().find(|before| before.value.name == *name) else {
        let names = earlier.iter().map(|before| before.value.name.as_ref());
        let help = match earlier.is_empty() {
            true => "remove it: this is the first stage".to_owned(),
            false => spelling::advice(name, names),
        };
        let message = format!("no stage before this one is called `{}`", shortened(name));
        return section.fault("resume", message, help);
    };
    let before = &before.value;
    if before.repeats > 1 {
        let message = format!(
            "stage `{name}` trains each candidate {} times, so there is not one training to go on with",
            before.repeats
        );
        return section.fault("resume", message, "remove it, or the `repeats` of that stage");
    }
    if stage.repeats > 1 {
        let message = "a training that goes on has its random numbers from its beginning, so every \
                       repeat would be the same";
        return section.fault("repeats", message, "remove it, or `resume`");
    }
    if before.evaluator != stage.evaluator {
        let message = format!(
            "stage `{name}` is evaluated by `{}` and this one by `{}`",
            before.evaluator, stage.evaluator
        );
        return section.fault("resume", message, "a training goes on in the same evaluator");
    }
    let Some(entry) = EvaluatorEntry::find(&stage.evaluator) else { return };
    let Some(discontinuity) = entry.continues else {
        let able = EVALUATORS.iter().filter(|entry| entry.continues.is_some());
        let able: Vec<_> = able.map(|entry| format!("`{}`", entry.name)).collect();
        let message = format!("`{}` trains nothing that could go on", stage.evaluator);
        let help = format!("remove it; it is for {}", able.join(" and "));
        return section.fault("resume", message, help);
    };
    if let Some(found) = discontinuity(&before.settings, &stage.settings) {
        section.fault("resume", format!("stage `{name}` {}", found.message), found.help);
    }
}
