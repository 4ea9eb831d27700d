//! Several coordinators of which one leads: what the others say, and in which order a client tries
//! them.
//!
//! Must not know how a leader is chosen.

use tonic::metadata::MetadataValue;
use tonic::{Code, Status};

/// Marks a refusal by a coordinator that does not lead: the call had no effect.
const ROLE: &str = "cambrian-role";
const STANDBY: &str = "standby";
/// Where the leader is reached, as far as the standby knows.
const LEADER: &str = "cambrian-leader";

/// The refusal of a coordinator that does not lead.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standby {
    /// Where the leader is reached; `None` while there is none.
    pub leader: Option<String>,
}

impl Standby {
    /// The refusal as a status.
    #[must_use]
    pub fn status(&self) -> Status {
        let mut status = Status::unavailable(match &self.leader {
            Some(leader) => format!("this coordinator stands by; {leader} leads"),
            None => "this coordinator stands by, and none leads at present; try again in a moment"
                .to_owned(),
        });
        status.metadata_mut().insert(ROLE, MetadataValue::from_static(STANDBY));
        if let Some(leader) = self.leader.as_deref().and_then(|leader| leader.parse().ok()) {
            status.metadata_mut().insert(LEADER, leader);
        }
        status
    }

    /// The refusal that a status is, if it is one.
    #[must_use]
    pub fn of(status: &Status) -> Option<Self> {
        let text = |key| status.metadata().get(key).and_then(|value| value.to_str().ok());
        if status.code() != Code::Unavailable || text(ROLE) != Some(STANDBY) {
            return None;
        }
        Some(Self { leader: text(LEADER).map(str::to_owned) })
    }
}

/// What to do after an attempt that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Try the next one at once.
    AtOnce,
    /// All have been tried: wait first.
    Pause {
        /// Whether one of them stands by, so that there will be a leader within seconds.
        soon: bool,
    },
}

/// How many refusals that point to one that does not answer are waited out, since it may have the lease
/// without serving. With half a second between them they last longer than such a lease.
const DISTRUSTED: u32 = 8;

/// A coordinator that does not answer.
#[derive(Debug, Clone)]
struct Silent {
    address: String,
    /// How many refusals that point to it are waited out from now on.
    left: u32,
    /// Whether it is known by the address that refusals name, which need not be the listed one.
    named: bool,
}

/// The coordinators that a client knows, one of which it speaks with.
#[derive(Debug, Clone)]
pub struct Addresses {
    listed: Vec<String>,
    at: usize,
    /// Where a standby has pointed to.
    hint: Option<String>,
    tried: usize,
    standing_by: bool,
    silent: Option<Silent>,
    /// How often in a row one that was pointed to has refused at once.
    refused: u32,
}

impl Addresses {
    /// The addresses as the user lists them; the first is tried first.
    #[must_use]
    pub fn new(listed: Vec<String>) -> Self {
        Self { listed, at: 0, hint: None, tried: 0, standing_by: false, silent: None, refused: 0 }
    }

    /// Whether there is more than one to try.
    #[must_use]
    pub fn are_several(&self) -> bool {
        self.listed.len() > 1 || self.hint.is_some()
    }

    /// The one to speak with now; empty if none is listed.
    #[must_use]
    pub fn present(&self) -> &str {
        let listed = || self.listed.get(self.at).map_or("", String::as_str);
        self.hint.as_deref().unwrap_or_else(listed)
    }

    /// The present one serves.
    pub fn served(&mut self) {
        (self.tried, self.standing_by, self.silent, self.refused) = (0, false, None, 0);
    }

    /// The present one has served and fallen silent: it may stand still, or its machine be gone. Dialling
    /// it would take as long to find that out again, so the next one is asked first, who leads soon if
    /// that is so.
    pub fn fell_silent(&mut self) {
        let silent = self.present().to_owned();
        self.served();
        if !self.are_several() {
            return;
        }
        self.hint = None;
        if self.listed.get(self.at) == Some(&silent) {
            self.at = (self.at + 1) % self.listed.len().max(1);
        }
        self.silent = Some(Silent { address: silent, left: DISTRUSTED, named: false });
    }

