//! Who is served next: campaigns of a higher priority first; among equals, weighted fair shares of
//! slot time, first between users, then between the campaigns of a user (ADR 0026).
//!
//! A member of a group has *used* the time in slots of its attempts that were reported, and for each
//! lease in force the time since it began, as if it had begun [`ADVANCE`] earlier. Whoever has used
//! the least for its weight is next. So slots in use count at once and slot time in the long run,
//! however long the evaluations are. Must not know workers, tasks or why a campaign has work.
//!
//! Every operation takes O(log n) for n campaigns, but for [`Shares::renew`], which the passing of
//! time asks for every [`RENEWED_EVERY`] and which looks at those that have leases.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::Arc;

use crate::id::CampaignId;
use crate::time::{Span, Timestamp};

/// What a lease counts for at once. The larger, the more the slots in use now decide over the slot
/// time of the past.
const ADVANCE: Span = Span::from_secs(60);
/// How old the running time of leases may be in the order.
const RENEWED_EVERY: Span = Span::from_secs(5);
/// What a member that could not use its share may claim later, at most: this much time of all slots
/// that its group has in use.
const ARREARS: Span = Span::from_secs(3_600);

/// A user by order of appearance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct UserId(u32);

/// Used slot time by weight, in microseconds of a slot for each unit of weight.
type Key = i128;
/// A priority, the highest first.
type Class = Reverse<i32>;

/// What a member of a group has used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Usage {
    pub(super) weight: u32,
    /// Time in slots of reported attempts.
    pub(super) settled: Span,
    pub(super) leases: u64,
    /// The sum of the instants at which the leases began.
    pub(super) since: u128,
    /// What it has not used and counts, so that nobody claims time in which it wanted none.
    base: Key,
    /// The key under which it is filed.
    pub(super) key: Key,
}

impl Usage {
    fn new(weight: u32) -> Self {
        Self { weight, settled: Span(0), leases: 0, since: 0, base: 0, key: 0 }
    }

    /// The key at an instant.
    fn at(&self, now: Timestamp) -> Key {
        let ran = u128::from(self.leases) * u128::from(now.0) + self.advance();
        let used = u128::from(self.settled.0) + ran.saturating_sub(self.since);
        self.base + (used / u128::from(self.weight.max(1))) as Key
    }

    fn advance(&self) -> u128 {
        u128::from(self.leases) * u128::from(ADVANCE.0)
    }
}

/// Members that share.
#[derive(Debug, Clone)]
struct Group<M> {
    members: BTreeMap<M, Usage>,
    /// Members with leases, by key.
    busy: BTreeSet<(Key, M)>,
    /// The lowest key of a member with leases; it never falls.
    level: Key,
    leases: u64,
}

impl<M> Default for Group<M> {
    fn default() -> Self {
        Self { members: BTreeMap::new(), busy: BTreeSet::new(), level: 0, leases: 0 }
    }
}

impl<M: Ord + Copy> Group<M> {
    fn admit(&mut self, member: M, weight: u32) {
        self.members.entry(member).or_insert_with(|| Usage::new(weight));
    }

    fn key(&self, member: M) -> Key {
        self.members.get(&member).map_or(0, |usage| usage.key)
    }

    /// Changes a member and files it anew.
    fn change(&mut self, member: M, now: Timestamp, change: impl FnOnce(&mut Usage)) {
        let Some(usage) = self.members.get_mut(&member) else { return };
        self.busy.remove(&(usage.key, member));
        self.leases -= usage.leases;
        change(usage);
        usage.key = usage.at(now);
        self.leases += usage.leases;
        if usage.leases > 0 {
            self.busy.insert((usage.key, member));
        }
        if let Some((least, _)) = self.busy.first() {
            self.level = self.level.max(*least);
        }
    }

    /// The member is here again after it wanted nothing: it claims nothing of that time.
    fn join(&mut self, member: M, now: Timestamp) {
        self.raise(member, self.level, now);
    }

    fn begin(&mut self, member: M, now: Timestamp) {
        if self.members.get(&member).is_some_and(|usage| usage.leases == 0) {
            let arrears = i128::from(ARREARS.0) * i128::from(self.leases.max(1));
            self.raise(member, self.level - arrears, now);
        }
        self.change(member, now, |usage| {
            usage.leases += 1;
            usage.since += u128::from(now.0);
        });
    }

    fn raise(&mut self, member: M, least: Key, now: Timestamp) {
        let lacks = self.members.get(&member).map_or(0, |usage| least - usage.at(now));
        if lacks > 0 {
            self.change(member, now, |usage| usage.base += lacks);
        }
    }

    fn end(&mut self, member: M, began: Timestamp, now: Timestamp) {
        self.change(member, now, |usage| {
            usage.leases = usage.leases.saturating_sub(1);
            usage.since = usage.since.saturating_sub(u128::from(began.0));
        });
    }

    fn settle(&mut self, member: M, elapsed: Span, now: Timestamp) {
        self.change(member, now, |usage| usage.settled = usage.settled + elapsed);
    }

