//! Attempts that do not end their task: what they leave, and what they took where their leases had ended
//! before they said so. Must not know the engine's state.

use cambrian_core::id::{Attempt, TaskId, WorkerId};
use cambrian_core::time::Span;

use super::Ledger;

impl Ledger {
    /// The holder of the latest attempt says once what it leaves, before anything else about its end;
    /// that of an attempt whose lease has ended also what it took, once.
    pub(super) fn yield_attempt(
        &mut self,
        task: TaskId,
        (attempt, worker): (Attempt, WorkerId),
        leaves: bool,
        elapsed: Span,
    ) -> Result<(), String> {
        let account = self.live(task)?;
        let owed = account.owing.remove(&(attempt, worker));
        let latest = account.attempt == attempt && account.worker == Some(worker);
        let twice = latest && std::mem::replace(&mut account.yielded, attempt) == attempt;
        let holds = latest && account.leased && account.reported != attempt;
        account.elapsed = account.elapsed + elapsed;
        let id = account.candidate;
        let candidate = self.candidate(id)?;
        candidate.elapsed = candidate.elapsed + elapsed;
        if twice || !(owed || holds) || (leaves && !latest) {
            return Err(format!("attempt {attempt} of task {task} leaves its state out of turn"));
        }
        if !owed && elapsed > Span(0) {
            return Err(format!("the time of attempt {attempt} of task {task} counts twice"));
        }
        Ok(())
    }

    /// The holder of the latest attempt saves its state as often as it likes, until its end is said.
    pub(super) fn save_state(
        &mut self,
        task: TaskId,
        attempt: Attempt,
        worker: WorkerId,
    ) -> Result<(), String> {
        let account = self.live(task)?;
        let latest = account.attempt == attempt && account.worker == Some(worker);
        if !latest || account.reported == attempt || account.yielded == attempt {
            return Err(format!("attempt {attempt} of task {task} saves its state out of turn"));
        }
        Ok(())
    }

    /// The energy of an attempt counts once, before its end.
    pub(super) fn use_energy(&mut self, task: TaskId, attempt: Attempt) -> Result<(), String> {
        let account = self.live(task)?;
        let twice = !account.energy_of.insert(attempt);
        let ends = account.attempt == attempt && account.reported != attempt;
        let owed = account.owing.iter().any(|(owing, _)| *owing == attempt);
        if twice || !(ends || owed) {
            return Err(format!("energy of attempt {attempt} of task {task} counts out of turn"));
        }
        Ok(())
    }
}