    /// The present one could not be reached, which showed at once: a connection that is refused or breaks. As
    /// [`Self::failed`], but one that was pointed to is asked again after each pause, together with whoever
    /// points to it, since that costs nothing and the way to it may be free again; so for some seconds.
    pub fn refused(&mut self) -> Next {
        if self.hint.is_none() || self.refused >= DISTRUSTED {
            return self.failed(None);
        }
        self.hint = None;
        self.refused += 1;
        Next::Pause { soon: true }
    }

    /// The present one does not serve: moves on, to where it points or to the next one.
    pub fn failed(&mut self, refusal: Option<&Standby>) -> Next {
        self.standing_by |= refusal.is_some();
        let present = self.present().to_owned();
        let hinted = self.hint.take().is_some();
        if refusal.is_none() {
            if hinted {
                // Whoever has named it answers, and may lead itself before that one does again.
                self.silent = Some(Silent { address: present, left: DISTRUSTED, named: true });
                return Next::AtOnce;
            }
            // Where others do not answer, either, the way to them is at fault.
            self.silent.take_if(|silent| silent.address != present);
        }
        // Of two that point at each other neither leads, so no hint is taken from a hinted one.
        if !hinted && let Some(leader) = refusal.and_then(|refusal| self.trusted(refusal)) {
            let known = self.listed.contains(&leader);
            let suspect = |silent: &Silent| {
                // An unknown name may well be its.
                silent.address == leader || (!silent.named && !known)
            };
            match self.silent.as_mut().filter(|silent| suspect(silent)) {
                Some(silent) if silent.left > 0 => {
                    silent.left -= 1;
                    return Next::Pause { soon: true };
                }
                // It does not serve by that name; the list may have another.
                Some(silent) if silent.named => {}
                _ => {
                    self.hint = Some(leader);
                    return Next::AtOnce;
                }
            }
        }
        self.tried += 1;
        self.at = (self.at + 1) % self.listed.len().max(1);
        if self.tried < self.listed.len() {
            return Next::AtOnce;
        }
        let soon = self.standing_by;
        (self.tried, self.standing_by) = (0, false);
        Next::Pause { soon }
    }

