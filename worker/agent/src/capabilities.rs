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

/// The announcement: `offer` with the number of slots, the worker's labels, and, where the
/// evaluator does not know its memory, an even share of `memory_bytes`.
pub(crate) fn announced(
    offer: &Capabilities,
    slots: u32,
    labels: &BTreeMap<String, String>,
    memory_bytes: Option<u64>,
) -> Capabilities {
    let mut announced = Capabilities { slots, labels: labels.clone(), ..offer.clone() };
    if announced.memory_bytes == 0 {
        announced.memory_bytes = memory_bytes.unwrap_or(0) / u64::from(slots.max(1));
    }
    announced
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

    #[test]
    fn slots_labels_and_memory_are_the_workers() {
        let labels = BTreeMap::from([("rack".to_owned(), "7".to_owned())]);
        let found = announced(&offer(), 4, &labels, Some(4_000));
        assert_eq!((found.slots, found.memory_bytes), (4, 1_000));
        assert_eq!(found.labels, labels);
        assert_eq!(found.datasets, offer().datasets);
        let known = Capabilities { memory_bytes: 5, ..offer() };
        assert_eq!(announced(&known, 4, &labels, Some(4_000)).memory_bytes, 5);
        assert_eq!(announced(&offer(), 4, &labels, None).memory_bytes, 0);
    }
}
