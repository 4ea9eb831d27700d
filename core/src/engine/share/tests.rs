//! The order of service against a naive version, and the shares that come of it.

use proptest::prelude::*;

use super::*;

const A: CampaignId = CampaignId(1);
const B: CampaignId = CampaignId(2);
const C: CampaignId = CampaignId(3);

fn seconds(seconds: u64) -> Timestamp {
    Timestamp(1_700_000_000_000_000 + seconds * 1_000_000)
}

/// Campaigns that always have work: owner, priority, weight.
fn open(campaigns: &[(CampaignId, &str, i32, u32)]) -> Shares {
    let mut shares = Shares::default();
    for (id, owner, priority, weight) in campaigns {
        shares.enrol(*id, owner, *priority, *weight);
        shares.set_open(*id, true, seconds(0));
    }
    shares
}

fn order(shares: &Shares) -> Vec<CampaignId> {
    let mut places = Vec::new();
    while let Some(place) = shares.after(places.last().copied()) {
        places.push(place);
    }
    places.iter().map(Place::campaign).collect()
}

/// Slot time by campaign of `slots` slots that are always full, over `length`, with evaluations of
/// so many seconds.
fn served(
    shares: &mut Shares,
    slots: usize,
    length: u64,
    duration: impl Fn(CampaignId) -> u64,
) -> BTreeMap<CampaignId, u64> {
    let mut used = BTreeMap::new();
    let mut ends: BTreeSet<(u64, usize, CampaignId, u64)> = BTreeSet::new();
    let mut now = 0;
    for slot in 0.. {
        if slot >= slots {
            let Some((end, _, id, began)) = ends.pop_first() else { break };
            now = end;
            if now > length {
                break;
            }
            shares.renew(seconds(now));
            shares.settle(id, Span::from_secs(now - began), seconds(now));
            shares.end(id, seconds(began), seconds(now));
            *used.entry(id).or_default() += now - began;
        }
        let next = shares.after(None).expect("somebody has work").campaign();
        shares.begin(next, seconds(now));
        ends.insert((now + duration(next), slot, next, now));
    }
    used
}

fn share_of(used: &BTreeMap<CampaignId, u64>, id: CampaignId) -> f64 {
    used[&id] as f64 / used.values().sum::<u64>() as f64
}

#[test]
fn slot_time_follows_the_weights_however_long_evaluations_are() {
    for slots in [1, 2, 5, 64] {
        for (long, short) in [(100, 100), (1_000, 100), (100, 1_000), (3_600, 10)] {
            let mut shares = open(&[(A, "ada", 0, 3), (B, "ada", 0, 1)]);
            let used = served(&mut shares, slots, 400_000, |id| if id == A { long } else { short });
            let share = share_of(&used, A);
            assert!((share - 0.75).abs() < 0.02, "{slots} slots, {long} s and {short} s: {share}");
        }
    }
}

#[test]
fn users_share_before_their_campaigns_do() {
    let mut shares = open(&[(A, "ada", 0, 1), (B, "ada", 0, 1), (C, "bob", 0, 1)]);
    let used = served(&mut shares, 8, 100_000, |id| 50 * u64::from(id.0));
    assert!((share_of(&used, C) - 0.5).abs() < 0.02, "{used:?}");
    assert!((share_of(&used, A) - 0.25).abs() < 0.02, "{used:?}");
    let mut shares = open(&[(A, "ada", 0, 1), (B, "bob", 0, 100)]);
    shares.set_user_weight("ada", 3, seconds(0));
    let used = served(&mut shares, 8, 100_000, |_| 70);
    assert!((share_of(&used, A) - 0.75).abs() < 0.02, "{used:?}");
}

#[test]
fn a_higher_priority_goes_first_whatever_was_used() {
    let mut shares = open(&[(A, "ada", 0, 1_000), (B, "bob", 5, 1)]);
    for _ in 0..20 {
        assert_eq!(order(&shares), [B, A]);
        shares.begin(B, seconds(0));
    }
    shares.set_open(B, false, seconds(1));
    assert_eq!(order(&shares), [A]);
}

#[test]
fn slots_in_use_count_at_once() {
    let mut shares = open(&[(A, "ada", 0, 3), (B, "ada", 0, 1)]);
    let mut given = BTreeMap::<CampaignId, u32>::new();
    for _ in 0..100 {
        let next = shares.after(None).unwrap().campaign();
        shares.begin(next, seconds(0));
        *given.entry(next).or_default() += 1;
    }
    assert_eq!(given[&A], 75);
}

#[test]
fn nobody_claims_time_in_which_it_wanted_nothing() {
    let mut shares = open(&[(A, "ada", 0, 1)]);
    served(&mut shares, 4, 500_000, |_| 100);
    shares.enrol(B, "bob", 0, 1);
    shares.set_open(B, true, seconds(500_000));
    let later = |seconds: u64| seconds + 500_000;
    // The slots of A end one by one; B gets its half and no more.
    let mut given = BTreeMap::<CampaignId, u32>::new();
    for end in 0..40 {
        shares.end(A, seconds(0), seconds(later(end)));
        let next = shares.after(None).unwrap().campaign();
        shares.begin(next, seconds(later(end)));
        *given.entry(next).or_default() += 1;
        shares.end(next, seconds(later(end)), seconds(later(end)));
        shares.settle(next, Span::from_secs(100), seconds(later(end)));
    }
    assert!(given[&B] <= 24, "{given:?}");
}

proptest! {
    /// Whatever happens, the order is that of the keys, computed anew.
    #[test]
    fn the_order_is_that_of_used_slot_time_by_weight(
        steps in proptest::collection::vec((0u8..6, 0u32..6, 1u64..5_000), 1..120),
    ) {
        let mut shares = Shares::default();
        let owner = |id: u32| ["ada", "bob", "eve"][id as usize % 3];
        for id in 0..6 {
            shares.enrol(CampaignId(id), owner(id), (id / 4) as i32, 1 + id);
        }
        let (mut now, mut leases) = (0, Vec::new());
        for (kind, id, amount) in steps {
            let id = CampaignId(id);
            now += amount % 97;
            shares.renew(seconds(now));
            match kind {
                0 => shares.set_open(id, amount % 3 == 0, seconds(now)),
                1 => {
                    shares.begin(id, seconds(now));
                    leases.push((id, now));
                }
                2 => if let Some((id, began)) = leases.pop() {
                    shares.end(id, seconds(began), seconds(now));
                },
                3 => shares.settle(id, Span::from_secs(amount), seconds(now)),
                4 => shares.set_user_weight(owner(id.0), 1 + amount as u32 % 9, seconds(now)),
                _ => shares.set_priority(id, (amount % 3) as i32),
            }
            let mut expected: Vec<_> = (0..6).map(CampaignId).filter(|id| shares.is_open(*id)).map(|id| {
                let seat = shares.seats[&id];
                let user = (shares.between_users.key(seat.user), seat.user);
                (seat.class, user, shares.of_campaign(id).unwrap().key, id)
            }).collect();
            expected.sort();
            let expected: Vec<_> = expected.into_iter().map(|(.., id)| id).collect();
            prop_assert_eq!(order(&shares), expected);
            for user in shares.between_users.members.values() {
                prop_assert!(user.key <= user.at(seconds(now)), "a key is ahead of its time");
            }
        }
    }
}