    fn busy(&self) -> Vec<M> {
        self.busy.iter().map(|(_, member)| *member).collect()
    }
}

/// A user's campaigns.
#[derive(Debug, Clone, Default)]
struct User {
    name: Arc<str>,
    campaigns: Group<CampaignId>,
    /// Those that have work to give, by priority and key.
    open: BTreeMap<Class, BTreeSet<(Key, CampaignId)>>,
}

/// Where a campaign belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seat {
    user: UserId,
    class: Class,
    open: bool,
}

/// A place in the order of service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    class: Class,
    user: (Key, UserId),
    campaign: (Key, CampaignId),
}

impl Place {
    pub(super) fn campaign(&self) -> CampaignId {
        self.campaign.1
    }

    pub(super) fn priority(&self) -> i32 {
        self.class.0
    }
}

/// The shares of all campaigns. Written by `apply` alone.
#[derive(Debug, Clone, Default)]
pub(super) struct Shares {
    names: BTreeMap<Arc<str>, UserId>,
    users: Vec<User>,
    between_users: Group<UserId>,
    seats: BTreeMap<CampaignId, Seat>,
    /// Users with a campaign that has work to give, by priority and key.
    classes: BTreeMap<Class, BTreeSet<(Key, UserId)>>,
    renewed: Timestamp,
}

impl Shares {
    /// The user of this name, who exists from now on.
    fn user(&mut self, name: &str) -> UserId {
        if let Some(id) = self.names.get(name) {
            return *id;
        }
        let (id, name) = (UserId(self.users.len() as u32), Arc::<str>::from(name));
        self.users.push(User { name: name.clone(), ..User::default() });
        self.names.insert(name, id);
        self.between_users.admit(id, 1);
        id
    }

    /// A user's weight against other users'.
    pub(super) fn set_user_weight(&mut self, name: &str, weight: u32, now: Timestamp) {
        let id = self.user(name);
        self.change_user(id, |group| {
            group.change(id, now, |usage| {
                let before = usage.at(now);
                usage.weight = weight;
                // What was used before counts as it did.
                usage.base += before - usage.at(now);
            });
        });
    }

    /// A campaign of `owner` exists; it has no work to give yet.
    pub(super) fn enrol(&mut self, id: CampaignId, owner: &str, priority: i32, weight: u32) {
        let user = self.user(owner);
        self.users[user.0 as usize].campaigns.admit(id, weight);
        self.seats.insert(id, Seat { user, class: Reverse(priority), open: false });
    }

    /// Another priority for a campaign.
    pub(super) fn set_priority(&mut self, id: CampaignId, priority: i32) {
        let Some(seat) = self.seats.get(&id).copied() else { return };
        self.unfile(id, seat);
        let seat = Seat { class: Reverse(priority), ..seat };
        self.seats.insert(id, seat);
        self.file(id, seat);
    }

    /// A campaign has work to give from now on, or has none.
    pub(super) fn set_open(&mut self, id: CampaignId, open: bool, now: Timestamp) {
        let Some(seat) = self.seats.get(&id).copied() else { return };
        if seat.open == open {
            return;
        }
        self.unfile(id, seat);
        if open {
            self.join(id, seat.user, now);
        }
        let seat = Seat { open, ..seat };
        self.seats.insert(id, seat);
        self.file(id, seat);
    }

    /// Whoever wanted nothing before claims nothing of that time.
    fn join(&mut self, id: CampaignId, user: UserId, now: Timestamp) {
        let found = &mut self.users[user.0 as usize];
        let idle = |usage: Option<&Usage>| usage.is_some_and(|usage| usage.leases == 0);
        let is_back = found.open.is_empty() && idle(self.between_users.members.get(&user));
        if idle(found.campaigns.members.get(&id)) {
            found.campaigns.join(id, now);
        }
        if is_back {
            self.change_user(user, |group| group.join(user, now));
        }
    }

    /// A lease began.
    pub(super) fn begin(&mut self, id: CampaignId, now: Timestamp) {
        self.change(id, |group, id| group.begin(id, now), |group, id| group.begin(id, now));
    }

    /// A lease that began at `began` is over.
    pub(super) fn end(&mut self, id: CampaignId, began: Timestamp, now: Timestamp) {
        let by_user = |group: &mut Group<UserId>, id| group.end(id, began, now);
        self.change(id, |group, id| group.end(id, began, now), by_user);
    }

    /// An attempt was reported.
    pub(super) fn settle(&mut self, id: CampaignId, elapsed: Span, now: Timestamp) {
        let by_user = |group: &mut Group<UserId>, id| group.settle(id, elapsed, now);
        self.change(id, |group, id| group.settle(id, elapsed, now), by_user);
    }

