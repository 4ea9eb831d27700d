//! The operator's rules as the journal keeps them. Must not know how an operator writes them.

use std::collections::BTreeMap;
use std::sync::Arc;

use cambrian_core::energy::Energy;
use cambrian_core::engine::{FleetPolicy, QuarantineRule, UserBudget, UserPolicy};

use super::{ConvertError, Within, positive, required, span};
use crate::v1;

impl From<&FleetPolicy> for v1::PolicySet {
    fn from(policy: &FleetPolicy) -> Self {
        let rule = &policy.quarantine;
        Self {
            users: policy.users.iter().map(|(name, user)| user_message(name, user)).collect(),
            others: Some(user_message("", &policy.others)),
            quarantine: Some(v1::QuarantineRule {
                failures: rule.failures,
                of_last: rule.of_last,
                release_after_micros: rule.release_after.map_or(0, |span| span.0),
            }),
            shared_results: policy.shared_results,
        }
    }
}

fn user_message(name: &str, user: &UserPolicy) -> v1::UserPolicy {
    v1::UserPolicy {
        name: name.to_owned(),
        weight: user.weight,
        max_priority: user.max_priority,
        evaluations: user.budget.evaluations,
        slot_micros: user.budget.slot_time.map(|span| span.0),
        microjoules: user.budget.energy.map(|energy| energy.0),
    }
}

impl TryFrom<v1::PolicySet> for FleetPolicy {
    type Error = ConvertError;

    fn try_from(message: v1::PolicySet) -> Result<Self, ConvertError> {
        // Whatever a configuration of an earlier release called its users.
        let mut users: BTreeMap<Arc<str>, UserPolicy> = BTreeMap::new();
        for (index, found) in message.users.iter().enumerate() {
            let key = Arc::from(found.name.as_str());
            users.insert(key, user(found).within_entry("users", index)?);
        }
        let others = required("others", message.others)?;
        let rule = required("quarantine", message.quarantine)?;
        let release = span("release_after_micros", rule.release_after_micros);
        let release = release.within("quarantine")?;
        let quarantine = QuarantineRule {
            failures: rule.failures,
            of_last: rule.of_last,
            release_after: (release.0 > 0).then_some(release),
        };
        let others = user(&others).within("others")?;
        Ok(Self { users, others, quarantine, shared_results: message.shared_results })
    }
}

fn user(message: &v1::UserPolicy) -> Result<UserPolicy, ConvertError> {
    let slot_time = message.slot_micros.map(|micros| span("slot_micros", micros)).transpose()?;
    Ok(UserPolicy {
        weight: positive("weight", message.weight)?,
        max_priority: message.max_priority,
        budget: UserBudget {
            evaluations: message.evaluations,
            slot_time,
            energy: message.microjoules.map(Energy),
        },
    })
}
