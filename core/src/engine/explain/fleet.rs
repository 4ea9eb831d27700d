//! Which workers could take something, and what keeps the others from it: a line for all of whom the same is
//! true. Must not know what it is that they could take.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::super::state::State;
use super::super::worker::Worker;

/// So many workers of a line are named, the others counted.
const NAMED: usize = 3;
/// So many lines are told at most; the workers beyond are counted.
const MOST_LINES: usize = 20;

/// How a worker stands to what waits, in the order in which it is told.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Standing {
    Ready,
    Full,
    Lacks(String),
    Away,
    Drains,
    Quarantine(String),
}

impl Standing {
    fn of(worker: &Worker, lack: impl Fn(&Worker) -> Option<String>) -> Self {
        if !worker.connected {
            return Self::Away;
        }
        if let Some(quarantine) = &worker.quarantine {
            return Self::Quarantine(quarantine.reason.to_string());
        }
        if worker.is_draining() {
            return Self::Drains;
        }
        match lack(worker) {
            Some(lack) => Self::Lacks(lack),
            None if worker.room() == 0 => Self::Full,
            None => Self::Ready,
        }
    }

    /// Standings that differ in their reasons alone have the same rank.
    fn rank(&self) -> u8 {
        match self {
            Self::Ready => 0,
            Self::Full => 1,
            Self::Lacks(_) => 2,
            Self::Away => 3,
            Self::Drains => 4,
            Self::Quarantine(_) => 5,
        }
    }
}

impl State {
    /// Who could take something, who lacks what `lack` says, and who is full, away, drains or is in quarantine.
    pub(super) fn worker_lines(&self, lack: impl Fn(&Worker) -> Option<String>) -> Vec<String> {
        if self.workers.is_empty() {
            return vec!["no worker has ever registered".into()];
        }
        let mut found = BTreeMap::<Standing, Vec<&Worker>>::new();
        for worker in self.workers.values() {
            found.entry(Standing::of(worker, &lack)).or_default().push(worker);
        }
        let mut found: Vec<_> = found.into_iter().collect();
        found.sort_by_key(|(standing, workers)| (standing.rank(), Reverse(workers.len())));
        let beyond: usize = found.iter().skip(MOST_LINES).map(|(_, workers)| workers.len()).sum();
        let lines = found.iter().take(MOST_LINES);
        let mut lines: Vec<_> =
            lines.map(|(standing, workers)| self.line_of(standing, workers)).collect();
        if beyond > 0 {
            lines.push(format!("{beyond} workers more get nothing, for other reasons"));
        }
        lines
    }

    fn line_of(&self, standing: &Standing, workers: &[&Worker]) -> String {
        let (who, one) = (names(workers), workers.len() == 1);
        let (has, is) = if one { ("has", "is") } else { ("have", "are") };
        match standing {
            Standing::Ready => format!("{who} can and {has} room"),
            Standing::Full => format!("{who} could, but {is} full"),
            Standing::Lacks(lack) => format!("{who} cannot: {lack}"),
            Standing::Away => {
                let seen = workers.iter().map(|worker| worker.last_seen).max();
                let ago = self.now.since(seen.unwrap_or(self.now));
                let whose = if one { "last" } else { "the last of them" };
                format!("{who} {is} away, {whose} seen {ago} ago")
            }
            Standing::Drains if one => format!("{who} drains and takes nothing more"),
            Standing::Drains => format!("{who} drain and take nothing more"),
            Standing::Quarantine(reason) => format!("{who} {is} in quarantine: {reason}"),
        }
    }
}

/// The workers in words: the first by name, the others by their number.
fn names(workers: &[&Worker]) -> String {
    let told = if workers.len() > NAMED + 1 { NAMED } else { workers.len() };
    let (named, counted) = workers.split_at(told);
    let mut named: Vec<&str> = named.iter().map(|worker| &*worker.name).collect();
    let last = match counted.len() {
        0 => named.pop().unwrap_or_default().to_owned(),
        more => format!("{more} more"),
    };
    if named.is_empty() { last } else { format!("{} and {last}", named.join(", ")) }
}