    /// The leader's address, unless it is less protected than the one that names it.
    fn trusted(&self, refusal: &Standby) -> Option<String> {
        let encrypted = |address: &str| address.starts_with("https://");
        let listed = self.listed.get(self.at)?;
        let leader = refusal.leader.clone().filter(|leader| leader != listed)?;
        (encrypted(&leader) == encrypted(listed)).then_some(leader)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(listed: &[&str]) -> Addresses {
        Addresses::new(listed.iter().map(|text| (*text).to_owned()).collect())
    }

    fn led_by(leader: &str) -> Standby {
        Standby { leader: Some(leader.to_owned()) }
    }

    #[test]
    fn refusals_travel_as_statuses() {
        for refusal in [Standby::default(), led_by("http://b:1")] {
            assert_eq!(Standby::of(&refusal.status()), Some(refusal));
        }
        assert_eq!(Standby::of(&Status::unavailable("the journal could not be written")), None);
        assert_eq!(Standby::of(&led_by("no\nheader").status()), Some(Standby::default()));
    }

    #[test]
    fn each_is_tried_once_before_a_pause() {
        let mut list = addresses(&["http://a:1", "http://b:1"]);
        assert_eq!(list.present(), "http://a:1");
        assert_eq!(list.failed(None), Next::AtOnce);
        assert_eq!(list.present(), "http://b:1");
        assert_eq!(list.failed(None), Next::Pause { soon: false });
        assert_eq!(list.present(), "http://a:1");
        assert_eq!(list.failed(Some(&Standby::default())), Next::AtOnce);
        assert_eq!(list.failed(None), Next::Pause { soon: true });
        assert_eq!(addresses(&["http://a:1"]).failed(None), Next::Pause { soon: false });
    }

    #[test]
    fn one_that_has_fallen_silent_is_asked_after_the_others() {
        let mut list = addresses(&["http://a:1", "http://b:1"]);
        list.fell_silent();
        assert_eq!(list.present(), "http://b:1");
        for _ in 0..DISTRUSTED {
            assert_eq!(list.failed(Some(&led_by("http://a:1"))), Next::Pause { soon: true });
            assert_eq!(list.present(), "http://b:1", "it stays with the one that answers");
        }
        assert_eq!(list.failed(Some(&led_by("http://a:1"))), Next::AtOnce);
        assert_eq!(list.present(), "http://a:1", "it leads all the same");
        list.fell_silent();
        assert_eq!(list.present(), "http://b:1");
        assert_eq!(list.failed(None), Next::AtOnce, "no answer: it is tried without a hint");
        assert_eq!(list.present(), "http://a:1");
        assert_eq!(list.failed(None), Next::Pause { soon: false });
        assert_eq!(list.failed(Some(&led_by("http://a:1"))), Next::AtOnce, "it was not to blame");
        list.served();
        let mut alone = addresses(&["http://a:1"]);
        alone.fell_silent();
        assert_eq!(alone.present(), "http://a:1");
    }

    #[test]
    fn whoever_names_one_that_does_not_answer_is_asked_again_before_others() {
        // The leader is listed by another name than it gives itself.
        let named = Some(led_by("http://10.0.0.1:1"));
        let mut list = addresses(&["http://a:1", "http://b:1"]);
        list.fell_silent();
        for _ in 0..DISTRUSTED {
            assert_eq!(list.failed(named.as_ref()), Next::Pause { soon: true });
            assert_eq!(
                list.present(),
                "http://b:1",
                "who may lead before that one is found silent"
            );
        }
        assert_eq!(list.failed(named.as_ref()), Next::AtOnce);
        assert_eq!(list.present(), "http://10.0.0.1:1");
        assert_eq!(list.failed(None), Next::AtOnce);
        for _ in 0..DISTRUSTED {
            assert_eq!(list.present(), "http://b:1", "who may lead by now");
            assert_eq!(list.failed(named.as_ref()), Next::Pause { soon: true });
        }
        assert_eq!(list.failed(named.as_ref()), Next::AtOnce);
        assert_eq!(list.present(), "http://a:1", "which may be reached where its own name is not");
        list.served();

        let mut list = addresses(&["http://a:1", "http://b:1", "http://c:1"]);
        list.fell_silent();
        assert_eq!(list.failed(Some(&led_by("http://c:1"))), Next::AtOnce, "that is another one");
        assert_eq!(list.present(), "http://c:1");
    }

    #[test]
    fn a_leader_that_refuses_at_once_is_asked_again_after_each_pause() {
        let mut list = addresses(&["http://a:1", "http://b:1"]);
        let named = Some(led_by("http://10.0.0.1:1"));
        for _ in 0..DISTRUSTED {
            assert_eq!(list.failed(named.as_ref()), Next::AtOnce);
            assert_eq!(list.present(), "http://10.0.0.1:1");
            assert_eq!(list.refused(), Next::Pause { soon: true });
            assert_eq!(list.present(), "http://a:1", "who may lead by now");
        }
        // From then on it is one that does not answer.
        assert_eq!(list.failed(named.as_ref()), Next::AtOnce);
        assert_eq!(list.refused(), Next::AtOnce);
        assert_eq!(list.failed(named.as_ref()), Next::Pause { soon: true });
        assert_eq!(list.present(), "http://a:1");
        list.served();
        assert_eq!(list.failed(named.as_ref()), Next::AtOnce);
        assert_eq!(list.refused(), Next::Pause { soon: true }, "it has a new start");
        let mut unhinted = addresses(&["http://a:1", "http://b:1"]);
        assert_eq!(unhinted.refused(), Next::AtOnce);
        assert_eq!(unhinted.present(), "http://b:1");
        assert_eq!(unhinted.refused(), Next::Pause { soon: false });
    }

    #[test]
    fn hints_are_followed_once_and_never_to_less_protection() {
        let mut list = addresses(&["http://a:1", "http://b:1"]);
        assert_eq!(list.failed(Some(&led_by("http://c:1"))), Next::AtOnce);
        assert_eq!(list.present(), "http://c:1");
        assert_eq!(list.failed(Some(&led_by("http://a:1"))), Next::AtOnce);
        assert_eq!(list.present(), "http://b:1", "a hint of a hinted one was taken");
        assert_eq!(list.failed(Some(&led_by("http://b:1"))), Next::Pause { soon: true });
        let mut list = addresses(&["https://a:1"]);
        assert_eq!(list.failed(Some(&led_by("http://c:1"))), Next::Pause { soon: true });
        assert_eq!(list.present(), "https://a:1");
        assert_eq!(list.failed(Some(&led_by("https://c:1"))), Next::AtOnce);
        list.served();
        assert_eq!(list.present(), "https://c:1", "it stays where it is served");
    }
}
