//! What the worker announces: the evaluators' own offer, with what only the worker knows.
//!
//! Must not know how devices are measured; evaluators say that.

use std::collections::BTreeMap;

use cambrian_proto::v1::Capabilities;

/// What the worker announces must hold for every slot; the difference in words, if there is one.
pub(crate) fn difference(announced: &Capabilities, offered: &Capabilities) -> Option<String> {
    if announced.device_class != offered.device_class {
        return Some(format!(
            "device class {} instead of {}; run one worker per class",
            offered.device_class, announced.device_class
        ));
    }
    if announced.evaluators != offered.evaluators {
        return Some("other evaluators, versions or metrics; restart the worker".to_owned());
    }
    if announced.datasets != offered.datasets {
        return Some(format!(
            "data sets {:?} instead of {:?}; restart the worker",
            offered.datasets, announced.datasets
        ));
    }
    if announced.dataset_offers != offered.dataset_offers {
        return Some("other content in its data sets; restart the worker".to_owned());
    }
    None
}

/// What the slots of a worker have of its memory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SlotMemory {
    /// What the processes of this machine may use, bytes, if that is known.
    pub(crate) available: Option<u64>,
    /// What one of them may have, bytes, if that is bounded.
    pub(crate) most: Option<u64>,
    /// How many slots share a device, at most.
    pub(crate) sharing: u64,
    /// Whether the device has memory of its own.
    pub(crate) on_gpu: bool,
}

impl SlotMemory {
    /// The memory of one slot, bytes, where the evaluator says that its device has `offered`; 0 if unknown.
    fn of_slot(self, offered: u64) -> u64 {
        let offered = Some(offered).filter(|bytes| *bytes > 0);
        let (device, most) = match self.on_gpu {
            true => (offered, None),
            false => {
                // An evaluator that sees its own bound speaks of itself and not of what all share.
                let of_all = offered.filter(|bytes| self.most.is_none_or(|most| *bytes > most));
                let most = self.most.map(|most| offered.map_or(most, |bytes| bytes.min(most)));
                (of_all.into_iter().chain(self.available).min(), most)
            }
        };
        let share = device.map(|bytes| bytes / self.sharing.max(1));
        share.into_iter().chain(most).min().unwrap_or(0)
    }
}

/// The announcement: `offer` with the number of slots, the worker's labels, and what a slot has of the memory.
pub(crate) fn announced(
    offer: &Capabilities,
    slots: u32,
    labels: &BTreeMap<String, String>,
    memory: SlotMemory,
) -> Capabilities {
    let memory_bytes = memory.of_slot(offer.memory_bytes);
    Capabilities { slots, labels: labels.clone(), memory_bytes, ..offer.clone() }
}

#[cfg(test)]
mod tests {
    use cambrian_proto::v1::{DatasetOffer, EvaluatorOffer};

    use super::*;

    fn offer() -> Capabilities {
        let evaluator = EvaluatorOffer { name: "train".to_owned(), ..EvaluatorOffer::default() };
        Capabilities {
            device_class: "cpu:x:1t".to_owned(),
            evaluators: vec![evaluator],
            datasets: vec!["fashion-mnist".to_owned()],
            slots: 77,
            ..Capabilities::default()
        }
    }

    #[test]
    fn slots_must_offer_the_same_but_may_differ_in_memory_and_reasons() {
        let reason = BTreeMap::from([("energy".to_owned(), "no meter".to_owned())]);
        let same = Capabilities { memory_bytes: 5, unavailable: reason, ..offer() };
        assert_eq!(difference(&offer(), &same), None);
        let other_content = DatasetOffer { name: "fashion-mnist".into(), fingerprint: "1".into() };
        let cases = [
            (Capabilities { device_class: "cuda:A".to_owned(), ..offer() }, "device class cuda:A"),
            (Capabilities { evaluators: vec![], ..offer() }, "evaluators"),
            (Capabilities { datasets: vec![], ..offer() }, "fashion-mnist"),
            (Capabilities { dataset_offers: vec![other_content], ..offer() }, "other content"),
        ];
        for (other, expected) in cases {
            let found = difference(&offer(), &other).unwrap();
            assert!(found.contains(expected), "{found}");
        }
    }

    const CPU: SlotMemory =
        SlotMemory { available: Some(4_000), most: None, sharing: 4, on_gpu: false };

    #[test]
    fn slots_and_labels_are_the_workers() {
        let labels = BTreeMap::from([("rack".to_owned(), "7".to_owned())]);
        let found = announced(&offer(), 4, &labels, CPU);
        assert_eq!((found.slots, found.memory_bytes), (4, 1_000));
        assert_eq!(found.labels, labels);
        assert_eq!(found.datasets, offer().datasets);
    }

    #[test]
    fn a_slot_announces_no_more_memory_than_it_can_have() {
        let unknown = SlotMemory { available: None, ..CPU };
        let bounded = SlotMemory { most: Some(300), ..CPU };
        let gpu = SlotMemory { on_gpu: true, most: Some(300), sharing: 2, ..CPU };
        let cases = [
            // The evaluator sees the whole machine, the worker what its control group leaves of it.
            (CPU, 64_000, 1_000),
            (CPU, 2_000, 500),
            (CPU, 0, 1_000),
            (unknown, 2_000, 500),
            (unknown, 0, 0),
            (bounded, 64_000, 300),
            (bounded, 300, 300),
            (bounded, 200, 200),
            (SlotMemory { most: Some(3_000), ..CPU }, 3_000, 1_000),
            (SlotMemory { most: Some(300), ..unknown }, 0, 300),
            // Neither the machine's memory nor a process's own is the GPU's.
            (gpu, 64_000, 32_000),
            (gpu, 0, 0),
        ];
        for (memory, offered, expected) in cases {
            assert_eq!(memory.of_slot(offered), expected, "{memory:?} with {offered}");
        }
    }
}
