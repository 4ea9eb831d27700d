//! What attempts took, booked from the outside: each attempt's time and energy count once, and whoever has
//! spent a budget gets no further lease, so that it is exceeded by what was in work and by nothing else.
//!
//! It must not know how the engine counts: only the sums are compared.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::ledger::{Breach, require};
use super::worker::MICROJOULES_PER_MICROSECOND;
use crate::energy::Energy;
use crate::engine::{Event, FleetPolicy, State};
use crate::id::{Attempt, AttemptId, CampaignId, TaskId};
use crate::time::{Span, Timestamp};

#[derive(Default)]
struct Account {
    owner: Arc<str>,
    slot_time: Span,
    energy: Energy,
    slot_budget: Option<Span>,
}

#[derive(Default)]
struct Books {
    policy: FleetPolicy,
    campaigns: BTreeMap<CampaignId, Account>,
    of_task: BTreeMap<TaskId, CampaignId>,
    latest: BTreeMap<TaskId, Attempt>,
    time: BTreeMap<AttemptId, Span>,
    energy: BTreeMap<AttemptId, Energy>,
}

/// Books a whole journal and compares it with what the engine has counted, and with the time that
/// evaluations took.
pub(super) fn check(
    journal: &[(Timestamp, Event)],
    state: &State,
    busy: Span,
) -> Result<(), Breach> {
    let mut books = Books::default();
    for (_, event) in journal {
        books.book(event)?;
    }
    let mut sum = Span(0);
    for (id, account) in &books.campaigns {
        sum = sum + account.slot_time;
        let found = state.campaign(*id).map(|campaign| (campaign.slot_time(), campaign.energy()));
        require(found == Some((account.slot_time, account.energy)), || {
            format!("campaign {id} took {}, {}, not {found:?}", account.slot_time, account.energy)
        })?;
    }
    for (id, energy) in &books.energy {
        let time = books.time.get(id).map(|time| time.0 * MICROJOULES_PER_MICROSECOND);
        let AttemptId { task, attempt } = *id;
        require(time == Some(energy.0), || {
            format!("{:?} used {energy} in {time:?}", (task, attempt))
        })?;
    }
    require(sum <= busy, || format!("{sum} are counted of {busy} that evaluations took"))
}

impl Books {
    fn book(&mut self, event: &Event) -> Result<(), Breach> {
        match event {
            Event::PolicySet(policy) => self.policy = FleetPolicy::clone(policy),
            Event::CampaignSubmitted { campaign, spec, owner, .. } => {
                let owner = owner.clone().unwrap_or_default();
                let slot_budget = spec.budget.slot_time;
                let account = Account { owner, slot_budget, ..Account::default() };
                self.campaigns.insert(*campaign, account);
            }
            Event::TaskQueued { task, candidate, .. } => {
                self.of_task.insert(*task, candidate.campaign);
            }
            Event::TaskLeased { task, attempt, .. } => return self.lease(*task, *attempt),
            Event::EnergyUsed { task, attempt, energy } => {
                let twice = self.energy.insert(AttemptId::new(*task, *attempt), *energy).is_some();
                require(!twice, || format!("energy of attempt {attempt} of task {task} twice"))?;
                if let Some(account) = self.account(*task) {
                    account.energy = account.energy + *energy;
                }
            }
            Event::AttemptYielded { task, attempt, elapsed, .. } if elapsed.0 > 0 => {
                return self.charge(AttemptId::new(*task, *attempt), *elapsed);
            }
            Event::TaskCompleted { task, attempt, elapsed, .. }
            | Event::AttemptFailed { task, attempt, elapsed, .. } => {
                return self.charge(AttemptId::new(*task, *attempt), *elapsed);
            }
            // It says that the attempt took no time at all.
            Event::AttemptYielded { task, attempt, elapsed, .. } => {
                self.time.entry(AttemptId::new(*task, *attempt)).or_insert(*elapsed);
            }
            _ => {}
        }
        Ok(())
    }

    fn account(&mut self, task: TaskId) -> Option<&mut Account> {
        self.campaigns.get_mut(self.of_task.get(&task)?)
    }

    fn charge(&mut self, id: AttemptId, elapsed: Span) -> Result<(), Breach> {
        let before = self.time.insert(id, elapsed).unwrap_or_default();
        let AttemptId { task, attempt } = id;
        require(before.0 == 0, || {
            format!("the time of attempt {attempt} of task {task} counts twice")
        })?;
        if let Some(account) = self.account(task) {
            account.slot_time = account.slot_time + elapsed;
        }
        Ok(())
    }

    /// A holder that comes back with its attempt goes on; whoever else gets a lease has budget left.
    fn lease(&mut self, task: TaskId, attempt: Attempt) -> Result<(), Breach> {
        if self.latest.insert(task, attempt) == Some(attempt) {
            return Ok(());
        }
        let Some(account) = self.of_task.get(&task).and_then(|id| self.campaigns.get(id)) else {
            return Ok(());
        };
        let (owner, used) = (account.owner.clone(), account.slot_time);
        let open = account.slot_budget.is_none_or(|budget| used < budget);
        require(open, || format!("task {task} is leased on a spent budget, {used} in slots"))?;
        let of_owner = self.campaigns.values().filter(|account| account.owner == owner);
        let used = of_owner.fold(Span(0), |sum, account| sum + account.slot_time);
        let budget = self.policy.of_user(&owner).budget.slot_time;
        require(budget.is_none_or(|budget| used < budget), || {
            format!("task {task} is leased on the spent budget of {owner:?}, {used} in slots")
        })
    }
}