    fn change(
        &mut self,
        id: CampaignId,
        change: impl FnOnce(&mut Group<CampaignId>, CampaignId),
        change_user: impl FnOnce(&mut Group<UserId>, UserId),
    ) {
        let Some(seat) = self.seats.get(&id).copied() else { return };
        self.unfile(id, seat);
        change(&mut self.users[seat.user.0 as usize].campaigns, id);
        self.change_user(seat.user, |group| change_user(group, seat.user));
        self.file(id, seat);
    }

    /// Changes what a user has used and files the user anew in each class.
    fn change_user(&mut self, user: UserId, change: impl FnOnce(&mut Group<UserId>)) {
        let before = self.between_users.key(user);
        change(&mut self.between_users);
        let after = self.between_users.key(user);
        if before == after {
            return;
        }
        for class in self.users[user.0 as usize].open.keys() {
            if let Some(users) = self.classes.get_mut(class) {
                users.remove(&(before, user));
                users.insert((after, user));
            }
        }
    }

    fn unfile(&mut self, id: CampaignId, seat: Seat) {
        if !seat.open {
            return;
        }
        let user = &mut self.users[seat.user.0 as usize];
        let key = user.campaigns.key(id);
        let Some(open) = user.open.get_mut(&seat.class) else { return };
        open.remove(&(key, id));
        if !open.is_empty() {
            return;
        }
        user.open.remove(&seat.class);
        let key = self.between_users.key(seat.user);
        if let Some(users) = self.classes.get_mut(&seat.class) {
            users.remove(&(key, seat.user));
            if users.is_empty() {
                self.classes.remove(&seat.class);
            }
        }
    }

    fn file(&mut self, id: CampaignId, seat: Seat) {
        if !seat.open {
            return;
        }
        let user = &mut self.users[seat.user.0 as usize];
        let key = user.campaigns.key(id);
        user.open.entry(seat.class).or_default().insert((key, id));
        let key = self.between_users.key(seat.user);
        self.classes.entry(seat.class).or_default().insert((key, seat.user));
    }

    /// Takes into account how long the leases have run, if it is time to.
    pub(super) fn renew(&mut self, now: Timestamp) {
        if now.since(self.renewed) < RENEWED_EVERY {
            return;
        }
        self.renewed = now;
        for user in self.between_users.busy() {
            self.change_user(user, |group| group.change(user, now, |_| {}));
            for campaign in self.users[user.0 as usize].campaigns.busy() {
                let Some(seat) = self.seats.get(&campaign).copied() else { continue };
                self.unfile(campaign, seat);
                self.users[user.0 as usize].campaigns.change(campaign, now, |_| {});
                self.file(campaign, seat);
            }
        }
    }

    /// The first place in the order of service after `place`, or of all.
    pub(super) fn after(&self, place: Option<Place>) -> Option<Place> {
        let Some(place) = place else {
            let (class, users) = self.classes.first_key_value()?;
            return self.first_of(*class, *users.first()?);
        };
        let user = &self.users[place.user.1.0 as usize];
        let beside = user.open.get(&place.class);
        let next = beside.and_then(|open| open.range((Excluded(place.campaign), Unbounded)).next());
        if let Some(campaign) = next {
            return Some(Place { campaign: *campaign, ..place });
        }
        let users = self.classes.get(&place.class);
        let next = users.and_then(|users| users.range((Excluded(place.user), Unbounded)).next());
        if let Some(user) = next {
            return self.first_of(place.class, *user);
        }
        let (class, users) = self.classes.range((Excluded(place.class), Unbounded)).next()?;
        self.first_of(*class, *users.first()?)
    }

    fn first_of(&self, class: Class, user: (Key, UserId)) -> Option<Place> {
        let campaign = *self.users[user.1.0 as usize].open.get(&class)?.first()?;
        Some(Place { class, user, campaign })
    }

    /// The priority that a campaign is served by.
    pub(super) fn priority(&self, id: CampaignId) -> Option<i32> {
        self.seats.get(&id).map(|seat| seat.class.0)
    }

    /// Whether a campaign is in the order of service.
    pub(super) fn is_open(&self, id: CampaignId) -> bool {
        self.seats.get(&id).is_some_and(|seat| seat.open)
    }

    /// What a campaign has used, against others of its user.
    pub(super) fn of_campaign(&self, id: CampaignId) -> Option<&Usage> {
        let seat = self.seats.get(&id)?;
        self.users[seat.user.0 as usize].campaigns.members.get(&id)
    }

    /// What a user has used, against other users.
    pub(super) fn of_user(&self, name: &str) -> Option<&Usage> {
        self.between_users.members.get(self.names.get(name)?)
    }

    /// The campaigns of a user, ascending.
    pub(super) fn campaigns_of(&self, name: &str) -> Vec<CampaignId> {
        let user = self.names.get(name).map(|id| &self.users[id.0 as usize]);
        user.map(|user| user.campaigns.members.keys().copied().collect()).unwrap_or_default()
    }

    /// The names of all users, in order of appearance.
    pub(super) fn users(&self) -> impl Iterator<Item = &Arc<str>> {
        self.users.iter().map(|user| &user.name)
    }
}

#[cfg(test)]
mod tests;
